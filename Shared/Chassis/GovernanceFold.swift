package import Gate
package import Identity
package import Ledger
package import Wire
import Foundation
import Rules
import SwiftProtobuf

/// Why a ledger of governance is not believed from here on.
package enum FoldFault: Error, Hashable, Sendable, CustomStringConvertible {
    case unreadable(UInt64)
    case outOfOrder(expected: UInt64, found: UInt64)
    case noBeginning
    /// A second beginning, or one whose operators are not two persons.
    case badBeginning(UInt64)
    /// An operator's deed without an operator's signature.
    case unsigned(UInt64)
    case badSignature(UInt64, CommandRefused)
    /// What was signed is something else than what was recorded.
    case otherThanSigned(UInt64)
    /// It allows what was not allowed before, and no two operators have signed for it.
    case widensAlone(UInt64)
    /// A move that the rules refuse: an approval by the proposer, a removal of the last two.
    case refused(UInt64, String)
    case badCheckpoint(NoteRefused)
    case otherRoot(size: UInt64)

    package var description: String {
        switch self {
        case .unreadable(let index): "entry \(index) cannot be understood: this program is older than the ledger, or the entry is damaged"
        case .outOfOrder(let expected, let found): "entry \(expected) is missing; entry \(found) stands in its place"
        case .noBeginning: "the ledger does not begin with its operators and keys"
        case .badBeginning(let index): "entry \(index) is no beginning"
        case .unsigned(let index): "entry \(index) is a command that nobody signed"
        case .badSignature(let index, let why): "entry \(index) is not signed as it must be: \(why)"
        case .otherThanSigned(let index): "entry \(index) is not what its author signed"
        case .widensAlone(let index): "entry \(index) allows more than before without two operators' signatures"
        case .refused(let index, let why): "entry \(index) breaks a rule: \(why)"
        case .badCheckpoint(let why): "a checkpoint is not signed as it must be: \(why)"
        case .otherRoot(let size): "the first \(size) entries are others than those that the checkpoint was signed for"
        }
    }
}

