import ArgumentParser
import Chassis
import Foundation
import Gate
import Mail
import Messaging

/// One mail, now, past the outbox: whether the settings hold is not a question for 75 hours.
struct MailTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mail", abstract: "Send one mail, and say what the server answered.", discussion: "EXAMPLE\n  sluice-notify test mail --home /var/lib/sluice --to ops@example.com")

    @OptionGroup var options: ServiceOptions

    @Option(help: "Whom it is for. Default: the first of the operators.")
    var to: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        // A server that closes while it is written to is an answer, and no end of this program.
        Lifecycle.ignoreBrokenPipes()
        let home = Home.resolve(options.home, environment: ProcessInfo.processInfo.environment)
        let path = home.file("notify.json")
        let (settings, _) = try NotifyFile.read(path)
        let recipient: MailAddress
        if let to {
            do throws(MailAddressRefused) { recipient = try MailAddress(to) } catch { throw Complaint("--to is no mail address: \(error.words)") }
        } else if let first = settings.operators.first {
            recipient = first
        } else {
            throw Complaint("\(path): mail.operators is empty: say --to ADDRESS")
        }
        // Another id each time: a second try is no copy of the first.
        let id = "test_" + (0..<16).map { _ in String(UInt8.random(in: 0...15), radix: 16) }.joined()
        let message: MailMessage
        do throws(MailRefused) {
            message = try MailMessage(
                id: id, from: settings.from, to: Mail.Mailbox(address: recipient), subject: "[Sluice] a test of mail", date: Clock.wall(),
                text: "Somebody has tried whether Sluice can send mail here. It can, and nothing else has happened.\n", html: "")
        } catch { throw Complaint("the test is no mail: \(error.words)") }
        guard let server = settings.server else {
            let folder = home.file("notify/mail")
            let maildir: Maildir
            do throws(MaildirFailed) {
                maildir = try Maildir(folder)
                try maildir.keep(id, Data(message.bytes), isRetry: false)
            } catch { throw Complaint("\(error)") }
            return try say("kept for \(recipient) in \(folder)/new: \(path) names no mail server", at: folder, recipient, message)
        }
        let place = String(server.url.drop { $0 != "/" }.drop { $0 == "/" })
        // Somebody waits for it.
        switch try MailClient(server, .init(final: .seconds(60))).send(Data(message.bytes), from: settings.from.address, to: recipient) {
        case .taken: try say("\(place) has taken it for \(recipient), over TLS; Message-ID \(message.messageID)", at: place, recipient, message)
        case .refused(let why): throw Complaint("\(place) refuses it for \(recipient), for good: \(why)")
        case .later(let why): throw Complaint("\(place) does not take it for \(recipient) now: \(why)")
        case .unavailable(let why): throw Complaint("\(place) takes no mail from here: \(why)")
        case .unknown(let why): throw Complaint("\(place) may have it for \(recipient), and has not said so: \(why)")
        }
    }

    private struct Sent: Encodable {
        var place: String
        var recipient: String
        var message_id: String
    }

    private func say(_ line: String, at place: String, _ recipient: MailAddress, _ message: MailMessage) throws {
        guard json else { return print(line) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(Sent(place: place, recipient: "\(recipient)", message_id: message.messageID)), as: UTF8.self))
    }
}
