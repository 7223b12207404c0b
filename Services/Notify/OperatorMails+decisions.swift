import Gate
import Ledger

/// That people get their notices: what one operator decides alone, the others hear of by this, and by nothing else that comes to them.
extension OperatorMails {
    static func letter(decided incident: UInt64, _ count: UInt64, _ digest: [UInt8], by entry: Entry) -> Letter {
        let people = count == 1 ? "1 person" : "\(count) people"
        let what = "\(people) of incident \(incident) \(count == 1 ? "is" : "are") to be told what has the digest \(digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined())."
        let (subject, by): (String, [String]) =
            if let proposal = entry.proposal {
                ("\(people) get their notices", ["Two operators have signed for it, proposal \(proposal)."])
            } else {
                (
                    "\(entry.author) alone decided that \(people) get their notices",
                    ["\(entry.author) decided it alone: the policy document in force says 'notices: {send: at once}'. No second operator has looked at them."]
                )
            }
        let from = "\(entry.proposal == nil ? "By" : "Proposed by") \(entry.author), \(entry.at.rfc3339), entry \(entry.index) of the ledger."
        return Letter("notices.decided", "incident \(incident): \(subject)", [what] + by + [from, "They go out as soon as notify has been handed all of them."], incident: incident, command: "sluice notices \(incident)")
    }
}
