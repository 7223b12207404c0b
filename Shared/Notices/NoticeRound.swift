package import Exposure
package import Foundation
package import Ledger
import Mail
import SwiftProtobuf
import Wire

/// The notices of one decision about an incident: everybody who is affected, in the order of their subjects' bytes.
///
/// Each is made when it is asked for, and the same each time: what a hundred thousand people are told is never held at once. Two operators sign ``digest()``, so
/// that whoever approves makes them too, and compares.
package struct NoticeRound: Sendable {
    private let assessment: Assessment
    private let incident: NoticeIncident
    private let settings: NoticeSettings
    private let templates: NoticeTemplates
    private let members: [Member]
    /// Of entries of the ledger of reads: what proves them and shows nothing else.
    private let proofs: [UInt64: Data]
    private let unproven: Set<UInt64>

    private struct Member: Sendable {
        let person: NoticePerson
        let address: String
        let unaddressed: String
    }

    /// - Parameters:
    ///   - proofs: files by the entry; of an entry without one none is named.
    ///   - unproven: entries of which there can be none: whose reads these were is told so.
    package init(
        _ assessment: Assessment, of incident: NoticeIncident, to recipients: NoticeRecipients, _ settings: NoticeSettings, _ templates: NoticeTemplates, proofs: [UInt64: Data] = [:], unproven: Set<UInt64> = []
    ) {
        (self.assessment, self.incident, self.settings, self.templates, self.proofs, self.unproven) = (assessment, incident, settings, templates, proofs, unproven)
        let reached = recipients.reachable.map { Member(person: $0.person, address: $0.address.description, unaddressed: "") }
        let missed = recipients.unreachable.map { Member(person: $0.person, address: "", unaddressed: $0.why.words) }
        members = (reached + missed).sorted { $0.person.subject.utf8.lexicographicallyPrecedes($1.person.subject.utf8) }
    }

    package var count: Int { members.count }

    /// What one of them is told.
    package func facts(of person: NoticePerson) throws(NoticeRefused) -> NoticeFacts {
        var facts = try NoticeFacts(assessment.part(of: person.subject), of: incident, to: person, settings)
        facts.unproven = facts.proofs.map(\.entry).filter(unproven.contains)
        // A page names no file that does not come with it.
        facts.proofs = facts.proofs.filter { proofs[$0.entry] != nil }
        return facts
    }

    package func page(of facts: NoticeFacts) -> NoticePage { templates.page(of: facts) }

    /// A leaf: the bytes that go out, from here on as they are.
    ///
    /// - Parameter number: below ``count``.
    package func notice(_ number: Int) throws(NoticeRoundRefused) -> Data {
        let member = members[number]
        let facts: NoticeFacts
        do throws(NoticeRefused) { facts = try self.facts(of: member.person) } catch { throw .refused(error) }
        let page = page(of: facts)
        var notice = WireNotice()
        notice.subject = member.person.subject
        notice.address = member.address
        notice.unaddressed = member.unaddressed
        notice.language = page.language.rawValue
        notice.title = page.subject
        notice.text = page.text
        notice.html = page.html
        notice.attachments = facts.proofs.map { proof in
            var file = WireNoticeAttachment()
            file.name = proof.fileName
            file.body = proofs[proof.entry] ?? Data()
            return file
        }
        guard let bytes: Data = try? notice.serializedBytes(), bytes.count <= Limits.noticeBytesMax else { throw .tooLarge(subject: member.person.subject) }
        return bytes
    }

    /// What is signed for.
    package func digest() throws(NoticeRoundRefused) -> TreeHash {
        var tree = MerkleFrontier()
        for number in members.indices { _ = tree.append(TreeHash(leaf: try notice(number))) }
        return tree.root
    }

    /// The same with what proves each part of it, 64 bytes for each of them.
    package func tree() throws(NoticeRoundRefused) -> MerkleLevels {
        var tree = MerkleLevels()
        for number in members.indices { tree.append(TreeHash(leaf: try notice(number))) }
        return tree
    }

    /// As many as go into one message, from this one on; none: there are no more.
    package func batch(from first: Int) throws(NoticeRoundRefused) -> [Data] {
        var (batch, bytes): ([Data], Int) = ([], 0)
        for number in members.indices.dropFirst(first).prefix(Limits.noticesPerBatchMax) {
            let next = try notice(number)
            bytes += next.count
            guard batch.isEmpty || bytes <= Limits.noticeBatchBytesMax else { break }
            batch.append(next)
        }
        return batch
    }
}

package enum NoticeRoundRefused: Error, Hashable, Sendable {
    case refused(NoticeRefused)
    /// More proof files than one mail has.
    case tooLarge(subject: String)
}

extension NoticeRecipients.Unreachable.Why {
    /// For operators.
    package var words: String {
        switch self {
        case .notInDirectory: "not in the directory"
        case .noAddress: "no address in the directory"
        case .refused(let refused): "the directory's address is none: \(refused.words)"
        }
    }
}
