import Gate
import Messaging

/// A pause on its way to its certificate, and who wants to know.
struct Stopping {
    var tracker: StopTracker
    /// Its entry in the journal.
    let entry: UInt64
    /// Who commanded it and is shown progress.
    var asker: Route?
    var shown: Instant
    /// Told that it could not be completed in time; it goes on being tried.
    var overdue = false
    /// When the closure was last pushed to services that have not answered.
    var pushed: Instant
}
