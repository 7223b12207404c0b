import Chassis
import Foundation
import Gate
import Ledger
import Logging
import Messaging
import Seal
import SwiftProtobuf
import Wire

/// The agent's session with ingest: renews the permit, acknowledges narrower ones, and sends the spool, in order, stream by stream.
final class Uplink {
    private struct Stream {
        var place: Spool.Stream
        /// The next sequence to send.
        var next: UInt64
        var cache: [UInt64: SpooledBatch] = [:]
        var fetching = false
        /// Not before: ingest or policy were busy, or closed.
        var notBefore = Instant(nanoseconds: 0)
        /// There was no room for what was sent: one batch asks, and with its answer the window opens again.
        var isAsking = false
        var progress: Instant
    }

    private let link: Link
    private let recorder: Recorder
    private let spool: SpoolThread
    private let logger: Logger
    private let lease: Span
    private var streams: [UInt64: Stream] = [:]
    /// From when the next renewal is counted.
    private var renewed: Instant?
    /// When one was last sent.
    private var requested = Instant(nanoseconds: 0)
    private var reconnected = Clock.now()
    private var window = UInt64(Limits.window)
    private let ledger: LedgerPin
    private let name: String
    private var accepted: VaultAnnouncement?
    /// As it was last offered: looked at again when another key of the ledger is known.
    private var offered: WireEntryProof?
    private let pin: ServerPin
    private let rules: RulesReader
    /// Ingest knows this agent by its name, and has shown a proven key to seal to. Before that nothing is asked for.
    private var isTrusted = false
    private var isNamed = false
    /// Why not, as it was last said.
    private var complaint: String?
    private var isQuarantined = false
    /// Renewals that may still be answered: an answer that is late is told from one to nothing.
    private var asked: [Nonce] = []
    private static let askedMax = 8
    /// The newest of them was.
    private var isGranted = false
    private let refusals: RefusalLog

    /// - Parameter accepted: The vault key that this agent accepted last, in whatever run.
    init(
        link: Link, recorder: Recorder, spool: SpoolThread, name: String, ledger: LedgerPin, accepted: VaultAnnouncement?, pin: ServerPin,
        rules: RulesReader, lease: Span,
        logger: Logger
    ) {
        self.link = link
        self.name = name
        self.ledger = ledger
        self.accepted = accepted
        self.pin = pin
        self.rules = rules
        self.recorder = recorder
        self.spool = spool
        self.lease = lease
        self.logger = logger
        refusals = RefusalLog(logger)
        let start = Nonce.random()
        link.hello = { [unowned recorder] in
            var body = WireHello()
            body.software = "sluice-agent 0.1"
            body.start = start.bytes
            body.epoch = recorder.view().epoch.number
            return body
        }
        link.welcomed = { [unowned self] in welcomed($0) }
        link.received = { [unowned self] message in
            // What cannot be read is no permission: the lease runs out.
            try? take(message)
        }
    }

    private func welcomed(_ welcome: WireWelcome) {
        logger.info("connected as \(welcome.node)")
        pin.met(link.server)
        takeLedgerKeys(welcome.ledgerKeys)
        takeServer(welcome.hasServer ? welcome.server : nil, retired: welcome.hasServerRetired ? welcome.serverRetired : nil)
        isNamed = welcome.node == name
        guard isNamed else {
            return distrust("ingest knows this agent as '\(welcome.node)', and agent.json says '\(name)': what is sealed under one name opens under no other")
        }
        take(welcome.hasVault ? welcome.vault : nil)
        window = UInt64(max(1, min(64, welcome.window)))
        for id in streams.keys { rewind(id, to: streams[id]!.place.oldest) }
        spool.set {
            $0.isConnected = true
            $0.ordinal = welcome.ordinal
        }
        renew(at: Clock.now())
    }

    /// Takes the key to seal to, if control's ledger has announced it; else asks for nothing more.
    private func take(_ proof: WireEntryProof?) {
        offered = proof
        do throws(AnnouncementRefused) {
            guard let proof else { throw .absent }
            let announced = try VaultAnnouncement.check(proof, ledger: ledger.keys, accepted: accepted)
            complaint = nil
            isTrusted = true
            guard announced != accepted else { return }
            accepted = announced
            logger.info("sealing to the vault key \(announced.key.id), announced by entry \(announced.index)")
            spool.put(.sealTo(announced.key, proof: try? proof.serializedData()))
        } catch {
            distrust("\(error)")
        }
    }

    /// Takes another key of ingest's, if control's ledger has announced it, and drops one that it has retired. If not, this session is as good as before.
    private func takeServer(_ proof: WireEntryProof?, retired: WireEntryProof?) {
        if let retired { pin.take(retired: retired) }
        if let proof { pin.take(proof) }
        link.accept(pin.keys, at: Clock.now())
        spool.set { $0.keysRefused = self.pin.refused + self.ledger.refused }
    }

