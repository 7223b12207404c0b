import Chassis
import Gate
import Messaging
import Wire

/// The pauses on their way to their certificates: who has stopped, who is asked again, and who is shown how far it has come.
///
/// Lives on the reactor's thread. Decides nothing about what is closed: ``Authority`` has done that, and pushed it, before a stop begins here.
final class Stops {
    private(set) var underWay: [Epoch: Stopping] = [:]
    private(set) var recent: [Epoch: WireCertificate] = [:]
    /// Complete certificates that are not in the ledger yet.
    private var unrecorded: [Epoch: Unrecorded] = [:]
    private let lease: Span

    /// The gate once more, to those that have not answered.
    var pushAgain: (Set<String>) -> Void = { _ in }
    var showProgress: (Route, WireProgress) -> Void = { _, _ in }
    var showCertificate: (Route, WireCertificate) -> Void = { _, _ in }
    var services: () -> [StopTracker.Service] = { [] }

    static let certificatesMax = 16

    /// A certificate on its way to the disk. Shown before it is there it would be a proof that a control which ends now has never made; the stop itself waits for nothing.
    private struct Unrecorded {
        /// Its own entry in the journal.
        let entry: UInt64
        let since: Instant
        var asker: Route?
        /// That it is complete, and not in the ledger.
        var isTold = false
    }

    init(lease: Span) { self.lease = lease }

    /// - Parameters:
    ///   - entry: the closure's, in the journal.
    ///   - agents: the names of those that it stops.
    func begin(_ closure: Closure, entry: UInt64, agents: Set<String>, asker: Route?, at now: Instant) {
        underWay[closure.epoch] = Stopping(tracker: tracker(closure, agents: agents, at: now), entry: entry, asker: asker, shown: now, pushed: now)
    }

    /// Who is to stop and is waited for, if the closure came in now. Nobody is told.
    func tracker(_ closure: Closure, agents: Set<String>, at now: Instant) -> StopTracker {
        StopTracker(closure: closure, at: now, lease: lease, services: services(), agents: agents)
    }

    /// Who asks again, on a new connection perhaps, is shown the same pause to its end: what went to the old one is lost.
    func follow(_ epoch: Epoch, _ route: Route, _ wall: WallTime) {
        if underWay[epoch] != nil {
            underWay[epoch]?.asker = route
            if let stopping = underWay[epoch], stopping.overdue {
                showCertificate(route, WireCertificate(stopping.tracker.certificate(issued: wall)))
            }
        } else if let waiting = unrecorded[epoch], !waiting.isTold {
            unrecorded[epoch]?.asker = route
        } else if let certificate = recent[epoch] {
            showCertificate(route, certificate)
        }
    }

    /// As it is now; nil: it is neither under way nor one of the newest.
    func certificate(_ epoch: Epoch, at wall: WallTime) -> WireCertificate? {
        recent[epoch] ?? underWay[epoch].map { WireCertificate($0.tracker.certificate(issued: wall)) }
    }

    // MARK: What is heard

    func stopped(service: String, epoch: Epoch, isDurable: Bool, at now: Instant) {
        for started in underWay.keys where started <= epoch {
            underWay[started]!.tracker.acknowledged(service: service, at: now)
            if isDurable { underWay[started]!.tracker.durable(in: .vault) }
        }
    }

    func reported(by ingest: String, epoch: Epoch, leased: [String]) {
        for started in underWay.keys where started <= epoch { underWay[started]!.tracker.reported(by: ingest, leased: leased) }
    }

    func stopped(agents: [String], epoch: Epoch, at now: Instant) {
        for started in underWay.keys where started <= epoch {
            for name in agents { underWay[started]!.tracker.acknowledged(agent: name, at: now) }
        }
    }

    /// The journal holds all entries up to this one.
    func becameDurable(_ upTo: UInt64) {
        for (epoch, stopping) in underWay where stopping.entry <= upTo { underWay[epoch]?.tracker.durable(in: .journal) }
        for (epoch, waiting) in unrecorded where waiting.entry <= upTo {
            unrecorded[epoch] = nil
            recent[epoch]?.unrecorded = false
            if !waiting.isTold { show(epoch, to: waiting.asker) }
        }
    }

