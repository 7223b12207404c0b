import Foundation
import Gate
import Messaging

/// Tells a story while it happens: a line with its time for each thing.
final class DemoTeller {
    private let isShown: Bool
    private(set) var told: [(us: Int64, what: String)] = []

    init(isShown: Bool) { self.isShown = isShown }

    /// - Parameter us: When it was, as the ledger or policy has it; nil: now, as it was seen from here.
    func tell(_ what: String, at us: Int64? = nil) {
        let us = us ?? Clock.wall().microseconds
        told.append((us, what))
        guard isShown else { return }
        print("\(Show.time(microseconds: us, milliseconds: true))  \(Terminal.safe(what))")
        fflush(nil)
    }
}
