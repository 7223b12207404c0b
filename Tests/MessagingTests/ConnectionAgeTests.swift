import Gate
import Messaging
import Testing

@Suite struct ConnectionAgeTests {
    private let start = Instant(nanoseconds: 7_000)

    @Test("a connection lasts so long, or up to twice that", arguments: [(0.0, 120), (0.5, 180), (1.0, 240)])
    func lasts(share: Double, seconds: Int64) {
        let age = ConnectionAge(from: start, share: share)
        #expect(!age.isOver(at: start + .seconds(seconds) - Span(nanoseconds: 1)))
        #expect(age.isOver(at: start + .seconds(seconds)))
    }

    @Test("connections that were made together do not end together")
    func spread() {
        let ends = (0..<100).map { _ in ConnectionAge(from: start, least: .seconds(100)) }
        let halfway = ends.count { $0.isOver(at: start + .seconds(150)) }
        #expect((20...80).contains(halfway))
    }

    @Test("with a renewal a second it is over before libzmq's first chunk of 256 messages is full")
    func chunk() { #expect(ConnectionAge.least.nanoseconds * 2 < Span.seconds(256).nanoseconds) }
}
