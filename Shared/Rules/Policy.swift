package import Gate

/// A policy document made ready to decide. The same in the agent, which asks before anything is written, and in policy, which asks again.
///
/// What no rule speaks of is not captured, and not read.
package struct Policy: Sendable {
    package let document: PolicyDocument
    let classes: [String: Int]
    private let classifier: Classifier
    private let book: RoleBook
    private let purposes: [String: PolicyDocument.Purpose]

    package init(_ document: PolicyDocument) {
        self.document = document
        classes = Dictionary(document.classes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        classifier = Classifier(document)
        book = RoleBook(document.roles)
        purposes = Dictionary(document.purposes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package func roles(of person: Person) -> Set<String> { book.roles(of: person) }

    /// The place of a class in the order of sensitivity, from 0; nil: no such class.
    package func sensitivity(of dataClass: DataClass) -> Int? { classes[dataClass.name] }

    package func retention(of dataClass: DataClass) -> Span? { classes[dataClass.name].flatMap { document.classes[$0].retention } }

    // MARK: Class

    /// The most sensitive class of all rules that match; nil: none does, and the event is not captured.
    ///
    /// - Parameters:
    ///   - window: The window in front as it happened, where somebody knows: it says what keys were typed into.
    ///   - detected: The types of everything that detection found in it.
    package func classify(_ event: Event, in window: Event.Window? = nil, detected: Set<String> = []) -> DataClass? {
        classifier.classify(EventTraits(event, in: window, detected: detected)).map { document.classes[$0].dataClass }
    }

    package func classify(_ traits: EventTraits) -> DataClass? { classifier.classify(traits).map { document.classes[$0].dataClass } }

    /// Whether the shape alone decides, so that nobody need look into the event. The class, where it does.
    package func isPlain(_ shape: EventShape) -> Bool { classifier.isPlain(shape) }

    /// The classes that such an event can have, by their places, and the types of content that rules on them name.
    func reach(of shape: EventShape) -> (classes: Set<Int>, detected: Set<String>) { classifier.reach(of: shape) }

    /// The class of an event in which nothing is found, where no rule looks at anything else about it.
    func quietClass(of shape: EventShape, inFront isWindowKnown: Bool) -> DataClass?? {
        classifier.quietClass(of: shape, inFront: isWindowKnown).map { $0.map { document.classes[$0].dataClass } }
    }

    // MARK: Capture

    /// Why as much is kept of an event as is.
    package enum CaptureReason: Hashable, Sendable, CaseIterable {
        case rule, noRule, unclassified, neverStored
        /// No purpose of the class has what its basis asks for. With a purpose that has not.
        case noRecord
        /// No purpose uses the class.
        case noPurpose

        package static let words = Set(allCases.map(\.word))

        package var word: String {
            switch self {
            case .rule: "by-rule"
            case .noRule: "no-rule"
            case .unclassified: "unclassified"
            case .neverStored: "never-stored"
            case .noRecord: "no-record"
            case .noPurpose: "no-purpose"
            }
        }
    }

    /// How far an event of one class is minimised for one subject: the strictest rule that matches.
    package func capture(
        _ shape: EventShape, _ dataClass: DataClass?, of subject: Person, records: Records
    ) -> (minimisation: Minimisation, reason: CaptureReason) {
        guard let dataClass, let place = classes[dataClass.name] else { return (.drop, .unclassified) }
        guard document.classes[place].retention != nil else { return (.drop, .neverStored) }
        let using = document.purposes.filter { $0.classes.contains(dataClass.name) }
        guard !using.isEmpty else { return (.drop, .noPurpose) }
        guard using.contains(where: { records.has($0.basis.asks, for: $0.name) }) else { return (.drop, .noRecord) }
        guard let minimisation = minimisation(shape, dataClass.name, of: subject, roles: roles(of: subject)) else { return (.drop, .noRule) }
        return (minimisation, .rule)
    }

    /// By the capture rules alone. Nil: none speaks of it.
    func minimisation(_ shape: EventShape, _ dataClass: String, of subject: Person, roles: Set<String>) -> Minimisation? {
        var strictest: Minimisation?
        for rule in document.capture
        where shape.isAmong(rule.kinds, rule.sources) && (rule.classes.isEmpty || rule.classes.contains(dataClass)) && rule.people.contains(subject, roles: roles) {
            strictest = strictest?.stricter(rule.minimisation) ?? rule.minimisation
        }
        return strictest
    }

    // MARK: Reading

    package enum Access: Hashable, Sendable {
        /// By each of these, the one that lasts longest first. Never empty.
        case granted([PolicyDocument.Grant])
        case denied(Denial)
    }

    /// Why somebody may not read. Of several reasons, the one that stands last in the way.
    package enum Denial: Error, Hashable, Sendable {
        case unknownPurpose, unknownClass, neverStored
        /// The purpose is not for this class.
        case notOfPurpose
        /// No role of the reader has a grant for this purpose and class.
        case noGrant
        /// There are such, and none for this subject.
        case subjectNotCovered
        case expired(grant: String, at: WallTime)
        /// The subject was not told, or did not agree, and the purpose's basis asks for it.
        case noRecord(LegalBasis.Record)

        package var word: String {
            switch self {
            case .unknownPurpose: "unknown-purpose"
            case .unknownClass: "unknown-class"
            case .neverStored: "never-stored"
            case .notOfPurpose: "not-of-purpose"
            case .noGrant: "no-grant"
            case .subjectNotCovered: "subject-not-covered"
            case .expired: "expired"
            case .noRecord: "no-record"
            }
        }

        package static let words = [
            "unknown-purpose", "unknown-class", "never-stored", "not-of-purpose", "no-grant", "subject-not-covered", "expired", "no-record",
        ]
    }

    /// - Parameter records: The subject's.
    package func mayRead(
        _ reader: Person, for purpose: String, _ dataClass: DataClass, of subject: Person, records: Records, at now: WallTime
    ) -> Access {
        mayRead(holding: roles(of: reader), for: purpose, dataClass, of: subject, records: records, at: now)
    }

    /// The same for whoever has these roles.
    func mayRead(
        holding held: Set<String>, for purpose: String, _ dataClass: DataClass, of subject: Person, records: Records, at now: WallTime
    ) -> Access {
        do throws(Denial) {
            let (known, granted) = try grants(holding: held, for: purpose, dataClass)
            let subjectRoles = roles(of: subject)
            let covering = granted.filter { $0.subjects.contains(subject, roles: subjectRoles) }.sorted(by: Policy.lastsLonger)
            guard !covering.isEmpty else { throw .subjectNotCovered }
            let live = try Policy.live(covering, at: now)
            guard records.has(known.basis.asks, for: purpose) else { throw .noRecord(known.basis.asks) }
            return .granted(live)
        } catch { return .denied(error) }
    }

    /// Whether there is anybody of whom whoever has these roles may read the class. Nil: there may be.
    func denial(holding held: Set<String>, for purpose: String, _ dataClass: DataClass, at now: WallTime) -> Denial? {
        do throws(Denial) {
            _ = try Policy.live(grants(holding: held, for: purpose, dataClass).grants.sorted(by: Policy.lastsLonger), at: now)
            return nil
        } catch { return error }
    }

    /// Never empty.
    private func grants(
        holding held: Set<String>, for purpose: String, _ dataClass: DataClass
    ) throws(Denial) -> (purpose: PolicyDocument.Purpose, grants: [PolicyDocument.Grant]) {
        guard let place = classes[dataClass.name] else { throw .unknownClass }
        guard document.classes[place].retention != nil else { throw .neverStored }
        guard let known = purposes[purpose] else { throw .unknownPurpose }
        guard known.classes.contains(dataClass.name) else { throw .notOfPurpose }
        let granted = document.grants.filter { $0.purpose == purpose && $0.classes.contains(dataClass.name) && held.contains($0.role) }
        guard !granted.isEmpty else { throw .noGrant }
        return (known, granted)
    }

    private static func lastsLonger(_ left: PolicyDocument.Grant, _ right: PolicyDocument.Grant) -> Bool {
        (left.expires ?? .distantFuture, right.name) > (right.expires ?? .distantFuture, left.name)
    }

    /// - Parameter grants: The one that lasts longest first.
    private static func live(_ grants: [PolicyDocument.Grant], at now: WallTime) throws(Denial) -> [PolicyDocument.Grant] {
        let live = grants.filter { $0.isLive(at: now) }
        guard live.isEmpty, let longest = grants.first else { return live }
        throw .expired(grant: longest.name, at: longest.expires ?? .distantFuture)
    }
}

/// What rules on classes look at.
package struct EventTraits: Hashable, Sendable {
    package var shape: EventShape
    package var application: String?
    package var title: String?
    package var url: String?
    package var label: String?
    package var detected: Set<String>

    package init(
        _ shape: EventShape, application: String? = nil, title: String? = nil, url: String? = nil, label: String? = nil, detected: Set<String> = []
    ) {
        self.shape = shape
        self.application = application
        self.title = title
        self.url = url
        self.label = label
        self.detected = detected
    }

    package init(_ event: Event, in window: Event.Window?, detected: Set<String>) {
        self.init(EventShape(event), application: window?.app, title: window?.title, url: window?.url, detected: detected)
        switch event.detail {
        case .window(let own): (application, title, url) = (own.app, own.title, own.url)
        case .text(let text):
            application = text.app ?? application
            label = text.label
        case .pointer, .key, .presence: break
        }
    }
}

/// Class rules by shape. Where the shape alone decides, nothing is compared.
private struct Classifier: Sendable {
    private struct Rule: Sendable {
        let dataClass: Int
        let marks: PolicyDocument.Assignment
    }

    /// By ``EventShape/number``: the class of the rules that look at nothing else, and the other rules above it, the most sensitive first.
    private var plain: [Int?]
    private var looking: [[Rule]]

    init(_ document: PolicyDocument) {
        let classes = Dictionary(document.classes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        plain = []
        looking = []
        for shape in EventShape.allCases {
            let rules = document.assignments.compactMap { rule in classes[rule.dataClass].map { Rule(dataClass: $0, marks: rule) } }
                .filter { shape.isAmong($0.marks.kinds, $0.marks.sources) }
            let base = rules.filter(\.marks.isPlain).map(\.dataClass).max()
            plain.append(base)
            looking.append(rules.filter { !$0.marks.isPlain && $0.dataClass > base ?? -1 }.sorted { $0.dataClass > $1.dataClass })
        }
    }

    func isPlain(_ shape: EventShape) -> Bool { looking[shape.number].isEmpty }

    func quietClass(of shape: EventShape, inFront isWindowKnown: Bool) -> Int?? {
        // What has no words of its own has those of the window in front, or none.
        let hasWords = isWindowKnown || shape.kind == .window || shape.kind == .text
        return looking[shape.number].allSatisfy { !hasWords || !$0.marks.detected.isEmpty } ? .some(plain[shape.number]) : nil
    }

    func reach(of shape: EventShape) -> (classes: Set<Int>, detected: Set<String>) {
        let rules = looking[shape.number]
        return (Set(rules.map(\.dataClass) + (plain[shape.number].map { [$0] } ?? [])), rules.reduce(into: []) { $0.formUnion($1.marks.detected) })
    }

    func classify(_ traits: EventTraits) -> Int? {
        let rules = looking[traits.shape.number]
        guard !rules.isEmpty else { return plain[traits.shape.number] }
        let folded = Folded(traits)
        return rules.first { $0.marks.matches(folded, traits.detected) }?.dataClass ?? plain[traits.shape.number]
    }

    struct Folded {
        let application: Glob.Folded?
        let title: Glob.Folded?
        let url: Glob.Folded?
        let label: Glob.Folded?

        init(_ traits: EventTraits) {
            application = traits.application.map { Glob.Folded($0) }
            title = traits.title.map { Glob.Folded($0) }
            url = traits.url.map { Glob.Folded($0) }
            label = traits.label.map { Glob.Folded($0) }
        }
    }
}

extension PolicyDocument.Assignment {
    fileprivate func matches(_ folded: Classifier.Folded, _ found: Set<String>) -> Bool {
        func matches(_ globs: Set<Glob>, _ text: Glob.Folded?) -> Bool {
            guard !globs.isEmpty else { return true }
            guard let text else { return false }
            return globs.contains { $0.matches(text) }
        }
        return (detected.isEmpty || !detected.isDisjoint(with: found)) && matches(applications, folded.application) && matches(titles, folded.title)
            && matches(urls, folded.url) && matches(labels, folded.label)
    }
}

extension PolicyDocument {
    /// What ``Classification/standard`` decides, as a document that captures everything for whoever was told, and lets nobody read.
    package static let standard = PolicyDocument(
        classes: [
            Class("activity", retention: .seconds(90 * 86_400), audienceMax: nil), Class("content", retention: .seconds(90 * 86_400), audienceMax: nil),
            Class("conversation", retention: .seconds(90 * 86_400), audienceMax: nil), Class("review", retention: .seconds(90 * 86_400), audienceMax: nil),
            Class("credential", retention: nil, audienceMax: nil),
        ],
        assignments: [
            Assignment("activity", kinds: [.pointer, .key, .window, .presence]), Assignment("content", sources: [.document, .prompt]),
            Assignment("conversation", sources: [.chat, .mail, .transcript]), Assignment("review", sources: [.review]),
        ],
        capture: [CaptureRule(as: .keep)],
        purposes: [Purpose("operation", basis: .legitimateInterests, classes: ["activity", "content", "conversation", "review"])])
}
