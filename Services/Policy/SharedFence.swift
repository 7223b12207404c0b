import Gate
import Messaging
import Synchronization

/// The fence and this node's lease, for the threads that decode, write and read. The reactor changes it; everyone asks it at
/// the moment of use.
final class SharedFence: Sendable {
    private struct State {
        var fence = Fence()
        var heldUntil: Instant?
    }

    private let state = Mutex(State())

    func change(_ body: (inout Fence) -> Void) { state.withLock { body(&$0.fence) } }
    /// The fence and the end of this node's lease, in one step: nobody sees one of them without the other.
    func change(heldUntil: Instant?, _ body: (inout Fence) -> Void) {
        state.withLock { state in
            body(&state.fence)
            state.heldUntil = heldUntil
        }
    }

    func hold(until: Instant?) { state.withLock { $0.heldUntil = until } }

    /// The fence, whether this node may go on or not.
    var latest: Fence { state.withLock { $0.fence } }

    /// The fence now; nil when this node's lease has ended and it may neither write nor release.
    func current(at now: Instant = Clock.now()) -> Fence? {
        state.withLock { state in
            guard let until = state.heldUntil, now < until else { return nil }
            return state.fence
        }
    }

    /// Changes with the fence and with the lease's end: nil while not held.
    func version(at now: Instant = Clock.now()) -> UInt64? {
        state.withLock { state in
            guard let until = state.heldUntil, now < until else { return nil }
            return state.fence.version
        }
    }

    func allows(_ reading: Reading, at now: Instant = Clock.now()) -> Bool {
        state.withLock { state in
            guard let until = state.heldUntil, now < until else { return false }
            return state.fence.allows(reading)
        }
    }
}
