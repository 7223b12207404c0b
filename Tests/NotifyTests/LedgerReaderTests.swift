import Chassis
import Foundation
import GRDB
import Gate
import Ledger
import Testing

@testable import sluice_notify

/// Ledgers of pauses, of which the outbox takes one and is then shown another.
struct LedgerReaderTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure(["oncall": "1"])
    }

    /// An entry of the history that is called so; histories share entries that are called the same.
    func pause(_ index: UInt64, _ history: String = "") -> FollowedEntry {
        let closure = Closure(epoch: Epoch(index), direction: .both, selector: Selector(), reason: history, author: "ada", incident: 0, from: now)
        return entry(index, .paused(closure), history)
    }
    func entry(_ index: UInt64, _ deed: Entry.Deed, _ history: String) -> FollowedEntry {
        FollowedEntry(Entry(index: index, at: now, author: "ada", deed: deed), hash: TreeHash(leaf: Array("\(history) \(index)".utf8)))
    }
    func unsealing(_ index: UInt64, _ history: String, abandons: Checkpoint?) -> FollowedEntry {
        entry(index, .unsealed(Epoch(90), dropped: [], reason: "a test", abandons: abandons.map { Array($0.text.utf8) } ?? []), history)
    }
    func checkpoint(_ entries: [FollowedEntry]) throws -> Checkpoint {
        var frontier = MerkleFrontier()
        for entry in entries { _ = frontier.append(entry.hash) }
        return Checkpoint(origin: try #require(KeyName("sluice/test/governance")), size: frontier.size, root: frontier.root)
    }
    /// What a run of notify makes of a ledger, shown in pages of so many.
    func run(_ entries: [FollowedEntry], pages: Int = 64) throws -> (reader: LedgerReader, new: Int) {
        var reader = LedgerReader(into: outbox, channels: ["oncall"])
        var new = 0
        for start in stride(from: 0, to: entries.count, by: pages) {
            new += try reader.take(Array(entries[start..<min(start + pages, entries.count)]), at: now).new
        }
        return (reader, new)
    }
    func told() throws -> [String] { try outbox.due(at: now, limit: 100).map(\.message.id) }

    private var delivered: [FollowedEntry] { (1...6).map { pause($0) } }

    @Test func `the same ledger again tells nothing, and what follows on it does`() throws {
        #expect(try run(delivered).new == 6)
        let (reader, new) = try run(delivered + [pause(7)], pages: 2)
        #expect(new == 1 && reader.fork == nil)
        #expect(try told().count == 7 && outbox.cursor() == 7)
    }

    @Test(arguments: [1, 3, 64])
    func `another history is held back from the fork on, however long it grows, until two have given the first one up`(pages: Int) throws {
        _ = try run(delivered)
        let before = try told()
        var other = delivered.prefix(3) + (4...9).map { pause($0, "other") }
        let (reader, new) = try run(Array(other), pages: pages)
        #expect(new == 0 && reader.fork == 3)
        #expect(try told() == before && outbox.cursor() == 6)
        // The same, and the word of two: in the run that waits, and in one that begins then.
        other.append(unsealing(10, "other", abandons: try checkpoint(delivered)))
        other.append(pause(11, "other"))
        let (restored, news) = try run(Array(other), pages: pages)
        #expect(news == 7 && restored.fork == nil)
        #expect(try told() == before + other.dropFirst(3).compactMap { Bodies.message(for: $0)?.id })
        #expect(try outbox.cursor() == 11)
        #expect(try run(Array(other), pages: pages).new == 0, "nothing twice")
    }

    @Test func `a reader that waits goes on by itself when the word comes`() throws {
        _ = try run(delivered)
        var reader = LedgerReader(into: outbox, channels: ["oncall"])
        for followed in delivered.prefix(3) + [pause(4, "other")] { #expect(try reader.take([followed], at: now).new == 0) }
        #expect(reader.fork == 3)
        let outcome = try reader.take([unsealing(5, "other", abandons: nil), pause(6, "other")], at: now)
        #expect(outcome.new == 2 && outcome.restored?.fork == 3 && outcome.restored?.taken == 6)
        #expect(reader.fork == nil)
    }

    @Test func `who gave up another history than the one that was delivered has not given up this one`() throws {
        _ = try run(delivered)
        let third = delivered.prefix(3) + (4...5).map { pause($0, "third") }
        for abandoned in [Array(third), Array(delivered.prefix(3))] {
            let other = delivered.prefix(3) + [pause(4, "other"), unsealing(5, "other", abandons: try checkpoint(abandoned)), pause(6, "other")]
            let (reader, new) = try run(Array(other))
            #expect(new == 0 && reader.fork == 3, "\(abandoned.count)")
        }
        // Longer than what was delivered it cannot be told apart: policy is often an entry ahead.
        let longer = try checkpoint(delivered + [pause(7)])
        #expect(try run(delivered.prefix(3) + [pause(4, "other"), unsealing(5, "other", abandons: longer)]).reader.fork == nil)
    }

    @Test func `an unsealing before the fork allows nothing after it`() throws {
        let unsealed = delivered.prefix(2) + [unsealing(3, "", abandons: nil)] + (4...6).map { pause($0) }
        _ = try run(Array(unsealed))
        let (reader, new) = try run(unsealed.prefix(4) + [pause(5, "other")])
        #expect(new == 0 && reader.fork == 4)
    }

    @Test func `put back twice, each history is told once`() throws {
        _ = try run(delivered)
        let second = delivered.prefix(3) + [pause(4, "second"), unsealing(5, "second", abandons: try checkpoint(delivered)), pause(6, "second")]
        #expect(try run(Array(second)).new == 2)
        // The first disk is found again, and put in: what it says is known, but for what is new.
        let again = delivered + [unsealing(7, "first", abandons: try checkpoint(Array(second))), pause(8, "first")]
        #expect(try run(again).new == 1)
        #expect(Set(try told()).count == 9)
        #expect(try told().count == 9)
    }

    @Test func `an outbox of an older Sluice takes the ledger that it finds for the one that it took`() throws {
        _ = try run(delivered)
        try outbox.database.write { try $0.execute(sql: "DELETE FROM entry") }
        #expect(try run(delivered).new == 0)
        let (reader, _) = try run(delivered.prefix(3) + [pause(4, "other")])
        #expect(reader.fork == 3, "from then on it knows it")
    }
}
