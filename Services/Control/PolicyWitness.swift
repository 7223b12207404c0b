import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Wire

/// Control's part as the witness of policy's ledger. Lives on the journal's thread, which keeps what it says before it is said.
struct PolicyWitness: Sendable {
    /// The keys of one suite that the two ledgers are checked with.
    struct Keys: Sendable {
        /// All that this ledger was ever signed with, as far as is known here.
        var control: [VerifierKey]
        /// Two while one is exchanged for the other.
        var policy: [VerifierKey]
        var policyWitness: [VerifierKey]
        /// Of whichever name.
        var retired: [VerifierKey] = []
        /// Cosigns.
        var own: NoteSigner
        /// The names that they sign under.
        let reads: KeyName
        let witness: KeyName

        init(control: VerifierKey, policy: VerifierKey, policyWitness: VerifierKey, own: NoteSigner) {
            self.control = [control]
            self.policy = [policy]
            self.policyWitness = [policyWitness]
            self.own = own
            (reads, witness) = (policy.name, policyWitness.name)
        }

        /// Those that count by the ledger; a ledger that names none leaves those of the registry.
        mutating func go(by known: LedgerKeys) {
            let (policy, witness) = (known.verifiers(reads), known.verifiers(self.witness))
            if !policy.isEmpty { self.policy = policy }
            if !witness.isEmpty { policyWitness = witness }
            retired = known.retiredVerifiers
        }
    }

    /// What was made of one anchor.
    struct Judgement: Sendable {
        /// Policy's ledger, as it is offered; nil: what was offered is no checkpoint of it.
        var offered: Checkpoint?
        /// As control has last cosigned it.
        var held: Checkpoint?
        /// With control's cosignature; empty: none.
        var cosigned = Data()
        /// Why policy's ledger is not believed; empty: it is.
        var trouble = ""
        /// Its proof begins elsewhere than control has come to: policy is told where that is, and gets no lease before it shows the rest.
        var isUnproven = false
        /// There was no room to keep it, so nothing was cosigned: to be judged again.
        var isUnkept = false
        /// What came as policy's cosignature of control's ledger is none.
        var isBadlyCosigned = false
        /// The keys that policy has signed its own ledger with, and cosigned control's.
        var signedBy: [VerifierKey] = []
    }

    var keys: Keys
    private(set) var state: CheckpointWitness

    init(keys: Keys, held: Checkpoint?) {
        self.keys = keys
        state = held.map { CheckpointWitness(continuing: $0) } ?? CheckpointWitness(origin: keys.reads)
    }

    /// Judges what policy offers. What it would cosign must be kept before ``cosign(_:at:)``.
    ///
    /// - Parameter restored: What two operators have given up, and what they believe in its place.
    mutating func judge(_ anchor: WireAnchor, restored: [[UInt8]: [UInt8]]) -> (judgement: Judgement, note: SignedNote?) {
        var judgement = Judgement(held: state.last)
        let note: SignedNote
        let offered: Checkpoint
        do {
            note = try SignedNote(parsing: [UInt8](anchor.checkpoint))
            judgement.signedBy = try note.verify(oneOfEach: [keys.policy])
            offered = try Checkpoint(parsing: note.text)
        } catch {
            judgement.trouble = "what policy offers is not signed by the key of its ledger: \(error)"
            return (judgement, nil)
        }
        judgement.offered = offered
        if let held = state.last, let adopts = restored[Array(held.text.utf8)], let checkpoint = try? Checkpoint(parsing: String(decoding: adopts, as: UTF8.self)) {
            state = CheckpointWitness(continuing: checkpoint)
            judgement.held = checkpoint
        }
        let proof = anchor.proof.compactMap { TreeHash(bytes: $0) }
        if let held = state.last, offered.size > held.size, anchor.from != held.size || proof.count != anchor.proof.count {
            judgement.isUnproven = true
            return (judgement, nil)
        }
        let verdict = state.see(offered, proof: proof)
        judgement.held = state.last
        guard verdict.isGood else {
            judgement.trouble = verdict.words
            return (judgement, nil)
        }
        return (judgement, note)
    }

    func cosign(_ note: SignedNote, at now: WallTime) throws -> Data {
        var note = note
        try note.add(keys.own.sign(note.text, at: UInt64(max(0, now.microseconds / 1_000_000))))
        return Data(note.bytes)
    }
}

extension CheckpointWitness.Verdict {
    /// For people. The way out is the same for all: `sluice ledger restore`.
    fileprivate var words: String {
        switch self {
        case .first, .accepted, .same: ""
        case .behind(let seen, let offered): "it has \(offered) entries, and \(seen) were cosigned: the vault was put back; 'sluice ledger restore reads' says what to do"
        case .forked(let size, _, _): "its \(size) entries are others than those that were cosigned: it tells two stories; 'sluice ledger restore reads' says what to do"
        case .inconsistent(let from, let to, _): "its \(to) entries do not begin with the \(from) that were cosigned: it was rewritten; 'sluice ledger restore reads' says what to do"
        case .vaultBehind(let seen, let offered): "its vault has stored \(offered) segments, and \(seen) were cosigned: the vault was put back; 'sluice ledger restore reads' says what to do"
        case .otherOrigin(let name): "it is another ledger (\(name))"
        }
    }
}
