/// An address, and the name that a mail program shows for it.
package struct Mailbox: Hashable, Sendable {
    /// May be empty.
    package let name: String
    package let address: MailAddress

    /// Octets. Names of people end far below it; what is longer is a mistake, or an attempt.
    package static let nameMax = 200

    package init(name: String = "", address: MailAddress) throws(MailRefused) {
        try MailRefused.check(name, .name, most: Mailbox.nameMax)
        self.name = name
        self.address = address
    }

    /// As it stands in a header that begins with `key: `, folded.
    func line(_ key: String) -> String {
        guard !name.isEmpty else { return "\(key): <\(address)>" }
        let isPlain = name.utf8.count <= 48 && name.isPlain
        let written = isPlain ? "\"" + name.map { "\"\\".contains($0) ? "\\\($0)" : String($0) }.joined() + "\"" : EncodedWords.folded(name, after: key.utf8.count + 2)
        return "\(key): \(written)\r\n <\(address)>"
    }
}

/// Why a message is not made. Final: nothing of it has been sent, and the same parts are refused again.
package enum MailRefused: Error, Hashable, Sendable {
    case empty(Field)
    case long(Field, octets: Int, most: Int)
    /// A line break, another control character, or one that nobody sees.
    case character(Unicode.Scalar, in: Field)

    package enum Field: String, Sendable {
        case id, name, subject, language, attachments
        case fileName = "file name"
        case mediaType = "media type"
        case text
    }

    /// For operators.
    package var words: String {
        switch self {
        case .empty(let field): "the \(field.rawValue) is empty"
        case .long(let field, let octets, let most): "the \(field.rawValue) has \(octets) octets, and \(most) is the most"
        case .character(let scalar, let field): "\(scalar.name) may not stand in the \(field.rawValue)"
        }
    }

    static func check(_ text: String, _ field: Field, most: Int) throws(MailRefused) {
        guard text.utf8.count <= most else { throw .long(field, octets: text.utf8.count, most: most) }
        if let scalar = text.unicodeScalars.first(where: \.endsOrHides) { throw .character(scalar, in: field) }
    }

    /// - Throws: also when it is empty.
    static func check(_ text: String, _ field: Field, most: Int, allowed: (Unicode.Scalar) -> Bool) throws(MailRefused) {
        guard !text.isEmpty else { throw .empty(field) }
        try check(text, field, most: most)
        if let scalar = text.unicodeScalars.first(where: { !allowed($0) }) { throw .character(scalar, in: field) }
    }
}
