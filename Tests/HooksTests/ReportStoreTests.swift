import Foundation
import GRDB
import Gate
import Rules
import Testing

@testable import sluice_hooks

struct ReportStoreTests {
    private let folder: Folder
    private let store: ReportStore

    init() throws {
        folder = try Folder()
        store = try ReportStore(path: folder["reports.sqlite"])
    }

    private func body(_ names: [String], _ rules: [HookRules.Rule] = [rule()], by book: UInt8 = 1, status: String = "firing") throws -> ReportStore.Taken {
        let reports = try names.flatMap { try Report.alerts(group(alert($0, status: status))) }
        return .init(hook: .alertmanager, book: Data([book]), reports: reports.map { ($0, rules) })
    }

    @Test func `a report that comes again is known, also by another process, and asks for nothing again`() throws {
        #expect(try store.take([try body(["a", "b"])], at: wall(0)) == [.init(new: 2, known: 0, matched: 2)])
        #expect(try store.take([try body(["a", "b", "c"])], at: wall(1)) == [.init(new: 1, known: 2, matched: 1)])
        let again = try ReportStore(path: folder["reports.sqlite"])
        #expect(try again.take([try body(["a", "b", "c"])], at: wall(2)) == [.init(new: 0, known: 3, matched: 0)])
        #expect(try again.totals() == .init(matched: 3, unmatched: 0, resolved: 0, known: 5, waiting: 1, answered: 0))
    }

    @Test func `what is over, and what no rule matches, is counted and closes nothing`() throws {
        #expect(try store.take([try body(["a"], status: "resolved"), try body(["b"], [])], at: wall(0)) == [.init(new: 1), .init(new: 1)])
        #expect(try store.totals() == .init(matched: 0, unmatched: 1, resolved: 1, known: 0, waiting: 0, answered: 0))
        #expect(try store.due(resting: []) == [])
    }

    @Test func `what no rule matched is looked at again by other rules, once by each, until one matches`() throws {
        #expect(try store.take([try body(["a"], [])], at: wall(0)) == [.init(new: 1)])
        #expect(try store.take([try body(["a"])], at: wall(1)) == [.init(known: 1)], "the same rules have said what they say")
        #expect(try store.take([try body(["a"], [], by: 2)], at: wall(2)) == [.init(known: 1)])
        let again = try ReportStore(path: folder["reports.sqlite"])
        #expect(try again.take([try body(["a"], by: 2)], at: wall(3)) == [.init(known: 1)], "also by another process")
        #expect(try again.due(resting: []) == [])
        #expect(try again.take([try body(["a"], by: 3)], at: wall(4)) == [.init(known: 1, matched: 1)])
        #expect(try again.due(resting: []).count == 1)
        #expect(try again.take([try body(["a"], by: 4)], at: wall(5)) == [.init(known: 1)], "what was closed for it may have been lifted")
        #expect(try again.totals() == .init(matched: 1, unmatched: 1, resolved: 0, known: 4, waiting: 1, answered: 0), "each time that it came is counted once")
    }

    @Test func `what is over is known whatever the rules become, and what some rule matched asks once for each closure that other rules add`() throws {
        #expect(try store.take([try body(["a"], status: "resolved"), try body(["b"])], at: wall(0)) == [.init(new: 1), .init(new: 1, matched: 1)])
        let first = try #require(try store.due(resting: []).first)
        #expect(try store.take([try body(["a"], by: 2, status: "resolved"), try body(["b"], [rule("another")], by: 2)], at: wall(1)) == [.init(known: 1), .init(known: 1)], "the same closure by another name")
        #expect(try store.take([try body(["b"], [], by: 3)], at: wall(2)) == [.init(known: 1)], "none matches any more")
        let more = [rule(), rule("other", classes: ["content"])]
        let again = try ReportStore(path: folder["reports.sqlite"])
        #expect(try again.take([try body(["b"], more, by: 4)], at: wall(3)) == [.init(known: 1, matched: 1)], "also by another process")
        #expect(try again.take([try body(["b"], more, by: 4), try body(["b"], more, by: 5)], at: wall(4)) == [.init(known: 1), .init(known: 1)], "once")
        // A rule that closes something else under the same name is another.
        #expect(try again.take([try body(["b"], [rule(classes: ["activity"])], by: 6)], at: wall(5)) == [.init(known: 1, matched: 1)])
        let due = try again.due(resting: [])
        #expect(due.contains(first) && Set(due.map(\.selector)).count == 3 && Set(due.map(\.id)).count == 3)
    }

    @Test func `of a storm the first is sent at once, and what follows is one finding more, counted whole`() throws {
        _ = try store.take([try body(["first"])], at: wall(0))
        let first = try #require(try store.due(resting: []).first)
        #expect(first.sentence == "reviews are visible: rule reviews, hook alertmanager")
        for wave in 0..<10 { _ = try store.take([try body((0..<100).map { "\(wave)-\($0)" })], at: wall(1)) }
        #expect(try store.due(resting: []) == [first], "until control has answered there is one")
        let cause = try #require(try store.answered(first.id, incident: 7, entry: 9))
        #expect(try store.due(resting: [cause]) == [], "it gathers")
        let second = try store.due(resting: [])
        #expect(second.map(\.sentence) == ["reviews are visible: rule reviews, hook alertmanager (1000 reports)"])
        #expect(second.first?.id != first.id)
        #expect(try store.totals().matched == 1_001)
    }

    @Test func `rules that close the same are one finding, and others their own`() throws {
        _ = try store.take([try body(["a"], [rule("one"), rule("two"), rule("three", direction: .read), rule("four", classes: ["content"])])], at: wall(0))
        #expect(try store.due(resting: []).count == 3)
    }

    @Test func `what was sent changes no more, over a restart and a kill`() throws {
        _ = try store.take([try body(["a"])], at: wall(0))
        let sent = try store.due(resting: [])
        let again = try ReportStore(path: folder["reports.sqlite"])
        _ = try again.take([try body(["b"])], at: wall(1))
        #expect(try again.due(resting: []) == sent)
        #expect(try again.answered([UInt8](repeating: 0, count: 16), incident: 1, entry: 1) == nil, "an answer for another is for none")
        #expect(try again.due(resting: []) == sent)
    }

    @Test func `a report that the store has lost makes the finding that control knows`() throws {
        let other = try ReportStore(path: folder["other.sqlite"])
        for store in [store, other] { _ = try store.take([try body(["a"])], at: wall(0)) }
        #expect(try store.due(resting: []).map(\.id) == other.due(resting: []).map(\.id))
    }

    @Test func `as long as it is repeated a report is known, and a fortnight after that it is forgotten`() throws {
        let day: Int64 = 24 * 3_600
        _ = try store.take([try body(["a"])], at: wall(0))
        for number in 1...20 { #expect(try store.take([try body(["a"])], at: wall(Int64(number) * 10 * day)).first?.known == 1) }
        // Old keys go now and then.
        for number in 0..<600 { _ = try store.take([try body(["x\(number)"])], at: wall(215 * day)) }
        #expect(try store.take([try body(["a"])], at: wall(215 * day)).first?.new == 1)
    }

    @Test func `a store that another Sluice wrote is not touched`() throws {
        let queue = try DatabaseQueue(path: folder["reports.sqlite"])
        try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('999-later')") }
        #expect(throws: ReportStore.Unusable.newer(path: folder["reports.sqlite"], unknown: ["999-later"])) { try ReportStore(path: folder["reports.sqlite"]) }
    }
}
