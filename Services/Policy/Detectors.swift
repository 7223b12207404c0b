import Chassis
import Enforcement
import Foundation
import Gate
import Messaging
import Rules
import Vault
import Wire

/// What policy's detectors know, and what becomes of what they find: closed here at once, told to control until control has closed it.
///
/// Lives on the reactor's thread. It holds no release: what runs and is closed now ends in the monitor, which is told so before anybody else.
final class Detectors {
    private let findings: Findings
    private let outsider: Outsider
    private let pages: WebOutsider
    private let follower: Follower
    private let decider: ReleaseDecider
    private var deniedReads = DeniedTally()
    private var drift: DriftTally
    /// Who could read is to be counted, since something has changed.
    private var isAudienceDue = true
    /// When a grant ends next, of the document that was counted by.
    private var nextExpiry: WallTime?
    private var moved: [(subject: String, person: Person?)] = []
    /// In which hour of the clock, and by which document, what runs was last looked at.
    private var served: (hour: Int64, document: UInt64)?
    /// The newest drill that was found here.
    private var drilled: UInt64 = 0
    private var counters: [String: UInt64] = [:]

    // The monitor's, asked for at the moment of use.
    var rules: () -> ReadRules = { ReadRules() }
    var registry: () -> Governance = { Governance() }
    /// Something is closed here that was not: what runs of it is to end.
    var closed: () -> Void = {}
    /// What runs is served in another hour, or by another document.
    var servedOn: (PolicyDocument.LeakReaction) -> Void = { _ in }
    /// What drifted of the class was found, and is to be counted anew after a restart too.
    var driftFound: (DataClass) -> Void = { _ in }
    /// What drifted in minutes that lie ahead is counted in this one, after a restart too.
    var driftSettled: (Int64) -> Void = { _ in }

    /// - Parameter drift: As it was counted before this start.
    init(findings: Findings, outsider: Outsider, pages: WebOutsider, follower: Follower, decider: ReleaseDecider, drift: DriftTally) {
        self.drift = drift
        self.findings = findings
        self.outsider = outsider
        self.pages = pages
        self.follower = follower
        self.decider = decider
    }

    // MARK: Findings

    /// Closes what the finding names to every reader, here and now; control is asked for what the document says.
    ///
    /// - Parameter given: As of the document that it was found by; nil: as of the one in force.
    func found(_ detector: LeakDetector, _ sentence: String, by given: PolicyDocument.LeakReaction? = nil, _ names: Selector) {
        let reaction = given ?? rules().policy?.document.reaction(to: detector) ?? PolicyDocument.LeakReaction(detector, close: .read, of: .everything)
        guard findings.take(detector, reaction, sentence, names, gate: follower.gate) else { return }
        closed()
        report(at: Clock.now())
    }

    /// A drill has begun, in an entry of the present: what it is about is found.
    func findDrill() {
        guard follower.isCaughtUp, let drill = registry().drillUnderWay, drill.finding == nil, drill.number != drilled else { return }
        drilled = drill.number
        findings.take(drill)
        closed()
        report(at: Clock.now())
    }

    /// Control has answered: it has the finding for good.
    func taken(_ outcome: WireOutcome) {
        findings.answered([UInt8](outcome.id))
        handOver(to: follower.gate)
    }

    /// What control's ledger holds, and this gate closes, the gate decides from now on.
    func handOver(to gate: GateState) { findings.handOver(follower.fold.governance, gate: gate) }

    private func report(at now: Instant) {
        for finding in findings.due(at: now) { follower.link.send(.finding, WireFinding(finding)) }
    }

    // MARK: An ordinary employee

    /// Pages that an ordinary employee got. By another document than the one they were tried for they may be nobody's business.
    func take(_ exposed: [WebOutsider.Found]) {
        guard let reaction = rules().policy?.document.reaction(to: .outsider) else { return }
        for page in exposed where reaction.urls.contains(page.probe) {
            found(.outsider, page.sentence, by: reaction, Selector(classes: Set(page.probe.classes.map { DataClass($0) })))
        }
    }

    /// The probe may have what few should.
    func openToAll(_ record: ReleaseRecord, subjects: Int, events: Int64) {
        let classes = Set(record.selection.classes)
        // Named are no readers: who asked is nobody.
        found(
            .outsider, "probe \"ordinary employee\" may read \(events) events of \(subjects) people, class \(classes.map(\.name).sorted().joined(separator: ", ")), for \(record.purpose)",
            Selector(classes: classes, purposes: [record.purpose]))
    }

    /// As it should be, some ten thousand times a day: counted, and not recorded.
    func noteProbeDenied() { counters["probes.denied", default: 0] += 1 }

    // MARK: Readers

    /// - Parameter isRunning: Some of it may have gone out before it was planted.
    func foundPlanted(_ record: ReleaseRecord, _ reaction: PolicyDocument.LeakReaction, _ planted: PlantedFound, isRunning: Bool = false) {
        let verb = isRunning ? "reads, or would have read," : "would have read"
        found(
            .canary, "\(record.reader) \(verb) of \(planted.words), planted for those who are not cleared, for \(record.purpose)", by: reaction,
            Selector(subjects: planted.allSubjects, classes: Set(record.selection.classes), readers: [record.reader], purposes: [record.purpose]))
    }

