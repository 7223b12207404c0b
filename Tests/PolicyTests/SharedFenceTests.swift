import Foundation
import Gate
import Messaging
import Synchronization
import Testing

@testable import sluice_policy

@Suite struct SharedFenceTests {
    /// Opened under the lease from before, a gate would be one that nobody has granted.
    @Test func `a gate that opens and a lease that ends are seen together, by every thread at every moment`() {
        let fence = SharedFence()
        let reading = Reading(scope: Scope(subject: "E1", site: "", team: ""), dataClass: DataClass("activity"), reader: "r", purpose: "p")
        let open = GateState()
        var closed = GateState()
        closed.seal("a test")
        let far = Instant(nanoseconds: .max)
        // The control: open and held, it allows.
        fence.change(heldUntil: far) { $0.set(open) }
        #expect(fence.allows(reading))
        fence.change(heldUntil: far) { $0.set(closed) }
        #expect(!fence.allows(reading))
        let counts = Mutex((looked: 0, allowed: 0))
        let hasEnded = Mutex(false)
        let reader = Thread {
            while !hasEnded.withLock({ $0 }) {
                let isAllowed = fence.allows(reading)
                counts.withLock { $0 = ($0.looked + 1, $0.allowed + (isAllowed ? 1 : 0)) }
            }
        }
        reader.start()
        func change(_ times: Int) {
            for _ in 0..<times {
                fence.change(heldUntil: nil) { $0.set(open) }
                fence.change(heldUntil: far) { $0.set(closed) }
            }
        }
        while counts.withLock({ $0.looked }) < 1_000 { change(1_000) }
        #expect(counts.withLock { $0.allowed } == 0)
        hasEnded.withLock { $0 = true }
    }
}
