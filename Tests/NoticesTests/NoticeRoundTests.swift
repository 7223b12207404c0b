import Crypto
import Exposure
import Foundation
import Ledger
import Mail
import Notices
import SwiftProtobuf
import Testing
import Wire

/// What two operators sign is exactly what goes out.
@Suite struct NoticeRoundTests {
    private let templates: NoticeTemplates

    init() throws { templates = try NoticeTemplates() }

    private func round(_ people: [NoticePerson] = Story.people, _ settings: NoticeSettings = Story.settings, proofs: [UInt64: Data] = [:], unproven: Set<UInt64> = []) -> NoticeRound {
        let recipients = NoticeRecipients(Story.assessment(), Dictionary(uniqueKeysWithValues: people.map { ($0.subject, $0) }))
        return NoticeRound(Story.assessment(), of: Story.incident, to: recipients, settings, templates, proofs: proofs, unproven: unproven)
    }

    private func notices(_ round: NoticeRound) throws -> [Data] { try (0..<round.count).map { try round.notice($0) } }

    /// RFC 6962, section 2.1, word for word.
    private func root(_ leaves: ArraySlice<Data>) -> [UInt8] {
        if leaves.count == 1 { return Array(SHA256.hash(data: [0] + leaves[leaves.startIndex])) }
        var half = 1
        while half * 2 < leaves.count { half *= 2 }
        return Array(SHA256.hash(data: [1] + root(leaves.prefix(half)) + root(leaves.dropFirst(half))))
    }

    @Test func `the digest is the root of exactly these bytes in the order of their subjects`() throws {
        let all = try notices(round())
        let subjects = try all.map { try WireNotice(serializedBytes: $0).subject }
        #expect(subjects == ["xia-33", "yan-22", "zoe-11"])
        #expect(try round().digest().bytes == root(all[...]))
        #expect(try round(Story.people.reversed()).digest() == round().digest(), "whatever the directory's order is")
        #expect(try notices(round()) == all, "made again it is the same")
        // The control: each of what may differ does.
        var settings = Story.settings
        settings.contactPoint += "."
        var moved = Story.people
        moved[1].mail = "yan@example.com"
        for other in [round(Story.people, settings), round(moved), round(proofs: [17: Data([1])])] { #expect(try other.digest() != round().digest()) }
    }

    @Test func `it is the page that is shown, to whom the directory names, and nobody is left out`() throws {
        let round = round()
        #expect(round.count == Story.assessment().affected.count)
        for bytes in try notices(round) {
            let notice = try WireNotice(serializedBytes: bytes)
            let person = try #require(Story.people.first { $0.subject == notice.subject })
            let page = round.page(of: try round.facts(of: person))
            #expect(notice.text == page.text && notice.html == page.html && notice.title == page.subject && notice.language == page.language.rawValue)
            #expect(try notice.address == (person.mail.isEmpty ? "" : MailAddress(person.mail).description))
            #expect(notice.address.isEmpty == !notice.unaddressed.isEmpty)
            // What notify reads is what stands there.
            if !notice.address.isEmpty { #expect(try MailAddress(notice.address).description == notice.address) }
        }
        let strangers = try notices(self.round([]))
        #expect(try strangers.map { try WireNotice(serializedBytes: $0).unaddressed } == ["not in the directory", "not in the directory", "not in the directory"])
    }

    @Test func `a page names the files that come with it and no others`() throws {
        let without = try WireNotice(serializedBytes: round().notice(2))
        #expect(without.attachments.isEmpty && !without.text.contains("tlog-proof") && !without.html.contains("tlog-proof"))
        let file = Data("a proof".utf8)
        let with = try notices(round(proofs: [17: file])).map { try WireNotice(serializedBytes: $0) }
        #expect(with.map { $0.attachments.map(\.name) } == [["read-17.tlog-proof"], [], ["read-17.tlog-proof"]], "whom nobody read has none")
        #expect(with[2].attachments[0].body == file && with[2].text.contains("read-17.tlog-proof") && with[2].html.contains("read-17.tlog-proof"))
    }

    @Test func `whose read nothing proves is told so in either language, and nobody else is`() throws {
        let page = try notices(round(unproven: [17, 99])).map { try WireNotice(serializedBytes: $0) }
        func words(_ notice: WireNotice) -> String { notice.text.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        #expect(page.map(\.subject) == ["xia-33", "yan-22", "zoe-11"])
        #expect(words(page[0]).contains("Of the read of entry 17 there is no proof") && page[0].html.contains("Of the read of entry 17 there is no proof"))
        #expect(words(page[2]).contains("Für den Lesezugriff von Eintrag 17 gibt es keinen Beweis") && page[2].html.contains("Für den Lesezugriff von Eintrag 17 gibt es keinen Beweis"))
        // The controls: who was not read, another's read, and reads that are proven.
        #expect(!page[1].text.contains("no proof") && !page.contains { $0.text.contains("99") || $0.html.contains("entry 99") })
        for notice in try notices(round()) + notices(round(proofs: [17: Data([1])])) {
            let notice = try WireNotice(serializedBytes: notice)
            #expect(!notice.text.contains("no proof") && !notice.text.contains("keinen Beweis"))
        }
        var facts = try Story.facts("xia-33")
        facts.unproven = Array(1...30)
        #expect(templates.page(of: facts).html.contains("19, 20 and 10 more there is no proof"))
        facts.language = .german
        #expect(templates.page(of: facts).html.contains("19, 20 und 10 weiteren gibt es keinen Beweis"))
    }

    @Test func `batches follow each other without a gap, and each has one at least`() throws {
        let large = Data(repeating: 1, count: Limits.noticeBytesMax - 64 * 1024)
        for proofs in [[:], [17: large]] as [[UInt64: Data]] {
            let round = round(proofs: proofs)
            var (sent, first): ([Data], Int) = ([], 0)
            while case let batch = try round.batch(from: first), !batch.isEmpty {
                #expect(batch.count <= Limits.noticesPerBatchMax && (batch.count == 1 || batch.reduce(0) { $0 + $1.count } <= Limits.noticeBatchBytesMax))
                sent += batch
                first += batch.count
            }
            #expect(try sent == notices(round))
        }
        #expect(throws: NoticeRoundRefused.tooLarge(subject: "xia-33")) { try round(proofs: [17: Data(count: Limits.noticeBytesMax)]).digest() }
        #expect(throws: NoticeRoundRefused.refused(.noContact)) { try round(Story.people, NoticeSettings()).digest() }
    }
}
