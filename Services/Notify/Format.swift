import Foundation

/// The shape in which a hook is told. The outbox holds the standard one; the others are made of it when it is sent, the same bytes on each attempt.
///
/// What people wrote stands in these bodies as text, and never as something that a chat would act on: no link, no mention, no mark-up.
enum Format: String, Hashable, Sendable, CaseIterable {
    /// Standard Webhooks' `{"type", "timestamp", "data"}`.
    case standard
    /// CloudEvents 1.0 in JSON, structured mode: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
    case cloudevents
    /// An incoming webhook of Slack: <https://docs.slack.dev/messaging/formatting-message-text>.
    case slack
    /// A Teams workflow that takes an adaptive card.
    case teams

    /// Slack and Teams check no signature: their URL is the secret.
    var needsSecret: Bool { self == .standard || self == .cloudevents }

    var contentType: String { self == .cloudevents ? "application/cloudevents+json; charset=utf-8" : "application/json" }

    func body(of message: Message) -> Data {
        // Whatever is no envelope is sent as it is: it was made here, and must arrive.
        guard self != .standard, let told = try? JSONDecoder().decode(Envelope.self, from: message.body) else { return message.body }
        return switch self {
        case .standard: message.body
        case .cloudevents: Format.encoded(CloudEvent(message, told))
        case .slack: Format.encoded(SlackMessage(Story(told)))
        case .teams: Format.encoded(TeamsMessage(Story(told)))
        }
    }

    struct Envelope: Decodable {
        var type: String
        var timestamp: String
        var data: BodyValue
    }

    private static func encoded(_ body: some Encodable) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings, whole numbers and truths alone, which always encode.
        guard let bytes = try? encoder.encode(body) else { preconditionFailure("a body holds a value that is not JSON") }
        return bytes
    }
}

/// A value in a body. There are no fractions in them.
indirect enum BodyValue: Hashable, Sendable, Codable {
    case null
    case truth(Bool)
    case number(Int64)
    case count(UInt64)
    case text(String)
    case list([BodyValue])
    case object([String: BodyValue])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() { self = .null; return }
        if let truth = try? value.decode(Bool.self) { self = .truth(truth); return }
        if let number = try? value.decode(Int64.self) { self = .number(number); return }
        if let count = try? value.decode(UInt64.self) { self = .count(count); return }
        if let text = try? value.decode(String.self) { self = .text(text); return }
        if let list = try? value.decode([BodyValue].self) { self = .list(list); return }
        self = .object(try value.decode([String: BodyValue].self))
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .truth(let truth): try value.encode(truth)
        case .number(let number): try value.encode(number)
        case .count(let count): try value.encode(count)
        case .text(let text): try value.encode(text)
        case .list(let list): try value.encode(list)
        case .object(let object): try value.encode(object)
        }
    }

    subscript(_ key: String) -> BodyValue? {
        guard case .object(let object) = self else { return nil }
        return object[key]
    }

    /// For people; nil: there is nothing to see.
    var words: String? {
        switch self {
        case .null: nil
        case .truth(let truth): truth ? "yes" : "no"
        case .number(let number): "\(number)"
        case .count(let count): "\(count)"
        case .text(let text): text.isEmpty ? nil : text
        case .list(let list): list.isEmpty ? nil : list.compactMap(\.words).joined(separator: ", ")
        case .object(let object):
            object.isEmpty ? nil : object.sorted { $0.key < $1.key }.compactMap { key, value in value.words.map { "\(key) \($0)" } }.joined(separator: "; ")
        }
    }
}

private struct CloudEvent: Encodable {
    var specversion = "1.0"
    var id: String
    var source = "/sluice/governance"
    var type: String
    var subject: String?
    var time: String
    var datacontenttype = "application/json"
    var dataschema: String
    var data: BodyValue

    init(_ message: Message, _ told: Format.Envelope) {
        id = message.id
        type = "sluice." + told.type
        subject = told.data["incident"]?.words.flatMap { $0 == "0" ? nil : "incident/\($0)" }
        time = told.timestamp
        dataschema = "urn:sluice:schema:" + told.type
        data = told.data
    }
}

/// What happened, for people: a line, and facts below it.
struct Story: Sendable {
    var title: String
    var facts: [(name: String, value: String)]
    var foot: String

    static let factsMax = 10
    /// Scalars. Slack takes 2,000 in a field and 3,000 in a text, and what is escaped is up to five times as long.
    static let valueMax = 300

