import ArgumentParser
import Chassis
import Foundation
import Gate
import Rules

#if os(Linux)
struct BenchFindings: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "findings",
        abstract: "How often ordinary reading is taken for a leak: weeks of it, made from a seed, by the detectors that count.",
        discussion: """
            EXAMPLE
              sluice bench findings
              sluice bench findings --readers 500 --weeks 52 --seed 7 --times 3 --least 50

            Four weeks go by before anything is looked at: the past that readers have. A fifth of the readers each: a partner of people's (1 to 8 reads of 1 to 5 people a day, four times as many in the last week of the month), an
            analyst (up to 10 teams a day, now and then one that is new), a nightly job (the same teams, grown by who joins), a responder (nothing for days, then up to 20 people), a trainer (everybody, on
            some days). One read in fifty is denied, and is tried up to three times more. Saturday and Sunday a tenth. Without --planted nobody does anything wrong, so that every finding is a false one; with it
            each reader but the trainers copies out everybody once, which is to be found.
            """)
    @Option(help: "Readers.") var readers = 200
    @Option(help: "Weeks that are counted.") var weeks = 12
    @Option(help: "People of the company.") var people = 10_000
    @Option(help: "Of the largest day before, so many times as many people are a finding.") var times = 5
    @Option(help: "And at least more than so many.") var least = 100
    @Option(help: "And of events, so many at least.") var leastEvents = 50_000_000
    @Option(help: "More hours of the clock than on any day before, and more than so many.") var leastHours = 16
    @Option(help: "Denied reads in an hour.") var denied = 20
    @Option(help: "Events in a day.") var events = 50_000_000
    @Option(help: "Seed of the weeks.") var seed: UInt64 = 1
    @Flag(help: "Each reader who does not read everybody anyway copies them out, once.") var planted = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard readers > 0, weeks > 0, people >= 100, times > 0 else { throw ValidationError("--readers, --weeks and --times of 1 or more, and --people of 100 or more are expected") }
    }

    private struct Told: Encodable {
        var readers: Int
        var weeks: Int
        var seed: UInt64
        var reads: Int
        var breadthLimit: Int
        var breadthPast: Int
        var denied: Int
        /// Readers that copied everybody out, and those that were found as they did.
        var planted: Int
        var plantedFound: Int
        var falsePerReaderWeek: Double
        /// With so many found in so many reader-weeks the true rate is below this, 95 times of 100; the rule of three where none was.
        var falsePerReaderWeekBelow: Double
    }

    private static let warmUp = 28

    /// The largest mean of which so few, or fewer, would still come 5 times of 100: of none the rule of three, else 1.645 standard deviations and a little more.
    private static func mostOf(_ count: Int) -> Double { count == 0 ? 3 : Double(count) + 1.645 * Double(count).squareRoot() + 2 }

    func run() throws {
        var random = SeededChance(seed: seed)
        var readers = (0..<readers).map { OrdinaryReader($0, people: people, &random) }
        var (tally, deniedTally) = (ReadTally(), DeniedTally())
        var told = Told(readers: self.readers, weeks: weeks, seed: seed, reads: 0, breadthLimit: 0, breadthPast: 0, denied: 0, planted: 0, plantedFound: 0, falsePerReaderWeek: 0, falsePerReaderWeekBelow: 0)
        let (limit, past) = (LeakLimit(events: events, per: .day), PastLimit(times: times, least: least, events: leastEvents, hours: leastHours))
        let leaps = readers.map { planted && !$0.readsEverybody ? BenchFindings.warmUp + random.below(weeks * 7) : -1 }
        told.planted = leaps.count { $0 >= 0 }
        let first = WallTime(day: "2026-01-05") ?? .distantPast
        var release: UInt64 = 0
        for day in 0..<BenchFindings.warmUp + weeks * 7 {
            let isCounted = day >= BenchFindings.warmUp
            for index in readers.indices {
                let isLeap = leaps[index] == day
                var reads = readers[index].day(day, &random)
                if isLeap { reads.append(OrdinaryReader.Read(second: OrdinaryReader.leapSecond, subjects: Array(0..<people), events: 1_000 * Int64(people), refusals: 0)) }
                // A finding closes reading for that day.
                var isClosed = false
                for read in reads.sorted(by: { $0.second < $1.second }) where !isClosed {
                    let now = first + .seconds(Int64(day) * 86_400 + Int64(read.second))
                    let name = readers[index].name
                    for _ in 0..<read.refusals where deniedTally.note(name, within: .seconds(3_600), at: now) > denied && isCounted {
                        deniedTally.forget(name)
                        isClosed = true
                        told.denied += 1
                    }
                    let parts = [ReadTally.Part(grant: "g", events: read.events, subjects: read.subjects.map { "E\($0)" })]
                    let isWide = tally.taken(by: name, since: now - limit.period, and: parts).excess(over: limit) != nil
                    let isUnlike = !isWide && tally.days.excess(of: name, and: parts, over: past, at: now) != nil
                    if isCounted, isWide || isUnlike {
                        isClosed = true
                        if isLeap, read.second == OrdinaryReader.leapSecond { told.plantedFound += 1 } else if isWide { told.breadthLimit += 1 } else { told.breadthPast += 1 }
                        continue
                    }
                    release += 1
                    told.reads += isCounted ? 1 : 0
                    tally.opened(release, by: name, parts, at: now)
                    tally.ended(release, by: name, given: ["g": read.events], at: now)
                }
            }
        }
        let (found, readerWeeks) = (told.breadthLimit + told.breadthPast + told.denied, Double(self.readers * self.weeks))
        told.falsePerReaderWeek = Double(found) / readerWeeks
        told.falsePerReaderWeekBelow = BenchFindings.mostOf(found) / readerWeeks
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(told), as: UTF8.self))
        }
        print("\(Show.number(told.readers)) readers, \(Show.number(self.weeks)) weeks, \(Show.number(told.reads)) reads, seed \(seed)")
        var table = FiguresTable("detector", "limit", "false findings", "per reader-week", "true rate, 95 %")
        func add(_ name: String, _ limit: String, _ count: Int) {
            table.add(name, limit, Show.number(count), Figures.number(Double(count) / readerWeeks, decimals: 5), "< \(Figures.number(BenchFindings.mostOf(count) / readerWeeks, decimals: 5))")
        }
        add("breadth", "\(Show.number(events)) events a day", told.breadthLimit)
        add("breadth, past", "\(times) times, \(Show.number(least)) people, \(Show.number(leastEvents)) events; over \(leastHours) hours", told.breadthPast)
        add("denied", "\(denied) reads an hour", told.denied)
        print(table.formatted())
        print("together \(Show.number(found)) in \(Show.number(Int(readerWeeks))) reader-weeks: less than \(Figures.number(told.falsePerReaderWeekBelow, decimals: 5)) per reader-week, 95 times of 100\(found == 0 ? " (3/n, as none was found)" : "")")
        if planted { print("copied out everybody: \(told.planted) readers, found \(told.plantedFound)") }
    }
}

