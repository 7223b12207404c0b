import Foundation
import Gate
import Messaging
import Wire

/// Asks again for what a service has no room for at the moment, because of others, or of another command of the same operator.
struct Patience {
    /// In all.
    static let most = Span.seconds(300)
    private static let first = Span.milliseconds(200)
    private static let longest = Span.seconds(5)

    /// What was said last.
    private var said = ""

    /// Doubled each time, and up to a half more, so that those who were refused together do not come back together.
    ///
    /// - Parameters:
    ///   - attempt: That was refused, from 0.
    ///   - jitter: Drawn evenly from 0..<1.
    static func wait(after attempt: Int, jitter: Double) -> Span {
        let wait = min(longest.nanoseconds, first.nanoseconds << min(max(attempt, 0), 8))
        return Span(nanoseconds: wait + Int64(Double(wait) / 2 * min(max(jitter, 0), 1)))
    }

    /// - Throws: The last refusal, if it is ``most`` that it was refused; anything else at once.
    mutating func ask<Answer>(_ service: String, _ question: () throws -> Answer) throws -> Answer {
        let end = Clock.now() + Patience.most
        var attempt = 0
        while true {
            do { return try question() } catch ClientError.refused(.tooMany, let text) {
                guard Clock.now() < end else { throw ClientError.refused(.tooMany, text) }
                say("\(service) is busy, and is asked again: \(text)")
                usleep(UInt32(Patience.wait(after: attempt, jitter: Double.random(in: 0..<1)).nanoseconds / 1_000))
                attempt += 1
            }
        }
    }

    /// Once, until it is something else.
    private mutating func say(_ text: String) {
        guard text != said else { return }
        said = text
        FileHandle.standardError.write(Data("sluice: \(Terminal.safe(text))\n".utf8))
    }
}