    init(_ told: Format.Envelope) {
        let data = told.data
        func word(_ key: String) -> String { data[key]?.words ?? "?" }
        let closure = data["closure"]?["epoch"] == nil ? data["pause"] : data["closure"]
        let title =
            switch told.type {
            case "incident.opened": "Incident \(word("incident")): \(word("title"))"
            case "incident.finding": "Found again, incident \(word("incident")): \(word("title"))"
            case "incident.reminder": "Incident \(word("incident")): \(word("hours")) of 72 hours are over, \(word("hours_left")) are left to report it"
            case "notices.decided":
                word("send") == "at once"
                    ? "Incident \(word("incident")): \(word("author")) alone decided that \(word("people")) get their notices" : "Incident \(word("incident")): two operators decided that \(word("people")) get their notices"
            case "gate.paused": "Paused: \(closure?["direction"]?.words == "both" ? "capture and reading" : closure?["direction"]?.words ?? "?")"
            case "gate.resumed": "Open again"
            case "certificate.completed": "Stopped everywhere after \(word("complete_after_ms")) ms"
            case "certificate.incomplete": "The stop could not be confirmed everywhere"
            case "drill.found": "Drill: \(word("title"))"
            case "drill.certified": "Drill: stopped after \(word("complete_after_ms")) ms"
            case "drill.ended": "Drill \(word("drill")) has ended"
            case "notify.test": "A test of this channel"
            default: told.type
            }
        self.title = Story.line(title)
        var facts: [(name: String, value: String)] = []
        func add(_ name: String, _ value: BodyValue?) {
            guard let words = value?.words, facts.count < Story.factsMax else { return }
            facts.append((name, Story.line(words)))
        }
        for (name, key) in [
            ("leak", "is_leak"), ("class", "data_class"), ("detector", "detector"), ("found", "found"), ("report until", "report_until"), ("reason", "reason"), ("not confirmed", "unconfirmed"),
            ("missed", "missed"), ("lifted", "closures"), ("people", "people"), ("notices: send", "send"), ("digest", "digest"), ("by", "author"),
        ] { add(name, data[key]) }
        if let closure, let scope = closure["scope"] {
            add("what", closure["direction"])
            let parts = ["sites", "teams", "subjects", "classes", "readers", "purposes"].compactMap { part in scope[part]?.words.map { "\(part) \($0)" } }
            add("scope", .text(parts.isEmpty ? "everything" : parts.joined(separator: "; ")))
            add("why", closure["reason"])
            if data["author"] == nil { add("by", closure["author"]) }
        }
        self.facts = facts
        foot = Story.line("Sluice, \(told.type), \(told.timestamp)")
    }

    /// One line: what would break or turn it is a space.
    static func line(_ text: String) -> String {
        let plain = String(String.UnicodeScalarView(text.unicodeScalars.map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: " "
            default: scalar
            }
        }))
        // By scalars: of accents there can be any number on one character.
        return plain.unicodeScalars.count > valueMax ? String(plain.unicodeScalars.prefix(valueMax - 1)) + "…" : plain
    }
}

private struct SlackMessage: Encodable {
    struct Text: Encodable {
        var type = "mrkdwn"
        var text: String
        /// Nothing in it is looked at for links, channels or names.
        var verbatim = true
    }

    struct Block: Encodable {
        var type: String
        var text: Text?
        var fields: [Text]?
        var elements: [Text]?
    }

    /// Where blocks cannot be shown.
    var text: String
    var blocks: [Block]

    init(_ story: Story) {
        text = SlackMessage.escaped(story.title)
        blocks = [Block(type: "section", text: Text(text: text))]
        if !story.facts.isEmpty { blocks.append(Block(type: "section", fields: story.facts.map { Text(text: "*\($0.name)*\n" + SlackMessage.escaped($0.value)) })) }
        blocks.append(Block(type: "context", elements: [Text(text: SlackMessage.escaped(story.foot))]))
    }

    /// The three that Slack acts on; marks of emphasis, which would make text look like something else, are kept from their work by a character of no width.
    ///
    /// Scalar by scalar: with an accent on it, one of the three is another character to Swift, and not to Slack.
    static func escaped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "*", "_", "~", "`": result += "\u{200B}\(scalar)\u{200B}"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}

/// Runs of text are shown as they are; a block of text would be read as Markdown.
private struct TeamsMessage: Encodable {
    struct Attachment: Encodable {
        var contentType = "application/vnd.microsoft.card.adaptive"
        var content: Card
    }

    struct Card: Encodable {
        var schema = "http://adaptivecards.io/schemas/adaptive-card.json"
        var type = "AdaptiveCard"
        var version = "1.4"
        var body: [Block]

        private enum CodingKeys: String, CodingKey { case schema = "$schema", type, version, body }
    }

    struct Block: Encodable {
        var type = "RichTextBlock"
        var inlines: [Run]
    }

    struct Run: Encodable {
        var type = "TextRun"
        var text: String
        var weight: String?
        var size: String?
        var isSubtle: Bool?
    }

    var type = "message"
    var attachments: [Attachment]

    init(_ story: Story) {
        let title = Block(inlines: [Run(text: story.title, weight: "Bolder", size: "Medium")])
        let facts = story.facts.map { Block(inlines: [Run(text: $0.name + ": ", weight: "Bolder"), Run(text: $0.value)]) }
        attachments = [Attachment(content: Card(body: [title] + facts + [Block(inlines: [Run(text: story.foot, size: "Small", isSubtle: true)])]))]
    }
}
