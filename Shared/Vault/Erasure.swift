package import Foundation
package import Gate

/// What became of the wish that nothing be held on a person any more.
///
/// | state | what is true | goes to |
/// | --- | --- | --- |
/// | `waiting` | an incident holds what there is; nothing new is stored | `rows` when the last hold is lifted |
/// | `rows` | their keys are destroyed: nothing can be read, on this disk or on a backup of it; rows are being deleted | `log` |
/// | `log` | no row is left; a log of SQLite's holds what was deleted, because somebody reads: it is tried again | `done` |
/// | `done` | nothing is left | `rows`, when a backup brought rows or keys back |
package struct Erasure: Hashable, Sendable {
    package enum State: Int64, Hashable, Sendable { case waiting = 0, rows = 1, done = 2, log = 3 }

    package var subject: String
    /// Of its order.
    package var at: WallTime
    package var state: State
    /// Since when they are stored again, because they agreed anew; nil: nothing of them is.
    package var readmitted: WallTime?
    /// Taken out of this vault so far, in all.
    package var segments: Int64 = 0
    package var events: Int64 = 0
    /// The incidents that it waits for.
    package var holds: Set<UInt64> = []

    /// Nothing new of them is stored. Who agreed anew while an incident held what there was waits for that, too.
    package var isInForce: Bool { readmitted == nil || state == .waiting }
}

/// An erasure to be carried out, or to be carried out again: who decides keeps the list, and hands all of it over at each start.
package struct ErasureOrder: Hashable, Sendable {
    package var subject: String
    /// When it was decided. A later one is another erasure; the same again is none.
    package var at: WallTime
    /// They have agreed anew since: what was stored from then on stays.
    package var readmitted: WallTime?

    package init(_ subject: String, at: WallTime, readmitted: WallTime? = nil) {
        self.subject = subject
        self.at = at
        self.readmitted = readmitted
    }
}

/// One entry of the directory: whom a subject's id stands for.
package struct DirectoryEntry: Hashable, Sendable, Codable {
    package var subject: String
    package var name: String
    package var mail: String
    package var team: String
    package var site: String
    /// BCP 47, for notices in words that they can use.
    package var locale: String
    /// Where they were said to be, and since when; the newest last. Whoever asks who might have read what looks here, and finds that it is so in the ledger of reads.
    package var places: [DirectoryPlace]?

    package init(subject: String, name: String = "", mail: String = "", team: String = "", site: String = "", locale: String = "") {
        self.subject = subject
        self.name = name
        self.mail = mail
        self.team = team
        self.site = site
        self.locale = locale
    }
}

/// Where the directory said that somebody is.
package struct DirectoryPlace: Hashable, Sendable, Codable {
    package var at: Int64
    package var site: String
    package var team: String
    /// 16 bytes: with it, and not without it, the ledger's hash says where. It goes with the entry.
    package var salt: Data

    /// As many as somebody has in a working life; of more the newest.
    package static let max = 64

    /// - Parameter at: Microseconds.
    package init(at: Int64, site: String, team: String, salt: Data) {
        (self.at, self.site, self.team, self.salt) = (at, site, team, salt)
    }

    /// What is hashed.
    package var bytes: Data { salt + Data(site.utf8) + [0] + Data(team.utf8) }
}
