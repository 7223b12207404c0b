import Exposure
import Foundation
import Gate
import Mail
import Notices
import Rules
import Testing

struct NoticeTests {
    let templates: NoticeTemplates

    init() throws { templates = try NoticeTemplates() }

    private func page(_ subject: String, locale: String? = nil, _ settings: NoticeSettings = Story.settings) throws -> NoticePage {
        templates.page(of: try Story.facts(subject, locale: locale, settings))
    }

    /// The words of a page of HTML, as a browser shows them, on one line.
    private func shown(_ html: String) -> String {
        let body = html.components(separatedBy: "<body>")[1]
        let text = body.replacingOccurrences(of: "<[^>]*>", with: " ", options: .regularExpression)
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")].reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
        return joined(plain)
    }
    private func joined(_ text: String) -> String { text.split(whereSeparator: \.isWhitespace).joined(separator: " ").replacingOccurrences(of: " ,", with: ",").replacingOccurrences(of: " :", with: ":") }

    // MARK: What it says

    @Test(arguments: [("en", 0), ("de", 1)])
    func `a notice has each part that Article 34 asks for, as text and as HTML, in both languages`(_ locale: String, _ place: Int) throws {
        let page = try page("zoe-11", locale: locale)
        let parts = [
            // 34(2): nature, in plain words. 33(3)(b): contact. (c): consequences. (d): measures.
            ["reviews of your work", "Beurteilungen Ihrer Arbeit"], ["the text of the assessment", "der Text der Beurteilung"], ["Dana Fischer, data protection officer", "Dana Fischer, data protection officer"],
            ["dpo@example.org, +49 30 1234", "dpo@example.org, +49 30 1234"], ["it may change how you are treated", "das kann ändern, wie man mit Ihnen umgeht"],
            ["The rule that let everyone read was taken back.", "Die Regel, durch die alle lesen konnten, wurde zurückgenommen."],
            // And what the design adds: period, how much, who could, who did, when it stopped, what to do, proof, gaps.
            ["26 November 2026, 13:27:07 – 13:28:08 UTC", "26. November 2026, 13:27:07 – 13:28:08 Uhr (UTC)"], ["45 entries", "45 Einträge"], ["6 people, 2 of them with a key", "6 Personen, 2 davon mit einem Schlüssel"],
            ["1 reader, 5 entries on 1 occasion", "1 Leser, 5 Einträge in 1 Vorgang"], ["26 November 2026, 13:28:07 UTC", "26. November 2026, 13:28:07 Uhr (UTC)"], ["stop certificate 5", "Stopp-Zertifikat 5"],
            ["Article 77", "Artikel 77"], ["read-17.tlog-proof", "read-17.tlog-proof"], ["What became of data after it was read.", "Was aus Daten wurde, nachdem sie gelesen waren."],
            ["If you spoke about something confidential", "Haben Sie in dieser Zeit über Vertrauliches gesprochen"],
        ]
        for text in [joined(page.text), shown(page.html)] {
            for part in parts { #expect(text.contains(part[place]), "'\(part[place])' is not in: \(text)") }
            #expect(!text.contains("{{") && !text.contains("no indication"))
        }
        #expect(page.html.contains("<html lang=\"\(locale)\">") && page.subject.hasSuffix(" 7"))
    }

    @Test func `its numbers are those of the exposure of this person, and of no other`() throws {
        for person in Story.people {
            let part = Story.assessment().part(of: person.subject)
            let facts = try Story.facts(person.subject)
            #expect(facts.totals == part.totals && facts.kinds.map(\.events) == part.exposed.map(\.events) && facts.kinds.map(\.dataClass) == part.exposed.map(\.dataClass))
            #expect(facts.kinds.map(\.period) == part.exposed.map(\.period))
            #expect(facts.kinds.map { $0.reads.map(\.events) } == part.exposed.map { $0.did.map(\.events) })
            #expect(facts.kinds.map(\.people) == part.exposed.map { part.groups[$0.could ?? 0].people })
        }
        #expect(try Story.facts("xia-33").kinds.map(\.readEvents) == [1_200...1_200])
        #expect(try page("xia-33", locale: "de").text.contains("1.200 Einträge"))
        #expect(try page("yan-22").text.contains("Who did read it: nobody that is on record"))
    }

    @Test func `nobody else's id, name or address is in it, whatever is told of readers`() throws {
        for naming in NoticeSettings.ReaderNaming.allCases {
            for locale in ["en", "de"] {
                for person in Story.people {
                    var settings = Story.settings
                    settings.readers = naming
                    let page = try page(person.subject, locale: locale, settings)
                    let all = page.subject + page.text + page.html
                    #expect(all.contains(person.subject) && all.contains(person.name))
                    // The reason of a pause and the title of an incident are people's own words.
                    for other in Story.people where other.subject != person.subject {
                        for word in [other.subject, other.name, other.mail] where !word.isEmpty { #expect(!all.contains(word), "\(word) in the notice to \(person.subject)") }
                    }
                    for word in ["clerk", "partner", "E8", "E9"] { #expect(naming == .person || !all.contains(word), "\(word), and \(naming) is what policy allows") }
                    #expect(!all.contains("E10") && !all.contains("detector audience"))
                }
            }
        }
    }

    @Test func `readers are told by name, by role or by number, as is allowed, and no more is in the facts`() throws {
        var settings = Story.settings
        settings.readers = .person
        let named = try page("zoe-11", locale: "en", settings)
        #expect(joined(named.text).contains("clerk (E8), partner (E9) and 4 more without a key"), "\(named.text)")
        #expect(joined(named.text).contains("clerk (E8), 5 entries"))
        #expect(joined(try page("zoe-11", locale: "en").text).contains("a reader by the rule for everyone, 5 entries"))
        settings.readers = .count
        #expect(joined(try page("zoe-11", locale: "en", settings).text).contains("UTC: a reader, 5 entries"))
        let facts = try Story.facts("zoe-11", settings)
        #expect(facts.kinds.allSatisfy { $0.ways.allSatisfy { $0.names.isEmpty && $0.role.isEmpty } && $0.reads.allSatisfy { $0.reader == .somebody } })
    }

    @Test func `where nothing stopped, nothing was read or nobody knows, the page says so`() throws {
        var history = Story.history(reads: false)
        history.holdings = history.holdings.map { .init($0.place, first: $0.first, events: nil) }
        history.gaps = [.directoryUnknown, .reads(why: "entry 9 cannot be read: /var/lib/sluice"), .keysUndated(["clerk"])]
        let facts = try Story.facts("zoe-11", locale: "en", Story.settings, Story.assessment(history), NoticeIncident(7, found: Story.after(59_000)))
        let text = joined(templates.page(of: facts).text)
        for part in ["Stopped: no stop is on record for this incident", "how many entries, nobody knows any more", "Who did read it: not known, since the record", "On record as read: not known", "The record of who read is damaged or not whole", "Since when 1 of the keys may read"] {
            #expect(text.contains(part), "'\(part)' is not in: \(text)")
        }
        #expect(!text.contains("/var/lib") && !text.contains("clerk") && !text.contains("certificate") && !text.contains("PROOF FILES") && !text.contains("nobody that is on record") && !text.contains("by nobody"))
        let german = joined(templates.page(of: try Story.facts("zoe-11", locale: "de", Story.settings, Story.assessment(history), NoticeIncident(7, found: Story.after(59_000)))).text)
        #expect(german.contains("für diesen Vorfall ist kein Stopp aufgezeichnet") && german.contains("weiß niemand mehr") && german.contains("Wer es gelesen hat: nicht bekannt") && !german.contains("von niemandem"))
    }

    @Test func `nobody is told without a contact, and who was not exposed is not told`() throws {
        for settings in [NoticeSettings(), NoticeSettings(contactName: "Dana Fischer"), NoticeSettings(contactPoint: "dpo@example.org")] {
            #expect(throws: NoticeRefused.noContact) { try Story.facts("zoe-11", settings) }
        }
        #expect(throws: NoticeRefused.notExposed(subject: "E10")) { try Story.facts("E10") }
        #expect(Story.assessment().affected == ["xia-33", "yan-22", "zoe-11"])
    }

    @Test(arguments: [("de", "de"), ("de-AT", "de"), ("de_CH.UTF-8", "de"), ("DE", "de"), ("en", "en"), ("fr-FR", "en"), ("", "en"), ("den", "en"), ("nds-DE", "en"), ("-de", "de")])
    func `the directory's locale chooses the language, and an unknown one is no reason not to be told`(_ locale: String, _ language: String) {
        #expect(NoticeLanguage(locale: locale).rawValue == language)
    }

    @Test func `times and numbers are written as people of the language write them`() {
        let specimen = NoticeFacts.specimen
        #expect(templates.page(of: specimen).text.contains("26 November 2026, 13:27:07 – 13:32:08 UTC"))
        var german = specimen
        (german.language, german.found) = (.german, WallTime(nanoseconds: 951_868_800_000_000_000))
        #expect(templates.page(of: german).text.contains("Entdeckt: 1. März 2000, 00:00:00 Uhr (UTC)"))
    }

    // MARK: Form

    @Test func `a page of HTML is whole in itself, and made for a phone`() throws {
        for locale in ["en", "de"] {
            let html = try page("zoe-11", locale: locale).html
            for word in ["http:", "https:", "src=", "<img", "<script", "<link", "url(", "@import", "cid:"] { #expect(!html.contains(word), "\(word)") }
            #expect(html.contains(#"<meta name="viewport" content="width=device-width, initial-scale=1">"#) && html.contains("default-src 'none'") && html.contains("<style>\n:root"))
            for tag in ["main", "ul", "li", "dl", "dt", "dd", "h1", "h2", "h3", "p", "div", "span", "code", "strong"] {
                #expect(html.components(separatedBy: "<\(tag)>").count + html.components(separatedBy: "<\(tag) ").count - 1 == html.components(separatedBy: "</\(tag)>").count, "\(tag)")
            }
        }
    }

    @Test func `a text has lines of a terminal, and no empty point`() throws {
        for locale in ["en", "de"] {
            let text = try page("zoe-11", locale: locale).text
            #expect(text.range(of: #"\b\d+\.?\n +(November|Personen|people|Einträge|entries)"#, options: .regularExpression) == nil, "a number has its noun beside it: \(text)")
            #expect(text.split(separator: "\n", omittingEmptySubsequences: false).allSatisfy { $0.count <= 72 && !$0.hasSuffix("- ") && !$0.hasSuffix(" ") }, "\(text)")
            #expect(!text.contains("\n\n\n\n"))
        }
    }

    /// What others wrote: the directory, the policy, the settings.
    @Test(arguments: ["<script>alert(1)</script>", "\"><img src=x onerror=1>", "<\u{338}b>", "\"\u{301} onload=1", "a&lt;b", "{{contactPoint}}", "{{{name}}}", "</style><b>", "'x'"])
    func `what others wrote is text on the page, never a tag`(_ bad: String) throws {
        func page(of text: String) -> NoticePage {
            var facts = NoticeFacts.specimen
            (facts.person.name, facts.settings.organisation, facts.settings.contactPoint) = (text, text, text)
            facts.kinds[0].dataClass = DataClass(text)
            facts.kinds[0].ways[0].purpose = text
            facts.kinds[0].ways[0].names = [text]
            return templates.page(of: facts)
        }
        let (page, plain) = (page(of: bad), page(of: "x").html)
        // By bytes: a mark that combines hides a bracket from whoever looks at characters.
        func count(_ text: String, _ byte: Character) -> Int { text.utf8.count { $0 == byte.asciiValue } }
        #expect(count(page.html, "<") == count(plain, "<") && count(page.html, ">") == count(plain, ">"))
        #expect(joined(page.text).contains(joined(bad)), "as text it stands as it is")
        #expect(!page.html.contains("dpo@example.org"), "and no template is looked for in it")
    }

    @Test func `a line break or a character that hides, in a name, makes no line and no header`() throws {
        var facts = NoticeFacts.specimen
        facts.person.name = "Ada\r\nWHOM TO ASK\nEve\u{2028}x\u{202E}y\u{0}z"
        let page = templates.page(of: facts)
        #expect(page.text.contains("Ada??WHOM TO ASK?Eve?x?y?z") && page.html.contains("Ada??WHOM TO ASK?Eve?x?y?z"))
        #expect(page.text.components(separatedBy: "\nWHOM TO ASK\n").count == 2)
    }

    @Test func `of a very long list the page shows a part, and says how many are left`() {
        var facts = NoticeFacts.specimen
        facts.kinds[0].ways = Array(repeating: facts.kinds[0].ways[0], count: 1_512)
        facts.kinds[0].reads = Array(repeating: facts.kinds[0].reads[0], count: 60)
        let page = templates.page(of: facts)
        #expect(page.text.contains("- and in 1,500 more ways") && page.text.contains("- and on 10 more occasions") && page.html.contains("and in 1,500 more ways"))
    }

    // MARK: Whom it goes to

    @Test func `everybody who is affected is reachable or on the list of those who are not, with why`() throws {
        var directory = Dictionary(uniqueKeysWithValues: Story.people.map { ($0.subject, $0) })
        let all = NoticeRecipients(Story.assessment(), directory)
        #expect(all.count == 3 && all.reachable.map(\.address.description) == ["yan@example.org", "zoe@xn--bcher-kva.example"])
        #expect(all.unreachable.map(\.person.subject) == ["xia-33"] && all.unreachable.map(\.why) == [.noAddress])
        #expect(all.languages == [.english: 2, .german: 1])
        directory["yan-22"]?.mail = "yan@example.org\r\nBcc: eve@example.com"
        directory["zoe-11"] = nil
        let fewer = NoticeRecipients(Story.assessment(), directory)
        #expect(fewer.count == 3 && fewer.reachable == [] && fewer.unreachable.map(\.why) == [.noAddress, .refused(.character("\r")), .notInDirectory])
    }

    // MARK: Settings

    @Test func `settings are read strictly: a key that is misspelt is a mistake with its place, and no default`() throws {
        let good = #"{"organisation": "Example AG", "contactName": "D", "contactPoint": "d@example.org", "readers": "count", "measures": {"de": ["Ä"], "en": ["A", "B"]}}"#
        #expect(
            try NoticeSettings(json: Array(good.utf8))
                == NoticeSettings(organisation: "Example AG", contactName: "D", contactPoint: "d@example.org", readers: .count, measures: [.german: ["Ä"], .english: ["A", "B"]]))
        #expect(try NoticeSettings(json: Array("{}".utf8)) == NoticeSettings())
        for bad in [#"{"contact": "x"}"#, #"{"readers": "all"}"#, #"{"measures": ["x"]}"#, #"{"measures": {"fr": []}}"#, #"{"contactName": ["x"]}"#, "[]", "", #"{"readers": "role", "readers": "count"}"#, #"{"measures": {"en": "x"}}"#] {
            #expect(throws: Mistakes.self, "\(bad)") { try NoticeSettings(json: Array(bad.utf8)) }
        }
        do { _ = try NoticeSettings(json: Array("{\n  \"raeders\": \"role\"\n}".utf8)) } catch { #expect(error.all.first?.place == Place(line: 2, column: 3)) }
    }

    // MARK: The whole of it

    /// Tests/Interop reads the same file with Python's own parser.
    @Test func `the mail that goes out is the one in notice.eml, to the byte`() throws {
        let proof = try MailMessage.Attachment(fileName: "read-17.tlog-proof", mediaType: "text/plain", content: Array("c2sp.org/tlog-proof@v1\nindex 16\n".utf8))
        let sender = try Mailbox(name: "Example AG, data protection", address: MailAddress("sluice@example.org"))
        let recipient = try Mailbox(name: Story.people[0].name, address: MailAddress(Story.people[0].mail))
        let mail = try page("zoe-11").mail(id: "notice-7-zoe", from: sender, to: recipient, at: Story.after(65_000), proofs: [proof])
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Interop/notice.eml")
        let known = [UInt8](try Data(contentsOf: path))
        if mail.bytes != known {
            let now = FileManager.default.temporaryDirectory.appendingPathComponent("notice.eml")
            try Data(mail.bytes).write(to: now)
            Issue.record("it is another one now: \(now.path)")
        }
    }
}
