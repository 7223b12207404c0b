package import Gate
package import Rules

/// The document that is taken for what led to an incident: since it came into force somebody could read what they should not have.
///
/// A document that changes nothing for the classes in question is no cause, however near it stands. Of those that two had to agree to and that let somebody read more of them it is
/// the last before the incident; but where more people could read a class than its own document allows, the first of the unbroken run in which they could. Others
/// before it are named: whoever knows that it was one of those asks since then.
package struct Cause: Hashable, Sendable {
    /// How many people could read a class just before, and from then on.
    package struct Audience: Hashable, Sendable {
        package let dataClass: DataClass
        package let before: Int
        package let after: Int

        package init(dataClass: DataClass, before: Int, after: Int) {
            self.dataClass = dataClass
            self.before = before
            self.after = after
        }
    }

    /// The entry of control's ledger.
    package let index: UInt64
    package let at: WallTime
    /// Of the class whose audience grew most with it; nil: of none it grew, or a document is not known.
    package let audience: Audience?
    /// Documents before it that let somebody read more of these classes, too, the newest first; at most ``earlierMax``.
    package let earlier: [UInt64]

    package static let earlierMax = 5
    /// Documents that are compared whole. Beyond, whatever changed for these classes and took two is taken for something that widens.
    private static let comparedMax = 32

    /// - Parameters:
    ///   - classes: Those in question; empty: all.
    ///   - found: When somebody noticed: what came later is no cause.
    ///   - widening: Entries of the documents that two had to agree to.
    ///   - people: The directory, who is captured, and whose readers' keys are: those who are counted. Where nobody is listed nobody gains anything.
    /// - Returns: nil: no document let anybody read more of these classes.
    package init?(of classes: Set<DataClass>, found: WallTime, in all: [ExposureHistory.PolicyVersion], widening: Set<UInt64>, people: [Person]) {
        let versions = all.sorted { $0.index < $1.index }.filter { $0.at <= found }
        var steps: [Step] = []
        var compared = 0
        var taken: Int?
        var others: [Int] = []
        // Of each class, whether it was over its limit all the time from here to the document that is taken.
        var run: Set<String> = []
        for place in versions.indices.reversed() {
            let step = Step(from: place == 0 ? nil : versions[place - 1], to: versions[place], of: classes, compared < Cause.comparedMax ? people : nil)
            if step.isCompared { compared += 1 }
            steps.append(step)
            let isCandidate = step.widens && widening.contains(versions[place].index)
            if taken != nil, let exceeded = step.exceeded { run.formIntersection(exceeded) }
            guard isCandidate else { continue }
            if taken == nil {
                run = step.exceeded ?? []
                taken = place
            } else if !run.isEmpty {
                taken = place
            } else if others.count < Cause.earlierMax { others.append(place) } else { break }
        }
        guard let taken else { return nil }
        index = versions[taken].index
        at = versions[taken].at
        audience = steps[versions.count - 1 - taken].audience
        earlier = others.map { versions[$0].index }
    }

    /// What one document changed for these classes.
    private struct Step {
        var widens = false
        /// Classes that more people could read from then on than it allows; nil: it changed nothing, and they are those of before.
        var exceeded: Set<String>? = []
        var audience: Audience?
        var isCompared = false

        /// - Parameter people: Nil: it is not compared whole.
        init(from before: ExposureHistory.PolicyVersion?, to after: ExposureHistory.PolicyVersion, of classes: Set<DataClass>, _ people: [Person]?) {
            guard case .known(let new) = after.document, case .known(let old) = before?.document ?? .known(.nothing) else {
                // Everybody with a key could read everything before, or nobody knows what one of them says.
                widens = true
                return
            }
            guard Part(new, classes) != Part(old, classes) else {
                exceeded = nil
                return
            }
            guard let people else {
                widens = true
                return
            }
            isCompared = true
            let diff = PolicyDiff(from: old, to: new, people: people, at: after.at)
            func counts(_ name: String) -> Bool { classes.isEmpty || classes.contains(DataClass(name)) }
            widens = diff.widenings.contains { $0.letsRead(new).contains(where: counts) }
            exceeded = Set(diff.exceeded.filter(counts))
            let grown = diff.audiences.filter { counts($0.dataClass) }.map { Audience(dataClass: DataClass($0.dataClass), before: $0.before ?? 0, after: $0.after ?? 0) }
            audience = grown.filter { $0.after > $0.before }.max { $0.after - $0.before < $1.after - $1.before }
        }
    }

    /// All of a document by which it could say of these classes who may read them.
    private struct Part: Hashable {
        let classes: [PolicyDocument.Class]
        let assignments: [PolicyDocument.Assignment]
        let purposes: [PolicyDocument.Purpose]
        let roles: [PolicyDocument.Role]
        let grants: [PolicyDocument.Grant]

        init(_ document: PolicyDocument, _ names: Set<DataClass>) {
            func counts(_ name: String) -> Bool { names.isEmpty || names.contains(DataClass(name)) }
            classes = document.classes.filter { counts($0.name) }
            assignments = document.assignments
            purposes = document.purposes.filter { $0.classes.contains(where: counts) }
            roles = document.roles
            grants = document.grants.filter { $0.classes.contains(where: counts) }
        }
    }
}

extension PolicyDiff.Widening {
    /// The classes of which somebody may read more, or of more people, than before.
    fileprivate func letsRead(_ document: PolicyDocument) -> [String] {
        switch self {
        case .access(_, let name, _), .terms(_, let name, _), .moved(_, let name), .records(let name): [name]
        case .basis(let purpose): document.purposes.first { $0.name == purpose }?.classes.sorted() ?? []
        case .retention, .audienceLimit, .capture, .leak, .drills, .notices: []
        }
    }
}
