import Gate
import SwiftProtobuf
import Wire

/// Permits as small numbers. Of ten thousand agents most have the same permit: it is worked out once for a gate, encoded once, and
/// each session remembers a number.
///
/// Measured with 10,000 agents: working out and encoding each permit for itself took a third of what a pause cost ingest.
struct PermitTable {
    /// The permit that allows nothing.
    static let nothing = 0

    private(set) var gate = GateState.unheard
    private(set) var rules: RulesTable
    private var contents = [Content(classes: [], rules: RulesTable.none)]
    private var numbers = [Content(classes: [], rules: RulesTable.none): 0]
    private var intersections: [UInt64: Int] = [:]
    /// By the number of their rules, while closures concern everybody; nil when some closure looks at site, team or subject.
    private var common: [Int: Int]?
    /// Encoded for the gate's epoch: the field `permit` of `Grant`, and the whole frame of `Narrow`.
    private var grantFields: [Int: [UInt8]] = [:]
    private var narrowFrames: [Int: HeadedBytes] = [:]

    private struct Content: Hashable {
        var classes: Set<DataClass>
        /// By its number in ``RulesTable``. Of a permit that allows nothing: none.
        var rules: Int
    }

    /// - Parameter classes: What may be captured without a policy document.
    init(classes: [DataClass]) { rules = RulesTable(classes: classes) }

    mutating func set(_ gate: GateState) {
        self.gate = gate
        grantFields = [:]
        narrowFrames = [:]
        // A closure without site, team or subject matches any scope alike.
        let scoped = gate.closures.contains { $0.stopsCapture && !$0.selector.concernsEveryone }
        common = scoped ? nil : [:]
    }

    /// Another policy document, or another record of somebody.
    /// - Returns: whether anything has changed.
    mutating func set(_ text: PolicyText?, records: BySubject<SubjectRecords>) -> Bool {
        guard rules.set(text, records: records) else { return false }
        grantFields = [:]
        narrowFrames = [:]
        if common != nil { common = [:] }
        return true
    }

    mutating func number(for scope: Scope) -> Int {
        let rules = rules.number(for: scope)
        if let known = common?[rules] { return known }
        let classes = gate.permit(for: scope, of: self.rules[rules].classes.sorted()).classes
        let number = intern(Content(classes: classes, rules: classes.isEmpty ? RulesTable.none : rules))
        if common != nil { common![rules] = number }
        return number
    }

    private mutating func intern(_ content: Content) -> Int {
        if let known = numbers[content] { return known }
        contents.append(content)
        numbers[content] = contents.count - 1
        return contents.count - 1
    }

    /// What two permits both allow, by the rules of the second: those that its holder has.
    mutating func intersection(_ left: Int, _ right: Int) -> Int {
        if left == right { return left }
        let key = UInt64(left) << 32 | UInt64(right)
        if let known = intersections[key] { return known }
        let classes = contents[left].classes.intersection(contents[right].classes)
        let number = intern(Content(classes: classes, rules: classes.isEmpty ? RulesTable.none : contents[right].rules))
        intersections[key] = number
        return number
    }

    /// Whether the first takes away something that the second allows.
    func narrows(_ left: Int, from right: Int) -> Bool { !contents[right].classes.isSubset(of: contents[left].classes) }

    /// What its holder must have been given.
    func given(_ number: Int) -> RulesTable.Given { rules[contents[number].rules] }

    private func permit(_ number: Int) -> WirePermit {
        let content = contents[number]
        return WirePermit(Permit(epoch: gate.epoch, classes: content.classes, rules: rules[content.rules].hash, policy: rules.text?.index ?? 0))
    }

    /// The frame of a `Narrow` to this permit.
    mutating func narrowFrame(_ number: Int) -> HeadedBytes {
        if let known = narrowFrames[number] { return known }
        var body = WireNarrow()
        body.permit = permit(number)
        let frame = Frame.bytes(.narrow, body)
        narrowFrames[number] = frame
        return frame
    }

    /// The frame of a `Grant` of this permit. Fields of a protobuf message may be joined in any order, so the permit is encoded once.
    mutating func grantFrame(_ number: Int, _ grant: WireGrant) -> HeadedBytes {
        var frame = Frame.bytes(.grant, grant)
        if grantFields[number] == nil {
            var body = WireGrant()
            body.permit = permit(number)
            grantFields[number] = (try? body.serializedBytes()) ?? []
        }
        frame.append(grantFields[number]!)
        return frame
    }
}
