import Detection
import Enforcement
import Foundation
import Gate
import Rules
import Vault
import Wire

/// The policy document at work in policy: what each subject's events are kept as, worked out once for all who have the same. One thread's.
struct Enforcement {
    private let rules: SharedRules
    private var inForce = SharedRules.InForce()
    private var scanner: TextScanner?
    private var numbers: [AgentRules.Choice: Int] = [:]
    private var byScope: [Scope: Int] = [:]
    private var enforcers: [Enforcer] = []
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    /// Subjects that are remembered; more are worked out again.
    private static let scopesMax = 100_000

    /// Everybody counts as having been told, and having agreed: what is stored was captured when they had.
    private let hasAllRecords: Bool

    init(_ rules: SharedRules, hasAllRecords: Bool = false) {
        self.rules = rules
        self.hasAllRecords = hasAllRecords
    }

    /// What is in force now; call before each batch.
    mutating func refresh() -> SharedRules.InForce {
        if rules.version != inForce.version || byScope.count > Enforcement.scopesMax {
            inForce = rules.latest
            numbers = [:]
            byScope = [:]
            enforcers = []
        }
        return inForce
    }

    /// By its number: what enforces the document for one subject.
    private mutating func number(of scope: Scope, _ policy: Policy) throws(DetectorRefused) -> Int {
        if let known = byScope[scope] { return known }
        let person = Person(scope)
        let purposes = hasAllRecords ? Set(policy.document.purposes.map(\.name)) : []
        let records = hasAllRecords ? Records(notices: purposes, consents: purposes) : Records(inForce.records[scope.subject] ?? .none)
        let choice = AgentRules.Choice(policy, of: person, records: records)
        var number = numbers[choice]
        if number == nil {
            let rulings = Rulings(policy, of: person, records: records)
            var detector: Detector?
            if rulings.isScanning {
                let compiled = try rules.detector()
                if scanner == nil { scanner = try compiled.makeScanner() }
                detector = compiled
            }
            enforcers.append(try Enforcer(rulings, detector: detector, scanner: scanner))
            number = enforcers.count - 1
            numbers[choice] = number
        }
        byScope[scope] = number
        return number!
    }

    /// What a look at a batch as a whole gives.
    private enum Look {
        /// It stays as it is, and of one class, as nearly all do.
        case whole
        /// Its events are to be looked at one by one. In which of them something was found; nil: nobody has looked for anything.
        case single(found: [Bool]?)
    }

    private mutating func look(at columns: OpenColumns, _ rulings: Rulings, claimed: DataClass) -> Look {
        var kinds: Set<Event.Kind> = []
        var sought: Set<String>? = []
        for shape in columns.scan.shapes {
            if let quiet = rulings.quietClass(of: shape, inFront: false) {
                guard rulings.classified(shape, as: quiet, claimed: claimed) == claimed else { return .single(found: nil) }
            } else {
                // Of few applications and labels each batch has many texts.
                let isOther = columns.traits(of: shape).contains { rulings.classified(shape, as: rulings.policy.classify($0), claimed: claimed) != claimed }
                if isOther { return .single(found: nil) }
            }
            switch rulings[shape, claimed].minimisation {
            case .keep, .redact: break
            case .timing: guard columns.isTimed(shape.kind) else { return .single(found: nil) }
            case .drop, .count: return .single(found: nil)
            }
            guard rulings.isScanned(shape) else { continue }
            // Keys say something together alone.
            if shape.kind == .key { return .single(found: nil) }
            kinds.insert(shape.kind)
            if let types = rulings.sought(in: shape) { sought?.formUnion(types) } else { sought = nil }
        }
        guard !kinds.isEmpty, let scanner else { return .whole }
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        let strings = columns.gather(kinds, into: &bytes, ends: &ends)
        var isClean = true
        // Also what nobody seeks: of an event in which nothing at all was found nothing need be asked again.
        var found: Set<UInt32> = []
        bytes.withUnsafeBufferPointer { buffer in
            scanner.findings(in: buffer, ends: ends) { number, finding in
                found.insert(strings[number])
                if sought?.contains(finding.type.word) ?? true { isClean = false }
            }
        }
        return isClean ? .whole : .single(found: columns.areTouched(by: found))
    }

    /// - Returns: what is left of each event, in order; nil: all of it, under the class that was claimed.
    mutating func review(_ columns: OpenColumns, of scope: Scope, claimed: DataClass, _ policy: Policy) throws(ReviewRefused) -> (events: [Event], verdicts: [Verdict])? {
        // Before anything is looked at: patterns of applications and titles as well go by each event.
        let bytes = columns.textBytes
        guard bytes <= Limits.reviewedBytesMax else { throw .tooMuchText(bytes: bytes, max: Limits.reviewedBytesMax) }
        do throws(DetectorRefused) {
            let number = try number(of: scope, policy)
            guard case .single(let found) = look(at: columns, enforcers[number].rulings, claimed: claimed) else { return nil }
            let events = columns.events()
            return (events, try enforcers[number].review(events, claimed: claimed, found: found))
        } catch { throw .detector(error) }
    }
}

