import Gate
import Synchronization

extension PolicyComparison {
    /// The same, with the newest answers kept: whoever looks at proposals asks again each time, and large documents take a while.
    static func remembering(_ compare: PolicyComparison) -> PolicyComparison {
        let known = Known()
        return PolicyComparison(sendsAtOnce: { compare.sendsNoticesAtOnce($0) }) { old, new in
            known.answer(Known.Key(old: old, new: new)) { compare(old, new) }
        }
    }

    private final class Known: Sendable {
        struct Key: Hashable {
            let old: [UInt8]?
            let new: [UInt8]?
        }

        /// Of documents that have 1 MiB at most, twice.
        private static let answersMax = 8
        private let answers = Mutex<[(key: Key, answer: Answer)]>([])

        func answer(_ key: Key, _ make: () -> Answer) -> Answer {
            if let known = answers.withLock({ $0.first { $0.key == key }?.answer }) { return known }
            let answer = make()
            answers.withLock {
                $0.append((key, answer))
                if $0.count > Known.answersMax { $0.removeFirst() }
            }
            return answer
        }
    }
}
