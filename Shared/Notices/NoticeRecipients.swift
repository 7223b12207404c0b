package import Exposure
package import Mail

/// Whom an incident's notices go to, and whom mail does not reach. Nobody who is affected is left out of all lists.
package struct NoticeRecipients: Hashable, Sendable {
    package struct Recipient: Hashable, Sendable {
        package var person: NoticePerson
        package var language: NoticeLanguage
        package var address: MailAddress
    }

    package struct Unreachable: Hashable, Sendable {
        package var person: NoticePerson
        package var why: Why

        package enum Why: Hashable, Sendable {
            case notInDirectory
            case noAddress
            case refused(MailAddressRefused)
        }
    }

    package var reachable: [Recipient] = []
    package var unreachable: [Unreachable] = []

    /// - Parameter directory: by subject.
    package init(_ assessment: Assessment, _ directory: [String: NoticePerson]) {
        for subject in assessment.affected {
            guard let person = directory[subject] else {
                unreachable.append(Unreachable(person: NoticePerson(subject), why: .notInDirectory))
                continue
            }
            guard !person.mail.isEmpty else {
                unreachable.append(Unreachable(person: person, why: .noAddress))
                continue
            }
            do throws(MailAddressRefused) {
                reachable.append(Recipient(person: person, language: NoticeLanguage(locale: person.locale), address: try MailAddress(person.mail)))
            } catch {
                unreachable.append(Unreachable(person: person, why: .refused(error)))
            }
        }
    }

    package var count: Int { reachable.count + unreachable.count }

    /// Everybody's, of those in the directory; of others nobody knows it, and they are told in English.
    package var languages: [NoticeLanguage: Int] {
        let all = reachable.map(\.language) + unreachable.map { NoticeLanguage(locale: $0.person.locale) }
        return Dictionary(all.map { ($0, 1) }, uniquingKeysWith: +)
    }
}
