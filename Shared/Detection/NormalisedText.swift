/// Texts as rules see them: one after the other in one buffer, and the way back to the bytes that were given.
///
/// Digits of any script and full-width letters become ASCII, every space and dash the plain one; what is not seen (zero-width, direction, combining marks,
/// control characters) goes. Whoever writes a card number with full-width digits and zero-width spaces is understood. Bytes that are no UTF-8 stay as they are.
/// A byte 0 ends each text; none is within one, and no rule matches it.
struct NormalisedText {
    private(set) var bytes: [UInt8] = []
    /// Where each text begins in ``bytes``.
    private(set) var starts: [Int] = []
    /// In order: from `normalised` on, bytes stand for those from `original` on, each for `width`.
    private var steps: [Step] = []

    private struct Step {
        var normalised: Int
        var original: Int
        /// 1: byte for byte, as far as the next step. More: one byte for so many.
        var width: Int
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        steps.removeAll(keepingCapacity: true)
    }

    mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
        starts.append(bytes.count)
        steps.append(Step(normalised: bytes.count, original: 0, width: 1))
        var at = 0
        var plainFrom = 0
        while true {
            at = Self.plainEnd(text, from: at)
            guard at < text.count else { break }
            let (fold, width) = Self.fold(text, at: at)
            guard fold != .keep else {
                at += width
                continue
            }
            bytes.append(contentsOf: text[plainFrom..<at])
            if case .byte(let byte) = fold {
                steps.append(Step(normalised: bytes.count, original: at, width: width))
                bytes.append(byte)
            }
            at += width
            plainFrom = at
            steps.append(Step(normalised: bytes.count, original: at, width: 1))
        }
        bytes.append(contentsOf: text[plainFrom...])
        bytes.append(0)
    }

    /// The text that a place in ``bytes`` belongs to.
    func text(at place: Int) -> Int {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= place { low = middle } else { high = middle }
        }
        return low
    }

    /// The bytes of the text as it was given that `range` of ``bytes`` stands for.
    func original(_ range: Range<Int>) -> Range<Int> {
        let first = step(at: range.lowerBound)
        let last = step(at: range.upperBound - 1)
        let start = steps[first].original + (range.lowerBound - steps[first].normalised)
        let end = steps[last].width > 1 ? steps[last].original + steps[last].width : steps[last].original + (range.upperBound - steps[last].normalised)
        return start..<end
    }

    /// The last step that begins at `place` or before, which is the one that has a byte there: of several at one place the last is not empty.
    private func step(at place: Int) -> Int {
        var low = 0
        var high = steps.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if steps[middle].normalised <= place { low = middle } else { high = middle }
        }
        return low
    }

    /// The first byte from `start` that is not a printable one of ASCII, a tab or the end of a line.
    private static func plainEnd(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        var at = start
        let count = text.count
        while true {
            // Eight at once: none has its top bit, none is below 0x20. A borrow can only make it look twice.
            while at + 8 <= count {
                let word = UnsafeRawPointer(text.baseAddress! + at).loadUnaligned(as: UInt64.self)
                guard (word | (word &- 0x2020_2020_2020_2020)) & 0x8080_8080_8080_8080 == 0 else { break }
                at += 8
            }
            let stop = min(at + 8, count)
            while at < stop {
                let byte = text[at]
                guard byte &- 0x20 < 0x60 || byte == 0x0A || byte == 0x09 || byte == 0x0D else { return at }
                at += 1
            }
            if at == count { return at }
        }
    }

    private enum Fold: Equatable {
        case keep, drop
        case byte(UInt8)
    }

    /// What becomes of the character at `at`, which is not plain, and how many bytes it has.
    private static func fold(_ text: UnsafeBufferPointer<UInt8>, at: Int) -> (Fold, Int) {
        let lead = text[at]
        if lead < 0x80 { return (.drop, 1) }
        let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
        guard lead >= 0xC2, lead < 0xF5, at + width <= text.count else { return (.keep, 1) }
        var value = UInt32(lead) & (width == 4 ? 0x07 : width == 3 ? 0x0F : 0x1F)
        for offset in 1..<width {
            let byte = text[at + offset]
            guard byte & 0xC0 == 0x80 else { return (.keep, 1) }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        // Lone surrogates and overlong forms are not characters: they stay, byte by byte.
        if width == 3, value < 0x800 || (0xD800..<0xE000).contains(value) { return (.keep, 1) }
        if width == 4, value < 0x1_0000 || value > 0x10_FFFF { return (.keep, 1) }
        return (fold(value), width)
    }

    private static func fold(_ value: UInt32) -> Fold {
        switch value {
        case 0x80..<0xA0, 0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, 0x300..<0x370, 0x1AB0..<0x1B00, 0x1DC0..<0x1E00, 0x20D0..<0x2100, 0xFE00..<0xFE10, 0xFE20..<0xFE30,
            0x200B..<0x2010, 0x202A..<0x202F, 0x2060..<0x2070, 0xE_0000..<0xE_1000:
            return .drop
        case 0xA0, 0x1680, 0x2000..<0x200B, 0x202F, 0x205F, 0x3000: return .byte(0x20)
        case 0x2028, 0x2029: return .byte(0x0A)
        case 0x2010..<0x2016, 0x2043, 0x2212, 0xFE58, 0xFE63: return .byte(0x2D)
        case 0x2018, 0x2019, 0x201B, 0x2032: return .byte(0x27)
        case 0x201C, 0x201D, 0x201F, 0x2033: return .byte(0x22)
        case 0xFF01..<0xFF5F: return .byte(UInt8(value - 0xFF01 + 0x21))
        case 0x4E00..<0xA000, 0xAC00..<0xD7A4, 0x1_F000..<0x1_FB00, 0x370..<0x600: return .keep
        default: return value < 0x600 ? .keep : digit(value).map { .byte(0x30 + $0) } ?? .keep
        }
    }

    /// The value of a decimal digit of any script.
    private static func digit(_ value: UInt32) -> UInt8? {
        guard let scalar = Unicode.Scalar(value), scalar.properties.numericType == .decimal, let number = scalar.properties.numericValue else { return nil }
        return UInt8(number)
    }
}
