import ArgumentParser
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "x")
}
struct FanoutPeer: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-fanout-peer", shouldDisplay: false)
}
struct Swarm: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-swarm", shouldDisplay: false)
}
