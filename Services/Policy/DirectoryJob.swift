import Crypto
import Foundation
import Gate
import Messaging
import Rules
import Vault
import Wire

/// Entries of the directory that an operator sent, and how far they are.
struct DirectoryJob: Sendable {
    let id: Data
    let route: Route
    /// The operator.
    let author: String
    private(set) var people: [DirectoryEntry]
    private(set) var removed: [String]
    private(set) var storedCount = 0
    private(set) var removedCount = 0
    private(set) var erasedCount = 0
    /// Where they are from now on; nil: not in the directory any more.
    private(set) var moved: [(subject: String, person: Person?)] = []
    /// Entries of one step: some milliseconds, with its commits.
    static let stepMax = 100

    init(id: Data, route: Route, author: String, people: [DirectoryEntry], removed: [String]) {
        (self.id, self.route, self.author, self.people, self.removed) = (id, route, author, people, removed)
    }

    /// The next of them, those to be stored first.
    ///
    /// - Parameter record: Takes who is in another place than before. Durable when it returns: only then it counts.
    /// - Returns: whether these were all.
    mutating func step(_ vault: any Vault, record: ([WireDirectoryPlace]) throws -> Void) throws -> Bool {
        var moved: [WireDirectoryPlace] = []
        if !people.isEmpty {
            let (next, now) = (people.prefix(DirectoryJob.stepMax), Clock.wall())
            var known = next.filter { !vault.isErased($0.subject) }
            for index in known.indices {
                let before = try DirectoryJob.entry(known[index].subject, vault)
                known[index].places = before?.places
                if before == nil || before?.site != known[index].site || before?.team != known[index].team { moved.append(known[index].move(at: now)) }
            }
            if !moved.isEmpty { try record(moved) }
            try vault.put(known, at: now)
            self.moved += known.map { ($0.subject, Person(listed: $0)) }
            storedCount += known.count
            erasedCount += next.count - known.count
            people.removeFirst(next.count)
        } else {
            let next = Array(removed.prefix(DirectoryJob.stepMax))
            for subject in next where try DirectoryJob.entry(subject, vault) != nil {
                var place = WireDirectoryPlace()
                place.subject = subject
                moved.append(place)
            }
            if !moved.isEmpty { try record(moved) }
            let held = Set(try vault.removePeople(next))
            removedCount += next.count - held.count
            self.moved += next.filter { !held.contains($0) }.map { ($0, nil) }
            removed.removeFirst(next.count)
        }
        return people.isEmpty && removed.isEmpty
    }

    /// What cannot be read may be replaced all the same.
    private static func entry(_ subject: String, _ vault: any Vault) throws -> DirectoryEntry? {
        do { return try vault.person(subject) } catch where vault.isDamage(error) { return nil }
    }
}

extension Person {
    /// Whoever is in the directory is somewhere, if nobody says where.
    init(listed entry: DirectoryEntry) { self.init(entry.subject, site: entry.site, team: entry.team) }
}

extension DirectoryEntry {
    /// Notes where they are from now on.
    fileprivate mutating func move(at now: WallTime) -> WireDirectoryPlace {
        let place = DirectoryPlace(at: now.microseconds, site: site, team: team, salt: SymmetricKey(size: .bits128).withUnsafeBytes { Data($0) })
        places = ((places ?? []) + [place]).suffix(DirectoryPlace.max)
        return place.recorded(of: subject)
    }
}

extension DirectoryPlace {
    /// As the ledger of reads has it.
    func recorded(of subject: String) -> WireDirectoryPlace {
        var recorded = WireDirectoryPlace()
        recorded.subject = subject
        recorded.place = Data(SHA256.hash(data: bytes))
        return recorded
    }
}

extension WirePerson {
    init(_ person: DirectoryEntry) {
        self.init()
        (subject, name, mail, team, site, locale) = (person.subject, person.name, person.mail, person.team, person.site, person.locale)
    }

    var value: DirectoryEntry { DirectoryEntry(subject: subject, name: name, mail: mail, team: team, site: site, locale: locale) }
}
