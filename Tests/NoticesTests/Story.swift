import Exposure
import Gate
import Mail
import Notices
import Rules

/// A leak of which everybody can say what must be told: reviews of three people and conversations of one are open to everyone for a minute, and a clerk reads some.
struct Story {
    static let began = WallTime(nanoseconds: 1_795_699_627_250_000_000)
    static func after(_ milliseconds: Int64) -> WallTime { began + .milliseconds(milliseconds) }

    static let people = [
        NoticePerson("zoe-11", name: "Zoë Quandt", mail: "zoe@Bücher.example", locale: "de-AT"), NoticePerson("yan-22", name: "Yannick Obi", mail: "yan@example.org", locale: "en-GB"),
        NoticePerson("xia-33", name: "Xiaoling Ferro", mail: "", locale: "fr"),
    ]
    /// Readers, and those who may read by the directory alone.
    static let others = ["E8", "E9", "E10"]
    static let events: [String: Int64] = ["zoe-11": 5, "yan-22": 3, "xia-33": 1_200]
    static let settings = NoticeSettings(
        organisation: "Example AG", contactName: "Dana Fischer, data protection officer", contactPoint: "dpo@example.org, +49 30 1234",
        measures: [.english: ["The rule that let everyone read was taken back."], .german: ["Die Regel, durch die alle lesen konnten, wurde zurückgenommen."]])

    static let closure = Closure(epoch: Epoch(5), direction: .both, selector: Selector(classes: [.review, .conversation]), reason: "seen by Yannick Obi", author: "detector audience", incident: 7, from: after(60_000))
    static let certificate = Certificate(
        closure: closure, lease: .seconds(3), issued: after(64_000), services: [:], agents: [:], completeAfter: .milliseconds(3_001), readingAfter: .milliseconds(12), durableIn: [.journal], unconfirmed: [])
    static let incident = NoticeIncident(7, found: after(59_000), closure: closure, certificate: certificate)

    static func history(reads: Bool = true) -> ExposureHistory {
        var history = ExposureHistory()
        let purposes: [PolicyDocument.Purpose] = [.init("people-review", basis: .legalObligation, classes: ["review", "conversation"])]
        let classes: [PolicyDocument.Class] = ["review", "conversation"].map { .init($0, retention: .seconds(3_600), audienceMax: nil) }
        let wide = PolicyDocument.Grant("wiki", role: PolicyDocument.everyone, purpose: "people-review", classes: ["review", "conversation"])
        history.policies = [.init(index: 100, at: began, .known(PolicyDocument(classes: classes, purposes: purposes, grants: [wide])))]
        history.keys = [("clerk", "E8"), ("partner", "E9")].map { .init($0.0, person: Person($0.1, site: "berlin", team: "sales"), .always) }
        history.directory = (people.map(\.subject) + others).map { .init(Person($0, site: "berlin", team: "sales"), .always) }
        func place(_ subject: String, _ dataClass: DataClass) -> ReadPlace { ReadPlace(Scope(subject: subject, site: "berlin", team: "sales"), dataClass) }
        history.holdings = people.map { .init(place($0.subject, .review), first: began, events: events[$0.subject]) }
        history.holdings.append(.init(place("zoe-11", .conversation), first: began, events: 40))
        if reads {
            var release = ExposureHistory.ReleaseOnRecord(
                number: 4, entry: 17, reader: "clerk", person: "E8", policy: 100, purpose: "people-review", classes: [.review], subjects: ["zoe-11", "xia-33"], included: ["zoe-11", "xia-33"],
                opened: after(30_000), ended: after(31_000), events: 1_205, most: 1_205)
            release.roles = [PolicyDocument.everyone]
            release.shares = [.init("xia-33", .review, events: 1_200), .init("zoe-11", .review, events: 5)]
            history.releases = [release]
        }
        return history
    }

    static func assessment(_ history: ExposureHistory = history()) -> Assessment {
        Assessment(ExposureQuestion(incident: 7, Period(from: began, until: after(60_012)), of: closure.selector), from: history)
    }

    static func facts(_ subject: String, locale: String? = nil, _ settings: NoticeSettings = settings, _ assessment: Assessment = assessment(), _ incident: NoticeIncident = incident) throws(NoticeRefused) -> NoticeFacts {
        var person = people.first { $0.subject == subject } ?? NoticePerson(subject)
        if let locale { person.locale = locale }
        return try NoticeFacts(assessment.part(of: subject), of: incident, to: person, settings)
    }
}
