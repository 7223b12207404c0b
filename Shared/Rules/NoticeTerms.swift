package import Gate

/// How people are told of an incident, where the policy document says so.
package struct NoticeTerms: Hashable, Sendable {
    /// Whose word it takes before a notice leaves.
    package enum Sending: String, Hashable, Sendable, CaseIterable {
        case twoOperators = "two operators"
        /// One operator's, who sends at once.
        case atOnce = "at once"
    }

    /// What of a reader is told to the person whose data it was. From the least.
    package enum Naming: String, Hashable, Sendable, CaseIterable, Comparable {
        case count, role, person

        private var rank: Int { Naming.allCases.firstIndex(of: self) ?? 0 }
        package static func < (left: Naming, right: Naming) -> Bool { left.rank < right.rank }
    }

    package var send: Sending
    /// The most that is told. Whoever sends may tell less.
    package var readers: Naming
    /// After so long somebody is told of those who were not reached; nil: the settings of notify alone say when.
    package var escalate: Span?

    package init(send: Sending = .twoOperators, readers: Naming = .role, escalate: Span? = nil) {
        self.send = send
        self.readers = readers
        self.escalate = escalate
    }

    /// What counts where no document says anything.
    package static let none = NoticeTerms()

    /// Thirty days, as in the settings of notify.
    package static let escalateHoursMax: Int64 = 720

    /// One thing by which these let somebody do what others do not.
    package enum Loosening: Hashable, Sendable {
        case sending
        case naming(Naming)
        case escalating

        /// For people.
        package var words: String {
            switch self {
            case .sending: "one operator alone sends people their notices, and no second one looks before they leave"
            case .naming(let most): "notices may tell people of readers by \(most.rawValue), which is more than before"
            case .escalating: "who has no notice is named later to those who can find them, or only when notify's own settings say"
            }
        }
    }

    /// Empty: whatever keeps to this keeps to the other as well.
    package func loosenings(of other: NoticeTerms) -> [Loosening] {
        var all: [Loosening] = []
        if send == .atOnce, other.send != .atOnce { all.append(.sending) }
        if readers > other.readers { all.append(.naming(readers)) }
        if let known = other.escalate, escalate.map({ $0 > known }) ?? true { all.append(.escalating) }
        return all
    }
}

extension NoticeTerms {
    /// As a document has them. What is wrong with them the reader is told.
    init(_ tree: Tree?, _ reader: inout TreeReader) {
        self.init()
        guard let tree, tree.content != .text(""), let fields = reader.fields(tree, of: "notices", required: [], optional: ["send", "readers", "escalate"]) else { return }
        if let tree = fields["send"] { send = reader.choice(tree, "how notices are sent", of: Sending.self) ?? send }
        if let tree = fields["readers"] { readers = reader.choice(tree, "how readers are told of", of: Naming.self) ?? readers }
        guard let word = reader.word(fields["escalate"], "a time") else { return }
        let words = word.text.split(separator: " ")
        guard words.count == 2, words[1] == "h", words[0].utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let hours = Int64(words[0]), (1...NoticeTerms.escalateHoursMax).contains(hours) else {
            reader.complain(.expected("a time like '24 h', \(NoticeTerms.escalateHoursMax) h at most", found: "'\(word.text.prefix(60))'"), at: word.place)
            return
        }
        escalate = .seconds(hours * 3_600)
    }
}
