import Chance
import Foundation
import Gate
import Rules
import Testing
@testable import Tracing
import Wire

@Suite struct KeyedHashTests {
    /// From the reference implementation (vectors_sip64): key 00 … 0f, input 00 … n - 1.
    @Test(arguments: [(0, 0x726f_db47_dd0e_0e31), (8, 0x93f5_f579_9a93_2462), (15, 0xa129_ca61_49be_45e5), (16, 0x3f2a_cc7f_57c2_9bdb)] as [(Int, UInt64)])
    func `it is SipHash-2-4`(_ length: Int, _ expected: UInt64) {
        let hash = KeyedHash((0..<16).map { UInt8($0) })
        #expect(hash((0..<length).map { UInt8($0) }) == expected)
        func word(_ start: UInt8) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(start + UInt8($1)) << UInt64($1 * 8) } }
        if length == 8 { #expect(hash(word(0)) == expected) }
        if length == 16 { #expect(hash(word(0), word(8)) == expected) }
    }
}

@Suite struct CanaryTests {
    private let seed: UInt64
    private var random: SplitMix64

    init() {
        seed = ProcessInfo.processInfo.environment["SLUICE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        random = SplitMix64(seed: seed)
        print("seed \(seed)")
    }

    private mutating func pointerChunks(_ count: Int, of size: Int = 300) -> [[Event]] {
        var person = Person(seed: random.next())
        return (0..<count).map { _ in person.pointer(size) }
    }

    @Test mutating func `the same key, release and place give the same canaries, and another gives others`() {
        let chunks = pointerChunks(60)
        let canaries = Leak(chunks, secret(1), 7).canaries
        #expect(canaries.count > 100, "seed \(seed)")
        #expect(Leak(chunks, secret(1), 7).canaries == canaries)
        #expect(Set(Leak(chunks, secret(1), 8).canaries).intersection(canaries).count < canaries.count / 2, "those of the reader are the same, seed \(seed)")
        #expect(Set(Leak(chunks, secret(2), 7).canaries).intersection(canaries).count <= 1, "seed \(seed)")
        #expect(Set(Leak(chunks, secret(1), 8, reader: "other").canaries).intersection(canaries).count <= 1, "seed \(seed)")
    }

    /// Not by kind, order, place, precision, or by standing where nothing does.
    @Test(arguments: [1_000_000, 1_000, 1] as [Int64])
    mutating func `a canary is where its neighbours are, of their kind, and as finely timed`(_ unit: Int64) throws {
        var person = Person(seed: random.next(), unit: unit)
        let chunks = (0..<40).map { $0 % 2 == 0 ? person.pointer(300) : person.keys(200) }
        let leak = Leak(chunks, secret(1), 7)
        #expect(leak.canaries.count > 60, "seed \(seed)")
        #expect(leak.canaries.allSatisfy { $0.at.nanoseconds % unit == 0 }, "seed \(seed)")
        #expect(Set(leak.events.map(\.at)).count >= Set(chunks.flatMap { $0 }.map(\.at)).count + leak.canaries.count * 9 / 10, "seed \(seed)")
        for canary in leak.canaries {
            let home = try #require(chunks.last { $0[0].at < canary.at }, "seed \(seed)")
            #expect(home.contains { $0.kind == canary.kind })
            #expect(!home.contains { $0.at == canary.at }, "seed \(seed)")
        }
    }

    /// What was typed is read out of keys: a canary must not put a word into somebody's mouth.
    @Test mutating func `keys that are canaries leave what was typed as it was`() {
        var person = Person(seed: random.next())
        let chunks = (0..<80).map { _ in person.keys(200) }
        func typed(_ events: [Event]) -> [String] {
            var typed: [String] = []
            for case .key(let key) in events.map(\.detail) where key.action == .down {
                if key.key == "Backspace" { _ = typed.popLast() } else { typed.append(key.key) }
            }
            return typed
        }
        let leak = Leak(chunks, secret(1), 7)
        #expect(leak.canaries.count > 100, "seed \(seed)")
        #expect(typed(leak.events) == typed(chunks.flatMap { $0 }), "seed \(seed)")
        var held: Set<String> = []
        for case .key(let key) in leak.events.map(\.detail) {
            if key.action == .down { held.insert(key.key) } else { held.remove(key.key) }
        }
        #expect(held == [], "what goes down comes up, seed \(seed)")
    }

    @Test mutating func `a text that is a canary has its neighbours' words, and is none of their texts`() {
        var person = Person(seed: random.next())
        let chunks = (0..<1_500).map { _ in person.texts(1) }
        let leak = Leak(chunks, secret(1), 7)
        let texts = Set(chunks.flatMap { $0 }.compactMap { if case .text(let text) = $0.detail { text.text } else { nil } })
        let made = leak.canaries.compactMap { if case .text(let text) = $0.detail { text } else { nil } }
        #expect(made.count > 15, "seed \(seed)")
        #expect(made.allSatisfy { !texts.contains($0.text) && $0.source == .chat && $0.app == "chat" })
        let words = Set(texts.flatMap { $0.split(separator: " ") })
        #expect(made.allSatisfy { $0.text.split(separator: " ").allSatisfy { words.contains($0) } }, "seed \(seed)")
        #expect(made.allSatisfy { $0.text.hasSuffix(".") }, "seed \(seed)")
    }

    @Test func `nothing is made of words that are longer than any`() {
        func learned(_ bytes: Int) -> Int {
            var pool = TextPool()
            pool.learn([Event(at: WallTime(nanoseconds: 1), detail: .text(Event.Text("a few words and \(String(repeating: "x", count: bytes))", source: .chat)))])
            return pool.learned
        }
        #expect(learned(64) == 1 && learned(65) == 0)
    }

    /// What an agent sends is anything at all: nothing of it may end policy.
    @Test mutating func `no chunk ends the program, however far its events are apart`() {
        let makers = [CanaryMaker(secret(1), for: .release(1), rate: 1), CanaryMaker(secret(1), for: .reader("x"), rate: 1)]
        let last = Event.times.upperBound.nanoseconds - 1
        for round in 0..<30 {
            let times: [Int64] = [0, 1, last, last - 1, last / 2, Int64(random.below(1 << 40)), Int64(random.below(1 << 62))]
            let spread = random.pick([1, 1_000, 1_000_000_000, 1 << 50])
            let base = Int64(random.below(1 << 60))
            let events = (0..<1 + random.below(40)).map { _ in
                let at = WallTime(nanoseconds: random.below(2) == 0 ? random.pick(times) : base + Int64(random.below(spread)))
                let text = (0..<random.below(20)).map { _ in random.pick(["—", "", "a", "don't", String(repeating: "x", count: 3_000), "é", "."]) }.joined(separator: " ")
                let detail: Event.Detail = switch random.below(5) {
                case 0: .pointer(Event.Pointer(.move, x: random.pick([.min, .max, 0, 5]), y: random.pick([.min, .max, 0, 5])))
                case 1: .key(Event.Key(random.below(2) == 0 ? .down : .up, random.pick(["a", "b", "Backspace", ""])))
                case 2: .window(Event.Window(app: text, title: text))
                case 3: .presence(.away)
                default: .text(Event.Text(text, source: .chat))
                }
                return Event(at: at, duration: random.below(3) == 0 ? Span(nanoseconds: Int64(random.below(86_400_000_000_000))) : nil, detail: detail)
            }
            var pool = TextPool()
            pool.learn(events)
            let place = CanaryMaker.Place(stream: .max, sequence: .max, dataClass: DataClass(""))
            for maker in makers {
                let made = maker.make(3, among: events, at: place, texts: pool, until: events.map(\.at).max() ?? .distantPast)
                #expect(made.allSatisfy { Event.times.contains($0.at) }, "round \(round), seed \(seed)")
            }
        }
    }

    // MARK: Found again

    /// What somebody does to a file before they hand it on.
    private static let treatments: [(name: String, treat: @Sendable ([Event]) -> [String])] = [
        ("as it is", { $0.map { String(decoding: EventLine.line(of: $0), as: UTF8.self) } }),
        ("times alone", { $0.map { $0.at.rfc3339 } }),
        ("CSV, with a zone", { ["at,kind,x,y"] + $0.map { event in
            let fields = event.at.rfc3339.dropLast().replacing("T", with: " ") + "+00:00,\(event.kind.word)"
            if case .pointer(let pointer) = event.detail { return "\(fields),\(pointer.x).0,\(pointer.y).0" }
            return "\(fields),,"
        } }),
        ("milliseconds since 1970, and positions", { $0.map { event in
            guard case .pointer(let pointer) = event.detail else { return "" }
            return "\(event.at.nanoseconds / 1_000_000)\t\(pointer.x)\t\(pointer.y)"
        } }),
    ]

    @Test(arguments: 0..<4) mutating func `a whole release is found, whatever is left of its fields`(_ treatment: Int) {
        let (chunks, key) = (pointerChunks(100), secret(1))
        let (mine, other) = (Leak(chunks, key, 17), Leak(chunks, key, 18, reader: "other"))
        let (name, treat) = CanaryTests.treatments[treatment]
        for (leak, release, reader) in [(mine, UInt64(17), "job"), (other, 18, "other")] {
            let matches = found(treat(leak.events), key)
            #expect(matches.releases == [release], "\(name), seed \(seed)")
            #expect(matches.readers.isSubset(of: [reader]), "\(name), seed \(seed)")
        }
        #expect(found(treat(mine.events), secret(2)).isEmpty, "the control: another key, \(name), seed \(seed)")
        #expect(found(treat(chunks.flatMap { $0 }), key).isEmpty, "the control: nothing was added, \(name), seed \(seed)")
    }

    @Test mutating func `releases that were mixed are all named`() {
        let (chunks, key) = (pointerChunks(100), secret(1))
        var lines = [UInt64(17), 99, 140].flatMap { Leak(chunks, key, $0).lines }
        random.shuffle(&lines)
        #expect(found(lines, key).releases == [17, 99, 140], "seed \(seed)")
    }

    /// After a vault was restored its numbers come again, to somebody else.
    @Test mutating func `a release is told from another of the same number`() {
        let lines = Leak(pointerChunks(60), secret(1), 7, salt: [1]).lines
        let marked = [[], [1], [2]].map { Marked.release(7, salt: $0) }
        #expect(found(lines, secret(1), among: marked).map(\.marked) == [marked[1]], "seed \(seed)")
    }

    @Test mutating func `who takes it twice and keeps what is in both is named as the reader`() {
        let (chunks, key) = (pointerChunks(200), secret(1))
        let (first, second) = (Leak(chunks, key, 17), Leak(chunks, key, 18))
        let matches = found(Array(Set(first.lines).intersection(second.lines)), key)
        #expect(matches.readers == ["job"], "seed \(seed)")
        #expect(matches.releases == [], "seed \(seed)")
    }

    /// The promise: as large as is stated, a shuffled twentieth of the lines, and of each line what is stated.
    @Test mutating func `a twentieth of the lines, shuffled, with fields removed, is found as surely as is stated`() {
        let key = secret(1)
        let least = Int(CanaryShare.leastEvents(bits: 16))
        let rounds = 8
        var misses = 0
        for round in 0..<rounds {
            let leak = Leak(pointerChunks(least / 300 + 1), key, 17)
            var events = leak.events
            random.shuffle(&events)
            // Nothing but when and where.
            let lines = events.prefix(events.count / 20).map { event -> String in
                guard case .pointer(let pointer) = event.detail else { return "" }
                return "{\"x\":\(pointer.x),\"y\":\(pointer.y),\"when\":\"\(event.at.rfc3339)\"}"
            }
            let matches = found(lines, key, releases: 1...500)
            if !matches.releases.contains(17) { misses += 1 }
            #expect(matches.releases.subtracting([17]).isEmpty, "round \(round), seed \(seed)")
            #expect(found(lines, secret(3), releases: 1...500).isEmpty, "the control: another key, seed \(seed)")
        }
        print("\(misses) of \(rounds) samples of releases of \(least) events were missed; 1 % is stated")
        // Of eight, two are missed once in 400 times at 1 %, and three once in 19,000.
        #expect(misses < 3, "seed \(seed)")
    }

    @Test mutating func `most canaries of a pointer carry a mark by their time alone, and another by where it was then`() {
        let (chunks, key) = (pointerChunks(60), secret(1))
        let (hash, codes, readers) = (MarkHash(key), MarkCodes(key, of: .release(7)), MarkCodes(key, of: .reader("job")))
        var (when, twice) = (0, 0)
        let canaries = Leak(chunks, key, 7).canaries
        for canary in canaries {
            guard case .pointer(let pointer) = canary.detail else { continue }
            let (time, what) = (hash.when(canary.at.nanoseconds), hash.what(canary.at.nanoseconds, MarkHash.position(pointer.x, pointer.y)))
            guard let mine = [codes, readers].first(where: { $0[.when, time.row] == time.byte }) else { continue }
            when += 1
            if mine[.what, time.row] == what.byte { twice += 1 }
        }
        #expect(when == canaries.count, "seed \(seed)")
        print("\(twice) of \(canaries.count) canaries carry both")
        #expect(Double(twice) >= CanaryShare.twice * Double(canaries.count) * 0.95, "seed \(seed)")
    }

    @Test mutating func `texts alone are told, in CSV and in JSON of another program`() {
        var person = Person(seed: random.next(), unit: 1)
        let (chunks, key) = ((0..<6_000).map { _ in person.texts(1) }, secret(1))
        let texts = Leak(chunks, key, 17).events.compactMap { if case .text(let text) = $0.detail { text.text } else { nil } }
        #expect(found(texts, key).releases == [17], "seed \(seed)")
        #expect(found(texts.map { "{\"body\": \"\($0.replacing(" ", with: "\\u0020"))\"}" }, key).releases == [17], "seed \(seed)")
        #expect(found(texts.map { "7;\"\($0)\"" }, key).releases == [17], "seed \(seed)")
        #expect(found(texts, secret(2)).isEmpty, "seed \(seed)")
    }

    @Test mutating func `keys with their times are told`() {
        var person = Person(seed: random.next(), unit: 1_000)
        let (chunks, key) = ((0..<100).map { _ in person.keys(300) }, secret(1))
        let leak = Leak(chunks, key, 17)
        #expect(found(leak.lines, key).releases == [17], "seed \(seed)")
        #expect(found(leak.events.map { "\($0.at.microseconds)" }, key).releases == [17], "seed \(seed)")
    }

    // MARK: Chance

    /// Anybody's files: among many of them and many releases nothing may be found, and how near the nearest comes is as it is stated.
    @Test mutating func `files without canaries are laid to nobody, and not oftener than is stated`() {
        var (nearest, compared) = (0.0, 0)
        var counts = [Int](repeating: 0, count: 4)
        for file in 0..<40 {
            var person = Person(seed: random.next(), unit: file % 2 == 0 ? 1_000_000 : 1)
            let events = file % 4 < 2 ? person.pointer(4_000) : person.keys(2_000) + person.texts(800)
            let lines = events.map { String(decoding: EventLine.line(of: $0), as: UTF8.self) }
            let key = secret(UInt8(file + 1))
            var trace = LeakTrace(keys: [key], bytes: 1 << 20)
            var bytes = Array(lines.joined(separator: "\n").utf8)
            _ = bytes.withUnsafeBufferPointer { trace.take($0, isLast: true) }
            bytes = []
            // Each release by itself: the probability is then that of one comparison in six ways.
            compared += 500
            for chance in trace.nearest([key.id: (1...500).map { .release($0) }], compared: 1).map(\.chance) {
                nearest = min(nearest, chance)
                for (place, bound) in [-1.0, -2, -3, -4].enumerated() where chance <= bound { counts[place] += 1 }
            }
        }
        print("seed \(seed): of \(compared) comparisons \(counts) were at or below 0.1, 0.01, 0.001, 0.0001; the nearest was 10^\(nearest)")
        // Never more than stated, but for chance: three times the root of it.
        for (place, part) in [0.1, 0.01, 0.001, 0.0001].enumerated() {
            let expected = Double(compared) * part
            #expect(Double(counts[place]) <= expected + 3 * expected.squareRoot() + 2, "seed \(seed)")
        }
    }

    @Test func `a file that says one thing many times says it once`() {
        let lines = [String](repeating: "{\"at\":\"2026-11-23T08:00:00.094Z\",\"kind\":\"pointer\",\"action\":\"move\",\"x\":1024,\"y\":410}", count: 50_000)
        #expect(found(lines, secret(1), releases: 1...2_000).isEmpty)
    }

    // MARK: How many

    @Test func `canaries are as many as are needed, and never more than stated`() {
        for events in [10, 300, 10_000, 1_000_000, 100_000_000] as [Int64] { #expect(CanaryShare.rate(events: events) <= CanaryShare.most) }
        let rates = [100_000, 1_000_000, 10_000_000].map { CanaryShare.rate(events: $0) }
        #expect(rates == rates.sorted(by: >))
        #expect(CanaryShare.needed(events: 1_000_000, bits: 8) > CanaryShare.needed(events: 1_000_000, bits: 16))
        #expect(CanaryShare.leastEvents(bits: 16) < CanaryShare.leastEvents(bits: 8))
        #expect(CanaryShare.leastEvents(bits: 16, sample: 1) < 2_000)
        for bits in [8.0, 16] { print("at \(bits) bits a release needs \([10_000, 100_000, 1_000_000, 10_000_000].map { Int(CanaryShare.needed(events: $0, bits: bits)) }); at least \(CanaryShare.leastEvents(bits: bits)) events of a twentieth, \(CanaryShare.leastEvents(bits: bits, sample: 1)) whole") }
    }
}

@Suite struct LineScannerTests {
    private func scanned(_ line: String, separator: UInt8 = 0) -> (times: [Int64], pairs: [UInt64], details: [UInt64], texts: [String]) {
        var scanner = LineScanner()
        var bytes = Array(line.utf8)
        bytes.withUnsafeMutableBufferPointer { scanner.scan(UnsafeBufferPointer($0), separator: separator) }
        return (scanner.times, scanner.pairs, scanner.details, scanner.texts.map { String(decoding: $0.bytes, as: UTF8.self) })
    }

    private static let time: Int64 = 1_795_420_800_094_000_000

    @Test(arguments: [
        "{\"at\":\"2026-11-23T08:00:00.094Z\"}", "{\"at\":\"2026-11-23T09:00:00.094+01:00\"}", "2026-11-23 08:00:00.094", "2026-11-23T08:00:00,094Z x",
        "{\"at\":1795420800094}", "{\"at\":1795420800.094}", "1795420800094000", "{\"t\": 1795420800094000000}", "[2026-11-23T08:00:00.094Z] text",
    ])
    func `a time is the same however it is written`(_ line: String) {
        #expect(scanned(line).times == [Self.time])
    }

    @Test func `positions, keys and texts are found in lines of any program`() {
        #expect(scanned("{\"at\":\"2026-11-23T08:00:00.094Z\",\"kind\":\"pointer\",\"action\":\"move\",\"x\":1024,\"y\":-41}").pairs == [MarkHash.position(1_024, -41)])
        #expect(scanned("2026-11-23T08:00:00.094Z,pointer,1024.0,-41.0,,", separator: UInt8(ascii: ",")).pairs == [MarkHash.position(1_024, -41)])
        #expect(scanned("1795420800094 1024 -41").pairs == [MarkHash.position(1_024, -41)])
        #expect(scanned("{\"key\":\"a\",\"kind\":\"key\"}").details == [UInt64(UInt8(ascii: "a"))])
        let text = ["one two three four five six seven eight ümlaut"]
        #expect(scanned("{\"text\":\"One two, three \\\"four\\\" five\\nsix seven eight \\u00fcmlaut\"}").texts == text)
        #expect(scanned("7,\"One two, three \"\"four\"\" five six seven eight ümlaut\",x", separator: UInt8(ascii: ",")).texts == text)
        #expect(scanned("One two, three four five six seven eight ümlaut").texts == text)
    }

    /// What comes from outside is anything at all.
    @Test func `no line ends the program`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        let pieces = ["{", "}", "[", "]", "\"", "\\", "\\u", "\\ud83d\\ude00", "\\ud83d", ":", ",", "-", "9999999999", ".", "2026-11-23T08:00:00", "+", "1", "é", "\u{0}", "text ", "\t", ";", "99999999999999999999"]
        for _ in 0..<60_000 {
            let line = (0..<random.below(24)).map { _ in random.pick(pieces) }.joined()
            _ = scanned(line, separator: random.pick([0, UInt8(ascii: ","), UInt8(ascii: ";")]))
        }
        for _ in 0..<3_000 {
            var scanner = LineScanner()
            let bytes = (0..<random.below(80)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            bytes.withUnsafeBufferPointer { scanner.scan($0, separator: UInt8(ascii: ",")) }
        }
    }
}
