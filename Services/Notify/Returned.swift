/// What came back, look by look, and what stands in the log of it. What stays as it is is said once.
struct Returned: Sendable {
    enum Line: Hashable, Sendable { case error(String), notice(String) }

    /// The last look; nil: nobody looks.
    private(set) var last: BounceBox.Look?
    /// Mails that were undeliverable by it, in this run.
    private(set) var noted: UInt64 = 0

    mutating func take(_ look: BounceBox.Look) -> [Line] {
        var lines: [Line] = []
        noted += UInt64(look.noted)
        if let trouble = look.trouble, trouble != last?.trouble { lines.append(.error("\(trouble): of what comes back nothing is heard")) }
        if look.trouble == nil, last?.trouble != nil { lines.append(.notice("what comes back is read again")) }
        if let unmoved = look.unmoved, unmoved != last?.unmoved {
            lines.append(.error("\(unmoved): it is noted, and lies where it is. notify has to write to that folder, and a unit of systemd to let it: ReadWritePaths, see sluice-notify.service"))
        }
        // What is ours and could not be moved is among them.
        if look.left > 0, look.unmoved == nil, last?.left ?? 0 == 0 { lines.append(.notice("\(look.left) mails where bounces are read from are no reports about mails of Sluice's: they are left there")) }
        last = look
        return lines
    }
}
