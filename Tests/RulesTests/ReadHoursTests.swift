import Gate
import Rules
import Testing

/// Hours of the clock in which a release goes on: who opens one and reads it all day opens nothing more.
struct ReadHoursTests {
    private let midnight = WallTime(nanoseconds: 20_000 * 86_400_000_000_000)
    private let part = ReadTally.Part(grant: "g", events: 1, subjects: ["E1"])
    private let limit = LeakLimit(hours: 3, per: .day)
    private func hour(_ number: Int64, _ minutes: Int64 = 0) -> WallTime { midnight + .seconds(number * 3_600 + minutes * 60) }

    @Test func `as many hours as the limit are none while it runs, and in one more it is found`() {
        var tally = ReadTally()
        tally.opened(7, by: "a", [part], at: hour(0, 59))
        tally.opened(8, by: "b", [part], at: hour(2, 59))
        for number in 1...2 as ClosedRange<Int64> {
            tally.served(at: hour(number))
            tally.served(at: hour(number, 59))
        }
        #expect(tally.excess(ofHoursOver: limit, nil, at: hour(2, 59)) == [], "hours 0, 1 and 2")
        tally.served(at: hour(3))
        let found = tally.excess(ofHoursOver: limit, nil, at: hour(3))
        #expect(found.map(\.release) == [7] && found.first?.words == "a has read in 4 hours of a day, and the limit is 3" && found.first?.isOfPast == false)
        #expect(tally.excess(ofHoursOver: LeakLimit(events: 1, per: .day), nil, at: hour(3)) == [] && tally.excess(ofHoursOver: nil, nil, at: hour(3)) == [], "no limit on hours")
        // What has ended is served no more, and its hours count for the next.
        tally.ended(7, by: "a", given: [:], at: hour(3, 1))
        #expect(tally.excess(ofHoursOver: limit, nil, at: hour(3, 1)) == [])
        #expect(tally.excess(of: "a", and: [], over: limit, at: hour(3, 2)) == "in 4 hours of a day, and the limit is 3")
        tally.opened(9, by: "a", [part], at: hour(3, 2))
        #expect(tally.excess(ofHoursOver: limit, nil, at: hour(3, 2)).map(\.release) == [9])
        // A day later the first of them are none of the day's.
        #expect(tally.excess(ofHoursOver: limit, nil, at: hour(24)).isEmpty)
    }

    @Test func `against their own past it counts the hours of the day, and those of days before as they were`() {
        let past = PastLimit(times: 1, least: 1, hours: 1)
        var tally = ReadTally()
        tally.opened(1, by: "a", [part], at: hour(10))
        for number in 11...12 as ClosedRange<Int64> { tally.served(at: hour(number)) }
        tally.ended(1, by: "a", given: [:], at: hour(12, 30))
        // From the evening over midnight: two of that day, which had three, and three of the next.
        tally.opened(2, by: "a", [part], at: hour(22))
        tally.opened(3, by: "c", [part], at: hour(22))
        tally.served(at: hour(23))
        #expect(tally.excess(ofHoursOver: nil, past, at: hour(23)).map(\.words) == ["a has read in 5 hours of a day: none on the 28 days before, and 1 is the limit", "c has read in 2 hours of a day: none on the 28 days before, and 1 is the limit"])
        for number in 24...28 as ClosedRange<Int64> {
            tally.served(at: hour(number))
            let found = tally.excess(ofHoursOver: nil, past, at: hour(number))
            #expect(found.map(\.release) == (number < 26 ? [] : [3]), "a had five on the day before, c two: hour \(number - 24)")
        }
        tally.served(at: hour(29))
        let found = tally.excess(ofHoursOver: nil, past, at: hour(29))
        #expect(found.map(\.release) == [2, 3] && found.allSatisfy(\.isOfPast) && found.first?.words == "a has read in 6 hours of a day: 5 at most on any of the 28 days before, last on 2024-10-04, and 1 is the limit")
        #expect(tally.excess(ofHoursOver: nil, PastLimit(times: 1, least: 1), at: hour(29)) == [], "nobody looks at hours")
    }

    @Test func `what is opened beside one that goes on counts that one's hours`() {
        let past = PastLimit(times: 9, least: 9, hours: 3)
        var tally = ReadTally()
        tally.opened(1, by: "a", [part], at: hour(8))
        for number in 9...10 as ClosedRange<Int64> { tally.served(at: hour(number)) }
        #expect(tally.days.excess(of: "a", and: [part], over: past, at: hour(10, 5)) == nil)
        #expect(tally.days.excess(of: "a", and: [part], over: past, at: hour(11))?.hasPrefix("in 4 hours of a day") == true)
    }

    @Test func `hours that a clock leaps over are none in which anything was served`() {
        let past = PastLimit(times: 9, least: 9, hours: 3)
        for leap in [10, 24 * 40] as [Int64] {
            var tally = ReadTally()
            tally.opened(1, by: "a", [part], at: hour(0))
            tally.served(at: hour(leap))
            tally.served(at: hour(leap + 1))
            #expect(tally.excess(ofHoursOver: limit, past, at: hour(leap + 1)) == [], "\(leap)")
        }
    }
}
