import Gate
import Identity
import Messaging
import Wire

/// A command that is not taken, as it goes back to its sender: a number, and one line that says what to do.
struct Refused: Error {
    let refusal: Refusal
    let text: String
    private var name: String?

    init(_ refusal: Refusal, _ text: String) {
        self.refusal = refusal
        self.text = text
    }

    /// What counts as the same again in a log: one number stands for several reasons. No word of the sender's is in it, or each would be a line.
    var reason: String { name ?? String(text.prefix { !$0.isNumber && $0 != "'" && $0 != "\"" }) }

    /// Of an enum's case, without its values.
    private static func name(of error: any Error) -> String { Mirror(reflecting: error).children.first?.label ?? "\(error)" }

    init(_ error: CommandRefused) {
        switch error {
        case .tooLarge(let bytes): self.init(.tooLarge, "a command has at most \(Statement.bytesMax) bytes, not \(bytes)")
        case .unknownKey(let key): self.init(.unknownKey, "the key \(key) is no operator's: 'sluice operator list' shows whose are")
        case .revokedKey(let name): self.init(.revokedKey, "the key of \(name) was taken away: whoever signs with it now may have stolen it")
        case .badSignature: self.init(.badSignature, "the signature is not that key's over this command: it was changed on its way, or signed with another key")
        case .malformed: self.init(.malformed, "this is no statement as SPEC.md, section 14, has it")
        case .otherPurpose(let purpose): self.init(.invalid, "this was signed as '\(purpose.rawValue)'")
        case .notTheAuthor(let said, let signed): self.init(.notTheAuthor, "it says that \(said) wrote it, and \(signed) signed it")
        case .otherLedger(let origin): self.init(.otherLedger, "it was signed for the suite '\(origin)', not for this one")
        case .expired(let until, let now) where now < until:
            self.init(
                .expired,
                "it counted until \(until.rfc3339), and control, whose clock says \(now.rfc3339), has recorded what is later: what widens waits until that time has come again; look at control's clock"
            )
        case .expired(let until, let now):
            self.init(.expired, "it counted until \(until.rfc3339) and control's clock says \(now.rfc3339): sign it again; if your clock is right, look at control's")
        case .notYetValid(let from, let now):
            self.init(.notYetValid, "it counts from \(from.rfc3339) on and control's clock says \(now.rfc3339): look at both clocks")
        case .validTooLong(let span):
            self.init(.invalid, "it would count for \(span.milliseconds / 1_000) s, \(VerifiedCommand.validityMax.milliseconds / 1_000) at most are allowed")
        case .staleIndex(let written, let oldest):
            self.init(.staleIndex, "it was written at entry \(written), and entry \(oldest) has changed what anybody may do since: look again, then sign again")
        case .indexAhead(let written, let newest):
            self.init(.indexAhead, "it was written at entry \(written), and the ledger has \(newest): its author saw another history. Compare 'sluice status' there and here")
        case .replayed: self.init(.replayed, "it was taken once already, and counts once")
        case .tooMany: self.init(.invalid, "too many commands in a quarter of an hour: nothing widens until they have expired")
        }
        name = Refused.name(of: error)
    }

    init(_ error: ProposalRefused) {
        switch error {
        case .unknownOperator(let name): self.init(.notApproved, "\(name) is no operator")
        case .alreadyProposed(let number): self.init(.replayed, "this is proposal \(number) already")
        case .badExpiry: self.init(.invalid, "a proposal is open for at most a week")
        case .tooManyOpen(let max): self.init(.notApproved, "\(max) proposals are open: approve or withdraw some ('sluice proposals')")
        }
        name = Refused.name(of: error)
    }

    init(_ error: ApprovalRefused) {
        switch error {
        case .unknownProposal(let number): self.init(.notFound, "there is no proposal \(number): 'sluice proposals' lists them")
        case .changed(let number): self.init(.notApproved, "what was signed is not what stands as proposal \(number): look at it again")
        case .alreadyApplied(let at): self.init(.notApproved, "it was approved and carried out at \(at.rfc3339)")
        case .expired(let until): self.init(.notApproved, "it expired at \(until.rfc3339): propose it again")
        case .withdrawn(let name): self.init(.notApproved, "it was withdrawn by \(name)")
        case .unknownOperator(let name): self.init(.notApproved, "\(name) is no operator")
        case .ownProposal: self.init(.notApproved, "who proposes does not approve: another operator must")
        case .samePerson(let name): self.init(.notApproved, "\(name) is the same person: another person must approve")
        case .alreadyApproved: self.init(.notApproved, "you have approved it already: another person must")
        case .proposerRemoved(let name): self.init(.notApproved, "\(name), who proposed it, is no operator any more, or has another key: propose it again")
        }
        name = Refused.name(of: error)
    }

