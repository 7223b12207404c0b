#if os(Linux)
    import Chassis
    import Foundation
    import Gate
    import Messaging
    import Synchronization
    import Wire

    /// A reader that asks for everything, again and again, and notes when a pause cut it off in the middle.
    ///
    /// Its session lives on a thread of its own: a reader is another process's business, and must not wait for the one who pauses.
    final class BenchReader: Sendable {
        private struct State {
            /// When the last chunk came in of a release that has not ended.
            var chunk: Instant?
            /// When the last release ended with `paused`.
            var cut: Instant?
            var isOver = false
            var failure: String?
        }

        private let state = Mutex(State())
        private let ended = DispatchSemaphore(value: 0)

        init(home: Home, as operatorName: String) {
            startThread("reader") { [self] in
                do {
                    let client = try Client("policy", home: home, as: operatorName)
                    while !state.withLock({ $0.isOver }) { try read(client) }
                } catch {
                    state.withLock { $0.failure = "\(error)" }
                }
                ended.signal()
            }
        }

        /// Waits until a release is in the middle of its chunks, or `seconds` have passed.
        func waitUntilReading(seconds: Double) throws {
            let deadline = Stopwatch.now() + seconds
            while Stopwatch.now() < deadline {
                let (chunk, failure) = state.withLock { ($0.chunk, $0.failure) }
                if let failure { throw Complaint("the reader has ended: \(failure)") }
                if let chunk, Clock.now() - chunk < .milliseconds(20) { return }
                usleep(1_000)
            }
            throw Complaint("no release was under way within \(Int(seconds)) s: there is too little to read")
        }

        /// After `start`: when the release was cut off. Waits for it to end, so that a late one counts as late. Nil: it had ended by itself just before.
        func cutOff(since start: Instant) throws -> Span? {
            let deadline = Stopwatch.now() + 10
            while state.withLock({ $0.chunk }) != nil {
                guard Stopwatch.now() < deadline else { throw Complaint("a release goes on 10 s after a pause of everything: reading was not stopped") }
                usleep(1_000)
            }
            return state.withLock { $0.cut }.flatMap { $0 >= start ? $0 - start : nil }
        }

        func stop() {
            state.withLock { $0.isOver = true }
            _ = ended.wait(timeout: .now() + 5)
        }

        private func read(_ client: Client) throws {
            var request = WireReleaseRequest()
            request.id = Nonce.random().bytes
            request.purpose = "bench"
            request.justification = "how long a pause takes to cut a read off"
            request.classes = ["activity"]
            request.credit = UInt32(Limits.releaseCreditMax)
            var release: UInt64?
            do {
                let code = try client.ask(.releaseRequest, request, silence: .seconds(10)) { [self] message -> UInt32? in
                    switch message.kind {
                    case .release:
                        let body = try message.body(WireRelease.self)
                        if body.id == request.id { release = body.release }
                    case .chunk:
                        let chunk = try message.body(WireChunk.self)
                        guard chunk.release == release else { return nil }
                        state.withLock { $0.chunk = Clock.now() }
                        var credit = WireCredit()
                        credit.release = chunk.release
                        credit.chunks = 1
                        client.send(.credit, credit)
                    case .releaseEnded:
                        let body = try message.body(WireReleaseEnded.self)
                        return body.release == release ? body.code : nil
                    default: break
                    }
                    return nil
                }
                let now = Clock.now()
                state.withLock {
                    $0.chunk = nil
                    if code == Refusal.paused.rawValue { $0.cut = now }
                }
            } catch ClientError.refused {
                // Closed: asks again until it is open.
                state.withLock { $0.chunk = nil }
                usleep(20_000)
            }
        }
    }
#endif
