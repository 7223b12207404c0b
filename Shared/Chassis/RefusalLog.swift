package import Gate
package import Logging
package import Messaging
import Wire

/// What was refused, as lines in a log: of each kind the first at once, and while it goes on one line a minute, with how many more.
///
/// Whoever tries a thousand times fills no log, and whoever tries something else meanwhile is not hidden by it. Counted elsewhere, each. One thread's.
package final class RefusalLog {
    private struct Running {
        /// The last of its kind.
        var text: String
        var since: Instant
        var more: UInt64
    }

    private let logger: Logger
    private var running: [String: Running] = [:]
    private var totals: [String: UInt64] = [:]
    package static let every = Span.seconds(60)
    /// More kinds within a minute share one line.
    package static let kindsMax = 1_000
    /// Of messages: those that no honest peer sends. Others are refused in the course of things, or noted by whoever knows their sender.
    package static let words = Set([Refusal.unknownKind, .unsupportedVersion, .malformed, .tooLarge, .notAllowed, .unknownNode, .routingID].map(\.word))

    package init(_ logger: Logger) { self.logger = logger }

    /// - Parameter kind: What counts as the same again: who, and why.
    package func note(_ kind: String, _ text: String, times: UInt64 = 1, at now: Instant) {
        let kind = running[kind] != nil || running.count < RefusalLog.kindsMax ? kind : "others"
        guard var known = running[kind] else {
            running[kind] = Running(text: text, since: now, more: 0)
            logger.notice("\(text)\(times > 1 ? ", \(times) times" : "")")
            return
        }
        known.text = text
        known.more += times
        running[kind] = known
    }

    /// Lets time pass, and takes note of what was refused before anybody knew who it was.
    package func tick(_ admission: Admission, _ messages: [String: UInt64], at now: Instant) {
        note("handshakes", "a handshake was refused: its key is not registered, or not any more", total: admission.refusals, at: now)
        for (word, count) in messages where RefusalLog.words.contains(word) {
            note("messages \(word)", "a message was refused: \(word)", total: count, at: now)
        }
        tick(at: now)
    }

    package func tick(at now: Instant) {
        for (kind, known) in running where now - known.since >= RefusalLog.every {
            guard known.more > 0 else {
                running[kind] = nil
                continue
            }
            logger.notice("\(known.text); \(known.more) more in the last minute")
            running[kind] = Running(text: known.text, since: now, more: 0)
        }
    }

    /// - Parameter total: How often it was refused since the start.
    package func note(_ kind: String, _ text: String, total: UInt64, at now: Instant) {
        let before = totals.updateValue(total, forKey: kind) ?? 0
        if total > before { note(kind, text, times: total - before, at: now) }
    }
}
