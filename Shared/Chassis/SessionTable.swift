package import Gate
package import Messaging
package import Wire

/// The sessions of a binder: what is known about each peer that has said `Hello`.
///
/// Inlinable, since it is asked with each message: through a generic's witnesses, unspecialized, a look cost ingest 3 % of its processor.
package struct SessionTable<Session> {
    /// A box, so that noting when it was heard copies nothing.
    @usableFromInline final class Entry {
        @usableFromInline let session: Session
        @usableFromInline var heard: Instant
        @inlinable init(_ session: Session, _ heard: Instant) {
            self.session = session
            self.heard = heard
        }
    }

    @usableFromInline var sessions: [Route: Entry] = [:]

    @inlinable package init() {}

    @inlinable package var count: Int { sessions.count }
    @inlinable package var all: some Sequence<(Route, Session)> { sessions.lazy.map { ($0.key, $0.value.session) } }

    /// The session of a route, if it has one; notes that it was heard.
    @inlinable package mutating func hear(_ route: Route, at now: Instant) -> Session? {
        guard let entry = sessions[route] else { return nil }
        entry.heard = now
        return entry.session
    }

    @inlinable package mutating func greet(_ route: Route, _ session: Session, at now: Instant) { sessions[route] = Entry(session, now) }

    @inlinable package mutating func end(_ route: Route) { sessions[route] = nil }

    /// Forgets those not heard for so long: libzmq does not tell when a peer has gone.
    @inlinable package mutating func expire(after silence: Span, at now: Instant, _ gone: (Route, Session) -> Void) {
        for (route, entry) in sessions where now - entry.heard > silence {
            gone(route, entry.session)
            sessions[route] = nil
        }
    }
}

extension Binder {
    package func refuse(
        _ refusal: Refusal, _ text: String, kind: Kind, to route: Route, _ fill: (inout WireRefused) -> Void = { _ in }
    ) {
        count(refusal)
        var body = WireRefused()
        body.code = refusal.rawValue
        body.text = text
        body.kind = UInt32(kind.rawValue)
        fill(&body)
        send(.refused, body, to: route)
    }

    /// A peer that speaks before it has said `Hello`, or after this process has forgotten it.
    package func askForHello(_ kind: Kind, _ route: Route) {
        refuse(.helloFirst, "say Hello first", kind: kind, to: route)
    }
}
