import Gate

/// What peers know and the journal does not: it has lost something, and control is sealed until two operators say what counts.
struct Losses {
    /// The highest epoch that anybody knows, if anything is lost. While it is set nothing is granted: a grant would make the peer forget it.
    var epoch: Epoch?
    var closures: Set<Epoch> = []
    /// What policy has cosigned of a history that this ledger does not continue, as its text.
    var abandoned: [UInt8]?

    /// One peer must not make an entry that is too long to be sent.
    static let closuresMax = 1_000
    /// Who claims the last epoch that there is leaves none to go on with: so nobody is believed beyond half of what the journal can hold.
    static let believedMax = Epoch(1 << 62)
}
