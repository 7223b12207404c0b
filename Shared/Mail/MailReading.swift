/// How a mail that anybody can have written is read: in one pass over at most ``bytesMax``, its own parts alone, and what is kept is short and printable ASCII.
enum MailReading {
    /// What is sent back with a report comes last, and of that the header is enough.
    static let bytesMax = 256 * 1024
    /// Octets of what is kept of a field.
    static let textMax = 320
    /// RFC 2046.
    private static let boundaryMax = 70

    /// The parts of a report as RFC 6522 has it, each with its header; nil: it is another mail.
    static func report(_ mail: some Collection<UInt8>) -> [ArraySlice<[UInt8]>]? {
        let lines = lines(mail)
        var rest = lines[...]
        let type = fields(&rest)["content-type"] ?? ""
        guard mediaType(type) == "multipart/report", let boundary = parameter("boundary", of: type), 1...boundaryMax ~= boundary.utf8.count else { return nil }
        return parts(rest, boundary)
    }

    /// Ended by LF, with or without a CR before it.
    static func lines(_ mail: some Collection<UInt8>) -> [[UInt8]] {
        mail.prefix(bytesMax).split(separator: 0x0A, omittingEmptySubsequences: false).map { $0.last == 0x0D ? Array($0.dropLast()) : Array($0) }
    }

    /// A header, or a group of fields: up to the empty line, which is taken too. Names in lower case; of those with one name the first.
    static func fields(_ lines: inout ArraySlice<[UInt8]>) -> [String: String] {
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
    static func parts(_ lines: ArraySlice<[UInt8]>, _ boundary: String) -> [ArraySlice<[UInt8]>] {
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

    /// `rfc822; ada@example.org`.
    static func address(_ value: String) -> String? {
        let text = typed(value).filter { !"<>".contains($0) }
        return text.contains("@") ? text : nil
    }

    /// What stands behind the type.
    static func typed(_ value: String) -> String {
        let text = value.firstIndex(of: ";").map { value[value.index(after: $0)...] } ?? value[...]
        return String(trimmed(text).prefix(textMax))
    }

    static func id(_ value: String) -> String? {
        guard let open = value.firstIndex(of: "<"), let close = value[open...].firstIndex(of: ">") else { return nil }
        let text = value[value.index(after: open)..<close]
        return 1...textMax ~= text.utf8.count ? String(text) : nil
    }

    static func mediaType(_ value: String) -> String { trimmed(value.prefix { $0 != ";" }).lowercased() }

    static func parameter(_ name: String, of value: String) -> String? {
        for part in value.split(separator: ";").dropFirst() {
            guard let equals = part.firstIndex(of: "="), trimmed(part[..<equals]).lowercased() == name else { continue }
            let text = trimmed(part[part.index(after: equals)...])
            guard text.hasPrefix("\"") else { return text }
            return String(text.dropFirst().prefix { $0 != "\"" })
        }
        return nil
    }

    static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text = text.dropFirst() }
        while text.last == " " { text = text.dropLast() }
        return String(text)
    }

    /// Whatever is not printable ASCII is a question mark, and a tab a space.
    static func plain(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(decoding: bytes.map { 0x20...0x7E ~= $0 ? $0 : $0 == 0x09 ? 0x20 : UInt8(ascii: "?") }, as: UTF8.self)
        return trimmed(text[...])
    }
}
