import Foundation
import Messaging
import Vault
import Wire

/// Entries of the directory that an operator sent, and how far they are.
struct DirectoryJob: Sendable {
    let id: Data
    let route: Route
    private(set) var people: [DirectoryEntry]
    private(set) var removed: [String]
    private(set) var storedCount = 0
    private(set) var removedCount = 0
    private(set) var erasedCount = 0
    /// Entries of one step: some milliseconds, with its commits.
    static let stepMax = 100

    init(id: Data, route: Route, people: [DirectoryEntry], removed: [String]) {
        (self.id, self.route, self.people, self.removed) = (id, route, people, removed)
    }

    /// The next of them, those to be stored first.
    ///
    /// - Returns: whether these were all.
    mutating func step(_ vault: any Vault) throws -> Bool {
        if !people.isEmpty {
            let next = people.prefix(DirectoryJob.stepMax)
            let known = next.filter { !vault.isErased($0.subject) }
            try vault.put(Array(known), at: Clock.wall())
            storedCount += known.count
            erasedCount += next.count - known.count
            people.removeFirst(next.count)
        } else {
            let next = Array(removed.prefix(DirectoryJob.stepMax))
            removedCount += next.count - (try vault.removePeople(next)).count
            removed.removeFirst(next.count)
        }
        return people.isEmpty && removed.isEmpty
    }
}

extension WirePerson {
    init(_ person: DirectoryEntry) {
        self.init()
        (subject, name, mail, team, site, locale) = (person.subject, person.name, person.mail, person.team, person.site, person.locale)
    }

    var value: DirectoryEntry { DirectoryEntry(subject: subject, name: name, mail: mail, team: team, site: site, locale: locale) }
}
