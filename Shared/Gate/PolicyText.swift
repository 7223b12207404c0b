/// The policy document that is in force. What stands in it is `Rules`' to understand: here it is bytes, recorded and handed on as they are.
package struct PolicyText: Hashable, Sendable {
    /// `PolicyDocument.canonical`.
    package var bytes: [UInt8]
    /// Classes that more people may be able to read than the document itself allows: two operators have said so by name.
    package var over: Set<String>
    /// The entry that applied it; 0: it is in force and not recorded yet.
    package var index: UInt64

    package init(_ bytes: [UInt8], over: Set<String> = [], index: UInt64) {
        self.bytes = bytes
        self.over = over
        self.index = index
    }
}

/// What a change of policy lets anybody do that they could not.
///
/// It comes in from above, since this floor cannot read a document. Pure, and the same everywhere: what one node takes for a narrowing no other may take for a widening.
package struct PolicyComparison: Sendable {
    /// Events of one class become events of another.
    package struct Move: Hashable, Sendable {
        package var from: String
        package var to: String

        package init(from: String, to: String) {
            self.from = from
            self.to = to
        }
    }

    package struct Answer: Hashable, Sendable {
        /// A line each, for people. None: it narrows.
        package var gains: [String]
        /// What one class's closure has stopped may flow as another's.
        package var moves: Set<Move>

        package init(gains: [String] = [], moves: Set<Move> = []) {
            self.gains = gains
            self.moves = moves
        }
    }

    private let answer: @Sendable (_ old: [UInt8]?, _ new: [UInt8]?) -> Answer
    private let sendsAtOnce: @Sendable (_ document: [UInt8]) -> Bool

    /// - Parameters:
    ///   - sendsAtOnce: whether a document lets one operator send notices to people. Of one that cannot be read: no.
    ///   - answer: from the document that is in force (nil: none is) to another.
    package init(sendsAtOnce: @escaping @Sendable (_ document: [UInt8]) -> Bool, _ answer: @escaping @Sendable (_ old: [UInt8]?, _ new: [UInt8]?) -> Answer) {
        self.answer = answer
        self.sendsAtOnce = sendsAtOnce
    }

    /// By no document does one operator send.
    package init(_ answer: @escaping @Sendable (_ old: [UInt8]?, _ new: [UInt8]?) -> Answer) { self.init(sendsAtOnce: { _ in false }, answer) }

    /// - Parameter document: the one in force; nil: none is.
    package func sendsNoticesAtOnce(_ document: [UInt8]?) -> Bool { document.map(sendsAtOnce) ?? false }

    package func callAsFunction(_ old: [UInt8]?, _ new: [UInt8]?) -> Answer { old == new ? Answer() : answer(old, new) }

    /// For whoever cannot read documents: any other one may widen.
    package static let none = PolicyComparison { _, _ in Answer(gains: ["another policy, which nobody here can compare with the one before"]) }
}
