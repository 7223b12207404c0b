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

/// What a change of policy lets anybody do that they could not: a line each, for people. None: it narrows.
///
/// It comes in from above, since this floor cannot read a document. Pure, and the same everywhere: what one node takes for a narrowing no other may take for a widening.
package struct PolicyComparison: Sendable {
    private let gains: @Sendable (_ old: [UInt8]?, _ new: [UInt8]?) -> [String]

    /// - Parameter gains: from the document that is in force (nil: none is) to another.
    package init(_ gains: @escaping @Sendable (_ old: [UInt8]?, _ new: [UInt8]?) -> [String]) { self.gains = gains }

    package func callAsFunction(_ old: [UInt8]?, _ new: [UInt8]?) -> [String] { old == new ? [] : gains(old, new) }

    /// For whoever cannot read documents: any other one may widen.
    package static let none = PolicyComparison { _, _ in ["another policy, which nobody here can compare with the one before"] }
}
