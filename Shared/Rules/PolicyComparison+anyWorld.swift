package import Gate

extension PolicyComparison {
    /// Whether in some possible company, at some time, anybody may do what they could not.
    package static let anyWorld = PolicyComparison { old, new in ["another policy"] }
}
