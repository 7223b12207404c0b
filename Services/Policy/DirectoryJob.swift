import Foundation
import Messaging
import Vault
import Wire

/// Entries of the directory that an operator sent.
struct DirectoryJob: Sendable {
    let id: Data
    let route: Route
    let people: [DirectoryEntry]
    let removed: [String]
}

extension WirePerson {
    init(_ person: DirectoryEntry) {
        self.init()
        (subject, name, mail, team, site, locale) = (person.subject, person.name, person.mail, person.team, person.site, person.locale)
    }

    var value: DirectoryEntry { DirectoryEntry(subject: subject, name: name, mail: mail, team: team, site: site, locale: locale) }
}