    init(_ error: OperatorsRefused) {
        switch error {
        case .unknown(let name): self.init(.notFound, "there is no operator \(name)")
        case .lastTwo: self.init(.notApproved, "fewer than two persons would be left, and nothing could ever be widened again: add another operator first")
        case .nameInUse(let name): self.init(.invalid, "the name \(name) stands or stood for somebody else: choose another")
        case .keyInUse(let name): self.init(.invalid, "this key is \(name)'s already")
        case .keyRevoked(let name): self.init(.revokedKey, "this key was \(name)'s and was taken away: it never comes back, make a new one")
        }
        name = Refused.name(of: error)
    }
}

extension Refused {
    init(_ error: ServiceKeysRefused, _ service: String) {
        switch error {
        case .unfit: self.init(.invalid, "this is no CURVE public key that anything secret can be agreed with")
        case .underWay: self.init(.invalid, "\(service) has two keys already: retire the older first ('sluice service-key retire \(service)')")
        case .besideAnother: self.init(.invalid, "\(service) has another key by now than the one that is to be exchanged: look again ('sluice service-key list')")
        case .keyInUse(let holder): self.init(.invalid, "this key is \(holder)'s already: one key is one node")
        case .retired: self.init(.revokedKey, "this key was retired or taken away: it never comes back, make a new one")
        case .unknown: self.init(.notFound, "\(service) has no such key: 'sluice service-key list' shows those that count")
        case .last: self.init(.notApproved, "\(service) has this key alone: announce another first")
        }
    }
}

extension Refused {
    init(_ error: LedgerKeysRefused, _ name: String) {
        switch error {
        case .unfit: self.init(.invalid, "this is no verifier key of the kind that \(name) has")
        case .unknownName:
            self.init(.invalid, "no key is exchanged under the name '\(name)': 'sluice ledger-key list' shows those that are")
        case .underWay: self.init(.invalid, "\(name) has two keys already: retire the older first ('sluice ledger-key retire')")
        case .besideAnother: self.init(.invalid, "\(name) has another key by now than the one that is to be exchanged: look again ('sluice ledger-key list')")
        case .known: self.init(.revokedKey, "this key counts already, or was retired and never comes back")
        case .unknown: self.init(.notFound, "\(name) has no such key: 'sluice ledger-key list' shows those that count")
        case .last: self.init(.notApproved, "\(name) has this key alone: announce another first")
        }
    }
}

extension Refused {
    init(_ error: NoticesRefused, _ number: UInt64) {
        switch error {
        case .unknownIncident: self.init(.notFound, "there is no incident \(number): 'sluice incidents' lists them")
        case .notAssessed(.closed), .closed: self.init(.invalid, "incident \(number) is closed: open it again first")
        case .notAssessed(let state): self.init(.invalid, "incident \(number) is \(state.rawValue): people are told what it came to, 'sluice incident assess \(number)' first")
        case .badCount(let count): self.init(.invalid, "\(count) notices: there are 1 to \(DecidedNotices.countMax) in one decision")
        case .badDigest(let bytes): self.init(.invalid, "the digest of notices has \(DecidedNotices.digestBytes) bytes, not \(bytes)")
        case .alreadyDecided(let index): self.init(.invalid, "exactly these notices go out by entry \(index) already: 'sluice notices send \(number)' hands them over")
        case .notTheNewest(nil): self.init(.invalid, "nothing was sent to the people of incident \(number): 'sluice notices send \(number)' first")
        case .notTheNewest(let index?): self.init(.invalid, "the newest notices of incident \(number) are those of entry \(index): 'sluice notices \(number)' shows how they stand")
        case .someAreMissing(let count): self.init(.invalid, "that is not everybody: \(count) have a notice, and each is delivered or unreachable when incident \(number) is notified")
        }
        name = Refused.name(of: error)
    }
}

extension Powers.Gain {
    /// What it means that a subject is planted: whoever approves it signs that nobody stands behind it.
    private static func nobody(_ subject: String) -> String { Drill.isPlanted(subject) ? " (nobody: in no exposure, and told of nothing)" : "" }

