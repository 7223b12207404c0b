import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

/// Rows of the vault's file, changed or copied by somebody who gets at it. What stands beside a blob is associated with it, column by column.
@Suite struct RowTests {
    /// As the file has them, so that a column that is added is tried too.
    private func columns(_ scene: Scene) throws -> [String] { try scene.ask("SELECT name FROM pragma_table_info('segment') ORDER BY cid").map { $0[0] } }

    /// Every segment of whatever class, also of one whose name was changed.
    private func found(_ vault: SQLiteVault, _ scene: Scene) throws -> [Result<Segment, SegmentUnreadable>] {
        try vault.all(scene.ask("SELECT DISTINCT class FROM segment").map { $0[0] })
    }

    private func opened(_ results: [Result<Segment, SegmentUnreadable>]) -> [Data] { results.compactMap { try? $0.get().blob } }

    /// One bit of a value, as SQLite keeps it; nil: it has no such bit, or the text would be none.
    private func flipped(_ value: DatabaseValue, bit: Int) -> DatabaseValue? {
        switch value.storage {
        case .int64(let number): return bit < 63 ? (number ^ 1 << Int64(bit)).databaseValue : nil
        case .string(let text):
            guard let bytes = flipped(Data(text.utf8), bit), bytes.allSatisfy({ $0 > 0 }), let changed = String(data: bytes, encoding: .utf8) else { return nil }
            return changed.databaseValue
        case .blob(let data): return flipped(data, bit)?.databaseValue
        case .null, .double: return nil
        }
    }

    private func flipped(_ data: Data, _ bit: Int) -> Data? {
        guard bit / 8 < data.count else { return nil }
        var data = data
        data[data.startIndex + bit / 8] ^= 1 << UInt8(bit % 8)
        return data
    }

    @Test func `one flipped bit in any column of a row leaves its segment unreadable, and all others as they were`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1, blob: "the first"), segment(2, blob: "the second"), segment(3, of: "E2", blob: "the third")])
        let whole = try Set(opened(found(vault, scene)))
        #expect(whole.count == 3, "the control")
        var tried: [String: Int] = [:]
        for column in try columns(scene) where column != "number" {
            let row = try #require(try scene.ask("SELECT \(column) FROM segment WHERE number = 1").first)
            let value: DatabaseValue = row[0]
            for bit in 0..<512 {
                // All of the small ones, and of a body one bit in eleven: each byte, and each bit of a byte.
                guard column != "body" || bit % 11 == 0, let changed = flipped(value, bit: bit) else { continue }
                try scene.edit("UPDATE segment SET \(column) = ? WHERE number = 1", [changed])
                let left = try found(vault, scene)
                #expect(left.count { refusal($0)?.row == 1 } == 1, "\(column), bit \(bit)")
                #expect(Set(opened(left)) == whole.subtracting([Data("the first".utf8)]), "\(column), bit \(bit)")
                tried[column, default: 0] += 1
                try scene.edit("UPDATE segment SET \(column) = ? WHERE number = 1", [value])
            }
            #expect(try Set(opened(found(vault, scene))) == whole, "\(column) is as it was")
        }
        let untried = try columns(scene).filter { $0 != "number" && tried[$0, default: 0] < 8 }
        #expect(untried == [], "each was tried")
    }

    @Test func `a row that was copied under another number, subject, sequence, stream, agent or class does not open`() throws {
        let changes = [
            "number": "9", "subject": "'E2'", "sequence": "9", "stream": "stream + 1", "agent": "4", "class": "'review'", "key": "(SELECT key FROM segment WHERE subject = 'E2')",
            "subject, with that one's key": "",
        ]
        for (name, value) in changes {
            let scene = try Scene()
            let vault = try scene.vault()
            try vault.store([segment(1, blob: "the first"), segment(2, of: "E2", blob: "the second")])
            let copied = try columns(scene).map { column in
                switch column {
                case "number": return "9"
                case "subject" where value.isEmpty: return "'E2'"
                case "key" where value.isEmpty: return "(SELECT key FROM segment WHERE subject = 'E2')"
                case name: return value
                default: return column
                }
            }
            try scene.edit("INSERT INTO segment SELECT \(copied.joined(separator: ", ")) FROM segment WHERE number = 1")
            let found = try found(vault, scene)
            #expect(found.count == 3 && found.count { refusal($0)?.row == 9 } == 1, "\(name)")
            #expect(opened(found).sorted { $0.lexicographicallyPrecedes($1) } == [Data("the first".utf8), Data("the second".utf8)], "\(name): what was copied is there as it was")
        }
    }
}
