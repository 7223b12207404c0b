import Crypto
package import Gate

/// An operator's command, or approval of another's, as it travels and as it stands in the ledger: bytes and a signature over them.
///
/// Nothing is read out of the bytes before the signature is known to be good: ``verified(as:by:)``, then ``VerifiedCommand/admit(to:at:seen:narrows:)``.
package struct SignedCommand: Hashable, Sendable {
    /// A ``Statement``, exactly as it was signed.
    package var bytes: [UInt8]
    /// Ed25519 over `bytes`, 64 bytes.
    package var signature: [UInt8]
    /// Which key is said to have signed.
    package var key: KeyID

    package init(bytes: [UInt8], signature: [UInt8], key: KeyID) {
        self.bytes = bytes
        self.signature = signature
        self.key = key
    }

    package init(_ statement: Statement, by key: OperatorKey) throws(OperatorKeyError) {
        bytes = statement.bytes
        signature = try key.sign(bytes)
        self.key = key.publicKey.id
    }

    /// What an approval of this command names.
    package var hash: ProposalHash? { ProposalHash(Array(SHA256.hash(data: bytes))) }

    /// Checks who signed, and only then reads what.
    ///
    /// - Throws: `tooLarge`, `unknownKey`, `revokedKey`, `badSignature`, `malformed`, `otherPurpose`, `notTheAuthor`.
    package func verified(as purpose: Statement.Purpose, by known: KnownOperators) throws(CommandRefused) -> VerifiedCommand {
        guard bytes.count <= Statement.bytesMax else { throw .tooLarge(bytes: bytes.count) }
        let (holder, publicKey) = try known.holder(of: key)
        guard publicKey.isValid(signature, for: bytes) else { throw .badSignature }
        let statement: Statement
        do throws(Statement.Malformed) { statement = try Statement(parsing: bytes) } catch { throw .malformed }
        guard statement.purpose == purpose else { throw .otherPurpose(statement.purpose) }
        guard statement.author == holder.name else { throw .notTheAuthor(said: statement.author, signed: holder.name) }
        guard let hash else { throw .malformed }
        return VerifiedCommand(statement: statement, author: holder, key: key, hash: hash)
    }
}

/// Why a command is not taken. Each fault has its own case, with the evidence.
package enum CommandRefused: Error, Hashable, Sendable {
    case tooLarge(bytes: Int)
    case unknownKey(KeyID)
    case revokedKey(of: String)
    case badSignature
    case malformed
    case otherPurpose(Statement.Purpose)
    case notTheAuthor(said: String, signed: String)
    case otherLedger(origin: String)
    /// Times are the author's; `now` is the judge's clock, so that a command can be signed again by it.
    case expired(until: WallTime, now: WallTime)
    case notYetValid(from: WallTime, now: WallTime)
    case validTooLong(Span)
    /// What counts has changed since the entry that the author saw.
    case staleIndex(written: UInt64, oldest: UInt64)
    /// The author saw entries that are not here: another history, or this ledger has lost some.
    case indexAhead(written: UInt64, newest: UInt64)
    case replayed
    /// Too many commands at once. Narrowing ones are taken all the same.
    case tooMany

    /// What the author does next.
    package enum Disposition: Hashable, Sendable {
        /// Look at the state as it is now, and sign again.
        case signAgain
        /// It is done already; ask for its outcome.
        case done
        case giveUp
        /// Keys or ledgers are not what somebody believes: tell people.
        case alarm
    }

    package var disposition: Disposition {
        switch self {
        case .expired, .notYetValid, .validTooLong, .staleIndex, .tooMany: .signAgain
        case .replayed: .done
        case .tooLarge, .malformed, .otherPurpose, .unknownKey: .giveUp
        case .revokedKey, .badSignature, .notTheAuthor, .otherLedger, .indexAhead: .alarm
        }
    }
}

/// The operators' keys at one state of the ledger, ready to check signatures with.
package struct KnownOperators: Sendable {
    private var current: [KeyID: (Operator, OperatorPublicKey)] = [:]
    private var revoked: [KeyID: Operator] = [:]

    /// A key that is no fit point is left out: whatever it signs is refused as unknown.
    package init(_ operators: Operators) {
        for member in operators.current.values {
            if let key = try? OperatorPublicKey(raw: member.key) { current[key.id] = (member, key) }
        }
        for member in operators.revoked.values {
            if let key = try? OperatorPublicKey(raw: member.key) { revoked[key.id] = member }
        }
    }

    /// Whose key it is, for who asks what they might command, and has signed nothing.
    ///
    /// - Throws: `unknownKey`, `revokedKey`.
    package func member(holding key: KeyID) throws(CommandRefused) -> Operator { try holder(of: key).0 }

    fileprivate func holder(of key: KeyID) throws(CommandRefused) -> (Operator, OperatorPublicKey) {
        if let holder = current[key] { return holder }
        if let gone = revoked[key] { throw .revokedKey(of: gone.name) }
        throw .unknownKey(key)
    }
}

