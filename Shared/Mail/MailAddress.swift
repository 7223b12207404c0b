import CIDN2

/// Where mail for somebody goes: `local@domain`, and nothing else.
///
/// A text is taken whole or refused whole: no display name, no brackets, no comment, no list, no quoted local part, no address in digits. Each of these is legal
/// somewhere in RFC 5322, none is what a directory holds, and what two programs read differently is how one person's notice reaches another. What is held is ASCII without
/// anything that could end a command or a header, so it can be written into `RCPT TO` and `To` as it is.
package struct MailAddress: Hashable, Sendable, CustomStringConvertible {
    /// As it was written: who compares case there is the receiving server alone.
    package let local: String
    /// In A-labels and lower case: `xn--bcher-kva.example` for `Bücher.example`.
    package let domain: String

    /// From RFC 5321, 4.5.3.1, in octets. A path may be 256 long with its brackets.
    package static let localMax = 64
    package static let domainMax = 253
    package static let addressMax = 254
    private static let labelMax = 63

    package init(_ text: String) throws(MailAddressRefused) {
        guard !text.isEmpty else { throw .empty }
        // Before anything is made of it. Far more than fits, so that what is told of a long one is its length.
        guard text.utf8.count <= 4 * MailAddress.addressMax else { throw .long(.address, octets: text.utf8.count) }
        if let scalar = text.unicodeScalars.first(where: \.endsOrHides) { throw .character(scalar) }
        guard let at = text.unicodeScalars.lastIndex(of: "@") else { throw .noAt }
        let local = String(text.unicodeScalars[..<at])
        let domain = try MailAddress.ascii(domain: String(text.unicodeScalars[text.unicodeScalars.index(after: at)...]))
        try MailAddress.check(local: local)
        guard local.utf8.count + 1 + domain.utf8.count <= MailAddress.addressMax else { throw .long(.address, octets: local.utf8.count + 1 + domain.utf8.count) }
        self.local = local
        self.domain = domain
    }

    package var description: String { "\(local)@\(domain)" }

    /// RFC 5321's Dot-string.
    private static func check(local: String) throws(MailAddressRefused) {
        guard !local.isEmpty else { throw .empty }
        // A name in another script takes SMTPUTF8 on every server between here and there, and few say so before the message is lost.
        if let scalar = local.unicodeScalars.first(where: { !$0.isASCII }) { throw .localNotASCII(scalar) }
        guard local.utf8.count <= localMax else { throw .long(.local, octets: local.utf8.count) }
        if let scalar = local.unicodeScalars.first(where: { !$0.isAtomText && $0 != "." }) { throw .character(scalar) }
        guard !local.hasPrefix("."), !local.hasSuffix("."), !local.utf8.hasDoubledDot else { throw .dots }
    }

    /// Letters, digits and hyphens, whichever script it came in.
    private static func ascii(domain text: String) throws(MailAddressRefused) -> String {
        guard !text.isEmpty else { throw .empty }
        let isASCII = text.utf8.allSatisfy { $0 < 0x80 }
        let domain = isASCII ? text : try MailAddress.aLabels(text)
        guard domain.utf8.count <= domainMax else { throw .long(.domain, octets: domain.utf8.count) }
        let labels = domain.split(separator: ".", omittingEmptySubsequences: false)
        for label in labels {
            guard !label.isEmpty else { throw .dots }
            guard label.utf8.count <= labelMax else { throw .long(.label, octets: label.utf8.count) }
            if let scalar = label.unicodeScalars.first(where: { !$0.isLetterOrDigit && $0 != "-" }) { throw .character(scalar) }
            guard !label.hasPrefix("-"), !label.hasSuffix("-") else { throw .hyphen(String(label)) }
        }
        // `127.0.0.1` is a host to some programs and a name to others.
        if let last = labels.last, last.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) { throw .digits(String(last)) }
        return domain.lowercased()
    }

    /// IDNA 2008 with UTS 46's mapping, not transitional, as browsers do: `ß` stays apart from `ss`.
    private static func aLabels(_ text: String) throws(MailAddressRefused) -> String {
        var found: UnsafeMutablePointer<UInt8>?
        let flags = Int32(IDN2_NFC_INPUT.rawValue | IDN2_NONTRANSITIONAL.rawValue | IDN2_USE_STD3_ASCII_RULES.rawValue)
        // The text holds no NUL: the whole of it is read.
        let code = idn2_lookup_u8(Array(text.utf8) + [0], &found, flags)
        guard code == IDN2_OK.rawValue, let found else { throw .noSuchDomain(idnCode: code) }
        defer { idn2_free(found) }
        return String(cString: found)
    }
}

/// Why a text is no address that mail is sent to. Final: the same text never becomes one.
package enum MailAddressRefused: Error, Hashable, Sendable {
    /// Nothing, or nothing before or behind the `@`.
    case empty
    case noAt
    case long(Part, octets: Int)
    /// One that may not stand where it stands: a line break, a space, a bracket, a second `@`.
    case character(Unicode.Scalar)
    /// It begins or ends with a dot, or two follow on each other.
    case dots
    case localNotASCII(Unicode.Scalar)
    /// A part of the domain begins or ends with one.
    case hyphen(String)
    /// The domain is an address in digits.
    case digits(String)
    /// It cannot be written in A-labels. libidn2's number.
    case noSuchDomain(idnCode: Int32)

    package enum Part: String, Sendable { case address, local, domain, label }

    /// For whoever keeps the directory. Holds nothing of the text but single characters and parts of its domain.
    package var words: String {
        switch self {
        case .empty: "it is empty, or one side of the @ is"
        case .noAt: "it has no @"
        case .long(let part, let octets): "its \(part.rawValue) is too long: \(octets) octets"
        case .character(let scalar): "\(scalar.name) may not stand there"
        case .dots: "a dot stands at an end, or two follow on each other"
        case .localNotASCII(let scalar): "\(scalar.name) before the @ takes a server that Sluice does not count on: use the person's ASCII address"
        case .hyphen(let label): "'\(label)' begins or ends with a hyphen"
        case .digits: "its domain is an address in digits"
        case .noSuchDomain: "its domain is no internationalised name"
        }
    }
}

extension Unicode.Scalar {
    /// Ends a line somewhere, is not seen, or turns what follows around: allowed in no address, no name and no subject.
    ///
    /// C0, DEL, C1 (NEL among them), U+2028, U+2029, the marks of direction, the byte order mark, the tags.
    var endsOrHides: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200B, 0x200E, 0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F: true
        default: false
        }
    }

    /// RFC 5322's atext.
    var isAtomText: Bool { isLetterOrDigit || "!#$%&'*+-/=?^_`{|}~".unicodeScalars.contains(self) }
    var isLetterOrDigit: Bool {
        switch value {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: false
        }
    }

    /// `U+2028`: never the character itself.
    var name: String {
        let digits = String(value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

extension String.UTF8View {
    fileprivate var hasDoubledDot: Bool { zip(self, dropFirst()).contains { $0 == UInt8(ascii: ".") && $1 == UInt8(ascii: ".") } }
}