    /// Takes other keys of control's ledger, if it has announced or retired them itself.
    private func takeLedgerKeys(_ proofs: [WireEntryProof]) {
        let isChanged = ledger.take(proofs)
        spool.set { $0.keysRefused = self.pin.refused + self.ledger.refused }
        guard isChanged, isNamed, !isTrusted, let offered else { return }
        take(offered)
        renew(at: Clock.now())
    }

    /// Whoever hands out permits and cannot prove which key is the vault's may be anybody: what it permits is not captured.
    private func distrust(_ why: String) {
        if complaint != why { logger.error("\(why); nothing is captured") }
        complaint = why
        isTrusted = false
        recorder.stop()
    }

    private func take(_ message: borrowing Inbound) throws(Frame.Malformed) {
        switch message.kind {
        case .vaultKey:
            let body = try message.body(WireVaultKey.self)
            guard isNamed else { break }
            let wasTrusted = isTrusted
            take(body.vault)
            if !wasTrusted { renew(at: Clock.now()) }
        case .serverKey:
            let body = try message.body(WireServerKey.self)
            if !body.ledgerKeys.isEmpty { takeLedgerKeys(body.ledgerKeys) }
            if body.hasServer || body.hasRetired { takeServer(body.hasServer ? body.server : nil, retired: body.hasRetired ? body.retired : nil) }
        case .grant: granted(try message.body(WireGrant.self))
        case .narrow:
            let body = try message.body(WireNarrow.self)
            _ = recorder.narrow(to: body.permit.value)
            // With nothing permitted there is nothing to extend: the next renewal is a third of a lease from here, and ingest has its
            // hands free for those who have not stopped yet.
            // Never later than two thirds of a lease after the last: pause upon pause must not silence an agent.
            if body.permit.classes.isEmpty { renewed = min(Clock.now(), requested + lease / Limits.renewalsPerLease) }
            // Said again for every push, also one that changed nothing: the last receipt may have been lost.
            acknowledge(recorder.view().permitEpoch)
        case .nudge: renew(at: Clock.now())
        case .rules: rules.take(try message.body(WireRules.self))
        case .stored: stored(try message.body(WireStored.self))
        case .busy:
            let body = try message.body(WireBusy.self)
            hold(body.stream, body.sequence, milliseconds: Int64(body.retryMs))
            streams[body.stream]?.isAsking = true
        case .refused: refused(try message.body(WireRefused.self))
        default: break
        }
    }

    private func granted(_ body: WireGrant) {
        guard let nonce = Nonce(body.nonce), let place = asked.firstIndex(of: nonce) else { return recorder.refuse(.unasked) }
        isGranted = place == asked.count - 1
        asked.remove(at: place)
        guard body.hasPermit else { return }
        guard let epoch = recorder.grant(nonce, lease: .milliseconds(Int64(body.leaseMs)), permit: body.permit.value) else { return pump() }
        acknowledge(epoch)
        pump()
    }

    private func acknowledge(_ epoch: Epoch) {
        var body = WireStopped()
        body.epoch = epoch.number
        link.send(.stopped, body)
    }

    func renew(at now: Instant) {
        guard isTrusted else { return }
        renewed = now
        requested = now
        let nonce = Nonce.random()
        asked = asked.suffix(Uplink.askedMax - 1) + [nonce]
        isGranted = false
        var body = WireRenew()
        body.nonce = nonce.bytes
        body.epoch = recorder.request(nonce, at: now).number
        body.wallUs = Clock.wall().microseconds
        body.rules = Data(recorder.newestRules)
        let counts = recorder.view().counts
        body.agent.eventsAccepted = counts.accepted
        body.agent.eventsRefused = counts.refused
        body.agent.pushesRefused = counts.pushes
        body.agent.eventsCounted = counts.counted
        body.agent.eventsMinimised = counts.minimised
        for (word, count) in counts.pushes { refusals.note("push \(word)", "ingest sent what it may not (\(word)), and it was not taken", total: count, at: now) }
        refusals.tick(at: now)
        let extent = spool.extent
        body.agent.spoolBatches = UInt64(extent.batches)
        body.agent.spoolBytes = UInt64(extent.bytes)
        body.agent.spoolOldestUs = extent.oldest?.microseconds ?? 0
        link.send(.renew, body)
    }

    // MARK: Answers

    private func stored(_ body: WireStored) {
        guard streams[body.stream] != nil, body.sequence >= streams[body.stream]!.place.oldest else { return }
        spool.put(.forget(body.stream, upTo: body.sequence))
        let oldest = min(body.sequence, streams[body.stream]!.place.newest) + 1
        streams[body.stream]!.place.oldest = oldest
        streams[body.stream]!.next = max(streams[body.stream]!.next, oldest)
        streams[body.stream]!.cache = streams[body.stream]!.cache.filter { $0.key >= oldest }
        streams[body.stream]!.progress = Clock.now()
        streams[body.stream]!.isAsking = false
        pump()
    }

