import Chassis
import Gate
import Messaging
import Wire

/// The drill that is under way: what is known of it in this run, and when it is over.
///
/// Decides nothing about what is closed: ``Authority`` does, by the ledger. A drill whose beginning this run has not seen is ended as missed.
struct DrillWatch {
    /// What it is awaited by, and by when.
    enum Ending: Hashable {
        case waits
        case over(Drill.Outcome)
    }

    private var begunAt: Instant?
    private var number: UInt64 = 0
    private(set) var asker: Route?
    private var certificate: Certificate?
    private var closedAt: Instant?
    /// By whom notices are given, as notify last said: of the newest drill whose finding it has, when its entry was made, and when the last hook had it.
    private var notices = (hooks: 0, entryUs: Int64(0), toldUs: Int64(0))

    /// Policy follows control's ledger: an entry is there within a round trip, and after a commit.
    static let findWithin = Span.seconds(5)

    mutating func began(_ drill: Drill, asker: Route?, at now: Instant) {
        self = DrillWatch(notices: notices)
        (number, begunAt, self.asker) = (drill.number, now, asker)
    }

    init() {}
    private init(notices: (hooks: Int, entryUs: Int64, toldUs: Int64)) { self.notices = notices }

    mutating func closed(at now: Instant) { closedAt = now }

    mutating func certified(_ certificate: Certificate) { self.certificate = certificate }

    mutating func heard(notify gauges: [String: Int64]) { notices = (Int(gauges["hooks"] ?? 0), gauges["drill.us"] ?? 0, gauges["drill.told.us"] ?? 0) }

    /// - Parameter foundUs: When the entry of its finding was made, by control's clock.
    func ending(of drill: Drill, agents: [Node], foundUs: Int64, at now: Instant) -> Ending {
        guard number == drill.number, let begunAt else { return .over(.init(readsClosed: drill.finding?.closedAfter, missed: ["control was started again while it was under way"])) }
        guard let finding = drill.finding, let closedAt else {
            guard now - begunAt > DrillWatch.findWithin else { return .waits }
            return .over(.init(missed: ["policy has found nothing within \(DrillWatch.findWithin.milliseconds / 1_000) s"]))
        }
        let elapsed = now - closedAt
        let told: Span? = notices.hooks > 0 && notices.entryUs == foundUs && notices.toldUs > 0 ? .microseconds(max(1, notices.toldUs - foundUs)) : nil
        let isTold = told != nil || notices.hooks == 0
        // A little longer than the bounds, so that what is late is measured too; notify says what it has done with each renewal.
        let patience = max(drill.bounds.certificate, drill.bounds.notice) + .seconds(5)
        guard certificate != nil && isTold || elapsed > patience else { return .waits }
        var outcome = Drill.Outcome(readsClosed: finding.closedAfter, certificate: certificate?.completeAfter, notice: told, hooks: UInt32(clamping: notices.hooks))
        outcome.agentsAll = UInt32(clamping: agents.count)
        let acknowledged = Set(certificate?.agents.filter { if case .acknowledged = $0.value { true } else { false } }.keys ?? [:].keys)
        outcome.agents = UInt32(clamping: agents.count { acknowledged.contains($0.name) })
        func say(_ span: Span?, _ bound: Span, _ what: String) {
            if let span, span <= bound { return }
            outcome.missed.append("\(what) \(span.map { "took \($0.shown)" } ?? "did not come about"), and the bound is \(bound.shown)")
        }
        say(outcome.readsClosed, drill.bounds.readsClosed, "closing reads in policy")
        say(outcome.certificate, drill.bounds.certificate, "the complete certificate")
        if notices.hooks > 0 { say(told, drill.bounds.notice, "the notice to \(notices.hooks) hooks") }
        for site in drill.sites.sorted() where !agents.contains(where: { $0.scope.site == site && acknowledged.contains($0.name) }) {
            outcome.missed.append("no planted agent of \(site) has acknowledged its stop: does it run?")
        }
        return .over(outcome)
    }
}

extension Span {
    /// For people: microseconds below a millisecond.
    fileprivate var shown: String { microseconds < 1_000 ? "\(microseconds) µs" : milliseconds < 10_000 ? "\(milliseconds) ms" : "\(milliseconds / 1_000) s" }
}

// MARK: In the authority

extension Planning {
    func deeds(drilling sites: Set<String>, _ bounds: Drill.Bounds) throws(Refused) -> [Entry.Deed] {
        guard (1...Limits.drillSitesMax).contains(sites.count), sites.allSatisfy({ $0.utf8.count <= Limits.nameBytesMax }) else {
            throw Refused(.invalid, "a drill names 1 to \(Limits.drillSitesMax) sites")
        }
        guard bounds.isSound else { throw Refused(.invalid, "each bound of a drill is more than nothing, and 10 minutes at most") }
        if let running = planned.drillUnderWay { throw Refused(.notApproved, "drill \(running.number) is under way: it ends by itself") }
        if let seal = inForce.gate.seal { throw Refused(.sealed, "nothing would be measured: \(seal)") }
        let agents = planned.plantedAgents(at: sites)
        if let bare = sites.subtracting(agents.map(\.scope.site)).min() {
            throw Refused(.notFound, "no planted agent is at '\(bare)': 'sluice register drill-\(bare) --subject \(Drill.plantedPrefix)\(bare) --site \(bare)', and a second operator's approval, plant one")
        }
        let drill = Drill(number: planned.nextDrill, sites: sites, subjects: Set(agents.map(\.scope.subject)), bounds: bounds)
        guard drill.subjects.count <= Limits.selectorValuesMax else { throw Refused(.invalid, "a drill is about \(Limits.selectorValuesMax) subjects at most") }
        // What is stopped already stops once more in no time, and shows nothing.
        for agent in agents {
            if let closed = planned.gate.closures.first(where: { $0.selector.matches(agent.scope) && $0.selector.classes.isEmpty && $0.selector.readers.isEmpty && $0.selector.purposes.isEmpty }) {
                throw Refused(.paused, "\(agent.name) is stopped already, at epoch \(closed.epoch.number): a drill would measure nothing")
            }
        }
        return [.drillBegan(drill)]
    }
}
