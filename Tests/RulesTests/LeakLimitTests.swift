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
        tally.opened(1, by: "a", [.init(grant: "g", events: 10, subjects: ["E1"])], at: noon)
        tally.ended(1, by: "a", given: ["g": 10], at: noon)
        tally.opened(2, by: "a", [.init(grant: "h", events: 5, subjects: ["E2"])], at: noon)
        tally.opened(3, by: "b", [.init(grant: "g", events: 1_000, subjects: ["E9"])], at: noon)
        let taken = tally.taken(by: "a", since: noon - .seconds(60), and: [.init(grant: "g", events: 1, subjects: ["E1", "E3"])])
        #expect(taken == GrantTaken(events: 16, subjects: ["E1", "E2", "E3"]))
        #expect(taken.excess(over: LeakLimit(events: 16, subjects: 3, per: .day)) == nil, "at the limit")
        #expect(taken.excess(over: LeakLimit(subjects: 2, per: .day)) == "3 subjects within a day, and the limit is 2")
        #expect(taken.excess(over: LeakLimit(events: 15, per: .day)) == "16 events within a day, and the limit is 15")
    }

    @Test func `classes count within the period, running releases and the one to come among them`() {
        var tally = ReadTally()
        let limit = LeakLimit(classes: 2, per: .day)
        func excess(_ classes: Set<DataClass>, after seconds: Int64) -> String? { tally.excess(of: "a", and: classes, over: limit, at: noon + .seconds(seconds)) }
        tally.opened(1, by: "a", [.init(grant: "g", events: 1, subjects: ["E1"])], of: [.activity], at: noon)
        tally.ended(1, by: "a", given: ["g": 1], at: noon)
        tally.opened(2, by: "a", [.init(grant: "g", events: 1, subjects: ["E1"])], of: [.content], at: noon)
        tally.opened(3, by: "b", [.init(grant: "g", events: 1, subjects: ["E1"])], of: [.review], at: noon)
        #expect(excess([.activity, .content], after: 1) == nil, "at the limit")
        #expect(excess([.conversation], after: 1) == "of 3 classes within a day, and the limit is 2")
        #expect(excess([.conversation], after: 86_400) == nil, "what ended a day ago does not count, what runs still does")
        #expect(tally.excess(of: "c", and: [.conversation], over: limit, at: noon) == nil, "each reader alone")
        #expect(excess([.conversation], after: 1) != nil && tally.excess(of: "a", and: [.conversation], over: LeakLimit(events: 1, per: .day), at: noon) == nil, "no limit on classes")
    }

    @Test func `hours of the clock count, from a release's opening to its end`() {
        var tally = ReadTally()
        let limit = LeakLimit(hours: 3, per: .day)
        func excess(_ reader: String = "a", after minutes: Int64) -> String? { tally.excess(of: reader, and: [], over: limit, at: midnight + .seconds(minutes * 60)) }
        let midnight = WallTime(nanoseconds: noon.nanoseconds / 86_400_000_000_000 * 86_400_000_000_000)
        let part = ReadTally.Part(grant: "g", events: 1, subjects: ["E1"])
        tally.opened(1, by: "a", [part], at: midnight + .seconds(10))
        tally.ended(1, by: "a", given: [:], at: midnight + .seconds(20))
        tally.opened(2, by: "a", [part], at: midnight + .seconds(3_599))
        tally.ended(2, by: "a", given: [:], at: midnight + .seconds(3_601))
        #expect(excess(after: 179) == nil, "hours 0, 1 and 2")
        tally.opened(3, by: "a", [part], at: midnight + .seconds(179 * 60))
        #expect(excess(after: 181) == "in 4 hours of a day, and the limit is 3", "the one that runs was in hour 2 and is in hour 3")
        tally.ended(3, by: "a", given: [:], at: midnight + .seconds(179 * 60 + 1))
        #expect(excess(after: 239) == "in 4 hours of a day, and the limit is 3")
        #expect(excess("b", after: 239) == nil)
        #expect(excess(after: 24 * 60) == nil, "hour 0 of the day before is none of this day's: 1, 2 and the new one")
        // What ended without a word counts by its opening: nobody served while policy was away.
        tally.opened(4, by: "b", [part], at: midnight)
        tally.allEnded(at: midnight + .seconds(10 * 3_600))
        #expect(excess("b", after: 600) == nil)
        tally.opened(6, by: "d", [part], at: midnight)
        tally.allEnded(at: midnight + .seconds(10 * 3_600), lastSeen: midnight + .seconds(5 * 3_600))
        #expect(excess("d", after: 600) == "in 7 hours of a day, and the limit is 3", "as long as entries were written it was served: hours 0 to 5, and this one")
        // A clock that leaps makes no set without end.
        tally.opened(5, by: "c", [part], at: WallTime(nanoseconds: 0))
        tally.ended(5, by: "c", given: [:], at: midnight)
        #expect(excess("c", after: 1) == "in 24 hours of a day, and the limit is 3")
    }

    @Test func `a limit on hours that no period can exceed is a mistake`() throws {
        let lines = classes + "leaks: [{detector: breadth, close: reading, of: reader, limit: {hours: 24, per: day}}]\n"
        #expect(throws: (any Error).self) { try read(lines) }
        let document = try read(lines.replacing("24", with: "23").replacing("{hours", with: "{classes: 2, hours"))
        #expect(document.reaction(to: .breadth).limit == LeakLimit(classes: 2, hours: 23, per: .day))
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
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", "{detector: breadth, close: reading, of: reader, past: {times: 4, least: 10}}", true),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 11}}", true),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", "{detector: breadth, close: reading, of: reader, past: {times: 2, least: 10}, limit: {events: 3, per: day}}", false),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", "{detector: breadth, close: reading, of: reader, limit: {events: 3, per: day}}", true),
        ("{detector: breadth, close: reading, of: reader, limit: {classes: 2, per: day}}", "{detector: breadth, close: reading, of: reader, limit: {classes: 3, per: day}}", true),
        ("{detector: breadth, close: reading, of: reader, limit: {hours: 8, per: day}}", "{detector: breadth, close: reading, of: reader, limit: {hours: 8, classes: 1, per: day}}", false),
        ("{detector: breadth, close: reading, of: reader, limit: {hours: 8, per: day}}", "{detector: breadth, close: reading, of: reader, limit: {events: 8, per: day}}", true),
        ("{detector: breadth, close: reading, of: reader}", "{detector: breadth, close: reading, of: reader, past: {times: 9, least: 9}}", false),
        ("{detector: breadth, close: reading, of: reader, past: {times: 9, least: 9}}", "{detector: breadth, close: reading, of: reader, past: {times: 9, least: 9}, cleared: job}", true),
        ("{detector: canary, close: both, of: everything, planted: [P1, P2]}", "{detector: canary, close: both, of: everything, planted: [P1]}", true),
        ("{detector: canary, close: both, of: everything, planted: P1}", "{detector: canary, close: both, of: everything, planted: [P1, P2]}", false),
        ("{detector: canary, close: both, of: everything, planted: P1}", "{detector: canary, close: both, of: everything, planted: P1, cleared: job}", true),
        ("{detector: canary, close: both, of: everything, planted: P1, cleared: [a, job]}", "{detector: canary, close: both, of: everything, planted: P1, cleared: job}", false),
        ("{detector: canary, close: both, of: everything}", "{detector: canary, close: both, of: everything, planted: P1, cleared: job}", false),
        ("{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}]}", "{detector: canary, close: both, of: everything}", true),
        ("{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}]}", "{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review, at: 2026-11-20}]}", true),
        ("{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review, at: 2026-11-20}]}", "{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}]}", false),
        ("{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}]}", "{detector: canary, close: both, of: everything, planted: planted/x}", false),
        ("{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}]}", "{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review}], cleared: job}", true),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10, hours: 8}}", "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", true),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10, classes: 2}}", "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10, classes: 3}}", true),
        ("{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10}}", "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 10, events: 5, classes: 2, hours: 8}}", false),
        ("{detector: drift, close: reading, of: class, limit: {events: 3, per: day}}", "{detector: drift, close: reading, of: class, limit: {events: 3, per: hour}}", true),
        ("{detector: outsider, close: both, of: everything}", "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, marker: x, class: review, private: [a, b]}]}", false),
        ("{detector: outsider, close: both, of: everything, urls: [{url: https://a/}, {url: https://b/}]}", "{detector: outsider, close: both, of: everything, urls: [{url: https://a/}]}", true),
        ("{detector: outsider, close: both, of: everything, urls: [{url: https://a/}]}", "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, marker: x}]}", true),
        ("{detector: outsider, close: both, of: everything, urls: [{url: https://a/}]}", "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, undecided: finding}]}", false),
        ("{detector: outsider, close: both, of: everything, urls: [{url: https://a/, undecided: finding}]}", "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, undecided: shown}]}", true),
    ]) func `who looks back less far, plants fewer or clears more finds less`(before: String, after: String, widens: Bool) throws {
        let (old, new) = (try read(classes + "leaks: [\(before)]\n"), try read(classes + "leaks: [\(after)]\n"))
        let diff = PolicyDiff(from: old, to: new, people: [], at: noon)
        #expect(diff.isWidening == widens && diff.leaks.count == 1)
        #expect(try PolicyReader().read(canonical: new.canonical) == new)
    }

    @Test func `who is planted is told by who is not cleared, by their key's name or their own id`() throws {
        let planting = try policy(classes + "leaks: [{detector: canary, close: reading, of: reader, planted: [P1, P2], cleared: [job, E1]}]\n")
        func planted(_ subjects: [String], _ reader: Reader, by policy: Policy) -> Set<String> {
            policy.planted(in: subjects.map { ReadPlace(Scope(subject: $0, site: "", team: ""), DataClass("activity")) }, from: .distantPast, until: .distantFuture, by: reader).subjects
        }
        #expect(planted(["E7", "P2"], Reader("clerk", person: Person("E3")), by: planting) == ["P2"])
        #expect(planted(["E7"], Reader("clerk", person: Person("E3")), by: planting) == [], "nobody of these")
        #expect(planted(["P1", "P2"], Reader("job"), by: planting) == [] && planted(["P1"], Reader("ann", person: Person("E1")), by: planting) == [])
        #expect(planted(["P1"], Reader("clerk"), by: try policy(classes)) == [], "nobody is planted")
    }

    @Test func `planted events are found where the release has their class and moment, and the rest of a planted subject is read`() throws {
        let planting = try policy(
            classes + "leaks: [{detector: canary, close: reading, of: reader, planted: E9, events: [{subject: planted/x, class: review, at: 2026-11-20T10:00:00Z}, {subject: planted/y, class: [activity, review]}], cleared: job}]\n")
        let moment = try #require(WallTime(day: "2026-11-20T10:00:00Z"))
        func place(_ subject: String, _ name: String) -> ReadPlace { ReadPlace(Scope(subject: subject, site: "s", team: "t"), DataClass(name)) }
        func found(_ places: [ReadPlace], _ from: WallTime = .distantPast, _ until: WallTime = .distantFuture, by reader: String = "clerk") -> PlantedFound { planting.planted(in: places, from: from, until: until, by: Reader(reader)) }
        let one = found([place("planted/x", "review"), place("E1", "review")])
        #expect(one.events == [PlantedEvents(of: "planted/x", "review", at: moment)] && one.subjects == [] && one.allSubjects == ["planted/x"] && one.words == "events of planted/x, class review")
        #expect(found([place("planted/x", "activity"), place("E1", "review")]).isEmpty, "the rest of that subject may be read")
        #expect(found([place("planted/x", "review")], moment + .seconds(1)).isEmpty && found([place("planted/x", "review")], .distantPast, moment).isEmpty, "just before and just after")
        #expect(!found([place("planted/x", "review")], moment + .milliseconds(999)).isEmpty && !found([place("planted/x", "review")], .distantPast, moment + .milliseconds(1)).isEmpty)
        #expect(!found([place("planted/y", "activity")], .distantPast, .distantPast).isEmpty, "whenever it was")
        #expect(found([place("planted/x", "review"), place("E9", "review")], by: "job").isEmpty, "who is cleared")
        #expect(found([place("E9", "activity")]).subjects == ["E9"] && found([place("E9", "activity")]).words == "E9", "whose every event is planted")
    }

    @Test(arguments: [
        ("", "{every: day}", false), ("{every: day}", "", true), ("{every: week}", "{every: day}", false), ("{every: day}", "{every: month}", true),
        ("{reads: 100 ms}", "{reads: 99 ms}", false), ("{reads: 100 ms}", "{reads: 101 ms}", true), ("{certificate: 4 s}", "{certificate: 4000 ms, notice: 1 s}", false), ("{notice: 1 s}", "{every: day}", true),
    ]) func `drills that may take longer or come less often take two people`(before: String, after: String, widens: Bool) throws {
        let (old, new) = (try read(classes + "drills: \(before)\n"), try read(classes + "drills: \(after)\n"))
        let diff = PolicyDiff(from: old, to: new, people: [], at: noon)
        #expect(diff.isWidening == widens && (diff.drills != nil) == (old != new))
        #expect(PolicyComparison.anyWorld(old.canonical, new.canonical).gains.isEmpty == !widens)
        #expect(try PolicyReader().read(canonical: new.canonical) == new)
    }

    @Test(arguments: ["{every: night}", "{reads: 100}", "{reads: 0 ms}", "{notice: 601 s}", "{reads: 100 ms, speed: 3}", "[]", "{certificate: -1 s}", "{certificate: 99999999999999999999 ms}"])
    func `a bound that is none is a mistake`(drills: String) {
        #expect(!mistakes(classes + "drills: \(drills)\n").isEmpty)
    }

    @Test func `a drill is due at each site whose last is as old as the document says, but for an hour, and where there was none`() throws {
        let terms = try read(classes + "drills: {every: day}\n").drills
        func due(_ hours: Int64) -> Set<String> { terms.due(["berlin", "paris"], after: [(["berlin"], noon - .seconds(hours * 3_600)), (["berlin"], noon - .seconds(90 * 3_600))], at: noon) }
        #expect(due(22) == ["paris"] && due(23) == ["berlin", "paris"])
        #expect(DrillTerms.none.due(["berlin"], after: [(["berlin"], noon)], at: noon) == ["berlin"])
    }

    @Test(arguments: [
        "{detector: canary, close: both, of: everything, events: [{subject: E1, class: review}]}", "{detector: canary, close: both, of: everything, events: [{subject: planted/, class: review}]}",
        "{detector: canary, close: both, of: everything, events: [{subject: planted/x}]}", "{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: nothing}]}",
        "{detector: canary, close: both, of: everything, events: [{subject: planted/x, class: review, at: noon}]}", "{detector: outsider, close: both, of: everything, events: [{subject: planted/x, class: review}]}",
        "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 3, hours: 24}}", "{detector: breadth, close: reading, of: reader, past: {times: 3, least: 3, classes: many}}",
        "{detector: denied, close: reading, of: reader}", "{detector: denied, close: reading, of: reader, limit: {per: hour}}",
        "{detector: denied, close: reading, of: reader, limit: {events: 3, per: hour}}", "{detector: outsider, close: reading, of: class, limit: {reads: 3, per: hour}}",
        "{detector: breadth, close: reading, of: reader, past: {times: 0, least: 3}}", "{detector: breadth, close: reading, of: reader, past: {times: 3}}",
        "{detector: denied, close: reading, of: reader, limit: {reads: 3, per: hour}, past: {times: 3, least: 3}}", "{detector: drift, close: reading, of: class, limit: {reads: 3, per: hour}}",
        "{detector: canary, close: reading, of: reader, cleared: [job]}", "{detector: breadth, close: reading, of: reader, limit: {events: 3, per: day}, cleared: [job]}", "{detector: outsider, close: reading, of: class, planted: [E9]}", "{detector: canary, close: reading, of: reader, planted: []}",
        "{detector: breadth, close: reading, of: reader, limit: {subjects: -1, per: hour}}", "{detector: breadth, close: reading, of: reader, limit: {subjects: 3}}",
        "{detector: canary, close: both, of: everything, urls: [{url: https://a/}]}", "{detector: outsider, close: both, of: everything, urls: [{url: ftp://a/}]}",
        "{detector: outsider, close: both, of: everything, urls: [{url: \"https://me:secret@a/\"}]}", "{detector: outsider, close: both, of: everything, urls: [{url: https:///a}]}",
        "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, class: credential}]}", "{detector: outsider, close: both, of: everything, urls: [{marker: x}]}",
        "{detector: outsider, close: both, of: everything, urls: [{url: https://a/, undecided: maybe}]}",
    ]) func `a limit that says nothing, or something else, is a mistake`(reaction: String) {
        #expect(!mistakes(classes + "leaks: [\(reaction)]\n").isEmpty)
    }
}
