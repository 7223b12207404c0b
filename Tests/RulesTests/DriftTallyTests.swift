import Gate
import Rules
import Testing

struct DriftTallyTests {
    private let noon = WallTime(microseconds: 1_764_000_000_000_000)
    private let limit = LeakLimit(events: 10, per: .hour)
    private func drift(_ events: Int, of subject: String = "E1", _ name: String = "content") -> Drift { Drift(DataClass(name), of: subject, into: ["review": events]) }

    @Test func `as many as the limit within the period are none, and one more is a finding that says of whom`() {
        var tally = DriftTally()
        #expect(tally.note(drift(6), isStored: false, over: limit, at: noon) == nil)
        #expect(tally.note(drift(9, "activity"), isStored: false, over: limit, at: noon) == nil, "another class")
        #expect(tally.note(drift(4, of: "E2"), isStored: true, over: limit, at: noon + .seconds(1_800)) == nil, "at the limit")
        var later = tally
        #expect(later.note(drift(6), isStored: false, over: limit, at: noon + .seconds(3_700)) == nil, "what lies an hour back does not count")
        let found = tally.note(Drift(DataClass("content"), of: "E3", into: ["credential": 1]), isStored: false, over: limit, at: noon + .seconds(1_900))
        #expect(found?.sentence == "11 events of class content were of a higher class (credential 1, review 10; 4 in what is stored, the others on arrival) within a hour, and the limit is 10")
        #expect(found?.subjects == ["E1", "E2", "E3"])
        #expect(tally.note(drift(10), isStored: false, over: limit, at: noon + .seconds(1_901)) == nil, "it is counted anew")
        #expect(tally.note(drift(1_000), isStored: false, over: LeakLimit(per: .hour), at: noon) == nil, "without a limit nothing is found")
    }

    @Test func `what was written down before a restart counts, also of people who were not named`() {
        var tally = DriftTally()
        let minute = DriftTally.minute(of: noon)
        tally.remember(drift(6), isStored: true, minute: minute - 70)
        tally.remember(drift(6), isStored: true, minute: minute - 50)
        #expect(tally.note(drift(4, of: "E2"), isStored: false, over: limit, at: noon) == nil, "what lies an hour back does not count")
        var named = tally
        let found = named.note(drift(1, of: "E3"), isStored: false, over: limit, at: noon)
        #expect(found?.subjects == ["E1", "E2", "E3"] && found?.sentence.contains("11 events of class content were of a higher class (review 11; 6 in what is stored, the others on arrival)") == true)
        tally.remember(drift(1, of: ""), isStored: false, minute: minute)
        let others = tally.note(drift(1), isStored: false, over: limit, at: noon)
        #expect(others != nil && others?.subjects == [], "of more than are named")
    }

    @Test func `what a clock that was ahead has counted counts on, and ends a week after it was set right`() {
        let (weekly, day, start) = (LeakLimit(events: 10, per: .week), Span.seconds(86_400), Instant(nanoseconds: 5))
        var tally = DriftTally()
        #expect(tally.note(drift(5, of: "E2"), isStored: true, over: weekly, at: noon + .seconds(400 * 86_400)) == nil)
        #expect(tally.note(drift(3), isStored: false, over: weekly, at: noon) == nil, "the clock is right again")
        var untouched = tally
        #expect(tally.settle(wall: noon, at: start) == nil && tally.settle(wall: noon, at: start + DriftTally.patience - .seconds(1)) == nil, "a clock that is behind for a moment moves nothing")
        let right = noon + DriftTally.patience
        #expect(tally.settle(wall: right, at: start + DriftTally.patience) == DriftTally.minute(of: right))
        #expect(tally.settle(wall: right, at: start + DriftTally.patience) == nil, "once")
        var later = tally
        #expect(tally.note(drift(2), isStored: false, over: weekly, at: right + .seconds(6 * 86_400)) == nil, "ten, at the limit")
        let found = tally.note(drift(1, of: "E3"), isStored: false, over: weekly, at: right + .seconds(6 * 86_400))
        #expect(found?.subjects == ["E1", "E2", "E3"] && found?.sentence.hasPrefix("11 events of class content were of a higher class (review 11; 5 in what is stored") == true)
        #expect(later.note(drift(10), isStored: false, over: weekly, at: right + .seconds(7 * 86_400 + 60)) == nil, "a week later it has ended")
        // The control: where it lay it would count for more than a year.
        #expect(untouched.note(drift(3), isStored: false, over: weekly, at: right + day + .seconds(30 * 86_400)) != nil)
    }

    @Test func `a clock that stands behind only now and then moves nothing, nor what lies an hour ahead`() {
        let start = Instant(nanoseconds: 5)
        var tally = DriftTally()
        tally.remember(drift(5), isStored: false, minute: DriftTally.minute(of: noon))
        for number in 0..<10 as Range<Int64> {
            let now = start + .seconds(number * 1_000)
            #expect(tally.settle(wall: WallTime(nanoseconds: 0), at: now) == nil)
            #expect(tally.settle(wall: noon, at: now + .seconds(999)) == nil)
        }
        for hours in [0, DriftTally.patience.milliseconds / 1_000, 86_400] as [Int64] { #expect(tally.settle(wall: noon - .seconds(3_600), at: start + .seconds(20_000 + hours)) == nil) }
        #expect(tally.settle(wall: noon - .seconds(3_660), at: start + .seconds(200_000)) == nil && tally.settle(wall: noon - .seconds(3_660), at: start + .seconds(300_000)) != nil, "a minute more")
    }

    @Test func `of more people than a selector names none is named`() {
        var tally = DriftTally()
        for number in 0..<10 { #expect(tally.note(drift(1, of: "E\(number)"), isStored: true, over: LeakLimit(events: 200, per: .day), at: noon) == nil) }
        for number in 10..<200 { #expect(tally.note(drift(1, of: "E\(number)"), isStored: true, over: LeakLimit(events: 200, per: .day), at: noon) == nil) }
        let found = tally.note(drift(1, of: "E200"), isStored: true, over: LeakLimit(events: 200, per: .day), at: noon)
        #expect(found?.subjects == [] && found?.sentence.contains("in what is stored") == true)
    }

    @Test func `a week of it is counted as cheaply as a minute, and what is older is forgotten`() {
        var tally = DriftTally()
        let weekly = LeakLimit(events: 100_000, per: .week)
        // Two weeks of ten a minute would be over the limit; one week is 100,800, and over it in its last hour and a half.
        var found: [Int] = []
        for minute in 0..<9_990 where tally.note(drift(10, of: "E\(minute % 300)"), isStored: false, over: weekly, at: noon + .seconds(Int64(minute) * 60)) != nil { found.append(minute) }
        #expect(found == [])
        var slower = DriftTally()
        for minute in 0..<30_000 where slower.note(drift(9), isStored: false, over: weekly, at: noon + .seconds(Int64(minute) * 60)) != nil { found.append(minute) }
        #expect(found == [], "nine a minute are 90,720 a week, however long it goes on")
        // A clock that was set back counts on.
        #expect(tally.note(drift(200), isStored: false, over: weekly, at: noon) != nil)
    }
}
