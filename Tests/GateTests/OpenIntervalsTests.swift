import Testing

@testable import Gate

@Suite struct OpenIntervalsTests {
    private func interval(_ start: Int64, _ end: Int64) -> OpenIntervals.Interval { .init(start: wall(start), end: wall(end)) }

    @Test func `an event counts only if its whole span lies in one interval of its class`() {
        let intervals = OpenIntervals(restoring: [activity: [interval(0, 100), interval(200, 300)]])
        #expect(intervals.contains(activity, from: wall(0), to: wall(100)))
        #expect(intervals.contains(activity, from: wall(250), to: wall(250)))
        #expect(!intervals.contains(activity, from: wall(90), to: wall(210)))
        #expect(!intervals.contains(activity, from: wall(150), to: wall(160)))
        #expect(!intervals.contains(activity, from: wall(-1), to: wall(50)))
        #expect(!intervals.contains(content, from: wall(10), to: wall(20)))
    }

    @Test func `an event that ends before it begins is in no interval`() {
        let intervals = OpenIntervals(restoring: [activity: [interval(0, 100)]])
        #expect(!intervals.contains(activity, from: wall(50), to: wall(49)))
    }

    @Test func `an open interval reaches as far as it was last seen open`() {
        var intervals = OpenIntervals()
        intervals.open([activity], at: wall(0))
        intervals.extend(to: wall(100))
        #expect(intervals.contains(activity, from: wall(0), to: wall(100)))
        #expect(!intervals.contains(activity, from: wall(0), to: wall(101)))
        intervals.open([activity], at: wall(150))
        #expect(intervals.current[activity] == interval(0, 100), "one that is open goes on")
    }

    @Test func `closing one class leaves the others open`() {
        var intervals = OpenIntervals()
        intervals.open([activity, content], at: wall(0))
        intervals.close([content], at: wall(50))
        #expect(intervals.past == [content: [interval(0, 50)]])
        #expect(Array(intervals.current.keys) == [activity])
    }

    @Test func `an interval that would end before it began leaves no trace`() {
        var intervals = OpenIntervals()
        intervals.open([activity], at: wall(100))
        intervals.close(at: wall(100))
        intervals.open([activity], at: wall(100))
        intervals.close(at: wall(40))
        #expect(intervals.past[activity, default: []].isEmpty)
        #expect(intervals.current.isEmpty)
    }

    @Test func `the oldest are forgotten first, and forgetting refuses`() {
        var intervals = OpenIntervals(intervalsMax: 2)
        for number in Int64(0)..<5 {
            intervals.open([activity], at: wall(number * 10))
            intervals.close(at: wall(number * 10 + 5))
            #expect(intervals.past[activity]!.count <= 2)
        }
        #expect(intervals.past[activity] == [interval(30, 35), interval(40, 45)])
        #expect(!intervals.contains(activity, from: wall(20), to: wall(25)))
    }

    @Test func `what was on disk is restored within the bound, and nothing of it is open`() {
        let intervals = OpenIntervals(restoring: [activity: [interval(0, 1), interval(2, 3), interval(4, 5)]], intervalsMax: 2)
        #expect(intervals.past[activity] == [interval(2, 3), interval(4, 5)])
        #expect(intervals.current.isEmpty)
    }

    @Test func `clipping takes away what lies in the future`() {
        var intervals = OpenIntervals(restoring: [activity: [interval(0, 10), interval(20, 40), interval(50, 60)]])
        intervals.clip(to: wall(30))
        #expect(intervals.past[activity] == [interval(0, 10), interval(20, 30)])
    }
}
