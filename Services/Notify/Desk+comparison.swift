extension Desk {
    /// Whether an entry may be acted upon: it, and all that an earlier run has taken, was compared in this run, and no other history was found.
    ///
    /// Before that a ledger that was put back, and goes on with other entries, looks like the one that was followed.
    ///
    /// - Parameters:
    ///   - read: Entries up to this one were compared.
    ///   - taken: Entries up to this one were taken by an earlier run.
    ///   - fork: Where another history begins; nil: nowhere so far.
    static func isCompared(_ entry: UInt64, read: UInt64, taken: UInt64, fork: UInt64?) -> Bool { fork == nil && read >= max(taken, entry) }
}
