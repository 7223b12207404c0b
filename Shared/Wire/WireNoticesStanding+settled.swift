extension WireNoticesStanding {
    /// Whether everybody of an incident has their notice, as far as control and notify know together.
    package enum Settled: Hashable, Sendable {
        /// Nothing that control's ledger holds was decided.
        case nothingDecided
        /// Control's newest decision, of which nothing was handed over.
        case notHandedOver(UInt64)
        /// Somebody of this one still waits, or is tried again, or it is the newest and not whole.
        case open(WireNoticeRound)
        /// Everybody of all of them has theirs, or is listed as not reached. The newest that control knows: what an operator answers for.
        case everybody(WireNoticeRound)
    }

    /// A ledger that was put back from a backup has forgotten what notify has not: a round of an entry that control does not hold is nothing that anybody can answer for by its number. Its people count all
    /// the same: a mail that still waits goes out. What a newer decision has taken the place of before all of it was handed over goes out to nobody, and nobody waits for it.
    ///
    /// - Parameters:
    ///   - decided: The entries of the decisions about this incident that control's ledger holds.
    ///   - listed: Control's list goes up to this entry: later ones it may hold too.
    package func settled(_ decided: [UInt64], listed: UInt64 = .max) -> Settled {
        // Of one number notify may have two, one of each history: the later one came later.
        let mine = rounds.indices.filter { decided.contains(rounds[$0].decision) || rounds[$0].decision > listed }
        let numbers = decided + mine.map { rounds[$0].decision }
        guard let newest = numbers.max() else { return .nothingDecided }
        guard let place = mine.last(where: { rounds[$0].decision == newest }) else { return .notHandedOver(newest) }
        let open = rounds.indices.first { index in
            let round = rounds[index]
            guard round.taken else { return index == place }
            let (settled, overflows) = round.delivered.addingReportingOverflow(round.unreachable)
            return overflows || settled != round.count
        }
        return open.map { .open(rounds[$0]) } ?? .everybody(rounds[place])
    }
}
