import Testing

/// One rule that the simulated shell may break, so that we know that the simulation would notice. None is in the product.
enum Weakening: String, CaseIterable, CustomTestStringConvertible {
    // Those that broke the formal model (FACTS.md).
    case countsFromTheAnswer = "a lease is counted from the answer's arrival"
    case pushExtends = "a push extends the lease"
    case takesAnyAnswer = "answers are not bound to the newest request"
    case clockStopsInSuspend = "the agent's clock stops while it is suspended"
    case commitsUnfenced = "the vault's commit has no fence"
    case certifiesUnheard = "the certificate does not wait for leases that nobody has heard of"
    // Those that a careless shell could add.
    case controlForgetsLeases = "control forgets, when it restarts, what it had granted"
    case ingestForgetsLeases = "an ingest reports, after a restart, as if it had granted nothing before"
    case agentForgetsEpoch = "an agent does not keep its epoch on disk"
    case ignoresPeersClosures = "control, after a restart, opens without looking at the closures that its peers hold"
    case comparesEpochsOnly = "control, after a restart, compares its peers' epochs but not their closures"
    case reusesEpochs = "control, after a restart, numbers on from its journal, and so uses epochs again"
    case opensBeforeRemembering = "policy takes over an open gate without the intervals of the lifted closures"

    var testDescription: String { rawValue }
}
