/// SHA-256 of exactly the bytes that the proposer signed: what an approval names, so that nobody approves what they were not shown.
package struct ProposalHash: Hashable, Sendable {
    /// 32 bytes.
    package let bytes: [UInt8]

    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }
}

/// A command that widens, from its proposer's signature until enough others have signed it.
///
/// States: *open*, then for good one of *applied*, *expired*, *withdrawn*. Moves: ``Proposals``.
package struct Proposal: Hashable, Sendable {
    package enum State: Hashable, Sendable {
        /// Approved by these so far.
        case open([Operator])
        case applied(by: [Operator], at: WallTime)
        case expired
        case withdrawn(by: String)
    }

    package let number: UInt64
    package let hash: ProposalHash
    /// As they were when they proposed.
    package let proposer: Operator
    package let at: WallTime
    /// It can be approved before this moment.
    package let until: WallTime
    /// Signatures of different persons that it takes, the proposer's among them.
    package let needed: Int
    package fileprivate(set) var state: State

    package var isOpen: Bool {
        if case .open = state { true } else { false }
    }

    package var isApplied: Bool {
        if case .applied = state { true } else { false }
    }

    package var approvers: [Operator] {
        switch state {
        case .open(let approvals), .applied(let approvals, _): approvals
        case .expired, .withdrawn: []
        }
    }
}

package enum ProposalRefused: Error, Hashable, Sendable {
    case unknownOperator(String)
    /// The same bytes were proposed before.
    case alreadyProposed(number: UInt64)
    /// It ends before it begins, or stays open for longer than ``Proposals/validityMax``.
    case badExpiry(WallTime)
    case tooManyOpen(max: Int)
}

package enum ApprovalRefused: Error, Hashable, Sendable {
    case unknownProposal(number: UInt64)
    /// What was signed is not what was proposed under this number.
    case changed(number: UInt64)
    case alreadyApplied(at: WallTime)
    case expired(WallTime)
    case withdrawn(by: String)
    /// Not an operator, or not any more.
    case unknownOperator(String)
    case ownProposal
    /// Another key of the proposer, or of somebody who has approved.
    case samePerson(as: String)
    case alreadyApproved
    /// Who proposed it has been removed, or has another key, since: nobody stands behind it.
    case proposerRemoved(String)
}

