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
        #expect(tally.days.excess(of: "a", and: part(100..<161), over: limit, at: today) == "61 subjects in a day, and the limit is 3 times the largest of the 28 days before (20 on 2024-10-05), 10 at least")
        // What was read today counts, each person once.
        tally.opened(9, by: "a", part(100..<150), at: today)
        #expect(tally.days.excess(of: "a", and: part(140..<160), over: limit, at: today) == nil)
        #expect(tally.days.excess(of: "a", and: part(140..<161), over: limit, at: today) != nil)
        #expect(tally.days.excess(of: "a", and: part(140..<161), over: limit, at: today + .seconds(43_200)) == nil, "tomorrow it does not, and is the largest")
        #expect(tally.days.excess(of: "b", and: part(0..<10), over: limit, at: today) == nil, "who begins")
        #expect(tally.days.excess(of: "b", and: part(0..<11), over: limit, at: today) == "11 subjects in a day, of none in the 28 days before, and 10 is the limit for whoever begins")
        #expect(tally.days.excess(of: "a", and: part(0..<0, uncounted: 200), over: limit, at: today) != nil, "who were only counted are others")
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
        #expect(tally.days.excess(of: "a", and: part(105..<110), over: PastLimit(times: 3, least: 29), at: day(0))?.hasPrefix("30 subjects in a day, of none") == true, "what it was left with counts on, and days to come do not")
        for number in 1...2 { tally.opened(UInt64(number + 3), by: "a", part(number * 100..<number * 100 + 30), at: day(Int64(number))) }
        #expect(tally.days.excess(of: "a", and: part(300..<360), over: limit, at: day(2)) == nil)
        #expect(tally.days.excess(of: "a", and: part(300..<361), over: limit, at: day(2))?.hasPrefix("91 subjects in a day, and the limit is 3 times the largest of the 28 days before (30 on") == true)
    }

    @Test func `what a clock that had leapt ahead has recorded is no day when it is read again`() {
        var tally = ReadTally()
        tally.opened(1, by: "a", part(0..<20), at: day(0), readAt: day(1))
        tally.opened(2, by: "a", part(0..<500), at: day(400), readAt: day(1))
        #expect(tally.days.excess(of: "a", and: part(0..<60), over: limit, at: day(1)) == nil)
        #expect(tally.days.excess(of: "a", and: part(0..<61), over: limit, at: day(1)) != nil)
    }
}