    /// The journal cannot be written now: that they are complete is no secret.
    func cannotRecord() { for epoch in unrecorded.keys { tellUnrecorded(epoch) } }

    private func tellUnrecorded(_ epoch: Epoch) {
        guard let waiting = unrecorded[epoch], !waiting.isTold else { return }
        unrecorded[epoch]?.isTold = true
        show(epoch, to: waiting.asker)
    }

    private func show(_ epoch: Epoch, to asker: Route?) {
        if let asker, let certificate = recent[epoch] { showCertificate(asker, certificate) }
    }

    // MARK: Time

    /// Lets time pass: shows how far each has come, and asks those again that are silent.
    ///
    /// - Returns: what is complete and under way no more; to be recorded, and then handed to ``certified(_:of:entry:at:)``.
    func advance(at now: Instant, wall: WallTime) -> [Stopping] {
        var complete: [Stopping] = []
        // A disk that hangs says nothing. The last lease may have ended a moment ago: whoever waits for a certificate waits for this slack after that.
        for (epoch, waiting) in unrecorded where now - waiting.since > Limits.certificateSlack { tellUnrecorded(epoch) }
        for (epoch, var stopping) in underWay {
            stopping.tracker.tick(at: now)
            underWay[epoch] = stopping
            if stopping.tracker.isComplete {
                underWay[epoch] = nil
                complete.append(stopping)
            } else if !stopping.overdue, now - stopping.tracker.start > StopTracker.withDrift(lease) + Limits.certificateSlack {
                underWay[epoch]!.overdue = true
                if let asker = stopping.asker { showCertificate(asker, WireCertificate(stopping.tracker.certificate(issued: wall))) }
            } else if let asker = stopping.asker, now - stopping.shown > .milliseconds(50) {
                underWay[epoch]!.shown = now
                showProgress(asker, WireProgress(stopping.tracker.progress(at: now), epoch: epoch))
            }
            let awaited = stopping.tracker.awaited
            if !awaited.isEmpty, now - stopping.pushed > .milliseconds(200) {
                underWay[epoch]?.pushed = now
                pushAgain(awaited)
            }
        }
        return complete
    }

    /// - Parameter entry: the certificate's own, in the journal.
    func certified(_ certificate: Certificate, of stopping: Stopping, entry: UInt64, at now: Instant) {
        let epoch = certificate.epoch
        var wire = WireCertificate(certificate)
        wire.unrecorded = true
        recent[epoch] = wire
        unrecorded[epoch] = Unrecorded(entry: entry, since: now, asker: stopping.asker)
        if let asker = stopping.asker { showProgress(asker, WireProgress(stopping.tracker.progress(at: stopping.tracker.start + certificate.completeAfter), epoch: epoch)) }
        guard recent.count > Stops.certificatesMax, let oldest = recent.keys.min() else { return }
        tellUnrecorded(oldest)
        recent[oldest] = nil
    }
}

/// A pause on its way to its certificate, and who wants to know.
struct Stopping {
    var tracker: StopTracker
    /// Its entry in the journal.
    let entry: UInt64
    /// Who commanded it and is shown progress.
    var asker: Route?
    var shown: Instant
    /// Told that it could not be completed in time; it goes on being tried.
    var overdue = false
    /// When the closure was last pushed to services that have not answered.
    var pushed: Instant
}

extension WireProgress {
    init(_ progress: StopTracker.Progress, epoch: Epoch) {
        self.init()
        self.epoch = epoch.number
        services = UInt32(clamping: progress.services)
        servicesAll = UInt32(clamping: progress.servicesAll)
        servicesUs = UInt32(clamping: progress.servicesAfter.microseconds)
        agents = UInt32(clamping: progress.agents)
        agentsAll = UInt32(clamping: progress.agentsAll)
        agentsUs = UInt32(clamping: progress.agentsAfter.microseconds)
        silent = UInt32(clamping: progress.silent)
        elapsedUs = UInt32(clamping: progress.elapsed.microseconds)
        leaseUs = UInt32(clamping: progress.ended.microseconds)
    }
}
