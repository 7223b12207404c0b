/// The one source of chance of a simulation. The same seed gives the same run, on every machine.
struct SplitMix64 {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// 0 ..< bound, evenly enough.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    /// A length between two, in nanoseconds.
    mutating func span(_ shortest: Int64, _ longest: Int64) -> Int64 {
        shortest + Int64(next() % UInt64(longest - shortest + 1))
    }

    mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
}