    /// One line, for whoever is to approve it.
    var line: String {
        switch self {
        case .reopens(let closure): "reopens \(closure.selector.line)\(closure.direction == .both ? "" : closure.direction == .read ? " (reading)" : " (capture)"), closed at epoch \(closure.epoch.number): \(closure.reason)"
        case .unseals: "opens control again although its ledger has lost entries that others have seen"
        case .goesBack(let epoch): "takes epoch \(epoch.number) for the newest"
        case .admits(let node) where node.role == .reader: "admits reader \(node.name)\(node.scope.subject.isEmpty ? "" : ", key of \(node.scope.subject)")\(node.scope.site.isEmpty ? "" : ", site \(node.scope.site)")\(node.scope.team.isEmpty ? "" : ", team \(node.scope.team)")"
        case .admits(let node): "admits \(node.name), subject \(node.scope.subject)\(Self.nobody(node.scope.subject)), site \(node.scope.site), team \(node.scope.team)"
        case .empowers(let member): "makes \(member.name) (person \(member.person)) an operator, key \((try? OperatorPublicKey(raw: member.key))?.id.description ?? "unfit")"
        case .sealsTo(let key): "has agents seal to the vault key \(key.prefix(8).map { String($0, radix: 16) }.joined())…"
        case .actsAs(let service, let key): "takes whoever has the key \(CurveKey(key)?.z85 ?? "?") for \(service)"
        case .signsWith(let key): "believes whoever has the key \(key) what they sign as \(LedgerKeys.name(of: key))"
        case .forgetsReads: "gives up what was stored, and recorded as read, and is not in the vault that is taken in its place"
        case .invites(let enrolment): "lets one agent in, subject \(enrolment.scope.subject)\(Self.nobody(enrolment.scope.subject)), site \(enrolment.scope.site), team \(enrolment.scope.team), by a token"
        case .loosens(let line): "policy: \(line)"
        case .exceedsAudience(let name): "lets more people be able to read \(name) than the policy itself allows"
        case .records(let kind, let purpose, let subjects): "records the \(kind.rawValue) of \(subjects.shown) for \(purpose): what rests on it is captured, and may be read"
        case .readmits(let subjects): "stores what is captured of \(subjects.shown) again, who are erased"
        case .holds(let incident, let subjects): "keeps what there is of \(subjects.shown) for as long as incident \(incident) lasts, past its retention and past an erasure"
        case .notifies(let incident, let count, let digest): "tells \(count) people of incident \(incident) what has the digest \(digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()): 'sluice notices preview \(incident)' computes it, and a mail cannot be called back"
        }
    }
}

extension Command {
    /// What is so when it has been carried out, for people: what narrows.
    var done: String {
        switch self {
        case .remove(let names): "agent \(names.shown) revoked"
        case .changeOperators(let removed, _): "operator \(removed.shown) removed"
        case .withdraw(let number): "proposal \(number) withdrawn"
        case .closeIncident(let number): "incident \(number) closed"
        case .reopenIncident(let number): "incident \(number) opened again"
        case .noteIncident(let number, _): "a note on incident \(number)"
        case .assessIncident(let number, _, _): "incident \(number) assessed"
        case .incidentNotified(let number, _, let delivered, let unreachable): "incident \(number) notified: \(delivered) have their notice, \(unreachable) were not reached"
        case .pause(_, _, let reason), .leak(_, let reason, _): "paused: \(reason)"
        case .register(let nodes): "agent \(nodes.map(\.name).shown) registered"
        case .retireServiceKey(_, let service): "a key of \(service) retired"
        case .retireLedgerKey(let key): "a key of \(LedgerKeys.name(of: key)) retired"
        case .applyPolicy: "a narrower policy applied"
        case .changeRecords(let subjects, let purpose, let kind, given: false): "\(kind.rawValue) of \(subjects.shown) for \(purpose) withdrawn"
        case .erase(let subjects): "\(subjects.shown) forgotten"
        case .liftHold(let incident, let subjects): "the hold of incident \(incident) on \(subjects.shown) lifted"
        case .drill(let sites, _): "a drill at \(sites.sorted().shown) begun"
        case .resume, .announceVaultKey, .announceServiceKey, .announceLedgerKey, .enrol, .restoreReads, .changeRecords, .readmit, .hold, .sendNotices: "nothing left to do"
        }
    }
}

extension [String] {
    /// Three of them, and how many more.
    fileprivate var shown: String { prefix(3).joined(separator: ", ") + (count > 3 ? " and \(count - 3) more" : "") }
}

extension Selector {
    /// What it matches, for people.
    var line: String {
        let parts = [("site", sites), ("team", teams), ("subject", subjects), ("class", Set(classes.map(\.name))), ("reader", readers), ("purpose", purposes)]
            .filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1.sorted().joined(separator: ", "))" }
        return parts.isEmpty ? "everything" : parts.joined(separator: ", ")
    }
}
