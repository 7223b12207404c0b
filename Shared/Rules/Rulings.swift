package import Gate

/// What is kept of one subject's events, worked out once: by what an event is and which class it has.
package struct Rulings: Sendable {
    package struct Ruling: Hashable, Sendable {
        package var minimisation: Minimisation
        package var reason: Policy.CaptureReason
    }

    package let policy: Policy
    /// By ``EventShape/number``.
    private let shapes: [Shape]

    private struct Shape: Sendable {
        /// By a class's place.
        var rulings: [Ruling] = []
        /// Classes that such an event can have.
        var reach: Set<Int> = []
        /// The class of an event in which nothing is found; nil: something else about it decides. With the window in front, and where nobody knows it.
        var quiet: DataClass??
        var blind: DataClass??
        /// Types of content that something depends on; nil: all of them. Empty: nobody need look for any.
        var sought: Set<String>? = []
        /// Types that rules on classes name.
        var detected: Set<String> = []
    }

    /// - Parameter records: The subject's.
    package init(_ policy: Policy, of subject: Person, records: Records) {
        self.policy = policy
        shapes = EventShape.allCases.map { kind in
            var shape = Shape()
            shape.rulings = policy.document.classes.map { one in
                let (minimisation, reason) = policy.capture(kind, one.dataClass, of: subject, records: records)
                return Ruling(minimisation: minimisation, reason: reason)
            }
            (shape.reach, shape.detected) = policy.reach(of: kind)
            shape.quiet = policy.quietClass(of: kind, inFront: true)
            shape.blind = policy.quietClass(of: kind, inFront: false)
            shape.sought = shape.detected
            for place in shape.reach {
                guard case .redact(let types) = shape.rulings[place].minimisation else { continue }
                if let types { shape.sought?.formUnion(types) } else { shape.sought = nil }
            }
            return shape
        }
    }

    package subscript(_ shape: EventShape, _ dataClass: DataClass?) -> Ruling {
        guard let place = dataClass.flatMap({ policy.sensitivity(of: $0) }) else { return Ruling(minimisation: .drop, reason: .unclassified) }
        return shapes[shape.number].rulings[place]
    }

    /// Types of content that something depends on; nil: all of them. Empty: nobody need look for any.
    package func sought(in shape: EventShape) -> Set<String>? { shapes[shape.number].sought }

    package func isScanned(_ shape: EventShape) -> Bool { shapes[shape.number].sought?.isEmpty != true }

    /// Types that rules on classes name, for such an event.
    package func detected(in shape: EventShape) -> Set<String> { shapes[shape.number].detected }

    /// Something of some event has to be looked into.
    package var isScanning: Bool { shapes.contains { $0.sought?.isEmpty != true } }

    /// The class of an event in which nothing is found; nil within: none. Nil: something else about it decides.
    ///
    /// - Parameter isWindowKnown: False: nobody knows which window was in front.
    package func quietClass(of shape: EventShape, inFront isWindowKnown: Bool) -> DataClass?? { isWindowKnown ? shapes[shape.number].quiet : shapes[shape.number].blind }

    /// The more sensitive of a class that was found here, and one that somebody claims who may have seen more: which window was in front, what stood where
    /// something is redacted now. A claim counts where such an event can have that class at all.
    package func classified(_ shape: EventShape, as found: DataClass?, claimed: DataClass?) -> DataClass? {
        guard let claimed, let place = policy.sensitivity(of: claimed), shapes[shape.number].reach.contains(place) else { return found }
        return place > found.flatMap { policy.sensitivity(of: $0) } ?? -1 ? claimed : found
    }

    /// Classes of which anything at all is captured.
    package var captured: Set<DataClass> {
        var captured: Set<DataClass> = []
        for shape in shapes {
            for place in shape.reach where shape.rulings[place].minimisation != .drop { captured.insert(policy.document.classes[place].dataClass) }
        }
        return captured
    }
}

/// What one workstation needs of a policy document: its classes, what is captured of its subject, and which purposes have what their basis asks for.
///
/// Who may read what is nobody's business there. Ten thousand workstations mostly have the same.
package struct AgentRules: Hashable, Sendable {
    /// Without roles and grants; what is captured is captured of everyone who has it.
    package let document: PolicyDocument
    /// Purposes that have the subject's record, or need none.
    package let recorded: Set<String>

    /// What makes a difference between subjects of one policy: worked out for each, where the rest is worked out for all who have the same.
    package struct Choice: Hashable, Sendable {
        /// Of the document's rules on capture, in its order.
        let capture: [Int]
        let recorded: Set<String>

        /// - Parameter records: The subject's.
        package init(_ policy: Policy, of subject: Person, records: Records) {
            let roles = policy.roles(of: subject)
            capture = policy.document.capture.indices.filter { policy.document.capture[$0].people.contains(subject, roles: roles) }
            recorded = Set(policy.document.purposes.filter { records.has($0.basis.asks, for: $0.name) }.map(\.name))
        }
    }

    package init(_ policy: Policy, _ choice: Choice) {
        let whole = policy.document
        document = PolicyDocument(
            classes: whole.classes.map { PolicyDocument.Class($0.name, retention: $0.retention, audienceMax: nil) }, assignments: whole.assignments,
            capture: choice.capture.map { whole.capture[$0] }.map {
                PolicyDocument.CaptureRule(kinds: $0.kinds, sources: $0.sources, classes: $0.classes, as: $0.minimisation)
            }, purposes: whole.purposes)
        recorded = choice.recorded
    }

    /// - Parameter records: The subject's.
    package init(_ policy: Policy, of subject: Person, records: Records) { self.init(policy, Choice(policy, of: subject, records: records)) }

    /// The document's canonical form, then each purpose that is recorded, in the order of their bytes, behind a newline: neither holds one.
    package var bytes: [UInt8] {
        let names = recorded.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        return names.reduce(into: document.canonical) { $0 += [0x0A] + $1 }
    }

    /// - Parameter detections: The types of content that detection knows here. A document that names another is refused: it could not be kept to. Nil: any.
    package init(bytes: [UInt8], detections: Set<String>?) throws(Mistakes) {
        let parts = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        document = try PolicyReader(detections: detections).read(canonical: Array(parts[0]))
        recorded = Set(parts.dropFirst().map { String(decoding: $0, as: UTF8.self) })
        guard self.bytes == bytes else { throw Mistakes(.inconsistent("the purposes that are recorded are not written as they should be")) }
    }

    package var rulings: Rulings {
        Rulings(Policy(document), of: Person("", site: "", team: ""), records: Records(notices: recorded, consents: recorded))
    }
}
