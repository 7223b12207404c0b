package import Foundation
package import Gate
import SwiftProtobuf

extension WireOperator {
    package init(_ member: Operator) {
        name = member.name
        person = member.person
        key = Data(member.key)
        session = Data(member.session)
    }

    /// Nil: a key that has not 32 bytes, or a name or person that is empty or too long.
    package var value: Operator? {
        guard key.count == 32, session.isEmpty || session.count == 32, [name, person].allSatisfy({ (1...Limits.nameBytesMax).contains($0.utf8.count) })
        else { return nil }
        return Operator(name: name, person: person, key: [UInt8](key), session: [UInt8](session))
    }
}

extension WireBegan {
    package init(_ beginning: Beginning) {
        origin = beginning.origin
        operators = beginning.operators.map { WireOperator($0) }
        controlKey = beginning.controlKey
        policyKey = beginning.policyKey
        controlWitness = beginning.controlWitness
        policyWitness = beginning.policyWitness
        defaultDeny = beginning.deniesByDefault
    }

    package var value: Beginning? {
        let members = operators.compactMap(\.value)
        guard members.count == operators.count else { return nil }
        return Beginning(
            origin: origin, operators: members, controlKey: controlKey, policyKey: policyKey, controlWitness: controlWitness,
            policyWitness: policyWitness, deniesByDefault: defaultDeny)
    }
}

extension WireEnrolmentOpened {
    package init(_ enrolment: Enrolment) {
        self.enrolment = enrolment.number
        name = enrolment.name
        subject = enrolment.scope.subject
        site = enrolment.scope.site
        team = enrolment.scope.team
        token = Data(enrolment.token)
        untilUs = enrolment.until.microseconds
    }

    package var value: Enrolment? {
        guard token.count == 32, !subject.isEmpty else { return nil }
        return Enrolment(
            number: enrolment, name: name, scope: Scope(subject: subject, site: site, team: team), token: [UInt8](token),
            until: WallTime(microseconds: untilUs))
    }
}

extension WireRecordKind {
    package init(_ kind: RecordKind) { self = kind == .notice ? .notice : .consent }

    package var value: RecordKind? {
        switch self {
        case .notice: .notice
        case .consent: .consent
        case .unknown, .UNRECOGNIZED: nil
        }
    }
}

extension WirePolicyApplied {
    package init(_ document: [UInt8], _ over: [String]) {
        self.document = Data(document)
        self.over = over
    }
}

extension WireRecordsChanged {
    package init(_ subjects: [String], _ purpose: String, _ kind: RecordKind, _ given: Bool) {
        self.subjects = subjects
        self.purpose = purpose
        self.kind = WireRecordKind(kind)
        self.given = given
    }
}

extension WireFinding {
    package init(_ finding: Finding) {
        id = Data(finding.id)
        detector = finding.detector
        sentence = finding.sentence
        direction = WireDirection(finding.direction)
        selector = WireSelector(finding.selector)
        atUs = finding.at.microseconds
        closedAfterUs = UInt32(clamping: finding.closedAfter.microseconds)
    }

    /// Nil: an id of another length, no detector, or more words than one sentence has.
    package var value: Finding? {
        guard id.count == Finding.idBytes, (1...Limits.nameBytesMax).contains(detector.utf8.count), !detector.contains(" "), sentence.utf8.count <= Limits.reasonBytesMax else { return nil }
        let named = [selector.sites, selector.teams, selector.subjects, selector.classes, selector.readers, selector.purposes]
        guard named.reduce(0, { $0 + $1.count }) <= Limits.selectorValuesMax, named.allSatisfy({ $0.allSatisfy { $0.utf8.count <= Limits.nameBytesMax } }) else { return nil }
        return Finding(
            id: [UInt8](id), detector: detector, sentence: sentence, direction: direction.value, selector: selector.value, at: WallTime(microseconds: atUs),
            closedAfter: .microseconds(Int64(closedAfterUs)))
    }
}

extension WireIncidentNote {
    package init(_ number: UInt64, _ text: String) {
        incident = number
        self.text = text
    }
}

extension WireIncidentAssessment {
    package init(_ number: UInt64, _ exposure: [UInt8], _ summary: String) {
        incident = number
        self.exposure = Data(exposure)
        self.summary = summary
    }
}

