import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Wire

/// Tells control what was reported until control has it for good. Lives on the reactor's thread; holds no lease, and could allow nothing.
final class ReportDesk {
    private let control: Link
    private let intake: Intake
    private let pins: PinnedKeys
    private let lease: Span
    private let logger: Logger
    /// Read by the server's threads.
    private let counts: HookCounts
    /// By id. On the disk, or, in `unstored`, here alone.
    private var open: [[UInt8]: Finding] = [:]
    private var unstored: [[UInt8]: Finding] = [:]
    private var sentAt: Instant?
    private var askedAt: Instant?
    private var renewedAt: Instant?
    private var totals = ReportStore.Totals()
    private var isWritable = true
    private var isRefused = false
    // Its own key, and those that count.
    private var present: CurveKeyPair
    private let taken: FileWatch<CurveKeyPair>
    private let registry: FileWatch<TrustedNodes>
    private var controls: [CurveKey] = []

    /// Until an answer comes.
    private static let sendEvery = Span.milliseconds(500)
    /// What is not on the disk: each closes something else, or nothing more.
    private static let unstoredMax = 100

    init(_ host: ServiceHost, keys: CurveKeyPair, control: Link, pins: PinnedKeys, intake: Intake, counts: HookCounts, lease: Span) {
        self.control = control
        self.intake = intake
        self.pins = pins
        self.counts = counts
        self.lease = lease
        present = keys
        logger = host.logger
        taken = FileWatch(host.home.takenUpKey(host.name)) { try KeyFile.load($0) }
        registry = FileWatch(host.home.file("registry.json")) { try TrustedNodes(contentsOf: $0) }
        let start = Nonce.random()
        control.hello = {
            var body = WireHello()
            body.software = "sluice 0.1"
            body.start = start.bytes
            return body
        }
        control.welcomed = { [unowned self] _ in
            sentAt = nil
            renewedAt = nil
        }
        control.received = { [unowned self] message in
            // What cannot be read is no answer: it is sent again.
            try? take(message)
        }
    }

    func take(_ news: Intake.News) {
        switch news {
        case .due(let findings):
            for finding in findings where open[finding.id] == nil {
                open[finding.id] = finding
                sentAt = nil
                logger.critical("REPORTED \(finding.sentence)")
            }
        case .unstored(let findings):
            for finding in findings where unstored.count < ReportDesk.unstoredMax && unstored[finding.id] == nil {
                unstored[finding.id] = finding
                sentAt = nil
                logger.critical("REPORTED, and not on the disk: \(finding.sentence)")
            }
        case .totals(let found, let isWritable):
            if isWritable { totals = found }
            self.isWritable = isWritable
        case .failed(let why): logger.critical("\(why)")
        }
        send(at: Clock.now())
    }

    private func take(_ message: borrowing Inbound) throws(Frame.Malformed) {
        switch message.kind {
        case .outcome:
            let body = try message.body(WireOutcome.self)
            let id = [UInt8](body.id)
            isRefused = false
            if open.removeValue(forKey: id) != nil { intake.answered(id, incident: body.incident, entry: body.entry) }
            unstored[id] = nil
        case .refused:
            let body = try message.body(WireRefused.self)
            guard body.kind == UInt32(Kind.finding.rawValue) else { return }
            if !isRefused { logger.error("control does not take a finding (\(body.code)): it is sent again and again") }
            isRefused = true
        case .grant:
            let body = try message.body(WireGrant.self)
            hear(body.keys, at: Clock.now())
        default: break
        }
    }

    /// Which keys of its own and of control's count.
    private func hear(_ keys: [WireServiceKey], at now: Instant) {
        func named(_ service: String) -> [CurveKey] { keys.filter { $0.service == service }.compactMap { CurveKey($0.key) } }
        let known = named("control")
        if !known.isEmpty, known != controls {
            controls = known
            control.accept(known, at: now)
            pins.keep(known)
        }
        if named("hooks").contains(present.publicKey) { control.use(present, at: now) }
    }

    private func send(at now: Instant) {
        guard control.isWelcome, !(open.isEmpty && unstored.isEmpty), sentAt.map({ now - $0 >= ReportDesk.sendEvery }) ?? true else { return }
        sentAt = now
        for finding in (Array(open.values) + unstored.values).sorted(by: { $0.at < $1.at }) { control.send(.finding, WireFinding(finding)) }
    }

    func tick(at now: Instant) {
        control.tick(at: now)
        if let pair = taken.take() { present = pair }
        // What registry.json names may be newer than what is known, as long as control has not been met.
        if let key = registry.take()?.key(of: "control"), controls.isEmpty, let known = try? pins.load(else: key) { control.accept(known, at: now) }
        send(at: now)
        if askedAt.map({ now - $0 >= ReportDesk.sendEvery }) ?? true {
            askedAt = now
            intake.askDue()
        }
        // Control answers without a lease: there is nothing here that it could allow.
        guard control.isWelcome, renewedAt.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true else { return }
        renewedAt = now
        var body = WireRenew()
        body.nonce = Nonce.random().bytes
        body.service.counters = counts.all
        body.service.counters["matched"] = totals.matched
        body.service.counters["unmatched"] = totals.unmatched
        body.service.counters["resolved"] = totals.resolved
        body.service.counters["known"] = totals.known
        body.service.counters["answered"] = totals.answered
        body.service.counters["waiting"] = totals.waiting + UInt64(unstored.count)
        body.service.counters["unwritable"] = isWritable ? 0 : 1
        control.send(.renew, body)
    }
}
