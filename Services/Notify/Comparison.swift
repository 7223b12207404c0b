/// Whether control's ledger is the one that was delivered, as far as it was compared in this run. Touches no disk and no socket.
///
/// | it is | because | what follows |
/// | --- | --- | --- |
/// | *not known* | not all that was taken before has been read again | nothing new is told, and nothing is said |
/// | *followed* | it has all that was taken, and no other entry in its place | people and systems are told |
/// | *refused* | it has another entry, or fewer | nothing new is told until two operators give the other history up |
struct Comparison: Sendable {
    /// Entries up to this one were taken by an earlier run, of the ledger that is followed.
    private(set) var taken: UInt64
    /// Entries up to this one were compared.
    private(set) var read: UInt64 = 0
    /// After which entry it is another; nil: nowhere, as far as it was read.
    private(set) var fork: UInt64?
    /// Why nothing new is taken from it; empty: it is.
    private(set) var trouble = ""
    /// How often it came to that.
    private(set) var refusals: UInt64 = 0

    /// - Parameter taken: By all runs before.
    init(taken: UInt64) { self.taken = taken }

    enum Change: Hashable, Sendable { case refused(String), followedAgain }

    mutating func compared(to entry: UInt64) { read = entry }

    mutating func forked(after entry: UInt64, taken: UInt64) { (fork, self.taken) = (entry, taken) }

    /// Two operators have given up what was taken otherwise.
    mutating func restored() { (fork, taken) = (nil, 0) }

    /// To be asked when every entry is here that a lease rests on, and not before: an end that has not come yet looks like one that was put back.
    ///
    /// - Parameter held: Entries that are here.
    /// - Returns: nil: it is as it was.
    mutating func judge(held: UInt64) -> Change? {
        guard read == held else { return nil }
        let next =
            if let fork { "control's ledger is another than the one that was delivered, from entry \(fork + 1) on (\(taken) were taken)" } else if held < taken {
                "control's ledger has \(held) entries, and \(taken) were delivered: it was put back"
            } else { "" }
        guard next != trouble else { return nil }
        let was = trouble
        trouble = next
        if next.isEmpty { return .followedAgain }
        guard was.isEmpty else { return nil }
        refusals += 1
        return .refused("\(next); nothing new is told until two operators give the other history up: 'sluice ledger restore governance'")
    }

    /// Whether what it says may be gone by that is not about one entry: all that is here was compared, and nothing else was found.
    ///
    /// - Parameter held: Entries that are here.
    func isBelieved(held: UInt64) -> Bool { read == held && isUndoubted }

    /// Nothing else was found so far.
    var isUndoubted: Bool { fork == nil && trouble.isEmpty }

    /// Whether an entry may be acted upon: it, and all that an earlier run has taken, was compared, and no other history was found.
    ///
    /// Before that a ledger that was put back, and goes on with other entries, looks like the one that was followed.
    func isCompared(_ entry: UInt64) -> Bool { isUndoubted && read >= max(taken, entry) }
}