/// Why nobody looks into a batch.
enum ReviewRefused: Error, Hashable, Sendable {
    /// Its events share strings, and have more text than is looked at: no agent of ours makes such a batch.
    case tooMuchText(bytes: Int, max: Int)
    case detector(DetectorRefused)
}

extension BatchRefused {
    init(_ why: ReviewRefused) {
        switch why {
        case .tooMuchText(let bytes, let max): self.init(refusal: .unreadable, text: "the batch's events have \(bytes) bytes of text, many of them the same, and no more than \(max) are looked into")
        case .detector(let error): self.init(refusal: .sealed, text: "policy cannot look into texts: \(error)")
        }
    }
}

/// What the second look at a batch came to.
struct Reviewed: Hashable, Sendable {
    var counts = EnforcementCounts()
    /// Events that were other than their agent should have left them: an agent that somebody changed, or one that went by the document before.
    var differing = 0
    /// Of a higher class than the agent had called them, whatever became of them; nil: none.
    var drift: Drift?
}

extension Policy {
    /// The name of a class that is more sensitive than the one it was found under; nil: it is not. A class that the document does not have is neither.
    func raised(_ found: DataClass?, over claimed: DataClass) -> String? {
        guard let found, let place = sensitivity(of: found), let below = sensitivity(of: claimed), place > below else { return nil }
        return found.name
    }
}

extension BatchCutter {
    /// By class, as far as the policy document says, and without what the fence forbids.
    mutating func cut(
        _ opened: OpenedBatch, _ fence: Fence, _ extent: BatchExtent, _ columns: OpenColumns, _ policy: Policy, rules version: UInt64
    ) throws(BatchRefused) -> Prepared {
        let batch = opened.batch
        if let place = policy.document.classes.first(where: { $0.dataClass == batch.dataClass }), place.retention == nil {
            throw BatchRefused(refusal: .wrongClass, text: "nothing of class '\(batch.header.class)' is stored")
        }
        let verdict = fence.judge(batch.dataClass, of: batch.scope, from: extent.first, to: extent.last, offset: batch.offset)
        let review: (events: [Event], verdicts: [Verdict])?
        do throws(ReviewRefused) { review = try enforcement.review(columns, of: batch.scope, claimed: batch.dataClass, policy) } catch { throw BatchRefused(error) }
        if review == nil, verdict == .whole { return whole(opened, extent, rules: version, fence) }
        var reviewed = Reviewed()
        let claimed = batch.dataClass
        var parts = Parts()
        var drifted: [String: Int] = [:]
        if let review {
            for verdict in review.verdicts {
                reviewed.counts.count(verdict)
                if verdict.dataClass != claimed, let higher = policy.raised(verdict.dataClass, over: claimed) { drifted[higher, default: 0] += 1 }
                guard case .kept(let dataClass, let left) = verdict.left else {
                    reviewed.differing += 1
                    continue
                }
                if verdict.isLess || dataClass != claimed { reviewed.differing += 1 }
                parts.add(left, as: dataClass)
            }
            if !drifted.isEmpty { reviewed.drift = Drift(batch.dataClass, of: batch.scope.subject, into: drifted) }
            if verdict == .whole, reviewed.differing == 0 { return whole(opened, extent, rules: version, fence) }
        } else {
            parts.add(columns.events(), as: claimed)
        }
        var segments: [Segment] = []
        var closed = 0
        for (dataClass, events) in parts.inOrder {
            var ranges: [Range<WallTime>] = []
            switch fence.judge(dataClass, of: batch.scope, from: extent.first, to: extent.last, offset: batch.offset) {
            case .whole: break
            case .without(let found): ranges = found
            // The agent called it something else: the part that is closed must not come in with the rest.
            case .keep(let epoch): throw BatchRefused(refusal: .paused, text: "closed at epoch \(epoch.number)", epoch: epoch.number)
            }
            let open = ranges.isEmpty ? events : events.filter { event in
                let span = event.span
                return !ranges.contains { $0.lowerBound <= span.end && span.start < $0.upperBound }
            }
            closed += events.count - open.count
            guard !open.isEmpty else { continue }
            do { segments.append(try segment(of: opened, dataClass, try ColumnsCodec.encode(open))) } catch {
                throw BatchRefused(refusal: .unreadable, text: "the batch cannot be cut: \(error)")
            }
        }
        return Prepared(opened: opened, segments: segments, dropped: closed, version: fence.version, rules: version, reviewed: reviewed)
    }
}

/// Events by class. One class follows the other seldom, so that its name is compared once for an event and never hashed.
private struct Parts {
    private var parts: [(dataClass: DataClass, events: [Event])] = []
    private var last = 0

    mutating func add(_ event: Event, as dataClass: DataClass) {
        if !parts.indices.contains(last) || parts[last].dataClass != dataClass { turn(to: dataClass) }
        parts[last].events.append(event)
    }

    mutating func add(_ events: [Event], as dataClass: DataClass) {
        turn(to: dataClass)
        parts[last].events += events
    }

    private mutating func turn(to dataClass: DataClass) {
        last = parts.firstIndex { $0.dataClass == dataClass } ?? parts.count
        if last == parts.count { parts.append((dataClass, [])) }
    }

    var inOrder: [(dataClass: DataClass, events: [Event])] { parts.sorted { $0.dataClass < $1.dataClass } }
}
