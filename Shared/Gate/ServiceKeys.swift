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
/// Moves of a service: *one* → ``announce(_:for:beside:at:)`` → *two* → ``retire(_:of:)``, of either → *one*. Which of two keys the service itself
/// uses is no decision: everybody takes both.
package struct ServiceKeys: Hashable, Sendable {
    /// By service; the older first.
    package private(set) var current: [String: [[UInt8]]] = [:]
    package private(set) var retired: Set<[UInt8]> = []
    /// The entry that announced the newest key, by service.
    package private(set) var announcedAt: [String: UInt64] = [:]

    package init() {}

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
        announcedAt[service] = index
    }

    /// A key that counts no more: the older when the service uses the other, or the newer if it is never to be used.
    package mutating func retire(_ key: [UInt8], of service: String) throws(ServiceKeysRefused) {
        guard let known = current[service], known.contains(key) else { throw .unknown }
        guard known.count > 1 else { throw .last }
        current[service] = known.filter { $0 != key }
        retired.insert(key)
    }
}

extension Governance {
    /// Why `key` may not be announced; nothing is changed.
    package func check(announcing key: [UInt8], for service: String, beside before: [UInt8]) throws(ServiceKeysRefused) {
        var trial = serviceKeys
        try trial.announce(key, for: service, beside: before, at: 0)
        if revokedKeys.contains(key) { throw .retired }
        if let node = nodes.values.first(where: { $0.key == key }) { throw .keyInUse(by: node.name) }
        if let member = operators.current.values.first(where: { $0.session == key }) { throw .keyInUse(by: member.name) }
    }
}
