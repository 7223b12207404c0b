import Gate

/// What peers know and the journal does not: it has lost something, and control is sealed until two operators say what counts.
///
/// A claim proves nothing: whoever has a service's key can make one. But an honest service claims what an *earlier* run of control told it, and this run
/// knows all that it has said itself. So each service is believed until two operators have decided about its claims, and after that no more in this
/// run: what it claims then takes its own lease, and nobody else's.
struct Losses {
    /// What a service says that it knows.
    struct Claim {
        let epoch: Epoch
        let entries: UInt64
        let closures: [Epoch]
    }

    enum Verdict: Hashable { case known, lost(String), disbelieved }

    /// The highest epoch that anybody knows, if anything is lost. While it is set nothing is granted: a grant would make the peer forget it.
    private(set) var epoch: Epoch?
    private(set) var closures: Set<Epoch> = []
    /// What policy has cosigned of a history that this ledger does not continue, as its text. Control's own signature is on it: nobody can have made it up.
    private(set) var abandoned: [UInt8]?
    /// Who claims what two operators have not decided about.
    private(set) var claimants: Set<String> = []
    /// Whose claims they have decided about, in this run.
    private var settled: Set<String> = []
    /// What is claimed and not believed, by service.
    private(set) var disbelieved: [String: String] = [:]
    /// Closures and epochs of such claims: a service may rightly know of them that was put on another disk. Two operators may decide about that, too.
    private var disputed: [String: Claimed] = [:]

    /// What two operators give up who unseal.
    struct Claimed: Hashable {
        /// The highest: what follows must be later.
        let epoch: Epoch
        let closures: Set<Epoch>
        /// A checkpoint, as its text; empty: none.
        let abandoned: [UInt8]
    }

    /// What there is to be given up now; nil: nothing is lost. While control is sealed, nothing that is disputed is in it: whoever has a service's key could
    /// claim something else each time, and no two signatures would fit any more.
    var claimed: Claimed? {
        if let epoch { return Claimed(epoch: epoch, closures: closures, abandoned: abandoned ?? []) }
        guard let highest = disputed.values.map(\.epoch).max() else { return nil }
        return Claimed(epoch: highest, closures: disputed.values.reduce(into: []) { $0.formUnion($1.closures) }, abandoned: [])
    }

    /// One peer must not make an entry that is too long to be sent.
    static let closuresMax = 1_000
    /// Who claims the last epoch that there is leaves none to go on with: so nobody is believed beyond half of what the journal can hold.
    static let believedMax = Epoch(1 << 62)

    /// Judges what a service says against what this run knows.
    ///
    /// Epochs alone do not tell: a later pause may have hidden one that was lost. So peers name the closures that they hold.
    /// Indexes tell the rest: who has entries that are not here proves that the ledger was put back.
    ///
    /// - Parameters:
    ///   - known: the highest epoch that was recorded, or given by this run.
    ///   - isKnown: whether this ledger has a closure, or two operators have dropped it.
    mutating func hear(_ claim: Claim, by service: String, known: Epoch, durable: UInt64, isKnown: (Epoch) -> Bool) -> Verdict {
        let lost = claim.closures.filter { !isKnown($0) }
        let claimed = min(claim.epoch, Losses.believedMax)
        guard !lost.isEmpty || claimed > known || claim.entries > durable else {
            disbelieved[service] = nil
            disputed[service] = nil
            return .known
        }
        let what =
            lost.max().map { "closure \($0.number), which the ledger does not hold" }
            ?? (claim.entries > durable ? "entry \(claim.entries), the ledger only \(durable)" : "epoch \(claimed.number), the ledger only \(known.number)")
        guard !settled.contains(service) else {
            // Entries cannot be given up: the service has them, and another ledger.
            let isDecidable = claim.entries <= durable
            disputed[service] = isDecidable ? Claimed(epoch: claimed, closures: Set(lost.sorted().suffix(Losses.closuresMax)), abandoned: []) : nil
            disbelieved[service] = "\(service) knows \(what): said after two operators had decided about what it knew"
            return .disbelieved
        }
        epoch = max(epoch ?? claimed, claimed)
        // All of them at once, and the first time alone: an honest service knows no more later, and what two operators are to sign for must not change as
        // often as somebody likes who has its key.
        guard claimants.insert(service).inserted else { return .lost("\(service) knows \(what)") }
        for closure in lost.sorted().suffix(Losses.closuresMax) where closures.count < Losses.closuresMax { closures.insert(closure) }
        return .lost("\(service) knows \(what)")
    }

    /// Policy has cosigned another history.
    mutating func outrun(_ checkpoint: [UInt8], at known: Epoch) {
        abandoned = checkpoint
        epoch = max(epoch ?? .none, known)
    }

    /// Two operators have decided, when these had claimed what they had to.
    mutating func settle(_ claimants: Set<String>) {
        settled.formUnion(claimants)
        self.claimants = []
        epoch = nil
        closures = []
        abandoned = nil
        disputed = [:]
    }
}