/// Control's ledger, read in order: the state that it makes, the root that it has, and a check of every signature and of every rule.
///
/// Followers, control itself after a start, and `sluice ledger verify` read it by this same code, so that nobody believes what another would
/// not. It reads no clock: what expires is judged by the entries' own times.
package struct GovernanceFold: Sendable {
    package private(set) var governance = Governance()
    package private(set) var frontier = MerkleFrontier()
    /// The hash of the last entry's leaf; nil: there is no entry yet.
    package private(set) var newest: TreeHash?
    /// Commands that were taken and may still be replayed.
    package private(set) var seen = SeenNonces()
    package private(set) var known = KnownOperators(Operators())
    /// Operators' signatures that were checked.
    package private(set) var signatures: UInt64 = 0

    package init() {}

    /// Entries taken.
    package var size: UInt64 { frontier.size }

    /// What was refused after it was applied: nothing follows on it.
    private var refused: FoldFault?

    /// Takes the next entry. Nothing can be taken after one that was refused because it widens.
    package mutating func take(_ recorded: WireRecordedEntry) throws(FoldFault) -> Entry {
        if let refused { throw refused }
        let index = size + 1
        guard let ledgerEntry = LedgerEntry(salt: [UInt8](recorded.salt), body: [UInt8](recorded.body)),
            let wire = try? WireEntry(serializedBytes: recorded.body), let entry = wire.value
        else { throw .unreadable(index) }
        guard entry.index == index else { throw .outOfOrder(expected: index, found: entry.index) }
        let verified = try check(wire, entry)
        try allow(entry, verified)
        // In place: a copy of all incidents for each entry would make a ledger of years take hours. Who is refused here goes on with nothing.
        let isCovered = isCovered(entry, verified)
        // Compared only where it counts: what two have signed may widen.
        let before = isCovered ? nil : Powers(governance)
        governance.apply(entry)
        var needsTwo: Bool
        switch before?.consequence(of: Powers(governance), comparing: .anyWorld) {
        case nil, .narrows: needsTwo = false
        // One operator may say it, and has.
        case .allowed: needsTwo = command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) != true
        case .widens: needsTwo = true
        }
        switch entry.deed {
        // Neither may show as a gain: the seal is no part of the ledger, and what is restored may have been before.
        case .unsealed, .readsRestored: needsTwo = true
        case .began, .operatorsChanged: known = KnownOperators(governance.operators)
        default: break
        }
        guard isCovered || !needsTwo else {
            refused = .widensAlone(index)
            throw .widensAlone(index)
        }
        if let verified {
            signatures += 1
            seen.remember(verified, at: entry.at)
        }
        let hash = ledgerEntry.leaf.hash
        _ = frontier.append(hash)
        newest = hash
        return entry
    }

    /// Compares with what control has signed. A checkpoint of another size than ``size`` says nothing here.
    package func compare(_ checkpoint: Checkpoint) throws(FoldFault) {
        guard checkpoint.size == size else { return }
        guard checkpoint.root == frontier.root else { throw .otherRoot(size: size) }
    }

    // MARK: Signatures

    private func check(_ wire: WireEntry, _ entry: Entry) throws(FoldFault) -> VerifiedCommand? {
        let index = entry.index
        guard wire.hasSigned else {
            switch entry.deed {
            case .paused, .removed, .serviceKeyRetired, .ledgerKeyRetired, .proposed, .approved, .withdrawn, .incidentMoved(_, to: .closed), .incidentMoved(_, to: .open), .incidentMoved(_, to: .notified), .incidentNoted, .incidentAssessed, .incidentNotified, .drillBegan: throw .unsigned(index)
            case .policyApplied, .recordsChanged, .erased, .readmitted, .held, .holdLifted:
                guard entry.proposal != nil else { throw .unsigned(index) }
                return nil
            default: return nil
            }
        }
        guard let key = Identity.KeyID([UInt8](wire.signed.key)), let beginning = governance.beginning else { throw .unsigned(index) }
        let signed = SignedCommand(bytes: [UInt8](wire.signed.statement), signature: [UInt8](wire.signed.signature), key: key)
        var isApproval = false
        if case .approved = entry.deed { isApproval = true }
        var narrows = true
        switch entry.deed {
        case .proposed, .approved, .noticesDecided: narrows = false
        default: break
        }
        do throws(CommandRefused) {
            let verified = try signed.verified(as: isApproval ? .approval : .command, by: known)
            guard verified.author.name == entry.author else { throw .notTheAuthor(said: entry.author, signed: verified.author.name) }
            let ledger = VerifiedCommand.Ledger(origin: beginning.origin, current: governance.powersIndex...max(governance.powersIndex, index - 1))
            try verified.admit(to: ledger, at: entry.at, seen: seen, narrows: narrows)
            return verified
        } catch {
            throw .badSignature(index, error)
        }
    }

    /// The rules that ``Governance/apply(_:)`` takes for granted.
    private func allow(_ entry: Entry, _ verified: VerifiedCommand?) throws(FoldFault) {
        let index = entry.index
        switch entry.deed {
        case .began(let beginning):
            var operators = Operators()
            guard index == 1, (try? operators.change(removing: [], adding: beginning.operators)) != nil, operators.persons.count >= 2 else { throw .badBeginning(index) }
            return
        case _ where index == 1: throw .noBeginning
        case .proposed(let number, let hash, let until, _):
            guard let verified, hash == verified.hash else { throw .otherThanSigned(index) }
            do {
                guard try governance.proposals.number(of: hash, by: entry.author, of: governance.operators, at: entry.at, until: until) == number
                else { throw FoldFault.otherThanSigned(index) }
            } catch { throw .refused(index, "\(error)") }
        case .approved(let number):
            guard let verified, let approved = try? ApprovedProposal(parsing: verified.statement.body), approved.number == number else { throw .otherThanSigned(index) }
            do { try governance.proposals.check(number, approved.hash, by: entry.author, of: governance.operators, at: entry.at) } catch { throw .refused(index, "\(error)") }
        case .withdrawn(let number):
            guard command(in: verified) == .withdraw(proposal: number) else { throw .otherThanSigned(index) }
        case .operatorsChanged(let removed, let added):
            if entry.proposal == nil {
                // Taking a key away is one person's to say, and nobody else's.
                guard case .changeOperators(let removing, let adding)? = command(in: verified), Set(removing) == Set(removed), adding == added
                else { throw .otherThanSigned(index) }
            }
            var trial = governance.operators
            do { try trial.change(removing: Set(removed), adding: added) } catch { throw .refused(index, "\(error)") }
            if let (name, holder) = governance.sharedSession(of: added, removing: removed) { throw .refused(index, "\(name) would connect with the key of \(holder)") }
        case .paused(let closure):
            switch command(in: verified) {
            case .pause(let selector, let direction, _)? where selector == closure.selector && direction == closure.direction: break
            case .leak(let dataClass, _, _)? where closure.selector == Selector(classes: dataClass.isEmpty ? [] : [DataClass(dataClass)]): break
            default: throw .otherThanSigned(index)
            }
            guard closure.epoch > governance.gate.epoch else { throw .refused(index, "its epoch is not later than the last") }
        case .removed(let ordinals):
            guard case .remove(let names)? = command(in: verified), ordinals.allSatisfy({ governance.nodes[$0].map { names.contains($0.name) } ?? true })
            else { throw .otherThanSigned(index) }
        case .serviceKeyAnnounced(let key, let service, let before):
            do { try governance.check(announcing: key, for: service, beside: before) } catch { throw .refused(index, "\(error)") }
        case .serviceKeyRetired(let key, let service):
            guard command(in: verified) == .retireServiceKey(key, service: service) else { throw .otherThanSigned(index) }
            var trial = governance.serviceKeys
            do { try trial.retire(key, of: service, at: index) } catch { throw .refused(index, "\(error)") }
        case .ledgerKeyAnnounced(let key, let before):
            do { try governance.check(announcingLedgerKey: key, beside: before) } catch { throw .refused(index, "\(error)") }
        case .ledgerKeyRetired(let key):
            guard command(in: verified) == .retireLedgerKey(key) else { throw .otherThanSigned(index) }
            var trial = governance.ledgerKeys
            do { try trial.retire(key) } catch { throw .refused(index, "\(error)") }
        case .registered(let nodes, _):
            if let back = nodes.first(where: { governance.revokedKeys.contains($0.key) }) { throw .refused(index, "the key of \(back.name) was revoked") }
            for node in nodes {
                if let holder = governance.holderBesideAgents(of: node.key) { throw .refused(index, "the key of \(node.name) is, or was, the key of \(holder)") }
            }
        case .resumed(_, let closures, let reason):
            // Lifting what another closure covers widens nothing; somebody has asked for it all the same.
            guard entry.proposal != nil || command(in: verified)?.isCarriedOut(by: .resumed(to: .none, closures: closures, reason: reason), at: entry.at) == true
            else { throw .otherThanSigned(index) }
        case .incidentMoved(let number, let state):
            if state == .closed || state == .open || state == .notified, command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) != true { throw .otherThanSigned(index) }
            // What people were told of it is not taken back: control moves it by itself. Whoever opens a closed one again says so.
            let was = governance.incidents[number]?.state
            guard state == .open ? was == .closed : was.map({ $0 < state }) ?? true else { throw .refused(index, "incident \(number) would go back to \(state.rawValue)") }
        case .incidentNoted, .incidentAssessed:
            guard command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) == true else { throw .otherThanSigned(index) }
        case .noticesDecided(let number, let count, let digest):
            do throws(NoticesRefused) { try governance.check(decidingNotices: number, count: count, digest: digest) } catch { throw .refused(index, "\(error)") }
        case .incidentNotified(let number, let decision, let delivered, let unreachable):
            guard command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) == true else { throw .otherThanSigned(index) }
            do throws(NoticesRefused) { try governance.check(notified: number, by: decision, delivered: delivered, unreachable: unreachable) } catch { throw .refused(index, "\(error)") }
        case .drillBegan(let drill):
            guard command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) == true else { throw .otherThanSigned(index) }
            guard governance.drillUnderWay == nil, drill.number == governance.nextDrill else { throw .refused(index, "drill \(drill.number) is under way, or is not the next") }
            guard drill.bounds.isSound, drill.subjects == Set(governance.plantedAgents(at: drill.sites).map(\.scope.subject)) else { throw .refused(index, "drill \(drill.number) is about others than the planted subjects of its sites") }
        case .drillEnded(let number, let epoch, _): try allowEnd(of: number, to: epoch, entry)
        case .found(let finding, let number, let closure) where finding.detector == Drill.detector:
            guard number == 0 else { throw .refused(index, "what a drill finds is no incident") }
            try allow(drilled: finding, closure, entry)
        case .found(let finding, let number, let closure): try allow(finding, number, closure, entry)
        case .policyApplied, .recordsChanged, .erased, .readmitted, .held, .holdLifted:
            // What narrows is one person's to ask for, and control's never: not even by a proposal that nobody has approved.
            guard isCovered(entry, verified) || command(in: verified)?.isCarriedOut(by: entry.deed, at: entry.at) == true else { throw .otherThanSigned(index) }
            if case .policyApplied(let document, _) = entry.deed, document.count > Limits.policyBytesMax {
                throw .refused(index, "a policy document has at most \(Limits.policyBytesMax) bytes")
            }
        case .incidentOpened, .certified, .vaultKeyAnnounced, .enrolmentOpened, .unsealed, .readsRestored: break
        }
    }

    /// It can only close, and says by whom: nobody's signature is taken for a detector's, and no detector's finding for an operator's command.
    private func allow(_ finding: Finding, _ number: UInt64, _ closure: Closure?, _ entry: Entry) throws(FoldFault) {
        let index = entry.index
        guard entry.author == finding.author, finding.id.count == Finding.idBytes else { throw .otherThanSigned(index) }
        guard governance.found[finding.id] == nil else { throw .refused(index, "the same finding a second time") }
        guard let closure else {
            guard governance.incident(of: finding) == number else { throw .refused(index, "nothing of incident \(number) in force stops what was found") }
            return
        }
        guard closure == finding.closure(closure.epoch, incident: number, from: closure.from) else { throw .refused(index, "it closes something else than was found") }
        guard closure.epoch > governance.gate.epoch else { throw .refused(index, "its epoch is not later than the last") }
        guard governance.incidents[number] == nil else { throw .refused(index, "incident \(number) is another one") }
    }

    /// A drill closes planted subjects, and no others.
    private func allow(drilled finding: Finding, _ closure: Closure?, _ entry: Entry) throws(FoldFault) {
        let index = entry.index
        guard entry.author == finding.author, finding.id.count == Finding.idBytes else { throw .otherThanSigned(index) }
        guard governance.found[finding.id] == nil else { throw .refused(index, "the same finding a second time") }
        guard let drill = governance.drillUnderWay, drill.finding == nil, finding.selector == drill.selector, finding.direction == .both else { throw .refused(index, "no drill is under way that this would be found by") }
        guard let closure, closure == finding.closure(closure.epoch, incident: 0, from: closure.from) else { throw .refused(index, "it closes something else than was found") }
        guard closure.epoch > governance.gate.epoch else { throw .refused(index, "its epoch is not later than the last") }
    }

    /// Nobody signs for it: what is lifted was closed by this drill, of subjects that are nobody, and whatever else is closed of them stays so.
    private func allowEnd(of number: UInt64, to epoch: Epoch, _ entry: Entry) throws(FoldFault) {
        let index = entry.index
        guard entry.author == "control", let drill = governance.drillUnderWay, drill.number == number else { throw .refused(index, "drill \(number) is not under way") }
        let closed = drill.closure.flatMap { closure in governance.gate.closures.first { $0.epoch == closure.epoch } }
        guard (closed != nil) == (epoch != .none), closed.map({ $0.author == "detector \(Drill.detector)" && $0.selector == drill.selector }) ?? true else {
            throw .refused(index, "it lifts something else than drill \(number) has closed")
        }
        guard epoch == .none || epoch > governance.gate.epoch else { throw .refused(index, "its epoch is not later than the last") }
    }

    private func command(in verified: VerifiedCommand?) -> Command? {
        guard let verified, verified.statement.purpose == .command else { return nil }
        return (try? WireCommand(serializedBytes: verified.statement.body))?.value
    }

    /// Whether two operators stand behind what the entry allows.
    private func isCovered(_ entry: Entry, _ verified: VerifiedCommand?) -> Bool {
        switch entry.deed {
        case .began: return true
        // Two have signed that its subjects are planted, when their agents were registered: ``allowEnd(of:to:_:)`` has looked that it lifts nothing else.
        case .drillEnded: return true
        // The vault's first key comes with the beginning, before anybody has sealed anything.
        case .vaultKeyAnnounced where entry.index == 2 && governance.vaultKey.isEmpty: return true
        case .registered(let nodes, let enrolment?):
            guard let invited = governance.enrolments[enrolment], entry.at < invited.until, nodes.count == 1 else { return false }
            guard nodes[0].scope == invited.scope else { return false }
            guard invited.name.isEmpty else { return nodes[0].name == invited.name }
            // Nobody's key takes the name of another agent: who holds control could put a machine of their own in its place.
            return nodes[0].name == ownName(of: nodes[0].key) && governance.node(named: nodes[0].name).map { $0.key == nodes[0].key } ?? true
        default:
            guard let number = entry.proposal, let proposal = governance.proposals.all[number], proposal.isApplied else { return false }
            return governance.proposed[number]?.isCarriedOut(by: entry.deed, at: entry.at) ?? false
        }
    }
}
