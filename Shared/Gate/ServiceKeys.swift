/// Why the keys of a service stay as they are.
package enum ServiceKeysRefused: Error, Hashable, Sendable {
    /// Not 32 bytes, or nothing secret can be agreed with it.
    case unfit
    /// Two keys count already: the older is retired first.
    case underWay
    /// It is to stand beside a key that the service does not have.
    case besideAnother
    case keyInUse(by: String)
    /// A key that was retired, or was taken away from an agent, never comes back.
    case retired
    /// The service has no such key, or none but this one.
    case unknown, last
}

/// The keys by which services are known: to listen with, and to connect with. One each, and two while one is being exchanged.
///
/// A service that is not in here has the key that the registry names, with which the suite began. From the first announcement on the ledger
/// says which keys count, and the registry counts no more.
///
/// Moves of a service: *one* → ``announce(_:for:beside:at:)`` → *two* → ``retire(_:of:at:)``, of either → *one*. Which of two keys the service itself
/// uses is no decision: everybody takes both.
package struct ServiceKeys: Hashable, Sendable {
    /// By service; the older first.
    package private(set) var current: [String: [[UInt8]]] = [:]
    package private(set) var retired: Set<[UInt8]> = []
    /// The entries that announced them, by key, also of keys that were retired.
    private var announcements: [[UInt8]: UInt64] = [:]
    /// The newest retirement, by service.
    package private(set) var retiredAt: [String: UInt64] = [:]

    package init() {}

    /// The entry that announced the newest key that counts, by service; a key that came with the registry was announced by none.
    package var announcedAt: [String: UInt64] { current.compactMapValues { keys in keys.compactMap { announcements[$0] }.last } }

    package func holder(of key: [UInt8]) -> String? { current.first { $0.value.contains(key) }?.key }

    /// A key that is to count for a service.
    ///
    /// - Parameters:
    ///   - before: The one that counts for it now: of a service that is not in here yet, the registry's.
    ///   - index: Of the entry.
    /// - Throws: the first reason against it; nothing is changed then.
    package mutating func announce(_ key: [UInt8], for service: String, beside before: [UInt8], at index: UInt64) throws(ServiceKeysRefused) {
        guard [key, before].allSatisfy({ $0.count == 32 && !MontgomeryPoint.isLowOrder($0) }), !service.isEmpty else { throw .unfit }
        guard !retired.contains(key), !retired.contains(before) else { throw .retired }
        if let holder = holder(of: key) { throw .keyInUse(by: holder) }
        guard key != before else { throw .keyInUse(by: service) }
        if let known = current[service] {
            guard known.count == 1 else { throw .underWay }
            guard known == [before] else { throw .besideAnother }
        } else if let holder = holder(of: before) {
            throw .keyInUse(by: holder)
        }
        current[service] = [before, key]
        announcements[key] = index
    }

    /// A key that counts no more: the older when the service uses the other, or the newer if it is never to be used.
    ///
    /// - Parameter index: Of the entry.
    package mutating func retire(_ key: [UInt8], of service: String, at index: UInt64) throws(ServiceKeysRefused) {
        guard let known = current[service], known.contains(key) else { throw .unknown }
        guard known.count > 1 else { throw .last }
        current[service] = known.filter { $0 != key }
        retired.insert(key)
        retiredAt[service] = index
    }
}

/// Who goes by a CURVE key already, so that nobody else can.
package enum KeyHolder: Hashable, Sendable {
    case agent(String)
    case service(String)
    /// Of whichever service it was.
    case retiredService
    case `operator`(String)
    /// It was taken away with an agent.
    case revokedAgent
}

extension Governance {
    /// Why `key` may not be announced; nothing is changed.
    package func check(announcing key: [UInt8], for service: String, beside before: [UInt8]) throws(ServiceKeysRefused) {
        var trial = serviceKeys
        try trial.announce(key, for: service, beside: before, at: 0)
        switch holder(of: key) {
        case .revokedAgent, .retiredService: throw .retired
        case .agent(let name), .operator(let name), .service(let name): throw .keyInUse(by: name)
        case nil: break
        }
    }

    /// Who goes by this key, or did and must not come back with it: one key is one of them. What the ledger cannot know, the registry that the suite
    /// began with does.
    package func holder(of key: [UInt8]) -> KeyHolder? {
        if let holder = holderBesideAgents(of: key) { return holder }
        if revokedKeys.contains(key) { return .revokedAgent }
        return nodes.values.first { $0.key == key }.map { .agent($0.name) }
    }

    /// The same, but for agents: who asks looks at those more closely.
    package func holderBesideAgents(of key: [UInt8]) -> KeyHolder? {
        if let service = serviceKeys.holder(of: key) { return .service(service) }
        if serviceKeys.retired.contains(key) { return .retiredService }
        return operators.current.values.first { $0.session == key }.map { .operator($0.name) }
    }

    /// The first of these operators who would connect with another's key, and whose that is.
    ///
    /// - Parameter removed: Who goes in the same step: an operator who gets another key to sign with keeps the one to connect with.
    package func sharedSession(of added: [Operator], removing removed: [String]) -> (name: String, holder: KeyHolder)? {
        for (place, new) in added.enumerated() where !new.session.isEmpty {
            if let other = added[..<place].first(where: { $0.session == new.session }) { return (new.name, .operator(other.name)) }
            switch holder(of: new.session) {
            case nil: continue
            case .operator(let name) where removed.contains(name): continue
            case let holder?: return (new.name, holder)
            }
        }
        return nil
    }
}

extension KeyHolder: CustomStringConvertible {
    package var description: String {
        switch self {
        case .agent(let name), .service(let name), .operator(let name): "'\(name)'"
        case .retiredService: "a service"
        case .revokedAgent: "an agent that was removed"
        }
    }
}
