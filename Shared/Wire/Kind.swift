/// What a message is, and so which body follows. The fourth byte of every header.
///
/// Numbers are part of the contract: retired, never reused. A receiver answers a number that it does not know
/// with `Refused(.unknownKind)` and goes on; it never guesses.
package enum Kind: UInt8, Sendable, CaseIterable {
    // Every session.
    case hello = 1
    case welcome = 2
    case refused = 3
    case busy = 4
    case renew = 5
    case grant = 6
    case narrow = 7
    case stopped = 8
    case nudge = 9
    case goodbye = 10
    // Telemetry.
    case batch = 16
    case relay = 17
    case stored = 18
    case storedGroup = 19
    case vaultKey = 20
    case serverKey = 21
    case rules = 22
    // Joining.
    case join = 24
    case joinRequest = 25
    case joined = 26
    // Governance.
    case entries = 32
    case command = 33
    case outcome = 34
    case progress = 35
    case certificate = 36
    case query = 37
    case answer = 38
    case finding = 39
    // Reading.
    case releaseRequest = 48
    case release = 49
    case chunk = 50
    case credit = 51
    case releaseEnded = 52
    case directory = 53
    case directoryStored = 54
    // Notices to people.
    case notices = 64
    case noticesHeld = 65
}

/// Why something was not done. Part of the contract, like ``Kind``.
package enum Refusal: UInt32, Error, Hashable, Sendable, CaseIterable {
    case unknownKind = 1
    case unsupportedVersion = 2
    case malformed = 3
    case tooLarge = 4
    case notAllowed = 5
    case helloFirst = 6
    case unknownNode = 7
    case routingID = 8

    case paused = 16
    case noLease = 17
    case outOfOrder = 18
    case unreadable = 19
    case differs = 20
    case future = 21
    case wrongClass = 22
    case quarantined = 23

    case storeFull = 32
    case sealed = 33
    case notFound = 34
    case invalid = 35
    case journalFull = 36
    case leaseEnded = 37
    case tokenUnknown = 38
    case tokenUsed = 39
    case tokenExpired = 40
    case tooMany = 41
    /// By the policy document: this reader, purpose, class or subject.
    case denied = 44
    /// It would be more than the grant allows in its period.
    case overRate = 45

    // A signed command is not taken.
    case unknownKey = 48
    case revokedKey = 49
    case badSignature = 50
    case notTheAuthor = 51
    case otherLedger = 52
    case expired = 53
    case notYetValid = 54
    case staleIndex = 55
    case indexAhead = 56
    case replayed = 57
    /// An approval, or a proposal, that the rules of two persons refuse.
    case notApproved = 58

    /// The sender's next step, so that no call site guesses from text.
    package var disposition: Disposition {
        switch self {
        case .paused, .noLease, .quarantined, .storeFull, .sealed, .journalFull, .leaseEnded, .tooMany, .overRate: .keep
        case .outOfOrder: .rewind
        case .helloFirst: .greet
        case .unreadable, .differs, .tooLarge, .malformed, .future, .wrongClass: .quarantine
        case .unknownKind, .unsupportedVersion, .notAllowed, .unknownNode, .routingID, .notFound, .invalid, .unknownKey, .revokedKey, .badSignature,
            .notTheAuthor, .otherLedger, .expired, .notYetValid, .staleIndex, .indexAhead, .replayed, .notApproved, .tokenUnknown, .tokenUsed, .tokenExpired,
            .denied:
            .give
        }
    }

    package enum Disposition: Hashable, Sendable {
        /// Send it again later.
        case keep
        /// Send again from the sequence that is named.
        case rewind
        /// Say `Hello`, then send it again.
        case greet
        /// Set it aside, report it, and go on with the next.
        case quarantine
        /// It will never be done.
        case give
    }

    /// A word for counters.
    package var word: String {
        switch self {
        case .unknownKind: "unknown-kind"
        case .unsupportedVersion: "unsupported-version"
        case .malformed: "malformed"
        case .tooLarge: "too-large"
        case .notAllowed: "not-allowed"
        case .helloFirst: "hello-first"
        case .unknownNode: "unknown-node"
        case .routingID: "routing-id"
        case .paused: "paused"
        case .noLease: "no-lease"
        case .outOfOrder: "out-of-order"
        case .unreadable: "unreadable"
        case .differs: "differs"
        case .future: "future"
        case .wrongClass: "wrong-class"
        case .quarantined: "quarantined"
        case .storeFull: "store-full"
        case .sealed: "sealed"
        case .notFound: "not-found"
        case .invalid: "invalid"
        case .journalFull: "journal-full"
        case .leaseEnded: "lease-ended"
        case .unknownKey: "unknown-key"
        case .revokedKey: "revoked-key"
        case .badSignature: "bad-signature"
        case .notTheAuthor: "not-the-author"
        case .otherLedger: "other-ledger"
        case .expired: "expired"
        case .notYetValid: "not-yet-valid"
        case .staleIndex: "stale-index"
        case .indexAhead: "index-ahead"
        case .replayed: "replayed"
        case .notApproved: "not-approved"
        case .tokenUnknown: "token-unknown"
        case .tokenUsed: "token-used"
        case .tokenExpired: "token-expired"
        case .tooMany: "too-many"
        case .denied: "denied"
        case .overRate: "over-rate"
        }
    }
}
