import Chassis
import Gate
import Rules
import Wire

/// Which rules each agent must keep to: of ten thousand agents most have the same, and each session remembers a number.
///
/// Numbers are never used again: a session that was told of one may hold a permit for it still.
struct RulesTable {
    /// Before a policy document is in force, and where a permit allows nothing.
    static let none = 0

    /// What agents are given.
    struct Given {
        var hash: [UInt8]
        /// Of which anything is captured: what no purpose has its record for is not among them.
        var classes: Set<DataClass>
        /// Of a `Rules`. Nil: not in force any more.
        var frame: HeadedBytes?
    }

    /// Where nothing can be made of the document, nothing is captured.
    private(set) var trouble: String?
    /// The document in force; nil: none.
    private(set) var text: PolicyText?
    private var policy: Policy?
    private var records = BySubject<SubjectRecords>()
    private var given: [Given]
    private var numbers: [AgentRules.Choice: Int] = [:]
    private var byScope: [Scope: Int] = [:]

    /// - Parameter classes: What may be captured without a document.
    init(classes: [DataClass]) { given = [Given(hash: [], classes: Set(classes), frame: nil)] }

    subscript(_ number: Int) -> Given { given[number] }

    /// - Returns: whether anything has changed.
    mutating func set(_ text: PolicyText?, records: BySubject<SubjectRecords>) -> Bool {
        let isSame = text == self.text
        guard !isSame || records != self.records else { return false }
        let changed = Set((records.differing(from: self.records) + self.records.differing(from: records)).map(\.subject))
        self.records = records
        byScope = byScope.filter { !changed.contains($0.key.subject) }
        guard let text, !isSame else { return true }
        // In force and not recorded at first; then the same, with its place in the ledger.
        let isSameDocument = text.bytes == self.text?.bytes
        self.text = text
        guard !isSameDocument else { return true }
        for number in given.indices.dropFirst() { given[number].frame = nil }
        numbers = [:]
        byScope = [:]
        do throws(Mistakes) {
            policy = Policy(try PolicyReader(detections: nil).read(canonical: text.bytes))
            trouble = nil
        } catch {
            policy = nil
            trouble = "the policy document of entry \(text.index) cannot be read here: \(error)"
        }
        return true
    }

    mutating func number(for scope: Scope) -> Int {
        guard text != nil else { return RulesTable.none }
        if let known = byScope[scope] { return known }
        let number = work(out: scope)
        byScope[scope] = number
        return number
    }

    private mutating func work(out scope: Scope) -> Int {
        guard let policy else { return add(Given(hash: [], classes: [], frame: nil)) }
        let choice = AgentRules.Choice(policy, of: Person(scope), records: Records(records[scope.subject] ?? .none))
        if let known = numbers[choice] { return known }
        let rules = AgentRules(policy, choice)
        let bytes = rules.bytes
        var body = WireRules()
        body.bytes = UInt32(bytes.count)
        var number: Int
        if bytes.count <= Limits.rulesBytesMax, var compressor = try? ZstdCompressor(), let packed = try? compressor.compress(bytes) {
            body.packed = .init(packed)
            number = add(Given(hash: RulesHash.of(bytes), classes: rules.rulings.captured, frame: Frame.bytes(.rules, body)))
        } else {
            trouble = "the policy document is too large for an agent: \(bytes.count) bytes"
            number = add(Given(hash: [], classes: [], frame: nil))
        }
        numbers[choice] = number
        return number
    }

    private mutating func add(_ item: Given) -> Int {
        given.append(item)
        return given.count - 1
    }
}