/// The commands that wait for a second person, by number.
///
/// Each move either changes one proposal or refuses; to validate before something is recorded, try it on a copy. Times are those of
/// the ledger's entries, so that every follower comes to the same end.
package struct Proposals: Hashable, Sendable {
    package static let signaturesMin = 2
    package static let validityMax = Span.seconds(7 * 24 * 3_600)
    /// Nobody reviews more; a flood from one key must not hide one proposal.
    package static let openMax = 100
    /// Finished ones that are still answered by how they ended, and not as unknown.
    package static let finishedMax = 1_000

    package private(set) var all: [UInt64: Proposal] = [:]
    package private(set) var nextNumber: UInt64 = 1
    /// Those of `all` that are open: few, where the finished ones are a thousand, and each entry of the ledger asks.
    private var openNumbers: Set<UInt64> = []

    package init() {}

    package var open: [Proposal] { openNumbers.sorted().compactMap { all[$0] } }

    /// Opens a proposal. `needed` below two counts as two: more takes two, whoever asks.
    package mutating func propose(
        _ hash: ProposalHash, by name: String, of operators: Operators, needed: Int = signaturesMin, at now: WallTime, until: WallTime
    ) throws(ProposalRefused) -> Proposal {
        expire(at: now)
        let proposer = try proposer(hash, name, of: operators, at: now, until: until)
        let proposal = Proposal(
            number: nextNumber, hash: hash, proposer: proposer, at: now, until: until, needed: max(Proposals.signaturesMin, needed), state: .open([]))
        all[nextNumber] = proposal
        openNumbers.insert(nextNumber)
        nextNumber += 1
        return proposal
    }

    /// Adds an approval whose signature is known to be good.
    ///
    /// - Returns: how many more persons it takes; 0: the command is applied now, and never again.
    package mutating func approve(
        _ number: UInt64, _ hash: ProposalHash, by name: String, of operators: Operators, at now: WallTime
    ) throws(ApprovalRefused) -> Int {
        expire(at: now)
        let (approvals, missing) = try approvals(number, hash, by: name, of: operators, at: now)
        all[number]?.state = missing == 0 ? .applied(by: approvals, at: now) : .open(approvals)
        if missing == 0 { openNumbers.remove(number) }
        return missing
    }

    /// Whether ``propose(_:by:of:needed:at:until:)`` would succeed, and under which number. Copies nothing: a ledger of years asks often.
    package func number(of hash: ProposalHash, by name: String, of operators: Operators, at now: WallTime, until: WallTime) throws(ProposalRefused) -> UInt64 {
        _ = try proposer(hash, name, of: operators, at: now, until: until)
        return nextNumber
    }

    /// Whether ``approve(_:_:by:of:at:)`` would succeed. Copies nothing.
    package func check(_ number: UInt64, _ hash: ProposalHash, by name: String, of operators: Operators, at now: WallTime) throws(ApprovalRefused) {
        _ = try approvals(number, hash, by: name, of: operators, at: now)
    }

    private func proposer(_ hash: ProposalHash, _ name: String, of operators: Operators, at now: WallTime, until: WallTime) throws(ProposalRefused) -> Operator {
        guard let proposer = operators[name] else { throw .unknownOperator(name) }
        guard until > now, until <= now + Proposals.validityMax else { throw .badExpiry(until) }
        if let known = all.values.first(where: { $0.hash == hash }) { throw .alreadyProposed(number: known.number) }
        guard openNumbers.count(where: { all[$0].map { now < $0.until } ?? false }) < Proposals.openMax else { throw .tooManyOpen(max: Proposals.openMax) }
        return proposer
    }

    /// With the new one, and how many more persons it takes.
    private func approvals(
        _ number: UInt64, _ hash: ProposalHash, by name: String, of operators: Operators, at now: WallTime
    ) throws(ApprovalRefused) -> ([Operator], missing: Int) {
        guard let proposal = all[number] else { throw .unknownProposal(number: number) }
        guard proposal.hash == hash else { throw .changed(number: number) }
        var approvals: [Operator]
        switch proposal.state {
        case .open(let earlier):
            guard now < proposal.until else { throw .expired(proposal.until) }
            approvals = earlier
        case .applied(_, let at): throw .alreadyApplied(at: at)
        case .expired: throw .expired(proposal.until)
        case .withdrawn(let by): throw .withdrawn(by: by)
        }
        guard let approver = operators[name] else { throw .unknownOperator(name) }
        let proposer = proposal.proposer
        guard operators[proposer.name] == proposer else { throw .proposerRemoved(proposer.name) }
        guard approver.name != proposer.name else { throw .ownProposal }
        guard approver.person != proposer.person else { throw .samePerson(as: proposer.name) }
        // Approvals of those who were removed since, or have another key, count no more.
        approvals.removeAll { operators[$0.name] != $0 }
        if let same = approvals.first(where: { $0.person == approver.person }) {
            throw same.name == approver.name ? .alreadyApproved : .samePerson(as: same.name)
        }
        approvals.append(approver)
        return (approvals, max(0, proposal.needed - 1 - approvals.count))
    }

    /// Takes an open proposal off the table. Less takes one: any operator may, also who did not propose it.
    package mutating func withdraw(_ number: UInt64, by name: String, of operators: Operators, at now: WallTime) throws(ApprovalRefused) {
        expire(at: now)
        guard let proposal = all[number] else { throw .unknownProposal(number: number) }
        guard operators[name] != nil else { throw .unknownOperator(name) }
        switch proposal.state {
        case .open:
            all[number]?.state = .withdrawn(by: name)
            openNumbers.remove(number)
        case .applied(_, let at): throw .alreadyApplied(at: at)
        case .expired: throw .expired(proposal.until)
        case .withdrawn(let by): throw .withdrawn(by: by)
        }
    }

    /// Lets time pass. What has expired stays so, whatever a clock says later.
    package mutating func expire(at now: WallTime) {
        for number in openNumbers where all[number].map({ now >= $0.until }) ?? true {
            all[number]?.state = .expired
            openNumbers.remove(number)
        }
        while all.count - openNumbers.count > Proposals.finishedMax, let oldest = all.keys.filter({ !openNumbers.contains($0) }).min() { all[oldest] = nil }
    }
}
