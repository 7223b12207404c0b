import Exposure
import Foundation
import Gate
import Mail
import Notices
import Rules

/// Notices of one leak to as many people as are asked for: each of their own numbers and reads, German and English in turn, with a file for each proof.
///
/// Everybody's reviews, and the conversations of every third, were open to all for five minutes; each tenth of a thousand reads is of up to twenty of them.
struct BenchNotices {
    let count: Int
    private let assessment: Assessment
    private let templates: NoticeTemplates
    private let incident: NoticeIncident
    private let settings: NoticeSettings
    private let from: Mailbox

    private static let began = WallTime(nanoseconds: 1_795_699_627_250_000_000)
    private static func after(_ milliseconds: Int64) -> WallTime { began + .milliseconds(milliseconds) }

    init(_ count: Int) throws {
        self.count = count
        templates = try NoticeTemplates()
        from = try Mailbox(name: "Sluice", address: MailAddress("sluice@example.com"))
        settings = NoticeSettings(
            organisation: "Example AG", contactName: "Dana Fischer, data protection officer", contactPoint: "dpo@example.org, +49 30 1234", readers: .role,
            measures: [.english: ["The rule that let everyone read was taken back."], .german: ["Die Regel, durch die alle lesen konnten, wurde zurückgenommen."]])
        let classes: [DataClass] = [.review, .conversation]
        let closure = Closure(
            epoch: Epoch(5), direction: .both, selector: Selector(classes: Set(classes)), reason: "bench", author: "detector audience", incident: 7, from: BenchNotices.after(300_000))
        let certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: BenchNotices.after(304_000), services: [:], agents: [:], completeAfter: .milliseconds(3_001), readingAfter: .milliseconds(12), durableIn: [.journal],
            unconfirmed: [])
        incident = NoticeIncident(7, found: BenchNotices.after(299_000), closure: closure, certificate: certificate)
        let question = ExposureQuestion(incident: 7, Period(from: BenchNotices.began, until: BenchNotices.after(300_012)), of: closure.selector)
        assessment = Assessment(question, from: BenchNotices.history(count, classes))
    }

    private static func history(_ count: Int, _ classes: [DataClass]) -> ExposureHistory {
        func scope(_ number: Int) -> Scope { Scope(subject: "E\(number)", site: "site-\(number % 12)", team: "team-\(number % 150)") }
        var history = ExposureHistory()
        let document = PolicyDocument(
            classes: classes.map { .init($0.name, retention: .seconds(86_400), audienceMax: nil) },
            purposes: [.init("people-review", basis: .legalObligation, classes: Set(classes.map(\.name)))],
            grants: [.init("wiki", role: PolicyDocument.everyone, purpose: "people-review", classes: Set(classes.map(\.name)))])
        history.policies = [.init(index: 100, at: began, .known(document))]
        history.keys = (0..<20).map { .init("clerk-\($0)", person: Person(scope($0)), .always) }
        for number in 0..<count {
            history.directory.append(.init(Person(scope(number)), .always))
            history.holdings.append(.init(ReadPlace(scope(number), .review), first: began, events: Int64(1 + number % 90)))
            if number % 3 == 0 { history.holdings.append(.init(ReadPlace(scope(number), .conversation), first: began, events: Int64(1 + number % 700))) }
        }
        for number in 0..<count / 10 {
            let included = Set((0..<min(20, count)).map { "E\((number * 10 + $0) % count)" }).sorted()
            let opened = after(Int64(number) * 290_000 / Int64(count))
            var release = ExposureHistory.ReleaseOnRecord(
                number: UInt64(number + 1), entry: UInt64(number * 2 + 1), reader: "clerk-\(number % 20)", person: "E\(number % 20)", policy: 100, purpose: "people-review", classes: [.review], subjects: included,
                included: included, opened: opened, ended: opened + .seconds(2), events: 900, most: 900)
            release.roles = [PolicyDocument.everyone]
            history.releases.append(release)
        }
        return history
    }

    struct Notice {
        var id: String
        var recipient: String
        var bytes: [UInt8]

        /// As `sluice-notify bench-delivery` and `Tests/Bench/smtp.py` read it.
        var frame: Data { Data("\(id) \(recipient) \(bytes.count)\n".utf8) + bytes }
    }

    /// The same number, the same bytes.
    func notice(_ number: Int) throws -> Notice {
        let isGerman = number % 2 == 1
        let person = NoticePerson("E\(number)", name: isGerman ? "Jürgen Weiß \(number)" : "Ada Lovelace \(number)", mail: "e\(number)@example.org", locale: isGerman ? "de" : "en")
        let facts = try NoticeFacts(assessment.part(of: person.subject), of: incident, to: person, settings)
        // A proof has a checkpoint and a path: of a ledger of a million entries some 1,400 octets.
        let proofs = try facts.proofs.map { try MailMessage.Attachment(fileName: $0.fileName, content: [UInt8](repeating: UInt8(ascii: "p"), count: 1_400)) }
        let id = "mail_bench_\(number)"
        let message = try templates.page(of: facts).mail(
            id: id, from: from, to: Mailbox(name: person.name, address: MailAddress(person.mail)), at: BenchNotices.after(310_000), proofs: proofs)
        return Notice(id: id, recipient: person.mail, bytes: message.bytes)
    }
}
