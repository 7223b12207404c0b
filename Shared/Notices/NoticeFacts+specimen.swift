import Exposure
import Gate
import Rules

extension NoticeFacts {
    /// Something of everything, of nobody: what templates are checked against, and what an operator looks at who writes one.
    package static let specimen: NoticeFacts = {
        let at = WallTime(nanoseconds: 1_795_699_627_000_000_000)
        let period = Period(from: at, until: at + .seconds(301))
        var totals = Assessment.Totals()
        (totals.subjects, totals.events, totals.people, totals.keys) = (1, 5, 12, 2)
        (totals.releases, totals.readers, totals.readSubjects, totals.readEvents) = (1, 1, 1...1, 5...5)
        let way = Way(period: period, role: PolicyDocument.everyone, purpose: "people-review", people: 12, keys: 2, names: ["clerk", "partner (E9)"])
        let read = Read(release: 4, entry: 7, at: at + .seconds(60), reader: .person("clerk"), purpose: "people-review", events: 5...5, wasCutOff: true)
        return NoticeFacts(
            incident: 7, person: NoticePerson("E1042", name: "Ada Lovelace", mail: "ada@example.org", locale: "en"), language: .english,
            settings: NoticeSettings(
                organisation: "Example AG", contactName: "Dana Fischer, data protection officer", contactPoint: "dpo@example.org", readers: .person,
                measures: [.english: ["The rule that let everybody read was taken back."], .german: ["Die Regel, durch die alle lesen konnten, wurde zurückgenommen."]]),
            found: at + .seconds(300), stopped: at + .seconds(301), contained: Contained(at: at + .seconds(304), certificate: 5), captureStopped: true,
            kinds: [Kind(dataClass: .review, period: period, events: 5, people: 12, keys: 2, ways: [way], reads: [read])], totals: totals, gaps: [.directoryUnknown],
            proofs: [Proof(fileName: "read-7.tlog-proof", entry: 7)])
    }()
}
