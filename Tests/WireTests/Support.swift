import CZlib
import Foundation
import Gate
import Rules
import Wire

/// Random numbers that come again with the same seed (SplitMix64).
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// A new seed each time, or `SLUICE_SEED`. Printed: a failure must come again.
    static func rolled(for test: String) -> Dice {
        let seed = ProcessInfo.processInfo.environment["SLUICE_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...UInt64.max)
        print("\(test): SLUICE_SEED=\(seed)")
        return Dice(seed: seed)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func chance(_ part: Double) -> Bool { Double.random(in: 0..<1, using: &self) < part }
}

/// How many mutations a test tries: `SLUICE_FUZZ`, or what takes a few seconds unoptimised.
let mutations = ProcessInfo.processInfo.environment["SLUICE_FUZZ"].flatMap { Int($0) } ?? 20_000

/// Events of every kind, with the awkward values more often than life has them.
struct RandomEvents {
    private static let texts = [
        "", "a", "Enter", "left", "Ünïcödé", "é", "e\u{301}", "日本語", "👩‍👩‍👧", "\u{202E}right to left", "\u{0}", "\r\n", "\"\\/",
        "=HYPERLINK(1)", "\u{1B}[31m", "'; DROP TABLE", "<b>", "\u{FEFF}", "\u{1F}\u{7F}\u{2028}", String(repeating: "x", count: 300),
    ]
    private static let numbers: [Int32] = [0, 1, -1, 1_920, -1_080, .min, .max]

    var dice: Dice
    /// Multiples of which all times are.
    var unit: Int64

    mutating func batch(_ count: Int) -> [Event] {
        unit = [1, 1_000, 1_000_000].randomElement(using: &dice)!
        let kinds = dice.chance(0.5) ? Event.Kind.allCases : [Event.Kind.allCases.randomElement(using: &dice)!]
        var time = Int64.random(in: 0..<9_000_000_000_000_000_000, using: &dice)
        return (0..<count).map { _ in
            time += Int64.random(in: -1_000...10_000, using: &dice) * unit
            time = max(time, 0)
            return event(kinds.randomElement(using: &dice)!, at: WallTime(nanoseconds: time))
        }
    }

    mutating func event(_ kind: Event.Kind, at: WallTime) -> Event {
        let duration = dice.chance(0.3) ? Span(nanoseconds: Int64.random(in: 0...86_400_000, using: &dice) * unit) : nil
        return Event(at: at, duration: duration.map { min($0, Event.durationMax) }, detail: detail(kind))
    }

    private mutating func detail(_ kind: Event.Kind) -> Event.Detail {
        switch kind {
        case .pointer:
            let scroll = Event.Pointer.Action.scroll(dx: number, dy: number)
            let action = [.move, .drag, .down, .up, scroll].randomElement(using: &dice)!
            return .pointer(Event.Pointer(action, x: number ?? 5, y: number ?? 7, button: textIfAny))
        case .key: return .key(Event.Key(dice.chance(0.5) ? .down : .up, text))
        case .window: return .window(Event.Window(app: text, title: text, url: textIfAny))
        case .presence: return .presence(dice.chance(0.5) ? .active : .away)
        case .text:
            let source = Event.Text.Source.allCases.randomElement(using: &dice)!
            return .text(Event.Text(text, source: source, app: textIfAny, label: textIfAny))
        }
    }

    private var text: String { mutating get { RandomEvents.texts.randomElement(using: &dice)! } }
    private var textIfAny: String? { mutating get { dice.chance(0.5) ? text : nil } }
    private var number: Int32? {
        mutating get {
            if dice.chance(0.3) { return nil }
            return dice.chance(0.5) ? RandomEvents.numbers.randomElement(using: &dice)! : .random(in: 0...2_000, using: &dice)
        }
    }
}

/// Changes a few bytes, cuts, doubles and joins.
func mutated(_ bytes: [UInt8], with other: [UInt8], _ dice: inout Dice) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &dice) {
        guard !bytes.isEmpty else { return other }
        let place = Int.random(in: bytes.indices, using: &dice)
        switch Int.random(in: 0..<6, using: &dice) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
        case 1: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &dice)].randomElement(using: &dice)!
        case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...8, using: &dice)))
        case 3: bytes.insert(contentsOf: (0..<4).map { _ in UInt8.random(in: 0...255, using: &dice) }, at: place)
        case 4: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 16)], at: place)
        default:
            guard !other.isEmpty else { continue }
            bytes.replaceSubrange(place..., with: other[Int.random(in: other.indices, using: &dice)...])
        }
    }
    return bytes
}

/// The ten real recordings, where they are at hand.
enum Recordings {
    /// `SLUICE_DATA`, or `../shared/data` seen from the package.
    static let files: [URL] = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = ProcessInfo.processInfo.environment["SLUICE_DATA"].map { URL(filePath: $0) } ?? root.appending(path: "../shared/data")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "pointer").path)) ?? []
        return names.filter { $0.hasSuffix(".ndjson.gz") }.sorted().map { folder.appending(path: "pointer").appending(path: $0) }
    }()

    /// The lines of a compressed file, without their ends.
    static func lines(_ file: URL) -> [ArraySlice<UInt8>] {
        guard let handle = gzopen(file.path, "r") else { return [] }
        defer { gzclose(handle) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while case let count = gzread(handle, &buffer, UInt32(buffer.count)), count > 0 { bytes += buffer[..<Int(count)] }
        return bytes.split(separator: UInt8(ascii: "\n"))
    }
}

extension Event {
    /// Equal byte for byte, which `==` is not: it takes two spellings of the same characters for equal.
    func isExactly(_ other: Event) -> Bool { self == other && EventLine.line(of: self) == EventLine.line(of: other) }
}

func areExactly(_ left: [Event], _ right: [Event]) -> Bool {
    left.count == right.count && zip(left, right).allSatisfy { $0.isExactly($1) }
}
