extension UInt64 {
    /// For counts of what others say: a sum of two numbers out of messages may be more than there are.
    package mutating func add(saturating count: UInt64) {
        let (sum, overflow) = addingReportingOverflow(count)
        self = overflow ? .max : sum
    }
}