    private func refused(_ body: WireRefused) {
        guard let refusal = Refusal(rawValue: body.code) else { return logger.warning("refused, code \(body.code): \(body.text)") }
        if refusal == .quarantined, !isQuarantined {
            isQuarantined = true
            logger.error("\(body.text)")
        }
        if refusal == .unknownNode, Clock.now() - reconnected > lease {
            // What this connection's key stood for is gone; a new handshake asks again.
            reconnected = Clock.now()
            logger.error("ingest does not know this agent: \(body.text)")
            return link.renew(at: reconnected)
        }
        guard body.stream != 0 else {
            if refusal.disposition == .give { logger.error("ingest refuses this agent: \(body.text)") }
            return
        }
        switch refusal.disposition {
        case .keep, .greet: hold(body.stream, body.sequence, milliseconds: 500)
        case .rewind: rewind(body.stream, to: body.expected)
        case .quarantine:
            logger.error("batch \(body.sequence) was refused: \(body.text); it is set aside")
            spool.put(.quarantine(body.stream, body.sequence, refusal.word))
            streams[body.stream]?.cache[body.sequence] = nil
            hold(body.stream, body.sequence, milliseconds: 50)
        case .give: hold(body.stream, body.sequence, milliseconds: 5_000)
        }
    }

    private func hold(_ id: UInt64, _ sequence: UInt64, milliseconds: Int64) {
        guard streams[id] != nil else { return }
        rewind(id, to: min(sequence, streams[id]!.next))
        streams[id]!.notBefore = Clock.now() + .milliseconds(milliseconds)
    }

    private func rewind(_ id: UInt64, to sequence: UInt64) {
        guard let stream = streams[id] else { return }
        streams[id]!.next = min(max(sequence, stream.place.oldest), stream.place.newest + 1)
        streams[id]!.progress = Clock.now()
    }

    // MARK: The spool

    func take(_ news: SpoolThread.News) -> Bool {
        switch news {
        case .stream(let place):
            if streams[place.id] == nil { streams[place.id] = Stream(place: place, next: place.oldest, progress: Clock.now()) }
            let oldest = max(place.oldest, streams[place.id]!.place.oldest)
            streams[place.id]!.place = place
            streams[place.id]!.place.oldest = oldest
            streams[place.id]!.next = max(streams[place.id]!.next, oldest)
        case .batches(let id, let from, let batches):
            guard streams[id] != nil else { break }
            streams[id]!.fetching = false
            for batch in batches { streams[id]!.cache[batch.sequence] = batch }
            // Set aside by the spool: what follows goes on without it.
            if streams[id]!.next == from, let first = batches.first, first.sequence > from { streams[id]!.next = first.sequence }
        case .damaged(let sequences):
            for sequence in sequences { logger.error("the bytes of batch \(sequence) have changed on disk; it is set aside") }
        case .failed(let why):
            logger.critical("\(why)")
            return false
        case .rules(let held):
            recorder.hold(held)
            // Until a permit names them nothing is captured by them.
            if link.isWelcome { renew(at: Clock.now()) }
        case .rulesRefused(let why): logger.error("the rules that ingest sent cannot be kept to: \(why); nothing is captured by them")
        }
        pump()
        return true
    }

    private func pump() {
        guard link.isWelcome else { return }
        let now = Clock.now()
        for id in streams.keys {
            // While its class is closed a stream waits: policy would only send it back.
            guard recorder.maySend(streams[id]!.place.dataClass, at: now), now >= streams[id]!.notBefore else { continue }
            pump(id, now)
        }
    }

    private func pump(_ id: UInt64, _ now: Instant) {
        while let stream = streams[id], stream.next <= stream.place.newest, stream.next < stream.place.oldest + (stream.isAsking ? 1 : window) {
            guard let batch = stream.cache[stream.next] else {
                if !stream.fetching {
                    streams[id]!.fetching = true
                    spool.put(.fetch(id, from: stream.next, limit: Int(window)))
                }
                return
            }
            var body = WireBatch()
            body.header = batch.header
            body.oldest = stream.place.oldest
            FaultPoint.pass("after-check-before-send")
            guard link.send(.batch, body, payload: Message(batch.payload)) == .sent else { return }
            streams[id]!.next += 1
        }
    }

    // MARK: Time

    func tick(at now: Instant) {
        link.tick(at: now)
        if isAnswered, link.isOld(at: now) {
            link.renew(at: now)
            FaultPoint.pass("between-connections")
        }
        recorder.tick()
        if !link.isWelcome { spool.set { $0.isConnected = false } }
        if link.isWelcome, renewed.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true { renew(at: now) }
        for (id, stream) in streams where stream.next > stream.place.oldest && now - stream.progress > Span(nanoseconds: lease.nanoseconds * 2) {
            // No answer for two leases: sent again from the oldest; policy knows what it has.
            rewind(id, to: stream.place.oldest)
        }
        pump()
    }

    /// Nothing that was sent waits for its answer: no batch, and no renewal, whose lease a new connection would have to do without.
    private var isAnswered: Bool { isGranted && streams.values.allSatisfy { $0.next == $0.place.oldest } }

    /// Whether everything is in the vault.
    var isDrained: Bool { streams.values.allSatisfy { $0.place.oldest > $0.place.newest } }

    func sayGoodbye() {
        recorder.stop()
        link.send(.goodbye, WireGoodbye())
    }
}
