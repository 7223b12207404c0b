/// What two operators have decided to tell the people of an incident: exactly these bytes, and nobody's name.
package struct DecidedNotices: Hashable, Sendable {
    /// The entry.
    package var index: UInt64
    package var at: WallTime
    /// One for each person.
    package var count: UInt64
    /// Root of the Merkle tree of the notices' bytes, in the order of their subjects' bytes.
    package var digest: [UInt8]

    package init(index: UInt64, at: WallTime, count: UInt64, digest: [UInt8]) {
        self.index = index
        self.at = at
        self.count = count
        self.digest = digest
    }

    package static let digestBytes = 32
    /// More people than any company has, and what notify has to be able to count on its disk.
    package static let countMax: UInt64 = 1_000_000
}

package enum NoticesRefused: Error, Hashable, Sendable {
    case unknownIncident
    /// What people are told is what the assessment says: there is none yet, or it is over.
    case notAssessed(IncidentState)
    case badCount(UInt64)
    case badDigest(bytes: Int)
    /// They go out by that entry already.
    case alreadyDecided(index: UInt64)
    case closed
    /// Nothing was decided about this incident, or something newer than what is named.
    case notTheNewest(index: UInt64?)
    /// Somebody of the decision has neither a notice nor a place on the list.
    case someAreMissing(of: UInt64)
}

extension Governance {
    /// Whether these may be decided now.
    package func check(decidingNotices number: UInt64, count: UInt64, digest: [UInt8]) throws(NoticesRefused) {
        guard let incident = incidents[number] else { throw .unknownIncident }
        guard incident.state == .assessed || incident.state == .notified else { throw .notAssessed(incident.state) }
        guard (1...DecidedNotices.countMax).contains(count) else { throw .badCount(count) }
        guard digest.count == DecidedNotices.digestBytes else { throw .badDigest(bytes: digest.count) }
        // By another count of people it was no decision that anything could be sent by.
        if let same = notices[number]?.first(where: { $0.digest == digest && $0.count == count }) { throw .alreadyDecided(index: same.index) }
    }

    /// Whether an operator may say now that everybody was told who can be.
    package func check(notified number: UInt64, by decision: UInt64, delivered: UInt64, unreachable: UInt64) throws(NoticesRefused) {
        guard let incident = incidents[number] else { throw .unknownIncident }
        guard incident.state != .closed else { throw .closed }
        // Opened again, it is about more than what people were told.
        guard incident.state == .assessed || incident.state == .notified else { throw .notAssessed(incident.state) }
        guard let newest = notices[number]?.last, newest.index == decision else { throw .notTheNewest(index: notices[number]?.last?.index) }
        let (sum, overflows) = delivered.addingReportingOverflow(unreachable)
        guard !overflows, sum == newest.count else { throw .someAreMissing(of: newest.count) }
    }
}