extension WireNoticesDecided {
    package init(_ number: UInt64, _ count: UInt64, _ digest: [UInt8]) {
        incident = number
        self.count = count
        self.digest = Data(digest)
    }
}

extension WireIncidentNotified {
    package init(_ number: UInt64, _ decision: UInt64, _ delivered: UInt64, _ unreachable: UInt64) {
        incident = number
        self.decision = decision
        self.delivered = delivered
        self.unreachable = unreachable
    }
}

extension WireSubjects {
    package init(_ subjects: [String]) { self.subjects = subjects }
}

extension WireHold {
    package init(_ incident: UInt64, _ subjects: [String]) {
        self.incident = incident
        self.subjects = subjects
    }
}

extension WireSignedCommand {
    /// What the statement is about: everything behind its first empty line. Says nothing about who signed it.
    package var body: Data {
        guard let blank = statement.range(of: Data("\n\n".utf8)) else { return Data() }
        return Data(statement[blank.upperBound...])
    }

    /// Nil if it is none.
    package var command: WireCommand? { try? WireCommand(serializedBytes: body) }
}

extension WireCommand {
    package init(_ command: Command) {
        switch command {
        case .pause(let selector, let direction, let reason):
            pause = WirePause()
            pause.selector = WireSelector(selector)
            pause.direction = WireDirection(direction)
            pause.reason = reason
        case .leak(let dataClass, let reason, let source):
            leak = WireLeakReport()
            leak.class = dataClass
            leak.reason = reason
            leak.source = source
        case .resume(let closures, let reason, let unseal, let drops, let abandons):
            resume = WireResume()
            resume.closures = closures.map(\.number)
            resume.reason = reason
            resume.unseal = unseal
            resume.drops = drops.map(\.number)
            resume.abandons = Data(abandons)
        case .register(let nodes):
            register = WireRegister()
            register.nodes = nodes.map { WireNode($0) }
        case .remove(let names):
            remove = WireRemove()
            remove.names = names
        case .closeIncident(let number):
            closeIncident = WireCloseIncident()
            closeIncident.incident = number
        case .reopenIncident(let number):
            reopenIncident = WireCloseIncident()
            reopenIncident.incident = number
        case .noteIncident(let number, let text): noteIncident = WireIncidentNote(number, text)
        case .assessIncident(let number, let exposure, let summary): assessIncident = WireIncidentAssessment(number, exposure, summary)
        case .sendNotices(let number, let count, let digest): sendNotices = WireNoticesDecided(number, count, digest)
        case .incidentNotified(let number, let decision, let delivered, let unreachable): incidentNotified = WireIncidentNotified(number, decision, delivered, unreachable)
        case .changeOperators(let removed, let added):
            changeOperators = WireChangeOperators()
            changeOperators.remove = removed
            changeOperators.add = added.map { WireOperator($0) }
        case .announceVaultKey(let key):
            announceVaultKey = WireAnnounceVaultKey()
            announceVaultKey.key = Data(key)
        case .announceServiceKey(let key, let service, let before):
            announceServiceKey = WireAnnounceServiceKey()
            announceServiceKey.service = service
            announceServiceKey.key = Data(key)
            announceServiceKey.beside = Data(before)
        case .retireServiceKey(let key, let service):
            retireServiceKey = WireRetireServiceKey()
            retireServiceKey.service = service
            retireServiceKey.key = Data(key)
        case .announceLedgerKey(let key, let before):
            announceLedgerKey = WireAnnounceLedgerKey()
            announceLedgerKey.key = key
            announceLedgerKey.beside = before
        case .retireLedgerKey(let key):
            retireLedgerKey = WireRetireLedgerKey()
            retireLedgerKey.key = key
        case .enrol(let enrolment, let seconds):
            enrol = WireEnrol()
            enrol.name = enrolment.name
            enrol.subject = enrolment.scope.subject
            enrol.site = enrolment.scope.site
            enrol.team = enrolment.scope.team
            enrol.token = Data(enrolment.token)
            enrol.validS = seconds
        case .withdraw(let number):
            withdraw = WireWithdraw()
            withdraw.proposal = number
        case .restoreReads(let abandons, let adopts, let reason):
            restoreReads = WireRestoreReads()
            restoreReads.abandons = Data(abandons)
            restoreReads.adopts = Data(adopts)
            restoreReads.reason = reason
        case .applyPolicy(let document, let over): applyPolicy = WirePolicyApplied(document, over)
        case .changeRecords(let subjects, let purpose, let kind, let given): changeRecords = WireRecordsChanged(subjects, purpose, kind, given)
        case .erase(let subjects): erase = WireSubjects(subjects)
        case .readmit(let subjects): readmit = WireSubjects(subjects)
        case .hold(let incident, let subjects): hold = WireHold(incident, subjects)
        case .liftHold(let incident, let subjects): liftHold = WireHold(incident, subjects)
        case .drill(let sites, let bounds):
            drill = WireStartDrill()
            drill.sites = sites.sorted()
            drill.bounds = WireDrillBounds(bounds)
        }
    }

