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
    private let classes: [DataClass]
    private var sets: [Set<DataClass>] = [[]]
    private var numbers: [Set<DataClass>: Int] = [[]: 0]
    private var intersections: [UInt64: Int] = [:]
    /// Of closures that concern everybody; nil when some closure looks at site, team or subject.
    private var common: Int?
    /// Encoded for the gate's epoch: the field `permit` of `Grant`, and the whole frame of `Narrow`.
    private var grantFields: [Int: [UInt8]] = [:]
    private var narrowFrames: [Int: HeadedBytes] = [:]

    init(classes: [DataClass]) { self.classes = classes }

    mutating func set(_ gate: GateState) {
        self.gate = gate
        grantFields = [:]
        narrowFrames = [:]
        let scoped = gate.closures.contains { $0.stopsCapture && !$0.selector.concernsEveryone }
        common = nil
        // A closure without site, team or subject matches any scope alike.
        if !scoped { common = number(of: Scope(subject: "", site: "", team: "")) }
    }

    mutating func number(for scope: Scope) -> Int { common ?? number(of: scope) }

    private mutating func number(of scope: Scope) -> Int { intern(gate.permit(for: scope, of: classes).classes) }

    private mutating func intern(_ set: Set<DataClass>) -> Int {
        if let known = numbers[set] { return known }
        sets.append(set)
        numbers[set] = sets.count - 1
        return sets.count - 1
    }

    /// What two permits both allow.
    mutating func intersection(_ left: Int, _ right: Int) -> Int {
        if left == right { return left }
        let key = UInt64(min(left, right)) << 32 | UInt64(max(left, right))
        if let known = intersections[key] { return known }
        let number = intern(sets[left].intersection(sets[right]))
        intersections[key] = number
        return number
    }

    private func permit(_ number: Int) -> WirePermit { WirePermit(Permit(epoch: gate.epoch, classes: sets[number])) }

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
