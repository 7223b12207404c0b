/// What a node is to the suite.
package enum Role: Hashable, Sendable { case agent, service, operate, reader }

/// A key that is registered, and whom it stands for.
package struct Node: Hashable, Sendable {
    package var name: String
    /// A short number in place of the name; never used again after the node is gone.
    package var ordinal: UInt32
    /// CURVE public key, 32 bytes.
    package var key: [UInt8]
    package var role: Role
    package var scope: Scope

    package init(name: String, ordinal: UInt32, key: [UInt8], role: Role, scope: Scope) {
        self.name = name
        self.ordinal = ordinal
        self.key = key
        self.role = role
        self.scope = scope
    }
}

/// Where an incident stands. It moves forwards only.
package enum IncidentState: String, Hashable, Sendable, CaseIterable { case open, contained, assessed, notified, closed }

package struct Incident: Hashable, Sendable {
    package var number: UInt64
    package var title: String
    package var state: IncidentState
    package var opened: WallTime
    package var moved: WallTime
    package var closure: Epoch
    package var dataClass: String
    package var author: String
    package var isLeak: Bool
}

/// One thing that was decided, in the journal for good.
package struct Entry: Hashable, Sendable {
    package enum Deed: Hashable, Sendable {
        case registered([Node])
        case removed([UInt32])
        case paused(Closure)
        case resumed(to: Epoch, closures: [Epoch], reason: String)
        case incidentOpened(number: UInt64, title: String, closure: Epoch, dataClass: String, isLeak: Bool)
        case incidentMoved(number: UInt64, to: IncidentState)
        case certified(Certificate)
        case unsealed(Epoch, reason: String)
    }

    package var index: UInt64
    package var at: WallTime
    package var author: String
    package var deed: Deed

    package init(index: UInt64, at: WallTime, author: String, deed: Deed) {
        self.index = index
        self.at = at
        self.author = author
        self.deed = deed
    }

    /// Whether applying it can only take away what may flow. Such an entry acts at once; any other is durable first.
    package var onlyNarrows: Bool {
        switch deed {
        case .paused, .removed, .incidentOpened, .incidentMoved, .certified: true
        case .registered, .resumed, .unsealed: false
        }
    }
}

/// Everything that control knows: the fold of its journal. Followers hold the same at an index.
package struct Governance: Sendable {
    package private(set) var gate = GateState()
    /// Lifted closures, oldest first.
    package private(set) var lifted: [Closure] = []
    package private(set) var nodes: [UInt32: Node] = [:]
    package private(set) var ordinals: [String: UInt32] = [:]
    package private(set) var incidents: [UInt64: Incident] = [:]
    /// Epochs that have a certificate, and whether it is complete.
    package private(set) var certified: [Epoch: Bool] = [:]
    package private(set) var nextOrdinal: UInt32 = 1

    package init() {}

    package mutating func apply(_ entry: Entry) {
        switch entry.deed {
        case .registered(let added):
            for node in added {
                if let old = ordinals[node.name], old != node.ordinal { nodes[old] = nil }
                nodes[node.ordinal] = node
                ordinals[node.name] = node.ordinal
                nextOrdinal = max(nextOrdinal, node.ordinal + 1)
            }
        case .removed(let gone):
            for ordinal in gone {
                guard let node = nodes.removeValue(forKey: ordinal) else { continue }
                if ordinals[node.name] == ordinal { ordinals[node.name] = nil }
            }
        case .paused(let closure):
            // Applied already when it was commanded, or coming out of the journal.
            guard !gate.closures.contains(where: { $0.epoch == closure.epoch }) else { return }
            gate.pause(closure)
        case .resumed(let epoch, let closures, _):
            for var closure in gate.resume(Set(closures), to: epoch) {
                closure.until = entry.at
                lifted.append(closure)
            }
        case .incidentOpened(let number, let title, let closure, let dataClass, let isLeak):
            incidents[number] = Incident(
                number: number, title: title, state: .open, opened: entry.at, moved: entry.at, closure: closure, dataClass: dataClass,
                author: entry.author, isLeak: isLeak)
        case .incidentMoved(let number, let state):
            incidents[number]?.state = state
            incidents[number]?.moved = entry.at
        case .certified(let certificate):
            certified[certificate.epoch] = certificate.isComplete
        case .unsealed(let epoch, _):
            gate.unseal(atLeast: epoch)
        }
    }

    package mutating func seal(_ why: String) { gate.seal(why) }
    package mutating func unseal(atLeast epoch: Epoch) { gate.unseal(atLeast: epoch) }

    package func node(named name: String) -> Node? { ordinals[name].flatMap { nodes[$0] } }

    /// The epoch of the next pause or resume: later than anything decided, applied or not.
    package func nextEpoch(after pending: Epoch) -> Epoch { max(gate.epoch, pending).next }

    package var nextIncident: UInt64 { (incidents.keys.max() ?? 0) + 1 }
}
