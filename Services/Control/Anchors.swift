import Foundation
import Gate
import Ledger
import Logging
import Wire

/// What control knows of policy's ledger, and policy of control's: each keeps the other's from going back.
///
/// Lives on the reactor's thread. Judging is the journal's thread's work: nothing waits for it but policy's own lease.
final class Anchors {
    private let authority: Authority
    private let journal: Journal
    private let logger: Logger
    /// The last that was handed to the journal's thread: the same again costs nothing.
    private var heard: WireAnchor?
    private var judgement: PolicyWitness.Judgement?
    /// Why policy does not believe control's ledger; empty: it does.
    private var policysTrouble = ""
    /// What was last logged.
    private var logged = (reads: "", governance: "")
    /// How often each ledger was not believed.
    private(set) var refused: [String: UInt64] = [:]
    /// What policy was last seen to sign with, by name.
    private(set) var used: [KeyName: VerifierKey] = [:]
    /// What is made of policy's ledger has changed: it waits for its lease.
    var nudgePolicy: () -> Void = {}

    init(authority: Authority, journal: Journal, logger: Logger) {
        self.authority = authority
        self.journal = journal
        self.logger = logger
    }

    /// In this run of control.
    var isJudged: Bool { judgement != nil }
    var isBelieved: Bool { judgement.map { $0.trouble.isEmpty && !$0.isUnproven } ?? false }

    /// What goes to policy with each grant.
    var answer: WireAnchor {
        var body = WireAnchor()
        body.seen = judgement?.held?.size ?? 0
        body.vault = judgement?.held?.stored ?? 0
        body.cosigned = judgement?.cosigned ?? Data()
        body.trouble = judgement?.trouble ?? ""
        return body
    }

    /// Policy shows its ledger with each renewal; nil: it has shown none.
    func hear(_ offered: WireAnchor?) {
        guard let offered else {
            judgement = nil
            heard = nil
            return
        }
        guard offered != heard else { return }
        heard = offered
        journal.judge(offered, restored: authority.governance.readsRestored, abandoned: authority.governance.abandoned, keys: authority.governance.ledgerKeys)
    }

    /// What the journal's thread says of an anchor.
    func take(_ judgement: PolicyWitness.Judgement, of judged: WireAnchor) {
        guard judged == heard else { return }
        let wasBelieved = isBelieved
        self.judgement = judgement
        if judgement.isUnkept { heard = nil }
        for key in judgement.signedBy { used[key.name] = key }
        policysTrouble = judgement.isBadlyCosigned ? "what comes as policy's cosignature is not by the key that this suite began with" : judged.trouble
        let inTrouble = !judgement.trouble.isEmpty
        authority.readsInTrouble =
            if inTrouble, let held = judgement.held, let offered = judgement.offered { (held.text, offered.text) } else { nil }
        // Once for each trouble: policy renews three times in each lease.
        note(judgement.trouble, "reads", "policy's ledger is not believed, policy gets no lease", \.reads)
        note(policysTrouble, "governance", "policy does not vouch for this ledger", \.governance)
        if isBelieved != wasBelieved || judgement.isUnproven { nudgePolicy() }
    }

    private func note(_ trouble: String, _ ledger: String, _ what: String, _ last: WritableKeyPath<(reads: String, governance: String), String>) {
        guard logged[keyPath: last] != trouble else { return }
        logged[keyPath: last] = trouble
        guard !trouble.isEmpty else { return logger.notice("the \(ledger) ledger is believed again") }
        refused[ledger, default: 0] += 1
        logger.critical("\(what): \(trouble)")
    }

    /// Two operators have restored policy's ledger, or other keys count: it is judged anew, without waiting for a change.
    func judgeAgain() {
        guard let heard else { return }
        journal.judge(heard, restored: authority.governance.readsRestored, abandoned: authority.governance.abandoned, keys: authority.governance.ledgerKeys)
    }

    var ledgers: [WireLedgerStatus] {
        var governance = WireLedgerStatus()
        governance.origin = authority.governance.beginning?.origin ?? ""
        governance.size = authority.durable
        governance.witnessed = journal.witnessed
        governance.trouble = policysTrouble
        if let claimed = authority.claimed {
            governance.drops = claimed.closures.map(\.number).sorted()
            governance.abandons = Data(claimed.abandoned)
        }
        var reads = WireLedgerStatus()
        reads.origin = authority.governance.beginning.map { String($0.policyKey.prefix { $0 != "+" }) } ?? ""
        reads.size = judgement?.offered?.size ?? 0
        reads.witnessed = judgement?.held?.size ?? 0
        reads.trouble = judgement?.trouble ?? ""
        if let held = authority.readsInTrouble {
            reads.abandons = Data(held.abandons.utf8)
            reads.adopts = Data(held.adopts.utf8)
        }
        return [governance, reads]
    }
}
