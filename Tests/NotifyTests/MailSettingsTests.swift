import Foundation
import Gate
import Mail
import Testing

@testable import sluice_notify

struct MailSettingsTests {
    func read(_ text: String) throws -> (mail: MailSettings, rates: Rates) { try NotifyFile.read(json: Data(text.utf8), path: "p") }
    func mail(_ keys: String = "", url: String = "smtps://mail.example.com") throws -> MailSettings {
        try read(#"{"mail":{"url":"\#(url)","from":"sluice@example.com","operators":["ops@example.com"]\#(keys)}}"#).mail
    }

    @Test func `a good file gives server, sender, operators and rates`() throws {
        let (mail, rates) = try read(
            #"{"hooks":[],"mail":{"url":"smtp://mail.example.com:2525","user":"u","password":"p","from":"sluice@example.com","operators":["ops@example.com","ops@Example.com","sec@example.com"],"connections":2},"#
                + #""rates":{"channels":{"mail":50,"oncall":0.5},"hosts":{"Hooks.example.com":3}}}"#)
        #expect(mail.server == .init(url: "smtp://mail.example.com:2525", host: "mail.example.com", login: .init(user: "u", password: "p")))
        #expect("\(mail.from.address)" == "sluice@example.com")
        #expect(mail.operators.map(\.description) == ["ops@example.com", "sec@example.com"])
        #expect(mail.connections == 2)
        #expect(rates.channels == [Outbox.mailChannel: Rate(burst: 50, every: .milliseconds(20)), "oncall": Rate(burst: 1, every: .seconds(2))])
        #expect(rates.hosts == ["hooks.example.com": Rate(burst: 3, every: Span(nanoseconds: 333_333_333))])
        #expect(try Hooks(json: Data(#"{"mail":{}}"#.utf8), path: "p") == .none, "hooks are not asked of what is about mail alone")
    }

    @Test func `the ports are those of submission, and no other server has the fingerprint`() throws {
        #expect(try mail(url: "smtp://mail.example.com").server?.url == "smtp://mail.example.com:587")
        #expect(try mail().server?.url == "smtps://mail.example.com:465")
        #expect(try mail(url: "smtps://[::1]:2465/").server?.url == "smtps://[::1]:2465")
        #expect(try mail().fingerprint != mail(url: "smtp://mail.example.com").fingerprint)
    }

    @Test func `without mail there is a folder, for whoever looks into it`() throws {
        for text in ["{}", #"{"hooks":[]}"#] {
            let mail = try read(text).mail
            #expect(mail.server == nil && mail.operators.map(\.description) == ["operators@localhost"])
        }
        let folder = try Folder()
        #expect(try NotifyFile.read(folder["notify.json"]).mail == MailSettings.folder())
    }

    @Test(arguments: [
        "http://mail.example.com", "mail.example.com", "smtp://", "smtp://u:p@mail.example.com", "smtp://mail.example.com/other.name", "smtp://mail.example.com:99999", "smtp://a b", "smtp://mail.example.com?x",
        "smtp://mail.example.com/%0d%0aRSET", "smtp://mäil.example.com", "imap://mail.example.com", "",
    ]) func `a URL that is not scheme, host and port of a mail server is refused`(_ url: String) throws {
        let error = #expect(throws: MailSettingsRefused.self) { try mail(url: url) }
        guard case .badURL? = error else { Issue.record("\(String(describing: error))"); return }
    }

    @Test(arguments: [
        (#"{"hook":[]}"#, "p: \"hook\" is not known there: write one of hooks, mail, rates, alertmanager, bounces, escalation, keep, templates, or leave it out"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":[],"tls":false}}"#, "p: \"mail.tls\" is not known there: write one of url, user, password, from, operators, ca, connections, or leave it out"),
        (#"{"rates":{"host":{}}}"#, "p: \"rates.host\" is not known there: write one of channels, hosts, or leave it out"),
        (#"{"mail":{"url":"smtps://m","operators":[]}}"#, "p is not the JSON that is wanted: mail.from is missing"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":["c@d","x"]}}"#, "p: mail.operators[1] is no mail address: it has no @; write local@domain"),
        (#"{"mail":{"url":"smtps://m","from":"a@b\r\nBcc: c@d","operators":[]}}"#, "p: mail.from is no mail address: U+000D may not stand there; write local@domain"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":[],"user":"u"}}"#, "p: mail.user and mail.password go together: give both, or leave out both"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":[],"user":"u","password":"a\nb"}}"#, "p: mail.user or mail.password is empty or holds a control character"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":[],"connections":17}}"#, "p: mail.connections is not 1 to 16"),
        (#"{"mail":{"url":"smtps://m","from":"a@b","operators":[],"ca":"/no/such"}}"#, "p: mail.ca, /no/such, cannot be read: No such file or directory; name a PEM file of certificates, or leave it out"),
        (#"{"keep":0}"#, "p: keep is not 1 to 3650"), (#"{"keep":3651}"#, "p: keep is not 1 to 3650"),
        (#"{"rates":{"channels":{"mail":0}}}"#, "p: rates.channels.mail is not 0.001 to 10000 messages a second"),
    ]) func `what is wrong is said in one line, with where and what to do`(_ text: String, _ line: String) throws {
        let error = #expect(throws: MailSettingsRefused.self) { try read(text) }
        #expect(error.map { "\($0)" } == line)
    }

    @Test func `a file that others can read is refused`() throws {
        let folder = try Folder()
        try Data("{}".utf8).write(to: URL(fileURLWithPath: folder["notify.json"]))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder["notify.json"])
        #expect(throws: MailSettingsRefused.file(.readableByOthers(path: folder["notify.json"], mode: 0o644))) { try NotifyFile.read(folder["notify.json"]) }
    }

    @Test func `what comes back is read from a folder that is there, and those who are not reached are told of after a day`() throws {
        let folder = try Folder()
        #expect(try read("{}").mail.bounces == nil)
        #expect(try read("{}").mail.keep == .seconds(90 * 86_400) && read(#"{"keep":30}"#).mail.keep == .seconds(30 * 86_400))
        #expect(try read("{}").mail.escalation == .init(after: .seconds(86_400), to: []))
        func bounces(_ more: String = "") throws -> MailSettings.Bounces? { try read(#"{"bounces":{"maildir":"\#(folder.path)"\#(more)}}"#).mail.bounces }
        let error = #expect(throws: MailSettingsRefused.self) { try bounces() }
        #expect(error.map { "\($0)" }?.contains("name a Maildir that exists") == true)
        for part in ["new", "cur", "tmp"] { try FileManager.default.createDirectory(atPath: folder[part], withIntermediateDirectories: true) }
        #expect(try bounces() == .init(folder: folder.path, every: .seconds(30)))
        #expect(try bounces(#","every":5"#)?.every == .seconds(5))
        #expect(try bounces()?.asksProgram == true && bounces(#","disposition":false"#)?.asksProgram == false)
        #expect(throws: MailSettingsRefused.badNumber(path: "p", key: "bounces.every", least: 1, most: 3_600)) { try bounces(#","every":0"#) }
        #expect(throws: MailSettingsRefused.unknownKey(path: "p", key: "bounces.evry", known: ["maildir", "every", "disposition"])) { try bounces(#","evry":5"#) }
        let escalation = try read(#"{"escalation":{"after":1.5,"to":["dpo@example.com","dpo@Example.com"]}}"#).mail.escalation
        #expect(escalation.after == .seconds(5_400) && escalation.to.map(\.description) == ["dpo@example.com"])
        #expect(throws: MailSettingsRefused.badHours(path: "p", key: "escalation.after")) { try read(#"{"escalation":{"after":0}}"#) }
        #expect(throws: MailSettingsRefused.self) { try read(#"{"escalation":{"to":["a@b\nBcc: c@d"]}}"#) }
    }
}
