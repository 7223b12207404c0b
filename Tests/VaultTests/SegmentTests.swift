import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

@Suite struct SegmentTests {
    @Test func `a blob is read as it was stored, and lies in no file of the vault`() throws {
        let scene = try Scene()
        let planted = "planted-" + UUID().uuidString
        let vault = try scene.vault()
        try vault.store([segment(1, blob: planted), segment(2)])
        let found = try vault.all().map { try $0.get() }
        #expect(found.map(\.blob) == [Data(planted.utf8), segment(2).blob])
        #expect(found[0].scope == segment(1).scope && found[0].stream == segment(1).stream && found[0].hash == segment(1).hash)
        let files = try scene.bytes()
        #expect(files.count >= 2)
        for (name, bytes) in files { #expect(bytes.range(of: Data(planted.utf8)) == nil, "\(name)") }
        // The control: what stands beside the blob is found by the same search.
        #expect(files.values.contains { $0.range(of: Data("berlin".utf8)) != nil })
    }

    @Test func `a column that was edited makes its segment unreadable, whichever it is, and no other`() throws {
        let edits = [
            "subject = 'E2'", "class = 'review'", "first_ns = first_ns + 1", "last_ns = last_ns - 1", "agent = 4", "agent = -1", "stream = stream + 1",
            "sequence = 5", "sequence = -5", "site = 'oslo'", "team = ''", "count = 5", "count = 9223372036854775807", "epoch = 8", "epoch = -1",
            "columns_bytes = 82", "hash = x'00'", "site = 'berlinsearch', team = ''",
        ]
        for edit in edits {
            let scene = try Scene()
            let vault = try scene.vault()
            try vault.store([segment(1), segment(2)])
            try scene.edit("UPDATE segment SET \(edit) WHERE number = 1")
            let found = try vault.all(["activity", "review"])
            #expect(found.count { refusal($0) == SegmentUnreadable(row: 1, why: .changed) } == 1, "\(edit)")
            #expect(found.compactMap { try? $0.get().sequence } == [2], "\(edit)")
            _ = try vault.extent(of: Selection(classes: [DataClass("activity")], subjects: [], teams: [], from: november, until: november + month))
        }
    }

    @Test func `a blob that was changed, cut or exchanged is unreadable`() throws {
        for edit in ["x''", "x'0001020304'", "substr(body, 1, length(body) - 1)", "CAST(body || x'00' AS BLOB)", "zeroblob(47)", "(SELECT body FROM segment WHERE number = 2)"] {
            let scene = try Scene()
            let vault = try scene.vault()
            try vault.store([segment(1), segment(2)])
            try scene.edit("UPDATE segment SET body = \(edit) WHERE number = 1")
            let found = try vault.all()
            #expect(refusal(found[0]) == SegmentUnreadable(row: 1, why: .changed), "\(edit)")
            #expect((try? found[1].get())?.blob == segment(2).blob, "\(edit)")
        }
    }

    @Test func `no two rows have the same associated data`() throws {
        let one = SegmentColumns(segment(1), key: 1, number: 1)
        var moved = one
        moved.site = "berlins"
        moved.team = "earch"
        #expect(one.associated != moved.associated)
        var all: Set<[UInt8]> = [one.associated, moved.associated]
        for path: WritableKeyPath<SegmentColumns, Int64> in [\.agent, \.stream, \.sequence, \.first, \.last, \.count, \.epoch, \.columnsBytes, \.key, \.number] {
            var other = one
            other[keyPath: path] += 1
            #expect(all.insert(other.associated).inserted)
        }
    }
}
