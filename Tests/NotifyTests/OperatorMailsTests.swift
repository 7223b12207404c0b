import Chassis
import Foundation
import Gate
import Ledger
import Mail
import Testing

@testable import sluice_notify

struct OperatorMailsTests {
    let at = WallTime(nanoseconds: 1_614_265_330_017_900_000)
    let mails: OperatorMails

    init() throws {
        let text = #"{"mail":{"url":"smtps://m","from":"sluice@example.com","operators":["ops@example.com","sec@example.com"]}}"#
        mails = OperatorMails(try NotifyFile.read(json: Data(text.utf8), path: "p").mail)
    }

    func entry(_ deed: Entry.Deed, leaf: String = "a leaf") -> FollowedEntry {
        FollowedEntry(Entry(index: 12, at: at, author: "ada", deed: deed), hash: TreeHash(leaf: Array(leaf.utf8)))
    }
    func letter(_ deed: Entry.Deed) -> OperatorMails.Letter? { OperatorMails.letter(for: entry(deed).entry) }
    func opened(_ title: String) -> Entry.Deed { .incidentOpened(number: 7, title: title, closure: Epoch(9), dataClass: "review", isLeak: true) }
    var closure: Closure {
        Closure(epoch: Epoch(9), direction: .both, selector: Selector(teams: ["b", "a"], classes: [DataClass("review")]), reason: "a leak", author: "ada", incident: 7, from: at)
    }

    @Test func `each operator gets a mail of their own, the same each time, named after the entry and them`() throws {
        let made = mails.mails(for: entry(opened("seen outside")))
        #expect(made.map(\.recipient) == ["ops@example.com", "sec@example.com"])
        #expect(made == mails.mails(for: entry(opened("seen outside"))))
        #expect(Set(made.map(\.id)).count == 2)
        #expect(mails.mails(for: entry(opened("seen outside"), leaf: "another"))[0].id != made[0].id)
        #expect(made.allSatisfy { $0.incident == 7 && $0.type == "incident.opened" && $0.created == at })
        let text = String(decoding: made[0].bytes, as: UTF8.self)
        for part in ["Subject: [Sluice] incident 7: seen outside\r\n", "\r\nTo: <ops@example.com>\r\n", "Message-ID: <\(made[0].id)@example.com>\r\n", "Auto-Submitted: auto-generated\r\n", "sluice incident show 7"] {
            #expect(text.contains(part), "\(part) is not in \(text)")
        }
        #expect(!text.contains("sec@example.com"))
    }

    @Test(arguments: ["a\r\nBcc: eve@example.com", "a\u{2028}Bcc: eve@example.com", "a\u{202E}b\u{0}c", String(repeating: "ü", count: 5_000), "", "👩‍👩‍👧‍👦"])
    func `whatever a title is, it is one line of a subject, and the mail is made`(_ title: String) throws {
        let made = mails.mails(for: entry(opened(title)))
        #expect(made.count == 2)
        let head = String(decoding: made[0].bytes, as: UTF8.self).components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n")
        #expect(head.filter { $0.lowercased().hasPrefix("bcc") } == [])
        #expect(head.count { $0.hasPrefix("Subject: ") } == 1)
        #expect(try #require(letter(opened(title))).subject.utf8.count <= 9 + OperatorMails.Letter.subjectMax)
    }

    @Test func `a pause says what is closed, and keeps the order of its incident`() throws {
        let letter = try #require(self.letter(.paused(closure)))
        #expect(letter.subject == "[Sluice] paused, epoch 9: a leak")
        #expect(letter.text.contains("Paused: capture and reading of team a, b; class review."))
        #expect(letter.incident == 7)
        var everything = closure
        (everything.selector, everything.incident) = (Selector(), 0)
        #expect(self.letter(.paused(everything))?.text.contains("capture and reading of everything.") == true)
        #expect(self.letter(.paused(everything))?.incident == nil)
    }

    @Test func `a certificate is never said to be complete when it is not`() throws {
        var certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: at, services: [:], agents: ["a": .acknowledged(after: .zero)], completeAfter: .microseconds(12_001), readingAfter: .milliseconds(2),
            durableIn: [.vault, .journal], unconfirmed: [])
        let complete = try #require(letter(.certified(certificate)))
        #expect(complete.subject == "[Sluice] stopped everywhere, certificate 9")
        #expect(complete.text.contains("13 ms after the command: 1 agents"))
        certificate.unconfirmed = ["agent b"]
        let incomplete = try #require(letter(.certified(certificate)))
        #expect(incomplete.subject == "[Sluice] NOT confirmed: the stop of epoch 9")
        #expect(incomplete.text.contains("agent b") && !incomplete.text.contains("13 ms"))
    }

    @Test func `that one operator alone decided is said in the subject, by which term, and of how many people`() throws {
        let told = Entry.Deed.noticesDecided(incident: 7, count: 312, digest: Array(0..<32))
        let alone = try #require(letter(told))
        #expect(alone.subject == "[Sluice] incident 7: ada alone decided that 312 people get their notices")
        #expect(alone.type == "notices.decided" && alone.incident == 7)
        for part in ["'notices: {send: at once}'", "No second operator has looked at them", "000102030405", "entry 12 of the ledger", "By ada", "sluice notices 7"] { #expect(alone.text.contains(part), "\(part) is not in \(alone.text)") }
        #expect(mails.mails(for: entry(told)).map(\.recipient) == ["ops@example.com", "sec@example.com"], "everybody, ada among them")
        let two = try #require(OperatorMails.letter(for: Entry(index: 12, at: at, author: "ada", proposal: 11, deed: told)))
        #expect(two.subject == "[Sluice] incident 7: 312 people get their notices")
        #expect(two.text.contains("Two operators have signed for it, proposal 11.") && two.text.contains("Proposed by ada") && !two.text.contains("alone"))
        #expect(letter(.noticesDecided(incident: 7, count: 1, digest: Array(0..<32)))?.text.hasPrefix("1 person of incident 7 is to be told") == true)
    }

    @Test func `a drill is told when it has missed, and what is nobody's business is not`() {
        var outcome = Drill.Outcome()
        #expect(letter(.drillEnded(number: 3, to: Epoch(10), outcome)) == nil)
        outcome.missed = ["the certificate"]
        #expect(letter(.drillEnded(number: 3, to: Epoch(10), outcome))?.text.contains("the certificate") == true)
        var drill = closure
        drill.author = "detector \(Drill.detector)"
        let certificate = Certificate(closure: drill, lease: .seconds(3), issued: at, services: [:], agents: [:], completeAfter: .zero, readingAfter: nil, durableIn: [.vault], unconfirmed: [])
        #expect(letter(.certified(certificate)) == nil)
        #expect(mails.mails(for: entry(.removed([1]))) == [])
    }
}