    func foundBreadth(_ record: ReleaseRecord, _ reaction: PolicyDocument.LeakReaction, _ sentence: String) {
        found(.breadth, sentence, by: reaction, Selector(classes: Set(record.selection.classes), readers: [record.reader], purposes: [record.purpose]))
    }

    func noteDenied(_ reader: String) {
        guard let reaction = rules().policy?.document.reaction(to: .denied), let limit = reaction.limit, let max = limit.reads else { return }
        let count = deniedReads.note(reader, within: limit.period, at: Clock.wall())
        guard count > max else { return }
        deniedReads.forget(reader)
        found(.denied, "\(reader) was denied \(count) reads within a \(limit.per.rawValue), and the limit is \(max)", Selector(readers: [reader]))
    }

    // MARK: Data

    func noteDrift(_ drifts: [Drift], isStored: Bool) {
        let reaction = rules().policy?.document.reaction(to: .drift)
        for one in drifts {
            counters["events.drifted", default: 0] += UInt64(one.into.values.reduce(0, +))
            guard let reaction, let limit = reaction.limit, let found = drift.note(one, isStored: isStored, over: limit, at: Clock.wall()) else { continue }
            driftFound(one.dataClass)
            self.found(.drift, found.sentence, by: reaction, Selector(subjects: found.subjects, classes: [one.dataClass]))
        }
    }

    // MARK: Audiences

    /// Who could read may have become more.
    func audienceMayDiffer() { isAudienceDue = true }

    /// Where these people are has changed; without a person: they are nowhere any more.
    func haveMoved(_ people: [(subject: String, person: Person?)]) {
        moved += people
        isAudienceDue = true
    }

    /// Has the decider count who could read what, before whatever it decides next. As with what is deleted, not before everything has been read that control knows.
    func countAudience() {
        let inForce = rules()
        // Without a document nobody counts, and nothing is remembered for whoever will.
        guard let policy = inForce.policy else { return moved = [] }
        guard isAudienceDue, follower.isCaughtUp, follower.isHeld(at: Clock.now()) else { return }
        isAudienceDue = false
        nextExpiry = AudienceWatch.nextExpiry(policy.document, after: Clock.wall())
        let keys = registry().nodes.values.compactMap { node in node.role == .reader && !node.scope.subject.isEmpty ? Reader(node.name, key: node.scope).person : nil }
        decider.count(.init(rules: inForce, keys: Array(Set(keys.filter(\.isListed))), moved: moved))
        moved = []
    }

    func counted(_ reaction: PolicyDocument.LeakReaction, _ all: [AudienceWatch.Found]) {
        counters["audiences.counted", default: 0] += 1
        for one in all { found(.audience, one.sentence, by: reaction, Selector(classes: [one.dataClass])) }
    }

    // MARK: Time

    /// - Parameter isAudited: What is stored was compared with its record: before that nobody is released anything, and nobody can be asked.
    func tick(at now: Instant, isAudited: Bool) {
        handOver(to: follower.gate)
        report(at: now)
        if let minute = drift.settle(wall: Clock.wall(), at: now) { driftSettled(minute) }
        let inForce = rules()
        lookAtHours(inForce)
        let isHeld = follower.isHeld(at: now)
        pages.use(isHeld ? inForce.policy?.document.reaction(to: .outsider).urls ?? [] : [])
        outsider.tick(isHeld && isAudited ? inForce.policy : nil, over: inForce.text?.over ?? [], at: now)
    }

    /// Whoever reads one release all day asks for nothing more by which they would be found.
    private func lookAtHours(_ rules: ReadRules) {
        guard let policy = rules.policy else { return }
        let present = (hour: Clock.wall().nanoseconds / Span.seconds(3_600).nanoseconds, document: rules.index)
        guard served.map({ $0 != present }) ?? true else { return }
        served = present
        servedOn(policy.document.reaction(to: .breadth))
    }

    /// A grant that has ended takes people out of an audience, and another may have begun.
    func expire(at wall: WallTime) {
        guard let expiry = nextExpiry, wall >= expiry else { return }
        isAudienceDue = true
        countAudience()
    }

    func report(into report: inout WireServiceReport) {
        report.counters.merge(counters) { $0 + $1 }
        for (detector, count) in findings.counts { report.counters["findings.\(detector)"] = count }
        report.counters["findings.repeated"] = findings.repeated
        report.gauges["findings.waiting"] = Int64(findings.waiting)
        report.counters["probes"] = outsider.probes
        let tried = pages.tried
        report.counters["probes.pages"] = tried.asked
        report.counters["probes.pages.failed"] = tried.failed
        report.counters["probes.pages.undecided"] = tried.undecided
        report.gauges["probes.pages.unknown"] = Int64(pages.unknown)
        report.gauges["probes.silent.ms"] = (Clock.now() - outsider.answeredAt).milliseconds
    }
}
