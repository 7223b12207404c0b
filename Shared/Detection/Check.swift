import Foundation

/// What validates a match beyond its pattern. Words are those of the rules' file.
package enum Check: String, Hashable, Sendable, CaseIterable {
    /// ISO/IEC 7812: cards, and numbers that borrowed it.
    case luhn
    /// ISO 13616: the country's length, modulo 97.
    case iban
    /// A country's calling code (ITU E.164), and as many digits as its numbers have.
    case callingCode = "calling-code"
    /// Six digits to thirteen that are no date, address of a network, hour or range of years.
    case telephone
    /// RFC 4291.
    case ipv6
    /// A date of the calendar, of a person who may be alive.
    case birthDate = "birth-date"
    /// Double SHA-256 behind base 58.
    case base58check
    /// The same in the alphabet of the XRP ledger.
    case base58ripple = "base58-ripple"
    /// BIP 173 and 350.
    case bech32
    /// Mixed case is a checksum; one case alone has none.
    case eip55
    /// Base64url of an object with `alg`.
    case jwt
    /// Not an example, a variable or a row of the same letters.
    case secret
    /// Letters and digits both.
    case mixed
    case nhs, sin, tfn
    case steuerID = "steuer-id"
    case nir
    case nie
    case codiceFiscale = "codice-fiscale"
    case pesel, bsn
    case rijksregister
    case personnummer
    case hetu
    case fodselsnummer
    case nifPT = "nif-pt"
    case cpf, cnpj, verhoeff, nric
    case residentID = "resident-id"
    case rrn
    case tckn
    case ean13
    case cnp
    case aba
    case ssn
}

