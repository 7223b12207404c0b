/// What a mail server says became of a mail that it had taken: a report as RFC 3464 has it, out of a mailbox.
///
/// Anybody can write one. It is read in one pass over at most ``bytesMax``, its own parts alone: what is nested in one of them is text, however deep it goes. All that is kept
/// of it is short and printable ASCII.
package struct DeliveryReport: Hashable, Sendable {
    package struct Recipient: Hashable, Sendable {
        /// As the sender had it; nil: the report does not say.
        package var original: String?
        /// As the server that gave up had it.
        package var final: String?
        /// In lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
        package var action: String
        /// `5.1.1`; empty: the report has none.
        package var status: String
        /// The server's own words.
        package var diagnostic: String

        /// It was not delivered, and nobody tries it again.
        package var hasFailed: Bool { action == "failed" }
    }

    /// Of the mail that it is about, without its brackets; nil: the report does not have it.
    package let messageID: String?
    package let recipients: [Recipient]

    /// What is sent back with it comes last, and of that the header is enough.
    package static let bytesMax = 256 * 1024
    /// Of one report.
    package static let recipientsMax = 100
    /// Octets of what is kept of a field.
    package static let textMax = 320
    /// RFC 2046.
    private static let boundaryMax = 70

    /// - Returns: nil: it is another mail.
    package init?(_ mail: some Collection<UInt8>) {
        let lines = DeliveryReport.lines(mail)
        var rest = lines[...]
        let type = DeliveryReport.fields(&rest)["content-type"] ?? ""
        guard DeliveryReport.mediaType(type) == "multipart/report", let boundary = DeliveryReport.parameter("boundary", of: type), 1...DeliveryReport.boundaryMax ~= boundary.utf8.count else { return nil }
        var recipients: [Recipient]?
        var messageID: String?
        for part in DeliveryReport.parts(rest, boundary) {
            var body = part
            switch DeliveryReport.mediaType(DeliveryReport.fields(&body)["content-type"] ?? "") {
            case "message/delivery-status", "message/global-delivery-status": recipients = recipients ?? DeliveryReport.recipients(body)
            case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
                messageID = messageID ?? DeliveryReport.fields(&body)["message-id"].flatMap(DeliveryReport.id)
            default: break
            }
        }
        guard let recipients, !recipients.isEmpty else { return nil }
        self.recipients = recipients
        self.messageID = messageID
    }

    /// Ended by LF, with or without a CR before it.
    private static func lines(_ mail: some Collection<UInt8>) -> [[UInt8]] {
        mail.prefix(bytesMax).split(separator: 0x0A, omittingEmptySubsequences: false).map { $0.last == 0x0D ? Array($0.dropLast()) : Array($0) }
    }

    /// A header, or a group of fields: up to the empty line, which is taken too. Names in lower case; of those with one name the first.
    private static func fields(_ lines: inout ArraySlice<[UInt8]>) -> [String: String] {
        var fields: [String: String] = [:]
        var open: (name: String, value: [UInt8])?
        func close() { if let open, fields[open.name] == nil { fields[open.name] = plain(open.value) } }
        while let line = lines.popFirst(), !line.isEmpty {
            if line[0] == 0x20 || line[0] == 0x09 {
                if let value = open?.value, value.count < 2_000 { open?.value += [0x20] + line.drop { $0 == 0x20 || $0 == 0x09 } }
            } else {
                close()
                guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
                    open = nil
                    continue
                }
                open = (plain(line[..<colon]).lowercased(), Array(line[(colon + 1)...].prefix(2_000)))
            }
        }
        close()
        return fields
    }

    /// The bodies between the lines that the boundary makes, each with its header.
    private static func parts(_ lines: ArraySlice<[UInt8]>, _ boundary: String) -> [ArraySlice<[UInt8]>] {
        let mark = Array("--\(boundary)".utf8)
        var parts: [ArraySlice<[UInt8]>] = []
        var start: Int?
        for (place, line) in zip(lines.indices, lines) where line.starts(with: mark) {
            let rest = line[mark.count...].filter { $0 != 0x20 && $0 != 0x09 }
            guard rest.isEmpty || rest == Array("--".utf8) else { continue }
            if let start { parts.append(lines[start..<place]) }
            start = place + 1
            // More than a report has, and than anybody's patience.
            guard rest.isEmpty, parts.count < 20 else { return parts }
        }
        // It was cut, by us or on the way.
        if let start { parts.append(lines[start...]) }
        return parts
    }

    /// The groups after the first, which is about the report.
    private static func recipients(_ lines: ArraySlice<[UInt8]>) -> [Recipient] {
        var rest = lines
        var found: [Recipient] = []
        while !rest.isEmpty, found.count < recipientsMax {
            let group = fields(&rest)
            guard let action = group["action"] else { continue }
            found.append(
                Recipient(
                    original: group["original-recipient"].flatMap(address), final: group["final-recipient"].flatMap(address),
                    action: String(action.prefix { $0.isLetter }).lowercased(), status: status(group["status"] ?? ""), diagnostic: typed(group["diagnostic-code"] ?? "")))
        }
        return found
    }

    /// `rfc822; ada@example.org`.
    private static func address(_ value: String) -> String? {
        let text = typed(value).filter { !"<>".contains($0) }
        return text.contains("@") ? text : nil
    }

    /// What stands behind the type.
    private static func typed(_ value: String) -> String {
        let text = value.firstIndex(of: ";").map { value[value.index(after: $0)...] } ?? value[...]
        return String(trimmed(text).prefix(textMax))
    }

    /// Three numbers with dots between them, or nothing.
    private static func status(_ value: String) -> String {
        let text = value.prefix { $0 == "." || $0.isNumber }
        let numbers = text.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 3 && numbers.allSatisfy { 1...3 ~= $0.count } ? String(text) : ""
    }

    private static func id(_ value: String) -> String? {
        guard let open = value.firstIndex(of: "<"), let close = value[open...].firstIndex(of: ">") else { return nil }
        let text = value[value.index(after: open)..<close]
        return 1...textMax ~= text.utf8.count ? String(text) : nil
    }

    private static func mediaType(_ value: String) -> String { trimmed(value.prefix { $0 != ";" }).lowercased() }

    private static func parameter(_ name: String, of value: String) -> String? {
        for part in value.split(separator: ";").dropFirst() {
            guard let equals = part.firstIndex(of: "="), trimmed(part[..<equals]).lowercased() == name else { continue }
            let text = trimmed(part[part.index(after: equals)...])
            guard text.hasPrefix("\"") else { return text }
            return String(text.dropFirst().prefix { $0 != "\"" })
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text = text.dropFirst() }
        while text.last == " " { text = text.dropLast() }
        return String(text)
    }

    /// Whatever is not printable ASCII is a question mark, and a tab a space.
    private static func plain(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(decoding: bytes.map { 0x20...0x7E ~= $0 ? $0 : $0 == 0x09 ? 0x20 : UInt8(ascii: "?") }, as: UTF8.self)
        return trimmed(text[...])
    }
}
