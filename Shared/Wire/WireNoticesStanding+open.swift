extension WireNoticesStanding {
    /// The first decision of which somebody still waits or is tried again; nil: everybody of all of them has their notice, or is listed as not reached.
    ///
    /// What a newer decision has taken the place of before all of it was handed over goes out to nobody, and nobody waits for it.
    package var open: WireNoticeRound? {
        rounds.first { round in
            guard round.taken else { return round.decision == rounds.last?.decision }
            let (settled, overflows) = round.delivered.addingReportingOverflow(round.unreachable)
            return overflows || settled != round.count
        }
    }
}
