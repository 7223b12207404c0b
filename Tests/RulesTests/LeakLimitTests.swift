import Gate
import Testing

@testable import Rules

@Suite struct LeakLimitTests {
    private let noon = WallTime(microseconds: 1_764_000_000_000_000)

    @Test func `denied reads count within the period, minute by minute, reader by reader`() {
        var tally = DeniedTally()
        for number in 1...5 { #expect(tally.note("a", within: .seconds(3_600), at: noon + .seconds(Int64(number))) == number) }
        #expect(tally.note("b", within: .seconds(3_600), at: noon) == 1)
        // An hour and a minute later none of them counts; a moment before, all do.
        var later = tally
        #expect(later.note("a", within: .seconds(3_600), at: noon + .seconds(3_540)) == 6)
        #expect(tally.note("a", within: .seconds(3_600), at: noon + .seconds(3_700)) == 1)
        later.forget("a")
        #expect(later.note("a", within: .seconds(3_600), at: noon + .seconds(3_541)) == 1)
    }

    @Test func `all grants of a reader count together, with what is to come`() {
        var tally = ReadTally()
        tally.opened(1, by: "a", [.init(grant: "g", events: 10, subjects: ["E1"])])
        tally.ended(1, by: "a", given: ["g": 10], at: noon)
        tally.opened(2, by: "a", [.init(grant: "h", events: 5, subjects: ["E2"])])
        tally.opened(3, by: "b", [.init(grant: "g", events: 1_000, subjects: ["E9"])])
        let taken = tally.taken(by: "a", since: noon - .seconds(60), and: [.init(grant: "g", events: 1, subjects: ["E1", "E3"])])
        #expect(taken == GrantTaken(events: 16, subjects: ["E1", "E2", "E3"]))
        #expect(taken.excess(over: LeakLimit(events: 16, subjects: 3, per: .day)) == nil, "at the limit")
        #expect(taken.excess(over: LeakLimit(subjects: 2, per: .day)) == "3 subjects within a day, and the limit is 2")
        #expect(taken.excess(over: LeakLimit(events: 15, per: .day)) == "16 events within a day, and the limit is 15")
    }

    @Test(arguments: [
        ("", "{reads: 3, per: hour}", false), ("{reads: 3, per: hour}", "{reads: 4, per: hour}", true), ("{reads: 3, per: hour}", "{reads: 2, per: hour}", false),
        ("{reads: 3, per: day}", "{reads: 3, per: hour}", true), ("{reads: 72, per: day}", "{reads: 3, per: hour}", false), ("{reads: 3, per: hour}", "", true),
    ]) func `finding later, or nothing any more, widens`(before: String, after: String, widens: Bool) throws {
        func document(_ limit: String) throws -> PolicyDocument {
            try read(classes + "leaks: [\(limit.isEmpty ? "" : "{detector: denied, close: reading, of: reader, limit: \(limit)}")]\n")
        }
        let (old, new) = (try document(before), try document(after))
        #expect(new.reaction(to: .denied).closesAsMuch(as: old.reaction(to: .denied)) == !widens)
    }

    @Test(arguments: [
        "{detector: denied, close: reading, of: reader}", "{detector: denied, close: reading, of: reader, limit: {per: hour}}",
        "{detector: denied, close: reading, of: reader, limit: {events: 3, per: hour}}", "{detector: outsider, close: reading, of: class, limit: {reads: 3, per: hour}}",
        "{detector: breadth, close: reading, of: reader, limit: {subjects: -1, per: hour}}", "{detector: breadth, close: reading, of: reader, limit: {subjects: 3}}",
    ]) func `a limit that says nothing, or something else, is a mistake`(reaction: String) {
        #expect(!mistakes(classes + "leaks: [\(reaction)]\n").isEmpty)
    }
}
