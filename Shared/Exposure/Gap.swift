package import Gate

/// What an exposure cannot say, and why. With its gaps an answer is whole.
package enum Gap: Hashable, Sendable {
    /// What the policy document said then is not known: whoever had a key may have been allowed anything.
    case policy(index: UInt64, Period, why: String)
    /// Nothing says which document was in force.
    case policyBefore(WallTime)
    /// The ledger of reads cannot be read, or is not whole: who did read is not known, or not all of it.
    case reads(why: String)
    /// The same of control's.
    case governance(why: String)
    /// Nothing says who was where, in which team: whoever had a right by place and no key is not counted, and who moved counts as where they had been.
    case directoryUnknown
    /// Only where people are now is known, or since then.
    case directoryBefore(WallTime)
    /// Keys of the registry's file, of which no entry says since when they count.
    case keysUndated([String])
    /// Control's clock was set back: between these two times it is not known which document was in force. With the entry that came after.
    case clockBack(Period, entry: UInt64)
    /// Policy's clock was that far from control's: a release went by a document that was not in force when it was opened, or not any more.
    case clockApart(release: UInt64, by: Span)
    /// Releases of the same data that had left before: what became of it, no ledger says.
    case releasedBefore([UInt64])
    /// Releases that name no persons: who might be in them is said to be so.
    case notNamed([UInt64])
    /// Releases of which no end is recorded: what left is not more than what they may have held.
    case notEnded([UInt64])
    /// Some of what was there has been swept since, or erased.
    case holdingsFewer
    /// Whose data was erased since, or is being erased: how much there was is not known any more.
    case erased([String])
    /// Of whom it is not known in which team and site what was captured of them was: what reaches by place may have reached them.
    case placeUnknown([String])

    /// In this order, and those of one sort by what they hold.
    var rank: Int {
        switch self {
        case .governance: 0
        case .policyBefore: 1
        case .policy: 2
        case .directoryUnknown: 3
        case .directoryBefore: 4
        case .keysUndated: 5
        case .reads: 6
        case .notNamed: 7
        case .notEnded: 8
        case .clockBack: 9
        case .clockApart: 10
        case .holdingsFewer: 11
        case .erased: 12
        case .placeUnknown: 13
        case .releasedBefore: 14
        }
    }

    package var word: String {
        switch self {
        case .policy: "policy-unknown"
        case .policyBefore: "policy-before"
        case .reads: "reads-unknown"
        case .governance: "governance-unknown"
        case .directoryUnknown: "directory-unknown"
        case .directoryBefore: "directory-before"
        case .keysUndated: "keys-undated"
        case .clockBack: "clock-back"
        case .clockApart: "clock-apart"
        case .releasedBefore: "released-before"
        case .notNamed: "not-named"
        case .notEnded: "not-ended"
        case .holdingsFewer: "holdings-fewer"
        case .erased: "erased"
        case .placeUnknown: "place-unknown"
        }
    }
}
