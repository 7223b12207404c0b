import CZMQ
package import Gate
package import SwiftProtobuf
package import Wire

/// A DEALER that asks one thing of a binder that keeps no sessions, again and again until somebody has had enough.
///
/// What comes back is handed out as it comes. A socket that has heard nothing is given up for a new one: it may have been refused, or the
/// binder may have begun anew.
package final class Question: Source {
    package var received: (consuming Inbound) -> Void = { _ in }
    /// Whether a connection stood, ever: the binder is there, and has the key that was expected.
    package private(set) var wasConnected = false

    private var socket: Socket?
    private let frame: HeadedBytes
    private let make: () throws(MessagingError) -> Socket
    private let again: Span
    private let silence: Span
    private var sent: Instant?
    private var heard = Clock.now()
    private var notBefore: Instant?

    /// - Parameters:
    ///   - again: Without an answer it is asked again after so long,
    ///   - silence: and on a new socket after so long.
    package init(
        _ kind: Kind, _ body: some SwiftProtobuf.Message, to address: Link.Address, keys: CurveKeyPair, limits: SocketLimits, again: Span, silence: Span,
        in context: Context
    ) throws(MessagingError) {
        frame = Frame.bytes(kind, body)
        self.again = again
        self.silence = silence
        make = { () throws(MessagingError) in
            try Socket.connecting(
                address.endpoint, keys: keys, server: address.server, limits: limits, reconnect: .random(in: 100...300), in: context)
        }
        socket = try make()
    }

    package var polled: UnsafeMutableRawPointer? { socket?.pointer }
    package var wantsToSend: Bool { sent == nil && notBefore == nil }

    package func ready() {
        if wantsToSend { ask() }
        // A frame or two; more than that a binder has no reason to send.
        for _ in 0..<16 {
            guard let head = socket?.receive() else { return }
            var more = head.hasMore
            let isAlone = !more
            while more, let frame = socket?.receive() { more = frame.hasMore }
            heard = Clock.now()
            guard isAlone, let kind = try? head.withUnsafeBytes({ bytes in try Frame.kind(of: bytes) }) else { continue }
            received(Inbound(kind: kind, head: head, payload: nil, user: ""))
        }
    }

    private func ask() {
        // IMMEDIATE: it is taken only when there is a connection whose handshake is done.
        guard frame.all.withUnsafeBytes({ socket?.send(copying: $0, more: false) }) == .sent else { return }
        wasConnected = true
        sent = Clock.now()
    }

    /// The binder wants to be left alone for a while.
    package func wait(_ span: Span) {
        notBefore = Clock.now() + span
        sent = nil
    }

    package func tick(at now: Instant) {
        if let due = notBefore, now >= due { notBefore = nil }
        guard notBefore == nil else { return heard = now }
        if let asked = sent, now - asked >= again { sent = nil }
        guard now - heard >= silence else { return }
        heard = now
        sent = nil
        socket = nil
        // Fails when descriptors are gone; the next silence tries again.
        socket = try? make()
    }
}