/// Sums and tables.
package struct Validation: Sendable {
    let callingCodes: [Int: ClosedRange<Int>]
    /// By the country's two letters.
    let ibanLengths: [UInt16: Int]

    /// How many bytes of the match are what the check stands for, from its beginning; nil: it is not.
    func accepts(_ bytes: UnsafeBufferPointer<UInt8>, _ check: Check) -> Int? {
        if check == .iban { return iban(bytes) }
        return isValid(bytes, check) ? bytes.count : nil
    }

    private func isValid(_ bytes: UnsafeBufferPointer<UInt8>, _ check: Check) -> Bool {
        switch check {
        case .luhn: return Self.luhn(Self.digits(bytes))
        case .sin, .personnummer: return Self.luhn(Self.digits(bytes).suffix(check == .sin ? 9 : 10))
        case .iban: return iban(bytes) != nil
        case .callingCode: return callingCode(bytes)
        case .telephone: return Self.telephone(bytes)
        case .ipv6: return Self.ipv6(bytes)
        case .birthDate: return Self.birthDate(bytes)
        case .base58check: return Base58.isChecked(bytes, alphabet: Base58.bitcoin)
        case .base58ripple: return Base58.isChecked(bytes, alphabet: Base58.ripple)
        case .bech32: return Bech32.isChecked(bytes)
        case .eip55: return EIP55.isChecked(bytes)
        case .jwt: return JWTHeader.isOne(bytes)
        case .secret: return SecretLook.isOne(bytes)
        case .mixed: return bytes.contains { $0 &- 0x30 < 10 } && bytes.contains { ($0 | 0x20) &- 0x61 < 26 }
        case .steuerID: return Self.steuerID(Self.digits(bytes))
        case .nir: return Self.nir(bytes)
        case .nie: return Self.nie(bytes)
        case .codiceFiscale: return Self.codiceFiscale(bytes)
        case .hetu: return Self.hetu(bytes)
        case .nric: return Self.nric(bytes)
        case .residentID: return Self.residentID(bytes)
        case .nhs, .tfn, .pesel, .bsn, .rijksregister, .fodselsnummer, .nifPT, .cpf, .cnpj, .verhoeff, .rrn, .tckn, .ean13, .cnp, .aba, .ssn:
            return Self.number(Self.digits(bytes), check)
        }
    }

    static func digits(_ bytes: UnsafeBufferPointer<UInt8>) -> [Int] { bytes.compactMap { $0 &- 0x30 < 10 ? Int($0 - 0x30) : nil } }

    static func luhn(_ digits: some BidirectionalCollection<Int>) -> Bool {
        var sum = 0
        var isDoubled = false
        for digit in digits.reversed() {
            let value = isDoubled ? digit * 2 : digit
            sum += value > 9 ? value - 9 : value
            isDoubled.toggle()
        }
        // A row of zeros would pass.
        return sum % 10 == 0 && digits.contains { $0 != digits.first }
    }

    private static func weighed(_ digits: some Collection<Int>, _ weights: [Int]) -> Int { zip(digits, weights).reduce(0) { $0 + $1.0 * $1.1 } }

    private static func value(_ digits: some Sequence<Int>) -> Int { digits.reduce(0) { $0 * 10 + $1 } }

    private static func number(_ d: [Int], _ check: Check) -> Bool {
        func has(_ count: Int) -> Bool { d.count == count && d.contains { $0 != d[0] } }
        switch check {
        // The Social Security Administration assigns no area 000, 666 or 9xx, no group 00, no serial 0000.
        case .ssn: return has(9) && d[0] != 9 && value(d[0..<3]) != 0 && value(d[0..<3]) != 666 && value(d[3..<5]) != 0 && value(d[5...]) != 0
        case .nhs:
            guard has(10) else { return false }
            let rest = 11 - weighed(d, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
            return rest != 10 && rest % 11 == d[9]
        case .tfn: return has(9) && weighed(d, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 == 0
        case .pesel: return has(11) && (10 - weighed(d, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10 == d[10] && (1...31).contains(value(d[4..<6])) && (1...12).contains(value(d[2..<4]) % 20)
        case .bsn: return has(9) && (weighed(d, [9, 8, 7, 6, 5, 4, 3, 2]) - d[8]) % 11 == 0
        case .rijksregister:
            guard has(11) else { return false }
            let body = value(d[0..<9])
            let control = value(d[9...])
            return 97 - body % 97 == control || 97 - (2_000_000_000 + body) % 97 == control
        case .fodselsnummer:
            guard has(11) else { return false }
            let first = (11 - weighed(d, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11) % 11
            let second = (11 - weighed(d, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11
            return first == d[9] && second == d[10]
        case .nifPT:
            guard has(9) else { return false }
            let rest = weighed(d, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
            return (rest < 2 ? 0 : 11 - rest) == d[8]
        case .cpf:
            guard has(11) else { return false }
            let first = weighed(d, Array((2...10).reversed())) * 10 % 11 % 10
            let second = weighed(d, Array((2...11).reversed())) * 10 % 11 % 10
            return first == d[9] && second == d[10]
        case .cnpj:
            guard has(14) else { return false }
            let first = weighed(d, [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
            let second = weighed(d, [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
            return (first < 2 ? 0 : 11 - first) == d[12] && (second < 2 ? 0 : 11 - second) == d[13]
        case .verhoeff: return has(12) && Verhoeff.isChecked(d)
        case .rrn: return has(13) && (11 - weighed(d, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10 == d[12]
        case .tckn:
            guard has(11), d[0] != 0 else { return false }
            let odd = d[0] + d[2] + d[4] + d[6] + d[8]
            let even = d[1] + d[3] + d[5] + d[7]
            return ((odd * 7 - even) % 10 + 10) % 10 == d[9] && d[0..<10].reduce(0, +) % 10 == d[10]
        case .ean13: return has(13) && (10 - d[0..<12].enumerated().reduce(0) { $0 + $1.element * ($1.offset.isMultiple(of: 2) ? 1 : 3) } % 10) % 10 == d[12]
        case .cnp:
            guard has(13) else { return false }
            let rest = weighed(d, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11
            return (rest == 10 ? 1 : rest) == d[12]
        case .aba: return has(9) && weighed(d, [3, 7, 1, 3, 7, 1, 3, 7, 1]) % 10 == 0
        default: return false
        }
    }

    private func iban(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        guard bytes.count >= 15, let length = ibanLengths[UInt16(bytes[0] & 0xDF) << 8 | UInt16(bytes[1] & 0xDF)] else { return nil }
        var letters: [Int] = []
        var end = 0
        for byte in bytes {
            end += 1
            if byte &- 0x30 < 10 { letters.append(Int(byte - 0x30)) } else if (byte | 0x20) &- 0x61 < 26 { letters.append(Int(byte | 0x20) - 0x61 + 10) } else { continue }
            if letters.count == length { break }
        }
        guard letters.count == length else { return nil }
        // Not in the middle of a word.
        if end < bytes.count, ContextWords.isWord(bytes[end]) { return nil }
        let rest = (letters[4...] + letters[..<4]).reduce(0) { ($0 * ($1 > 9 ? 100 : 10) + $1) % 97 }
        return rest == 1 ? end : nil
    }

    /// `+`, `00` or `011`, the code, and the rest; a zero in brackets is dialled within the country alone.
    private func callingCode(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var digits: [Int] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x28, index + 2 < bytes.count, bytes[index + 1] == 0x30, bytes[index + 2] == 0x29 {
                index += 3
                continue
            }
            // An extension is not part of the number.
            if (bytes[index] | 0x20) &- 0x61 < 26 || bytes[index] == 0x23 { break }
            if bytes[index] &- 0x30 < 10 { digits.append(Int(bytes[index] - 0x30)) }
            index += 1
        }
        var rest = digits[...]
        if bytes.first != 0x2B {
            if rest.starts(with: [0, 1, 1]) { rest = rest.dropFirst(3) } else if rest.starts(with: [0, 0]) { rest = rest.dropFirst(2) } else { return false }
        }
        for length in (1...3).reversed() where rest.count > length {
            if let counts = callingCodes[Self.value(rest.prefix(length))] { return counts.contains(rest.count - length) }
        }
        return false
    }

    private static func telephone(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Without its extension.
        let number = bytes.prefix { ($0 | 0x20) &- 0x61 >= 26 && $0 != 0x23 }
        let groups = number.split { !($0 &- 0x30 < 10) }
        let count = groups.reduce(0) { $0 + $1.count }
        guard (6...13).contains(count), number.contains(where: { $0 &- 0x30 < 10 && $0 != number.first(where: { $0 &- 0x30 < 10 }) }) else { return false }
        let values = groups.map { $0.reduce(0) { ($0 &* 10) &+ Int($1 - 0x30) } }
        func isYear(_ index: Int) -> Bool { groups[index].count == 4 && (1900...2099).contains(values[index]) }
        // Dates are written with one separator in both places: 02/27/1965, 1994-06-17, 17.06.94.
        if groups.count == 3, groups.allSatisfy({ $0.count <= 2 || $0.count == 4 }) {
            let months = values.contains { (1...12).contains($0) }
            if isYear(0), groups[1].count <= 2, groups[2].count <= 2, months { return false }
            if isYear(2), groups[0].count <= 2, groups[1].count <= 2, months { return false }
            let slashes = number.count { $0 == 0x2F }
            if slashes == 2, groups.allSatisfy({ $0.count <= 2 }) { return false }
        }
        if groups.count == 2, isYear(0), isYear(1) { return false }
        // Six digits are a number in pairs or in threes, and not a house and a street's.
        if count == 6, Set(groups.map(\.count)).count != 1 { return false }
        let dots = number.count { $0 == 0x2E }
        return !(dots == 3 && groups.count == 4 && values.allSatisfy { $0 < 256 } && groups.allSatisfy { $0.count <= 3 } && groups.contains { $0.count != 2 })
    }

    private static func ipv6(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var text = [CChar](bytes.map { CChar(truncatingIfNeeded: $0) })
        text.append(0)
        var address = in6_addr()
        guard bytes.count < 46, inet_pton(AF_INET6, text, &address) == 1 else { return false }
        // The unspecified address and loopback are nobody's; "a::b" may be a name in C++: two groups with digits, or three groups.
        let groups = bytes.split(separator: 0x3A)
        return groups.count >= 3 || bytes.contains(0x2E) || groups.count == 2 && groups.allSatisfy { $0.contains { $0 &- 0x30 < 10 } }
    }

    private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"].map { Array($0.utf8) }

    private static func birthDate(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let parts = bytes.split { !($0 &- 0x30 < 10) }.map { $0.reduce(0) { $0 * 10 + Int($1 - 0x30) } }
        let hasName = bytes.contains { ($0 | 0x20) &- 0x61 < 26 }
        func isYear(_ year: Int) -> Bool { (1900...2035).contains(year) || (0...99).contains(year) }
        if hasName { return parts.count == 2 && parts.contains { (1...31).contains($0) } && parts.contains { isYear($0) } }
        guard parts.count == 3 else { return false }
        if parts[0] > 31 { return isYear(parts[0]) && (1...12).contains(parts[1]) && (1...31).contains(parts[2]) }
        return isYear(parts[2]) && (1...31).contains(parts[0]) && (1...31).contains(parts[1]) && min(parts[0], parts[1]) <= 12
    }
}
