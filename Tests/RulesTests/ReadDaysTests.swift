import Gate
import Rules
import Testing

struct ReadDaysTests {
    /// The middle of a day.
    private let noon = WallTime(nanoseconds: 20_000 * 86_400_000_000_000 + 43_200_000_000_000)
    private let limit = PastLimit(times: 3, least: 10)

    private func part(_ people: Range<Int>, uncounted: Int64 = 0) -> [ReadTally.Part] {
        [.init(grant: "g", events: 1, subjects: people.map { "E\($0)" }, uncounted: uncounted)]
    }
    private func day(_ number: Int64) -> WallTime { noon + .seconds(number * 86_400) }

    @Test func `a day of more people than so many times the largest before is a finding, and one of as many is none`() {
        var tally = ReadTally()
        for (release, people) in [8, 20, 12].enumerated() { tally.opened(UInt64(release), by: "a", part(0..<people), at: day(Int64(release))) }
        let today = day(3)
        #expect(tally.days.excess(of: "a", and: part(100..<160), over: limit, at: today) == nil, "three times twenty")
        #expect(tally.days.excess(of: "a", and: part(100..<161), over: limit, at: today) == "of 61 subjects in a day, and the limit is 3 times the largest of the 28 days before (20 on 2024-10-05), 10 at least")
        // What was read today counts, each person once.
        tally.opened(9, by: "a", part(100..<150), at: today)
        #expect(tally.days.excess(of: "a", and: part(140..<160), over: limit, at: today) == nil)
        #expect(tally.days.excess(of: "a", and: part(140..<161), over: limit, at: today) != nil)
        #expect(tally.days.excess(of: "a", and: part(140..<161), over: limit, at: today + .seconds(43_200)) == nil, "tomorrow it does not, and is the largest")
        #expect(tally.days.excess(of: "b", and: part(0..<10), over: limit, at: today) == nil, "who begins")
        #expect(tally.days.excess(of: "b", and: part(0..<11), over: limit, at: today) == "of 11 subjects in a day, of none in the 28 days before, and 10 is the limit for whoever begins")
        #expect(tally.days.excess(of: "a", and: part(0..<0, uncounted: 200), over: limit, at: today) != nil, "who were only counted are others")
    }

    @Test func `events count against the largest day, and classes and hours against the most of any, and each has one that comes just short`() {
        let limit = PastLimit(times: 3, least: 100, events: 50, classes: 1, hours: 2)
        let names: Set<DataClass> = [DataClass("activity"), DataClass("content"), DataClass("review")]
        func read(_ events: Int64) -> [ReadTally.Part] { [.init(grant: "g", events: events, subjects: ["E1"])] }
        var tally = ReadTally()
        // Twenty events of one class in one hour, then of two classes in three hours.
        tally.opened(1, by: "a", read(20), of: [DataClass("activity")], at: day(0))
        tally.ended(1, by: "a", given: ["g": 20], at: day(0))
        for (number, hour) in [0, 1, 2].enumerated() {
            tally.opened(UInt64(2 + number), by: "a", read(number == 0 ? 30 : 0), of: [DataClass(number == 1 ? "content" : "activity")], at: day(1) + .seconds(Int64(hour) * 3_600))
            tally.ended(UInt64(2 + number), by: "a", given: [:], at: day(1) + .seconds(Int64(hour) * 3_600))
        }
        func excess(_ events: Int64, of classes: Set<DataClass> = [], after hours: Int64 = 0) -> String? { tally.days.excess(of: "a", and: read(events), of: classes, over: limit, at: day(2) + .seconds(hours * 3_600)) }
        #expect(excess(90) == nil, "three times thirty")
        #expect(excess(91) == "of 91 events in a day, and the limit is 3 times the largest of the 28 days before (30 on 2024-10-05), 50 at least")
        #expect(excess(1, of: names.filter { $0.name != "review" }) == nil, "two, as on the day before")
        #expect(excess(1, of: names) == "of 3 classes in a day: 2 at most on any of the 28 days before, last on 2024-10-05, and 1 is the limit")
        // One release that streams from noon to three: four hours of the clock, and there were three.
        tally.opened(9, by: "a", read(1), at: day(2))
        #expect(excess(1, after: 2) == nil)
        tally.ended(9, by: "a", given: ["g": 1], at: day(2) + .seconds(2 * 3_600))
        #expect(excess(1, after: 2) == nil, "three, as on the day before")
        #expect(excess(1, after: 3) == "in 4 hours of a day: 3 at most on any of the 28 days before, last on 2024-10-05, and 2 is the limit")
        #expect(tally.days.excess(of: "b", and: read(50), of: [DataClass("activity")], over: limit, at: day(2)) == nil, "who begins")
        #expect(tally.days.excess(of: "b", and: read(51), of: [], over: limit, at: day(2)) == "of 51 events in a day, of none in the 28 days before, and 50 is the limit for whoever begins")
        #expect(tally.days.excess(of: "b", and: read(1), of: names, over: limit, at: day(2)) == "of 3 classes in a day: none on the 28 days before, and 1 is the limit")
        #expect(tally.days.excess(of: "b", and: read(1_000_000), of: names, over: PastLimit(times: 1, least: 1), at: day(2)) == nil, "what is not named nobody looks at")
    }

