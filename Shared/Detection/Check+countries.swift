/// Numbers that states gave to people, with letters in them or an order of their own.
extension Validation {
    /// Eleven digits, ISO 7064 modulo 11, 10; one digit of the first ten stands twice or three times.
    static func steuerID(_ digits: [Int]) -> Bool {
        guard digits.count == 11, digits[0] != 0 else { return false }
        var counts = [Int](repeating: 0, count: 10)
        for digit in digits[..<10] { counts[digit] += 1 }
        guard counts.count(where: { $0 > 1 }) == 1, counts.allSatisfy({ $0 <= 3 }) else { return false }
        var product = 10
        for digit in digits[..<10] {
            let sum = (digit + product) % 10
            product = (sum == 0 ? 10 : sum) * 2 % 11
        }
        return (11 - product) % 10 == digits[10]
    }

    /// France: thirteen and a key of two, modulo 97; Corsica is 2A and 2B.
    static func nir(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let letters = bytes.filter { ContextWords.isWord($0) }.map { $0 & 0xDF }
        var number = bytes.filter { ContextWords.isWord($0) }
        guard number.count == 15 else { return false }
        var less = 0
        if letters[6] == 0x41 { less = 1_000_000 } else if letters[6] == 0x42 { less = 2_000_000 }
        if less > 0 { number[6] = 0x30 }
        guard number.allSatisfy({ $0 &- 0x30 < 10 }) else { return false }
        let body = number[..<13].reduce(0) { $0 * 10 + Int($1 - 0x30) } - less
        return 97 - body % 97 == Int(number[13] - 0x30) * 10 + Int(number[14] - 0x30)
    }

    /// Spain: eight digits, or X, Y, Z and seven, modulo 23.
    static func nie(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let letters = bytes.filter { ContextWords.isWord($0) }.map { $0 &- 0x30 < 10 ? $0 : $0 & 0xDF }
        guard letters.count == 9 else { return false }
        var number = 0
        for (index, letter) in letters[..<8].enumerated() {
            if letter &- 0x30 < 10 { number = number * 10 + Int(letter - 0x30) } else if index == 0, (0x58...0x5A).contains(letter) { number = Int(letter - 0x58) } else { return false }
        }
        return Array("TRWAGMYFPDXBNJZSQVHLCKE".utf8)[number % 23] == letters[8]
    }

    static func codiceFiscale(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
        guard bytes.count == 16 else { return false }
        var sum = 0
        for (index, byte) in bytes[..<15].enumerated() {
            let value = byte &- 0x30 < 10 ? Int(byte - 0x30) : Int(byte & 0xDF) - 0x41
            guard (0..<26).contains(value) else { return false }
            sum += index.isMultiple(of: 2) ? odd[value] : value
        }
        return sum % 26 == Int(bytes[15] & 0xDF) - 0x41
    }

    /// Finland: the nine digits modulo 31.
    static func hetu(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count == 11 else { return false }
        let number = (Array(bytes[0..<6]) + Array(bytes[7..<10])).reduce(0) { $0 * 10 + Int($1) - 0x30 }
        let last = bytes[10] &- 0x30 < 10 ? bytes[10] : bytes[10] & 0xDF
        return number >= 0 && Array("0123456789ABCDEFHJKLMNPRSTUVWXY".utf8)[number % 31] == last
    }

    /// Singapore: seven digits weighed, and a letter that depends on the first.
    static func nric(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count == 9 else { return false }
        let first = bytes[0] & 0xDF
        let sum = zip(bytes[1..<8], [2, 7, 6, 5, 4, 3, 2]).reduce(0) { $0 + (Int($1.0) - 0x30) * $1.1 }
        let (table, more): (String, Int) =
            switch first {
            case 0x53: ("JZIHGFEDCBA", 0)
            case 0x54: ("JZIHGFEDCBA", 4)
            case 0x46: ("XWUTRQPNMLK", 0)
            case 0x47: ("XWUTRQPNMLK", 4)
            default: ("", 0)
            }
        return !table.isEmpty && Array(table.utf8)[(sum + more) % 11] == bytes[8] & 0xDF
    }

    /// China: ISO 7064 modulo 11, 2.
    static func residentID(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count == 18 else { return false }
        let sum = zip(bytes[..<17], [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]).reduce(0) { $0 + (Int($1.0) - 0x30) * $1.1 }
        return Array("10X98765432".utf8)[sum % 11] == (bytes[17] | 0x20 == 0x78 ? 0x58 : bytes[17])
    }
}

/// The checksum of India's Aadhaar: it sees every single digit that is wrong, and every two that changed places.
enum Verhoeff {
    private static let permutation = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]

    /// The group of the symmetries of a pentagon.
    private static func times(_ left: Int, _ right: Int) -> Int {
        switch (left < 5, right < 5) {
        case (true, true): (left + right) % 5
        case (true, false): (left + right - 5) % 5 + 5
        case (false, true): (left - 5 - right + 5) % 5 + 5
        case (false, false): (left - right + 5) % 5
        }
    }

    static func isChecked(_ digits: [Int]) -> Bool {
        var sum = 0
        for (index, digit) in digits.reversed().enumerated() {
            var value = digit
            for _ in 0..<(index % 8) { value = permutation[value] }
            sum = times(sum, value)
        }
        return sum == 0
    }
}
