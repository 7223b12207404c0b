package import Foundation

/// A walk over everything that was stored up to its beginning, judged again by other rules: how far it is.
///
/// | state | what is true | goes to |
/// | --- | --- | --- |
/// | `walking` | persons in order, each one's segments by class and time | `held`, `done` |
/// | `held` | what is left is held by incidents: it is visited when these are lifted | `done` |
/// | `done` | everything that stood there when it began was judged | `walking`, by other rules |
package struct Rescan: Hashable, Sendable {
    package enum State: Int64, Hashable, Sendable { case walking = 0, held = 1, done = 2 }

    /// Of the rules: the same again is the same walk.
    package var id: Data
    package var state: State
    /// Segments that were judged; those of them of which less is left; events that are gone; segments that could not be opened.
    package var seen: Int64
    package var changed: Int64
    package var events: Int64
    package var unreadable: Int64
    /// Persons that were passed over because an incident holds what there is of them.
    package var held: Int64
    /// Segments that walks before this one have left less of.
    package var changedBefore: Int64 = 0
}