/// Somebody who does their work, day by day.
private struct OrdinaryReader {
    struct Read {
        /// Of the day.
        var second: Int
        var subjects: [Int]
        var events: Int64
        /// Denied before it was asked for as it may be.
        var refusals: Int
    }

    private enum Work: Int { case partner, analyst, job, responder, trainer }

    /// Later than anybody works.
    static let leapSecond = 82_800

    let name: String
    var readsEverybody: Bool { work == .trainer }
    private let work: Work
    private let people: Int
    private static let teamSize = 25
    private var teams: [Int]

    init(_ number: Int, people: Int, _ random: inout SeededChance) {
        name = "reader-\(number)"
        work = Work(rawValue: number % 5) ?? .partner
        self.people = people
        let (all, own) = (people / OrdinaryReader.teamSize, work == .job ? 1 + random.below(40) : 2 + random.below(9))
        teams = (0..<own).map { _ in random.below(all) }
    }

    mutating func day(_ day: Int, _ random: inout SeededChance) -> [Read] {
        // The first day is a Monday.
        let isWeekend = day % 7 > 4
        guard work == .job || !isWeekend || random.below(10) == 0 else { return [] }
        switch work {
        case .partner:
            let reads = (1 + random.below(8)) * (day % 30 > 22 ? 4 : 1)
            return (0..<reads).map { _ in read(of: 1 + random.below(5), &random) }
        case .analyst:
            if random.below(20) == 0 { teams[random.below(teams.count)] = random.below(people / OrdinaryReader.teamSize) }
            return (0..<1 + random.below(10)).map { _ in read(team: teams[random.below(teams.count)], &random) }
        case .job:
            // Somebody joins every other week, and a team is added now and then.
            if random.below(60) == 0 { teams.append(random.below(people / OrdinaryReader.teamSize)) }
            return teams.map { read(team: $0, &random) }
        case .responder: return random.below(8) == 0 ? (0..<1 + random.below(4)).map { _ in read(of: 1 + random.below(20), &random) } : []
        case .trainer: return random.below(3) == 0 ? [Read(second: second(&random), subjects: Array(0..<people), events: 1_000 * Int64(people), refusals: refusals(&random))] : []
        }
    }

    private func second(_ random: inout SeededChance) -> Int { 28_800 + random.below(36_000) }

    private func refusals(_ random: inout SeededChance) -> Int { random.below(50) == 0 ? 1 + random.below(4) : 0 }

    private func read(of count: Int, _ random: inout SeededChance) -> Read {
        Read(second: second(&random), subjects: (0..<count).map { _ in random.below(people) }, events: Int64(count) * Int64(100 + random.below(4_000)), refusals: refusals(&random))
    }

    private func read(team: Int, _ random: inout SeededChance) -> Read {
        let first = team * OrdinaryReader.teamSize
        return Read(
            second: second(&random), subjects: Array(first..<min(people, first + OrdinaryReader.teamSize)), events: Int64(OrdinaryReader.teamSize) * Int64(100 + random.below(4_000)), refusals: refusals(&random))
    }
}
#endif
