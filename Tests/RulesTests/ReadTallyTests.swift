import Gate
import Rules
import Testing

struct ReadTallyTests {
    private let start = WallTime(nanoseconds: 1_000_000_000_000_000_000)
    private func part(_ grant: String, _ events: Int64, _ subjects: String...) -> ReadTally.Part { .init(grant: grant, events: events, subjects: subjects) }
    private let given: [String: Int64] = ["g": 7]

    @Test func `a release counts with all that it may give while it runs, and with what it gave when it has ended`() {
        var tally = ReadTally()
        tally.opened(1, by: "job", [part("g", 100, "E1", "E2"), part("h", 5, "E3")], at: start)
        #expect(tally.taken(by: "job", "g", since: start) == GrantTaken(events: 100, subjects: ["E1", "E2"]))
        #expect(tally.taken(by: "job", "h", since: start).events == 5 && tally.taken(by: "other", "g", since: start) == GrantTaken())
        tally.ended(1, by: "job", given: given, at: start + .seconds(10))
        #expect(tally.taken(by: "job", "g", since: start) == GrantTaken(events: 7, subjects: ["E1", "E2"]))
        #expect(tally.taken(by: "job", "h", since: start) == GrantTaken(), "nothing was given by it")
        tally.opened(2, by: "job", [part("g", 3, "E2", "E4")], at: start)
        #expect(tally.taken(by: "job", "g", since: start) == GrantTaken(events: 10, subjects: ["E1", "E2", "E4"]))
    }

    @Test func `what lies before the stretch does not count, what ended in it does`() {
        var tally = ReadTally()
        tally.opened(1, by: "job", [part("g", 100, "E1")], at: start)
        tally.ended(1, by: "job", given: given, at: start)
        #expect(tally.taken(by: "job", "g", since: start - .seconds(1)).events == 7)
        #expect(tally.taken(by: "job", "g", since: start + .seconds(61)) == GrantTaken())
        // A week on it is not even kept.
        tally.opened(2, by: "job", [part("g", 1, "E1")], at: start)
        tally.ended(2, by: "job", given: ["g": 1], at: start + ReadTally.reach + .seconds(120))
        #expect(tally.taken(by: "job", "g", since: start - .seconds(1)).events == 1)
    }

    @Test func `a release whose end nobody recorded counts as if it had given everything, until now`() {
        var tally = ReadTally()
        tally.opened(1, by: "job", [part("g", 100, "E1")], at: start)
        tally.allEnded(at: start)
        #expect(tally.taken(by: "job", "g", since: start - .seconds(3_600)) == GrantTaken(events: 100, subjects: ["E1"]))
    }

    @Test func `of what nobody ended, what was opened more than a week ago is not taken anew at each start`() {
        var tally = ReadTally()
        tally.opened(1, by: "job", [part("g", 100, "E1")], at: start)
        tally.opened(2, by: "job", [part("g", 10, "E2")], at: start + .seconds(1))
        tally.opened(3, by: "job", [part("g", 1, "E3")], at: start)
        tally.ended(3, by: "job", given: ["g": 1], at: start + .seconds(2))
        tally.allEnded(at: start + ReadTally.reach)
        #expect(tally.taken(by: "job", "g", since: start) == GrantTaken(events: 11, subjects: ["E2", "E3"]))
        #expect(tally.days.excess(of: "job", and: [], over: PastLimit(times: 1, least: 2), at: start) != nil, "the days know all three")
    }

    @Test func `an end whose beginning is a week back counts with what it gave`() {
        var tally = ReadTally()
        tally.ended(9, by: "job", given: given, at: start)
        #expect(tally.taken(by: "job", "g", since: start - .seconds(1)).events == 7)
    }
}
