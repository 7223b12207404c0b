/// What an operator may ask for. What of it acts at once and what takes a second person is ``Powers``' to say, not the command's name's.
package enum Command: Hashable, Sendable {
    case pause(Selector, Direction, reason: String)
    case leak(dataClass: String, reason: String, source: String)
    /// - Parameters:
    ///   - unseal: also lifts the seal of a control whose ledger is behind its peers, and gives up what they know:
    ///   - drops: closures that they hold and the ledger has lost;
    ///   - abandons: the checkpoint, as its text, that policy had cosigned of another history; empty: none.
    case resume([Epoch], reason: String, unseal: Bool, drops: [Epoch] = [], abandons: [UInt8] = [])
    /// Their ordinals are not read.
    case register([Node])
    case remove(names: [String])
    case closeIncident(UInt64)
    case reopenIncident(UInt64)
    case noteIncident(UInt64, String)
    /// - Parameter exposure: SHA-256 of the exposure that was computed, 32 bytes.
    case assessIncident(UInt64, exposure: [UInt8], summary: String)
    /// - Parameter digest: ``DecidedNotices/digest``.
    case sendNotices(incident: UInt64, count: UInt64, digest: [UInt8])
    /// - Parameter decision: the entry; the numbers are those that notify has said.
    case incidentNotified(UInt64, decision: UInt64, delivered: UInt64, unreachable: UInt64)
    case changeOperators(removing: [String], adding: [Operator])
    case announceVaultKey([UInt8])
    /// - Parameter beside: the key that counts now, so that who approves sees what is exchanged for what.
    case announceServiceKey([UInt8], service: String, beside: [UInt8])
    case retireServiceKey([UInt8], service: String)
    /// Verifier keys, as texts: the new one, and the one that counts now under the same name.
    case announceLedgerKey(String, beside: String)
    case retireLedgerKey(String)
    /// Its number is not read; `until` neither.
    case enrol(Enrolment, validSeconds: UInt32)
    case withdraw(proposal: UInt64)
    /// Believe a vault that was put back: what was recorded as read in between is lost.
    case restoreReads(abandons: [UInt8], adopts: [UInt8], reason: String)
    /// - Parameter over: classes whose audience may go over the document's own limit.
    case applyPolicy([UInt8], over: [String])
    case changeRecords([String], purpose: String, RecordKind, given: Bool)
    case erase([String])
    case readmit([String])
    case hold(incident: UInt64, [String])
    case liftHold(incident: UInt64, [String])
    case drill(sites: Set<String>, Drill.Bounds)
}

/// The right to register one agent, once, for who has a token.
package struct Enrolment: Hashable, Sendable {
    package var number: UInt64
    /// Empty: the agent is named by its key.
    package var name: String
    package var scope: Scope
    /// SHA-256 of the token's secret, 32 bytes: who sees it can do nothing with it.
    package var token: [UInt8]
    /// The token counts before this moment.
    package var until: WallTime

    package init(number: UInt64, name: String, scope: Scope, token: [UInt8], until: WallTime) {
        self.number = number
        self.name = name
        self.scope = scope
        self.token = token
        self.until = until
    }

    package static let validityMax = Span.seconds(24 * 3_600)
}

/// What a ledger begins with: whatever comes later is checked against it.
package struct Beginning: Hashable, Sendable {
    package var origin: String
    package var operators: [Operator]
    /// C2SP verifier keys, as texts.
    package var controlKey: String
    package var policyKey: String
    package var controlWitness: String
    package var policyWitness: String
    /// False: of a ledger that began when every registered reader could read everything until the first policy document.
    package var deniesByDefault: Bool

    package init(
        origin: String, operators: [Operator], controlKey: String, policyKey: String, controlWitness: String, policyWitness: String, deniesByDefault: Bool = true
    ) {
        self.origin = origin
        self.operators = operators
        self.controlKey = controlKey
        self.policyKey = policyKey
        self.controlWitness = controlWitness
        self.policyWitness = policyWitness
        self.deniesByDefault = deniesByDefault
    }
}

extension Command {
    /// Whether `deed`, recorded at `at`, is what was asked for: no more, and nothing else. Numbers that control gives are not compared.
    package func isCarriedOut(by deed: Entry.Deed, at: WallTime) -> Bool {
        switch (self, deed) {
        case (.resume(let asked, let reason, _, _, _), .resumed(_, let lifted, let given)):
            return !asked.isEmpty && Set(asked) == Set(lifted) && reason == given
        case (.resume(_, let reason, true, let drops, let abandons), .unsealed(_, let dropped, let given, let abandoned)):
            return reason == given && Set(drops) == Set(dropped) && abandons == abandoned
        case (.restoreReads(let abandons, let adopts, let reason), .readsRestored(let given, let taken, let why)):
            return abandons == given && adopts == taken && reason == why
        case (.register(let asked), .registered(let made, nil)):
            return !made.isEmpty && made.allSatisfy { node in
                asked.contains { $0.name == node.name && $0.key == node.key && $0.role == node.role && $0.scope == node.scope }
            }
        case (.changeOperators(let removing, let adding), .operatorsChanged(let removed, let added)):
            return Set(removing) == Set(removed) && adding == added
        case (.announceVaultKey(let asked), .vaultKeyAnnounced(let key)): return asked == key
        case (.announceServiceKey(let asked, let service, let beside), .serviceKeyAnnounced(let key, let named, let before)):
            return asked == key && service == named && beside == before
        case (.retireServiceKey(let asked, let service), .serviceKeyRetired(let key, let named)): return asked == key && service == named
        case (.announceLedgerKey(let asked, let beside), .ledgerKeyAnnounced(let key, let before)): return asked == key && beside == before
        case (.retireLedgerKey(let asked), .ledgerKeyRetired(let key)): return asked == key
        case (.closeIncident(let asked), .incidentMoved(let number, .closed)), (.reopenIncident(let asked), .incidentMoved(let number, .open)): return asked == number
        case (.noteIncident(let asked, let text), .incidentNoted(let number, let said)): return asked == number && text == said
        case (.assessIncident(let asked, let exposure, let summary), .incidentAssessed(let number, let computed, let said)):
            return asked == number && exposure == computed && summary == said
        case (.sendNotices(let asked, let count, let digest), .noticesDecided(let number, let many, let root)): return asked == number && count == many && digest == root
        case (.incidentNotified(let asked, let decision, let delivered, let unreachable), .incidentNotified(let number, let named, let had, let missed)):
            return asked == number && decision == named && delivered == had && unreachable == missed
        case (.enrol(let asked, let seconds), .enrolmentOpened(let made)):
            return asked.name == made.name && asked.scope == made.scope && asked.token == made.token
                && made.until <= at + .seconds(Int64(seconds))
        case (.applyPolicy(let asked, let over), .policyApplied(let document, let named)): return asked == document && over == named
        case (.changeRecords(let asked, let purpose, let kind, let given), .recordsChanged(let subjects, let named, let what, let isGiven)):
            return asked == subjects && purpose == named && kind == what && given == isGiven
        case (.erase(let asked), .erased(let subjects)), (.readmit(let asked), .readmitted(let subjects)): return asked == subjects
        case (.hold(let number, let asked), .held(let incident, let subjects)), (.liftHold(let number, let asked), .holdLifted(let incident, let subjects)):
            return number == incident && asked == subjects
        case (.drill(let sites, let bounds), .drillBegan(let drill)): return sites == drill.sites && bounds == drill.bounds
        default: return false
        }
    }
}
