/// Why a machine with a token is not admitted.
package enum JoinRefused: Error, Hashable, Sendable {
    /// Nobody has approved an enrolment with this token (yet), or it is long over.
    case unknownToken
    /// Another machine has joined with it.
    case usedToken
    case expiredToken(WallTime)
    /// The machine's key was taken away once: who has it may have stolen it.
    case revokedKey
    /// The machine's key is another agent's.
    case keyInUse(by: String)
    /// The name that the key gives is another agent's.
    case nameInUse(String)
}

/// What a token that counts does.
package enum JoinDecision: Hashable, Sendable {
    /// Register this key, under this name, by this enrolment.
    case register(name: String, Enrolment)
    /// The same machine came with the same token before, and its answer was lost.
    case known(Node)
}

/// A token that counts no more.
package struct SpentToken: Hashable, Sendable {
    package enum End: Hashable, Sendable {
        case used(by: [UInt8], ordinal: UInt32)
        case expired(WallTime)
    }

    package let token: [UInt8]
    package let end: End

    package init(token: [UInt8], end: End) {
        self.token = token
        self.end = end
    }

    /// Whoever comes with one of the newest so many is told what became of it; with an older one, that it is not known.
    package static let max = 1_000
}

extension Governance {
    /// Decides about a machine that has shown a token in its handshake's own name.
    ///
    /// Used and expired are told from unknown to everybody: who can ask has the secret, 256 random bits, and an honest owner must hear that
    /// somebody else came first.
    /// - Parameters:
    ///   - token: SHA-256 of the secret.
    ///   - ownName: What the machine is called if the enrolment names it not; made of its key.
    package func admit(token: [UInt8], key: [UInt8], ownName: String, at now: WallTime) throws(JoinRefused) -> JoinDecision {
        var spent: SpentToken?
        for candidate in spentTokens where isSame(candidate.token, token) { spent = candidate }
        switch spent?.end {
        case .used(let user, let ordinal):
            guard user == key else { throw .usedToken }
            if revokedKeys.contains(key) { throw .revokedKey }
            guard let node = nodes[ordinal], node.key == key else { throw .usedToken }
            return .known(node)
        case .expired(let end): throw .expiredToken(end)
        case nil: break
        }
        var opened: Enrolment?
        for candidate in enrolments.values where isSame(candidate.token, token) { opened = candidate }
        guard let opened else { throw .unknownToken }
        guard now < opened.until else { throw .expiredToken(opened.until) }
        guard !revokedKeys.contains(key) else { throw .revokedKey }
        let name = opened.name.isEmpty ? ownName : opened.name
        if let holder = nodes.values.first(where: { $0.key == key }), holder.name != name { throw .keyInUse(by: holder.name) }
        // Two operators may give a known name to another machine; a key may not choose one.
        if opened.name.isEmpty, let other = node(named: name), other.key != key { throw .nameInUse(name) }
        return .register(name: name, opened)
    }
}

/// Compares all of both, wherever they differ: how long it takes tells nobody how much of a guess was right.
package func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}

/// Why no one name is meant.
package enum NameUnclear: Error, Hashable, Sendable {
    case unknown
    /// A prefix of fewer than ``NamePrefix/lengthMin`` characters.
    case short
    /// These all begin so, sorted.
    case ambiguous([String])
}

/// A name, or enough of its beginning.
package enum NamePrefix {
    package static let lengthMin = 4

    /// The name that is meant: that very one, or the only one that begins so.
    package static func resolve(_ text: String, among names: some Sequence<String>) throws(NameUnclear) -> String {
        var found: [String] = []
        for name in names where !text.isEmpty && name.hasPrefix(text) {
            // A name that is complete means itself, whatever else begins with it.
            if name == text { return name }
            found.append(name)
        }
        guard !found.isEmpty else { throw .unknown }
        guard text.count >= lengthMin else { throw .short }
        guard found.count == 1 else { throw .ambiguous(found.sorted()) }
        return found[0]
    }
}
