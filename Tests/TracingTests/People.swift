import Chance
import Gate
import Rules
import Tracing
import Wire

/// Somebody at a desk, as their agent would tell it: chunks of events, some hundred milliseconds to minutes long.
struct Person {
    var random: SplitMix64
    /// Of the times: 1,000,000 is a millisecond.
    var unit: Int64 = 1_000_000
    private var now: Int64 = 1_795_680_000_000_000_000

    init(seed: UInt64, unit: Int64 = 1_000_000) {
        random = SplitMix64(seed: seed)
        self.unit = unit
        now += Int64(random.below(1 << 40)) / unit * unit
    }

    private mutating func pass(_ least: Int64, _ most: Int64) {
        now += (least + Int64(random.below(Int(most - least)))) / unit * unit
    }

    mutating func pointer(_ count: Int) -> [Event] {
        var (x, y) = (600 + random.below(400), 300 + random.below(300))
        return (0..<count).map { _ in
            pass(12_000_000, random.below(9) == 0 ? 900_000_000 : 60_000_000)
            (x, y) = (min(1_919, max(0, x + random.below(41) - 20)), min(1_079, max(0, y + random.below(31) - 15)))
            return Event(at: WallTime(nanoseconds: now), detail: .pointer(Event.Pointer(.move, x: Int32(x), y: Int32(y))))
        }
    }

    /// Down and up; one in twenty is taken back.
    mutating func keys(_ count: Int) -> [Event] {
        var events: [Event] = []
        func stroke(_ name: String, _ person: inout Person) {
            person.pass(60_000_000, 400_000_000)
            events.append(Event(at: WallTime(nanoseconds: person.now), detail: .key(Event.Key(.down, name))))
            person.pass(50_000_000, 130_000_000)
            events.append(Event(at: WallTime(nanoseconds: person.now), detail: .key(Event.Key(.up, name))))
        }
        while events.count < count {
            stroke(random.pick(["e", "t", "a", "o", "i", "n", "s", "r", "h", "l", "d", "u", "c", "m", "space"]), &self)
            if random.below(20) == 0 { stroke("Backspace", &self) }
            if random.below(12) == 0 { pass(800_000_000, 3_000_000_000) }
        }
        return events
    }

    static let vocabulary = """
        the of and to in that it is was for on are with as his they be at one have this from or had by hot but some what there we can out other were all your when up use word how
        said an each she which do their time if will way about many then them would write like so these her long make thing see him two has look more day could go come did my sound
        no most number who over know water than call first people may down side been now find budget quarter meeting review release roadmap customer invoice deadline figures plan
        """.split(whereSeparator: \.isWhitespace).map(String.init)

    mutating func sentence() -> String {
        let words = (0..<9 + random.below(12)).map { _ in random.pick(Person.vocabulary) }
        return words[0].prefix(1).uppercased() + words[0].dropFirst() + " " + words.dropFirst().joined(separator: " ") + "."
    }

    mutating func texts(_ count: Int) -> [Event] {
        (0..<count).map { _ in
            pass(2_000_000_000, 40_000_000_000)
            return Event(at: WallTime(nanoseconds: now), detail: .text(Event.Text(sentence(), source: .chat, app: "chat")))
        }
    }
}

/// What a reader got: chunks with canaries in them.
struct Leak {
    var events: [Event] = []
    var canaries: [Event] = []

    /// - Parameter people: chunks of everybody.
    init(_ chunks: [[Event]], _ key: CanaryKey, _ release: UInt64, salt: [UInt8] = [], reader: String = "job", events expected: Int? = nil) {
        let count = expected ?? chunks.reduce(0) { $0 + $1.count }
        let makers = [
            CanaryMaker(key, for: .release(release, salt: salt), rate: CanaryShare.rate(events: Int64(count))),
            CanaryMaker(key, for: .reader(reader), rate: CanaryShare.ofReaders),
        ]
        var pool = TextPool()
        for (number, chunk) in chunks.enumerated() {
            pool.learn(chunk)
            let place = CanaryMaker.Place(stream: 7, sequence: UInt64(number + 1), dataClass: DataClass("activity"))
            guard let last = chunk.map(\.at).max() else { continue }
            let until = chunk.count < 8 ? last + .seconds(1) : last
            let made = makers.flatMap { $0.make($0.share(of: chunk.count, at: place), among: chunk, at: place, texts: pool, until: until) }
            canaries += made
            events += (chunk + made).sorted { $0.at < $1.at }
        }
    }

    var lines: [String] { events.map { String(decoding: EventLine.line(of: $0), as: UTF8.self) } }
}

/// A file that was found, searched.
func found(_ lines: [String], _ key: CanaryKey, releases: ClosedRange<UInt64> = 1...200, readers: [String] = ["job", "other"]) -> [LeakTrace.Match] {
    found(lines, key, among: releases.map { .release($0) } + readers.map { .reader($0) })
}

func found(_ lines: [String], _ key: CanaryKey, among marked: [Marked]) -> [LeakTrace.Match] {
    var trace = LeakTrace(keys: [key], bytes: lines.reduce(0) { $0 + $1.utf8.count + 1 })
    var bytes = Array(lines.joined(separator: "\n").utf8)
    let count = bytes.withUnsafeBufferPointer { trace.take($0, isLast: true) }
    bytes.removeFirst(count)
    precondition(bytes.isEmpty)
    return trace.matches([key.id: marked])
}

func secret(_ number: UInt8) -> CanaryKey { CanaryKey(secret: [UInt8](repeating: number, count: CanaryKey.bytesCount))! }

extension [LeakTrace.Match] {
    var releases: Set<UInt64> { Set(compactMap { if case .release(let number, _) = $0.marked { number } else { nil } }) }
    var readers: Set<String> { Set(compactMap { if case .reader(let name) = $0.marked { name } else { nil } }) }
}
