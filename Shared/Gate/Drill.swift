/// The real path, walked for nobody: a finding in policy, a closure of planted subjects, the stop, its certificate, the notice.
///
/// States: *begun* (somebody has asked for it), *found* (policy has found it and it is closed), *ended* (for good, and what it closed is lifted). One is under way at a time.
package struct Drill: Hashable, Sendable {
    /// What it must keep to.
    package struct Bounds: Hashable, Sendable {
        /// From the finding until reading is closed in policy.
        package var readsClosed: Span
        /// From control's closure to the complete certificate.
        package var certificate: Span
        /// From control's closure until every hook has been told.
        package var notice: Span

        package init(readsClosed: Span, certificate: Span, notice: Span) {
            self.readsClosed = readsClosed
            self.certificate = certificate
            self.notice = notice
        }

        /// What can be measured, and ends on the day on which it began.
        package var isSound: Bool { [readsClosed, certificate, notice].allSatisfy { Span.zero < $0 && $0 <= .seconds(600) } }
    }

    /// What it came to.
    package struct Outcome: Hashable, Sendable {
        /// Nil: that did not come about.
        package var readsClosed: Span?
        package var certificate: Span?
        /// Nil as well where no hook is to be told.
        package var notice: Span?
        /// That acknowledged their stop, and that were to stop.
        package var agents: UInt32
        package var agentsAll: UInt32
        package var hooks: UInt32
        /// One sentence for each bound that it missed. Empty: none.
        package var missed: [String]

        package init(readsClosed: Span? = nil, certificate: Span? = nil, notice: Span? = nil, agents: UInt32 = 0, agentsAll: UInt32 = 0, hooks: UInt32 = 0, missed: [String] = []) {
            self.readsClosed = readsClosed
            self.certificate = certificate
            self.notice = notice
            self.agents = agents
            self.agentsAll = agentsAll
            self.hooks = hooks
            self.missed = missed
        }
    }

    package var number: UInt64
    package var sites: Set<String>
    /// Planted: nobody's.
    package var subjects: Set<String>
    package var bounds: Bounds
    package var author = ""
    package var began = WallTime.distantPast
    /// Policy's; nil: not yet.
    package var finding: Finding?
    /// What control closed for it.
    package var closure: Closure?
    package var ended: WallTime?
    package var outcome: Outcome?

    package init(number: UInt64, sites: Set<String>, subjects: Set<String>, bounds: Bounds) {
        self.number = number
        self.sites = sites
        self.subjects = subjects
        self.bounds = bounds
    }

    /// In place of a detector's name in the policy document.
    package static let detector = "drill"
    /// A subject whose id begins so is nobody. Two operators have signed that when its agent was registered, and so that what a drill closed of it is opened again without them.
    package static let plantedPrefix = "planted/"
    package static func isPlanted(_ subject: String) -> Bool { subject.hasPrefix(plantedPrefix) && subject.utf8.count > plantedPrefix.utf8.count }
    /// Of those that have ended the newest are kept.
    package static let keptMax = 1_000

    /// What is closed for it, and nothing else.
    package var selector: Selector { Selector(subjects: subjects) }

    /// A sentence is bounded: what is longer control would refuse.
    private var words: String {
        let names = sites.sorted().joined(separator: ", ")
        return names.utf8.count <= 1_000 ? names : "\(sites.count) sites"
    }

    /// What policy finds, when it is told of the drill.
    package func finding(id: [UInt8], at now: WallTime) -> Finding {
        Finding(
            id: id, detector: Drill.detector, sentence: "drill \(number): planted subjects of \(words), nobody's", direction: .both, selector: selector, at: now)
    }
}

extension Closure {
    /// Closed by a drill, whose end lifts it.
    package var isOfDrill: Bool { author == "detector \(Drill.detector)" }
}

extension Governance {
    /// Agents of planted subjects at these sites.
    package func plantedAgents(at sites: Set<String>) -> [Node] {
        nodes.values.filter { $0.role == .agent && sites.contains($0.scope.site) && Drill.isPlanted($0.scope.subject) }
    }

    package var nextDrill: UInt64 { (drills.keys.max() ?? 0) + 1 }
}
