import Foundation
import Gate
import Vault
import Testing

@testable import sluice_policy

@Suite struct DeniedReadsTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }

    private func read(_ reader: String, _ dataClass: String = "review", of subject: String = "E1", why: String = "no-grant") -> DeniedRead {
        let wall = WallTime(nanoseconds: 1_795_500_000_000_000_000)
        let selection = Selection(classes: [DataClass(dataClass)], subjects: [subject], teams: [], from: wall, until: wall)
        let record = ReleaseRecord(reader: reader, purpose: "p", justification: "w", selection: selection, at: wall, epoch: 1)
        return DeniedRead(record: record, person: "", policy: 3, why: why, count: 1, since: wall)
    }

    @Test func `the first eight of a minute are recorded at once, the others as one with their number when it is over`() throws {
        var denied = DeniedReads()
        for second in 0..<8 { #expect(denied.note(read("a"), isFull: false, at: at(Int64(second)))?.count == 1) }
        for second in 8..<60 { #expect(denied.note(read("a", second % 2 == 0 ? "review" : "content", of: "E\(second % 3)", why: "expired"), isFull: false, at: at(Int64(second))) == nil) }
        #expect(denied.note(read("b"), isFull: false, at: at(30))?.count == 1, "another reader has a minute of their own")
        #expect(denied.due(at: at(59)).isEmpty)
        let due = denied.due(at: at(60))
        let summary = try #require(due.first)
        #expect(due.count == 1 && summary.count == 52 && summary.why == "expired")
        #expect(Set(summary.record.selection.classes.map(\.name)) == ["review", "content"] && Set(summary.record.selection.subjects) == ["E0", "E1", "E2"])
        #expect(denied.note(read("a"), isFull: false, at: at(61))?.count == 1, "a new minute")
    }

    @Test func `a reader who asks all day makes nine entries a minute and no more`() {
        var (denied, entries, counted) = (DeniedReads(), 0, UInt64(0))
        for tenth in 0..<36_000 {
            let now = Instant(nanoseconds: 0) + .milliseconds(Int64(tenth) * 100)
            for read in denied.due(at: now) { (entries, counted) = (entries + 1, counted + read.count) }
            if let read = denied.note(read("a", of: "E\(tenth)"), isFull: false, at: now) { (entries, counted) = (entries + 1, counted + read.count) }
        }
        for read in denied.rest() { (entries, counted) = (entries + 1, counted + read.count) }
        #expect(counted == 36_000, "every one is counted")
        #expect(entries <= 9 * 61)
    }

    @Test func `on a full disk everything is counted, and nothing lost`() {
        var denied = DeniedReads()
        for second in 0..<5 { #expect(denied.note(read("a"), isFull: true, at: at(Int64(second))) == nil) }
        #expect(denied.due(at: at(60)).map(\.count) == [5])
        #expect(denied.rest().isEmpty)
    }
}
