import Detection
import Testing

/// Compiled once for all tests: half a second.
enum Shared {
    static let detector: Detector = {
        do { return try Detector() } catch { fatalError("\(error)") }
    }()
}

/// A scanner is one thread's; each test has its own.
func scanner(_ detector: Detector = Shared.detector) throws -> TextScanner { try detector.makeScanner() }

/// The same row for a seed, everywhere.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

extension Finding {
    func id(_ detector: Detector = Shared.detector) -> String { detector.rules[rule].id }
}

func shown(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

/// What must hold of findings in any bytes: in order, apart, within.
func expectSound(_ findings: [Finding], in count: Int, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
    var end = 0
    for finding in findings {
        let isSound = finding.range.lowerBound >= end && !finding.range.isEmpty && finding.range.upperBound <= count
        #expect(isSound, comment, sourceLocation: sourceLocation)
        if !isSound { return }
        end = finding.range.upperBound
    }
}
