/// How much may still be compared, in steps of some nanoseconds each.
///
/// It is counted and not timed: what is too much for control must be too much for every follower. So what is counted never depends on the order of a set. Whoever finds that it
/// is used up returns at once, with whatever it has: the answer is thrown away.
final class Work {
    private var left: Int
    private let isBounded: Bool
    private(set) var isUsedUp = false

    init(atMost steps: Int) { (left, isBounded) = (steps, true) }
    private init() { (left, isBounded) = (0, false) }

    static var unbounded: Work { Work() }

    /// - Returns: whether it may be done.
    func take(_ steps: Int) -> Bool {
        guard isBounded else { return true }
        guard !isUsedUp, steps <= left else {
            isUsedUp = true
            return false
        }
        left -= steps
        return true
    }
}