    /// Nil: a deed that is not known here, or one that is not whole.
    package var value: Command? {
        switch deed {
        case .pause(let body): return .pause(body.selector.value, body.direction.value, reason: body.reason)
        case .leak(let body): return .leak(dataClass: body.class, reason: body.reason, source: body.source)
        case .resume(let body):
            return .resume(
                body.closures.map { Epoch($0) }, reason: body.reason, unseal: body.unseal, drops: body.drops.map { Epoch($0) }, abandons: [UInt8](body.abandons))
        case .register(let body):
            let nodes = body.nodes.compactMap(\.value)
            return nodes.count == body.nodes.count ? .register(nodes) : nil
        case .remove(let body): return .remove(names: body.names)
        case .closeIncident(let body): return .closeIncident(body.incident)
        case .reopenIncident(let body): return .reopenIncident(body.incident)
        case .noteIncident(let body): return .noteIncident(body.incident, body.text)
        case .assessIncident(let body): return body.exposure.count == 32 ? .assessIncident(body.incident, exposure: [UInt8](body.exposure), summary: body.summary) : nil
        case .sendNotices(let body): return .sendNotices(incident: body.incident, count: body.count, digest: [UInt8](body.digest))
        case .incidentNotified(let body): return .incidentNotified(body.incident, decision: body.decision, delivered: body.delivered, unreachable: body.unreachable)
        case .changeOperators(let body):
            let added = body.add.compactMap(\.value)
            return added.count == body.add.count ? .changeOperators(removing: body.remove, adding: added) : nil
        case .announceVaultKey(let body): return body.key.count == 32 ? .announceVaultKey([UInt8](body.key)) : nil
        case .announceServiceKey(let body): return .announceServiceKey([UInt8](body.key), service: body.service, beside: [UInt8](body.beside))
        case .retireServiceKey(let body): return .retireServiceKey([UInt8](body.key), service: body.service)
        case .announceLedgerKey(let body): return .announceLedgerKey(body.key, beside: body.beside)
        case .retireLedgerKey(let body): return .retireLedgerKey(body.key)
        case .enrol(let body):
            guard body.token.count == 32, !body.subject.isEmpty else { return nil }
            let scope = Scope(subject: body.subject, site: body.site, team: body.team)
            let enrolment = Enrolment(number: 0, name: body.name, scope: scope, token: [UInt8](body.token), until: .distantPast)
            return .enrol(enrolment, validSeconds: body.validS)
        case .withdraw(let body): return .withdraw(proposal: body.proposal)
        case .restoreReads(let body): return .restoreReads(abandons: [UInt8](body.abandons), adopts: [UInt8](body.adopts), reason: body.reason)
        case .applyPolicy(let body): return body.document.isEmpty ? nil : .applyPolicy([UInt8](body.document), over: body.over)
        case .changeRecords(let body):
            return body.kind.value.map { .changeRecords(body.subjects, purpose: body.purpose, $0, given: body.given) }
        case .erase(let body): return .erase(body.subjects)
        case .readmit(let body): return .readmit(body.subjects)
        case .hold(let body): return .hold(incident: body.incident, body.subjects)
        case .liftHold(let body): return .liftHold(incident: body.incident, body.subjects)
        case .drill(let body): return .drill(sites: Set(body.sites), body.bounds.value)
        case nil: return nil
        }
    }
}
