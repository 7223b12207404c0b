package import Gate
package import Mail

/// A notice as it goes out.
package struct NoticePage: Hashable, Sendable {
    package var language: NoticeLanguage
    package var subject: String
    /// Lines of at most 72 characters, but for a word that is longer: quoted once or twice, they still fit a terminal.
    package var text: String
    package var html: String

    private static let lineMax = 72

    /// As a mail. With the same id and date it is the same mail.
    package func mail(id: String, from: Mailbox, to: Mailbox, replyTo: Mailbox? = nil, at date: WallTime, proofs: [MailMessage.Attachment] = []) throws(MailRefused) -> MailMessage {
        try MailMessage(id: id, from: from, to: to, replyTo: replyTo, subject: subject, date: date, language: language.rawValue, text: text, html: html, attachments: proofs)
    }

    /// Broken at spaces, but not behind a number, which says nothing without its month or noun; what belongs to a point stays under it.
    static func wrapped(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard line.count > lineMax else { return String(line) }
            let indent = line.prefix { $0 == " " }.count
            let isPoint = line.dropFirst(indent).hasPrefix("- ") || line.dropFirst(indent).hasPrefix("* ")
            let hanging = String(repeating: " ", count: indent + (isPoint ? 2 : 0))
            var lines: [String] = []
            var current = String(repeating: " ", count: indent)
            var isEmpty = true
            for word in words(of: line.dropFirst(indent)) {
                if !isEmpty, current.count + 1 + word.count > lineMax {
                    lines.append(current)
                    (current, isEmpty) = (hanging, true)
                }
                current += (isEmpty ? "" : " ") + word
                isEmpty = false
            }
            return (lines + [current]).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    private static func words(of line: Substring) -> [String] {
        var words: [String] = []
        for word in line.split(separator: " ") {
            if let last = words.last, isNumber(last.split(separator: " ").last ?? "") { words[words.count - 1] = "\(last) \(word)" } else { words.append(String(word)) }
        }
        return words
    }

    /// `26` or `26.`, as before a month.
    private static func isNumber(_ word: Substring) -> Bool { word.first?.isNumber ?? false && word.allSatisfy { $0.isNumber || $0 == "." } }
}
