package import Rules

/// What an organisation decides about its notices: `notices.json` in the suite's home.
///
/// | key | what | default |
/// | --- | --- | --- |
/// | `organisation` | who writes | empty: not said |
/// | `contactName`, `contactPoint` | whom to ask, and how: GDPR Article 34(2) with 33(3)(b) | none: without them nobody is told |
/// | `readers` | how much of those who could read and did: `person`, `role` or `count`; at most what the policy document allows | what that allows, which is `role` if it says nothing |
/// | `measures` | what was done besides, a sentence each, by language (`en`, `de`) | none |
/// | `templates` | a folder of templates of one's own, from the home on | those that come with Sluice |
package struct NoticeSettings: Hashable, Sendable {
    package var organisation: String
    package var contactName: String
    package var contactPoint: String
    package var readers: ReaderNaming
    package var measures: [NoticeLanguage: [String]]
    /// Empty: none. Not told to anybody.
    package var templates = ""

    package typealias ReaderNaming = NoticeTerms.Naming

    package init(organisation: String = "", contactName: String = "", contactPoint: String = "", readers: ReaderNaming = .role, measures: [NoticeLanguage: [String]] = [:]) {
        self.organisation = organisation
        self.contactName = contactName
        self.contactPoint = contactPoint
        self.readers = readers
        self.measures = measures
    }
}

/// Who is told. Of the directory, and of the person themself.
package struct NoticePerson: Hashable, Sendable {
    package var subject: String
    package var name: String
    /// As the directory has it: it may be no address at all.
    package var mail: String
    package var locale: String

    package init(_ subject: String, name: String = "", mail: String = "", locale: String = "") {
        self.subject = subject
        self.name = name
        self.mail = mail
        self.locale = locale
    }
}

/// Why there is no notice.
package enum NoticeRefused: Error, Hashable, Sendable {
    /// Nothing of this person could be read, and nothing was: telling them would tell of somebody else's incident.
    case notExposed(subject: String)
    /// Article 34(2) asks for a name and a way to reach them.
    case noContact
}
