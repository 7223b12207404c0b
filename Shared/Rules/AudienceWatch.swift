package import Gate

/// How many people could read each class, beside what the document allows: found before anybody has read.
///
/// Counted as ``PolicyDiff`` does: everybody of the directory, whom the document names, and whoever has a key that two operators have placed; a grant to read of nobody is none, unless nobody is known.
package struct AudienceWatch: Sendable {
    package struct Found: Hashable, Sendable {
        package let dataClass: DataClass
        package let people: Int
        /// For people.
        package let sentence: String
    }

    private var document: PolicyDocument?
    private var over: Set<String> = []
    /// By class, as they were last counted.
    private var counted: [String: Int] = [:]
    /// As they were last found.
    private var found: [String: Int] = [:]

    package init() {}

    /// Whether anything is to be counted.
    package static func limits(_ document: PolicyDocument, over: Set<String>) -> Bool { !limited(document, over).isEmpty }

    private static func limited(_ document: PolicyDocument, _ over: Set<String>) -> [(dataClass: PolicyDocument.Class, max: Int)] {
        document.classes.compactMap { one in
            guard one.retention != nil, let max = one.audienceMax, !over.contains(one.name) else { return nil }
            return (one, max)
        }
    }

    /// Once for a document, and once more when they have become more.
    ///
    /// - Parameters:
    ///   - entry: Of the ledger, that set the document; 0: not recorded yet.
    ///   - over: Classes that two operators have named: more may read those.
    ///   - keys: The people behind readers' keys, where two operators have placed them.
    package mutating func look(at policy: Policy, entry: UInt64, over: Set<String>, directory: [Person], keys: [Person], at now: WallTime) -> [Found] {
        let isFirst = document == nil
        let isAnother = policy.document != document || over != self.over
        (document, self.over) = (policy.document, over)
        let limited = AudienceWatch.limited(policy.document, over)
        var all: [Found] = []
        var counts: [String: Int] = [:]
        if !limited.isEmpty { counts = AudienceWatch.counts(policy, of: limited.map(\.dataClass.name), directory, keys, at: now) }
        for (one, max) in limited {
            let people = counts[one.name] ?? 0
            guard people > max else {
                found[one.name] = nil
                continue
            }
            guard isAnother || people > found[one.name] ?? max else { continue }
            found[one.name] = people
            var sentence = "\(people) people could read class \(one.name), and its limit is \(max)"
            if let before = counted[one.name], !isFirst {
                let cause = isAnother ? entry == 0 ? "the policy document that has just come" : "policy document \(entry)" : "a change of the directory or of readers"
                sentence = "the audience of class \(one.name) went \(before) → \(people) with \(cause), and its limit is \(max)"
            }
            all.append(Found(dataClass: one.dataClass, people: people, sentence: sentence))
        }
        counted = counts
        found = found.filter { counts[$0.key] != nil }
        return all
    }

    /// When somebody who can read may not any more, without anything having changed; nil: never.
    package static func nextExpiry(_ document: PolicyDocument, after now: WallTime) -> WallTime? { document.grants.compactMap(\.expires).filter { $0 > now }.min() }

    private static func counts(_ policy: Policy, of classes: [String], _ directory: [Person], _ keys: [Person], at now: WallTime) -> [String: Int] {
        let document = policy.document
        let population = Population(directory + keys, and: [document])
        var sets = Population.Sets(population, document)
        // Whom the directory has elsewhere has what either place gives.
        let elsewhere = keys.filter { key in population.place(of: key.id).map { population.people[$0] != key } ?? false }.map { (person: $0, roles: policy.roles(of: $0)) }
        var counts: [String: Int] = [:]
        for name in classes {
            var (readers, roles) = (Bits(count: population.people.count), Set<String>())
            for grant in document.grants where grant.classes.contains(name) && grant.isLive(at: now) {
                guard directory.isEmpty || !sets.group(grant.subjects).isEmpty else { continue }
                readers.formUnion(sets.role(grant.role))
                roles.insert(grant.role)
            }
            for one in elsewhere where !one.roles.isDisjoint(with: roles) { population.insert(one.person.id, into: &readers) }
            counts[name] = readers.count
        }
        return counts
    }
}
