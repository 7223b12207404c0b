import Chassis
import Gate
import Histogram
import Messaging
import Wire

/// Ingest's session with policy: batches out, answers back, and how much may be under way.
final class PolicyRelay {
    let link: Link
    var stored: (WireStoredGroup) -> Void = { _ in }
    var refused: (WireRefused) -> Void = { _ in }
    var busy: (WireBusy) -> Void = { _ in }
    /// Policy does not know any more what was sent to it.
    var lost: () -> Void = {}
    private(set) var underWay = 0
    private var bytesUnderWay = 0
    private let lease: Span
    private var renewed: Instant?
    private var peerStart: [UInt8] = []
    /// Microseconds from relay to answer, since the last report; up to a minute, three digits.
    private var latencies = Histogram<UInt64>(highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: .three)
    private var lastLatencies: (p50: Int64, p99: Int64) = (0, 0)

    init(link: Link, lease: Span) {
        self.link = link
        self.lease = lease
        let start = Nonce.random()
        link.hello = {
            var body = WireHello()
            body.software = "sluice 0.1"
            body.start = start.bytes
            return body
        }
        link.welcomed = { [unowned self] welcome in
            // A new greeting, whether policy restarted or only the connection did: what was under way may be lost.
            underWay = 0
            bytesUnderWay = 0
            peerStart = [UInt8](welcome.start)
            lost()
        }
        link.received = { [unowned self] message in
            // What cannot be read is not an answer: agents send again.
            try? take(message)
        }
    }

    private func take(_ message: borrowing Inbound) throws(Frame.Malformed) {
        switch message.kind {
        case .storedGroup: stored(try message.body(WireStoredGroup.self))
        case .refused:
            let body = try message.body(WireRefused.self)
            if body.agent != 0 { refused(body) }
        case .busy: busy(try message.body(WireBusy.self))
        default: break
        }
    }

    func hasRoom(for bytes: Int) -> Bool {
        link.isWelcome && underWay < Limits.relayedMax && bytesUnderWay + bytes <= Limits.relayedBytesMax
    }

    func send(_ body: WireRelay, payload: consuming Message, bytes: Int) -> Bool {
        guard link.send(.relay, body, payload: payload) == .sent else { return false }
        underWay += 1
        bytesUnderWay += bytes
        return true
    }

    /// One that was under way is answered, or given up.
    func settle(bytes: Int) {
        underWay = max(0, underWay - 1)
        bytesUnderWay = max(0, bytesUnderWay - bytes)
    }

    func note(latency: Span) { latencies.record(UInt64(clamping: latency.microseconds)) }

    func takeLatencies() -> (p50: Int64, p99: Int64) {
        guard latencies.totalCount > 0 else { return lastLatencies }
        lastLatencies = (Int64(latencies.valueAtPercentile(50)), Int64(latencies.valueAtPercentile(99)))
        latencies.reset()
        return lastLatencies
    }

    /// Keeps the session alive. Policy's answer carries no lease: ingest's comes from control.
    func tick(at now: Instant) {
        link.tick(at: now)
        guard link.isWelcome, renewed.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true else { return }
        renewed = now
        var body = WireRenew()
        body.nonce = Nonce.random().bytes
        link.send(.renew, body)
    }
}