/// A command whose signature and author are known to be right. Made by ``SignedCommand/verified(as:by:)`` alone.
package struct VerifiedCommand: Hashable, Sendable {
    package let statement: Statement
    package let author: Operator
    package let key: KeyID
    package let hash: ProposalHash

    fileprivate init(statement: Statement, author: Operator, key: KeyID, hash: ProposalHash) {
        self.statement = statement
        self.author = author
        self.key = key
        self.hash = hash
    }

    /// Where a command is judged.
    package struct Ledger: Hashable, Sendable {
        package var origin: String
        /// From the last entry that changed what anybody may do, to the newest. An author who saw one of them saw the state as it is: a
        /// certificate or a report that was written meanwhile does not make a command stale.
        package var current: ClosedRange<UInt64>

        package init(origin: String, current: ClosedRange<UInt64>) {
            self.origin = origin
            self.current = current
        }
    }

    /// Five minutes for a person who reads what they sign, twice over; and what is remembered of nonces stays small.
    package static let validityMax = Span.seconds(15 * 60)
    /// An operator's clock may be ahead by as much.
    package static let aheadMax = Span.seconds(60)

    /// Whether the command counts now. Changes nothing: who takes it, calls ``SeenNonces/remember(_:)``.
    ///
    /// - Parameter narrows: what ``Powers/consequence(of:)`` said of it. What narrows counts at any index: it is not to wait for its author to catch up.
    /// - Throws: `otherLedger`, `notYetValid`, `validTooLong`, `expired`, `replayed`, `staleIndex`, `indexAhead`, `tooMany`, in this order.
    package func admit(to ledger: Ledger, at now: WallTime, seen: SeenNonces, narrows: Bool) throws(CommandRefused) {
        guard statement.origin == ledger.origin else { throw .otherLedger(origin: statement.origin) }
        guard from <= now + Self.aheadMax else { throw .notYetValid(from: from, now: now) }
        guard until - from <= Self.validityMax else { throw .validTooLong(until - from) }
        // Nonces up to there are forgotten, perhaps by a clock that was ahead. That must not refuse a pause, and one that comes twice is still a pause.
        guard now < until, narrows || until > seen.forgottenUntil else { throw .expired(until: until, now: now) }
        guard !seen.contains(self, at: now) else { throw .replayed }
        guard !narrows else { return }
        guard statement.index >= ledger.current.lowerBound else {
            throw .staleIndex(written: statement.index, oldest: ledger.current.lowerBound)
        }
        guard statement.index <= ledger.current.upperBound else {
            throw .indexAhead(written: statement.index, newest: ledger.current.upperBound)
        }
        guard !seen.isFull(at: now) else { throw .tooMany }
    }

    package var from: WallTime { WallTime(microseconds: Int64(statement.from) * 1_000) }
    package var until: WallTime { WallTime(microseconds: Int64(statement.until) * 1_000) }
}

/// The commands that were taken and have not expired, so that none is taken twice. Rebuilt from the ledger after a start.
package struct SeenNonces: Hashable, Sendable {
    private struct Name: Hashable, Sendable { var key: KeyID, nonce: [UInt8] }

    /// 15 minutes at 70 a second: no person commands as fast.
    package static let countMax = 65_536

    private let countMax: Int
    private var until: [Name: WallTime] = [:]
    /// Commands that end by this are forgotten, and so expired for good, also when the clock is set back.
    package private(set) var forgottenUntil = WallTime.distantPast

    package init(countMax: Int = countMax) { self.countMax = countMax }

    package var count: Int { until.count }

    /// What has ended by `now` counts no more, whether it was forgotten yet or not: who reads the ledger later forgets at other moments, and must come
    /// to the same.
    package func isFull(at now: WallTime) -> Bool {
        guard until.count >= countMax else { return false }
        let end = max(now, forgottenUntil)
        return until.values.count { $0 > end } >= countMax
    }

    package func contains(_ command: VerifiedCommand, at now: WallTime) -> Bool {
        guard let end = until[Name(key: command.key, nonce: command.statement.nonce)] else { return false }
        return end > max(now, forgottenUntil)
    }

    /// Forgets what has ended, and keeps this. To be called for what is recorded, with its entry's time, and for nothing else.
    ///
    /// When it is full nothing is added: only what narrows is taken then, and a pause that comes twice is still a pause.
    package mutating func remember(_ command: VerifiedCommand, at now: WallTime) {
        forget(at: now)
        guard until.count < countMax else { return }
        until[Name(key: command.key, nonce: command.statement.nonce)] = command.until
    }

    package mutating func forget(at now: WallTime) {
        until = until.filter { $0.value > now }
        forgottenUntil = max(forgottenUntil, now)
    }
}