    @Test func `a release that streams over midnight counts in the hours of the day that has begun`() {
        var tally = ReadTally()
        let late = noon + .seconds(11 * 3_600)
        let limit = PastLimit(times: 1, least: 1, hours: 3)
        tally.opened(1, by: "a", part(0..<1), at: late)
        tally.ended(1, by: "a", given: [:], at: late + .seconds(3 * 3_600))
        #expect(tally.days.excess(of: "a", and: part(0..<1), over: limit, at: late + .seconds(3 * 3_600)) == nil, "hours 0, 1 and 2")
        #expect(tally.days.excess(of: "a", and: part(0..<1), over: limit, at: late + .seconds(4 * 3_600))?.hasPrefix("in 4 hours of a day: 1 at most") == true)
        // A clock that leapt by a week has served nobody for it.
        tally.opened(2, by: "a", part(0..<1), at: late + .seconds(4 * 3_600))
        tally.ended(2, by: "a", given: [:], at: late + .seconds(7 * 86_400))
        #expect(tally.days.excess(of: "a", and: part(0..<1), over: PastLimit(times: 1, least: 1, hours: 0), at: late + .seconds(5 * 3_600))?.hasPrefix("in 5 hours of a day") == true)
    }

    @Test func `what lies further back than 28 days is forgotten`() {
        var tally = ReadTally()
        tally.opened(1, by: "a", part(0..<50), at: day(0))
        #expect(tally.days.excess(of: "a", and: part(0..<150), over: limit, at: day(28)) == nil)
        #expect(tally.days.excess(of: "a", and: part(0..<150), over: limit, at: day(29)) != nil)
        tally.opened(2, by: "a", part(0..<5), at: day(28))
        tally.opened(3, by: "a", part(0..<5), at: day(29))
        #expect(tally.days.excess(of: "a", and: part(0..<150), over: limit, at: day(29)) != nil)
        // A clock that was put back does not part a day.
        #expect(tally.days.excess(of: "a", and: part(0..<15), over: limit, at: day(28)) == nil)
    }

    @Test func `after a clock that had leapt ahead each day is one again`() {
        var tally = ReadTally()
        tally.opened(1, by: "a", part(0..<20), at: day(0))
        tally.opened(2, by: "a", part(0..<20), at: day(10))
        tally.opened(3, by: "a", part(100..<105), at: day(0))
        #expect(tally.days.excess(of: "a", and: part(105..<110), over: PastLimit(times: 3, least: 29), at: day(0))?.hasPrefix("of 30 subjects in a day, of none") == true, "what it was left with counts on, and days to come do not")
        for number in 1...2 { tally.opened(UInt64(number + 3), by: "a", part(number * 100..<number * 100 + 30), at: day(Int64(number))) }
        #expect(tally.days.excess(of: "a", and: part(300..<360), over: limit, at: day(2)) == nil)
        #expect(tally.days.excess(of: "a", and: part(300..<361), over: limit, at: day(2))?.hasPrefix("of 91 subjects in a day, and the limit is 3 times the largest of the 28 days before (30 on") == true)
    }

    @Test func `what a clock that had leapt ahead has recorded is no day when it is read again`() {
        var tally = ReadTally()
        tally.opened(1, by: "a", part(0..<20), at: day(0), readAt: day(1))
        tally.opened(2, by: "a", part(0..<500), at: day(400), readAt: day(1))
        #expect(tally.days.excess(of: "a", and: part(0..<60), over: limit, at: day(1)) == nil)
        #expect(tally.days.excess(of: "a", and: part(0..<61), over: limit, at: day(1)) != nil)
    }
}
