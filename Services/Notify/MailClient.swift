import CCurl
import Foundation
import Gate
import Mail
import Messaging

/// What became of one attempt to hand over a mail.
enum MailAnswer: Hashable, Sendable {
    /// The server has it, and has said so, in these words.
    case taken(String)
    /// Not this one, not for this recipient, ever: a 5xx to them or to what it holds.
    case refused(String)
    /// Not this one now: a 4xx.
    case later(String)
    /// It is about the server, and no mail would fare better: not there, no TLS, a certificate that nobody vouches for, no login, or "closing".
    case unavailable(String)
    /// All of it was handed over, and then came no answer: it may have arrived.
    case unknown(String)
}

/// Hands mails to one submission server, over one connection as long as that lasts. Belongs to the thread that made it: it blocks until there is an answer.
///
/// Never in clear text: with `smtp://` the server must offer STARTTLS, and its certificate is checked for its name, before user, password or mail are sent.
/// The protocol is libcurl's; here its parts are watched, since an answer means another thing after `RCPT` than after `MAIL`.
final class MailClient {
    struct Settings: Hashable, Sendable {
        /// To resolve the name and to connect, TLS included.
        var connect = Span.seconds(10)
        /// Until all is handed over.
        var total = Span.seconds(60)
        /// From then on. A server may scan what it is given before it answers, and who gives up earlier sends it a second time: RFC 5321, 4.5.3.2.6, has ten minutes.
        var final = Span.seconds(600)
    }

    private let handle: UnsafeMutableRawPointer
    private let settings: Settings
    /// libcurl writes what it found wrong here, of which only words about certificates are taken: others quote the server.
    private let fault = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    /// libcurl wants this once and before all else; a static is.
    private static let started: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(_ server: MailSettings.Server, _ settings: Settings = Settings()) throws(WebhookClient.Unusable) {
        guard MailClient.started == CURLE_OK, let handle = curl_easy_init() else { throw WebhookClient.Unusable(code: MailClient.started.rawValue) }
        self.handle = handle
        self.settings = settings
        fault.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        func milliseconds(_ span: Span) -> Int { Int(max(span.milliseconds, 1)) }
        var codes = [
            sluice_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps"),
            sluice_curl_set_string(handle, CURLOPT_URL, server.url),
            sluice_curl_set_long(handle, CURLOPT_USE_SSL, Int(CURLUSESSL_ALL.rawValue)),
            sluice_curl_set_long(handle, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)),
            sluice_curl_set_long(handle, CURLOPT_SSL_VERIFYPEER, 1),
            sluice_curl_set_long(handle, CURLOPT_SSL_VERIFYHOST, 2),
            // Its timeouts would else come as SIGALRM, which is the process's and not this thread's.
            sluice_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
            sluice_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(settings.connect)),
            sluice_curl_set_long(handle, CURLOPT_TIMEOUT_MS, milliseconds(settings.total + settings.final)),
            // Its own bound for each answer is two minutes. Ours are looked at as it goes on, at least each second.
            sluice_curl_set_long(handle, CURLOPT_SERVER_RESPONSE_TIMEOUT, milliseconds(settings.total + settings.final) / 1_000 + 1),
            sluice_curl_set_long(handle, CURLOPT_NOPROGRESS, 0),
            sluice_curl_set_progress(handle, MailClient.progress),
            // Empty: none, whatever the environment says.
            sluice_curl_set_string(handle, CURLOPT_PROXY, ""),
            sluice_curl_set_long(handle, CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue)),
            sluice_curl_set_long(handle, CURLOPT_UPLOAD, 1),
            sluice_curl_set_write(handle, CURLOPT_READFUNCTION, MailClient.read),
            sluice_curl_set_write(handle, CURLOPT_WRITEFUNCTION, MailClient.ignore),
            // Without being verbose it does not show the conversation. It goes to the function, and nowhere else.
            sluice_curl_set_long(handle, CURLOPT_VERBOSE, 1),
            sluice_curl_set_debug(handle, MailClient.watch),
            sluice_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, fault),
        ]
        if let login = server.login {
            codes.append(sluice_curl_set_string(handle, CURLOPT_USERNAME, login.user))
            codes.append(sluice_curl_set_string(handle, CURLOPT_PASSWORD, login.password))
        }
        if let authorities = server.authorities { codes.append(sluice_curl_set_string(handle, CURLOPT_CAINFO, authorities)) }
        if let refused = codes.first(where: { $0 != CURLE_OK }) { throw WebhookClient.Unusable(code: refused.rawValue) }
    }

    deinit {
        // Says goodbye to the server, if there is a connection.
        curl_easy_cleanup(handle)
        fault.deallocate()
    }

    /// One attempt, of at most the total time.
    ///
    /// A server that has closed an idle connection since the last mail has refused nothing: then it is tried once more over a new one.
    func send(_ bytes: Data, from: MailAddress, to: MailAddress) -> MailAnswer {
        let (answer, again) = attempt(bytes, from, to, isFresh: false)
        return again ? attempt(bytes, from, to, isFresh: true).answer : answer
    }

    private func attempt(_ bytes: Data, _ from: MailAddress, _ to: MailAddress, isFresh: Bool) -> (answer: MailAnswer, again: Bool) {
        let recipients = curl_slist_append(nil, "<\(to)>")
        defer { curl_slist_free_all(recipients) }
        fault[0] = 0
        var conversation = MailConversation(handOver: Clock.now() + settings.total, final: settings.final)
        let code = bytes.withUnsafeBytes { bytes in
            conversation.body = bytes
            return withUnsafeMutablePointer(to: &conversation) { conversation in
                let codes = [
                    sluice_curl_set_string(handle, CURLOPT_MAIL_FROM, "<\(from)>"),
                    sluice_curl_set_pointer(handle, CURLOPT_MAIL_RCPT, recipients),
                    sluice_curl_set_offset(handle, CURLOPT_INFILESIZE_LARGE, curl_off_t(bytes.count)),
                    sluice_curl_set_long(handle, CURLOPT_FRESH_CONNECT, isFresh ? 1 : 0),
                    sluice_curl_set_pointer(handle, CURLOPT_READDATA, conversation),
                    sluice_curl_set_pointer(handle, CURLOPT_DEBUGDATA, conversation),
                    sluice_curl_set_pointer(handle, CURLOPT_XFERINFODATA, conversation),
                ]
                let code = codes.first { $0 != CURLE_OK } ?? curl_easy_perform(handle)
                // What these point to ends here.
                for option in [CURLOPT_MAIL_RCPT, CURLOPT_READDATA, CURLOPT_XFERINFODATA] { _ = sluice_curl_set_pointer(handle, option, nil) }
                // A later word, at the end of the connection, is heard by nobody.
                _ = sluice_curl_set_pointer(handle, CURLOPT_DEBUGDATA, nil)
                return code
            }
        }
        if code == CURLE_OK { return (.taken(conversation.words), false) }
        var connections = 0
        let isReused = sluice_curl_get_long(handle, CURLINFO_NUM_CONNECTS, &connections) == CURLE_OK && connections == 0
        let answer = conversation.answer(words(of: code), isTLS: code != CURLE_USE_SSL_FAILED)
        guard case .unavailable = answer, isReused, !isFresh else { return (answer, false) }
        return (answer, true)
    }

    /// libcurl's own words, and no server's.
    private func words(of code: CURLcode) -> String {
        switch code {
        case CURLE_USE_SSL_FAILED: return "the server offers no STARTTLS, and nothing is sent in clear text"
        case CURLE_LOGIN_DENIED: return "the server did not take user and password"
        case CURLE_PEER_FAILED_VERIFICATION:
            let why = MailReply.plain(UnsafeRawBufferPointer(start: fault, count: strlen(fault)))
            return "the server's certificate is not trusted: \(why.isEmpty ? String(cString: curl_easy_strerror(code)) : why)"
        case CURLE_ABORTED_BY_CALLBACK: return "the server takes too long"
        default: return "\(String(cString: curl_easy_strerror(code))) (libcurl \(code.rawValue))"
        }
    }

    private typealias Transfer = @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int

    /// Gives libcurl the next part of the mail. Dots at the beginning of lines are its business.
    private static let read: Transfer = { buffer, size, count, context in
        guard let buffer, let conversation = context?.assumingMemoryBound(to: MailConversation.self) else { return Int(CURL_READFUNC_ABORT) }
        return conversation.pointee.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
    }

    /// Servers say nothing that is content.
    private static let ignore: Transfer = { _, size, count, _ in size * count }

    /// Not 0: it has taken too long.
    private static let progress: @convention(c) (UnsafeMutableRawPointer?, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> Int32 = { context, _, _, _, _ in
        guard let conversation = context?.assumingMemoryBound(to: MailConversation.self) else { return 0 }
        return conversation.pointee.isOverdue(at: Clock.now()) ? 1 : 0
    }

    private static let watch: @convention(c) (UnsafeMutableRawPointer?, curl_infotype, UnsafeMutablePointer<CChar>?, Int, UnsafeMutableRawPointer?) -> Int32 = { _, kind, text, count, context in
        guard let text, let conversation = context?.assumingMemoryBound(to: MailConversation.self) else { return 0 }
        let bytes = UnsafeRawBufferPointer(start: text, count: count)
        switch kind {
        case CURLINFO_HEADER_OUT: conversation.pointee.said(bytes)
        case CURLINFO_HEADER_IN: conversation.pointee.heard(bytes)
        default: break
        }
        return 0
    }
}

/// How far the conversation about one mail has come, as libcurl shows it, and what its end means.
struct MailConversation {
    /// What was said last.
    private enum Step { case greeting, mail, recipient, data }

    var body = UnsafeRawBufferPointer(start: nil, count: 0)
    private var given = 0
    private var step = Step.greeting
    private var reply: MailReply?
    /// Until when all must be handed over, and then how much longer the answer may take.
    private var deadline: Instant?
    private var final = Span.zero
    /// Goodbye was said: what is answered to that is about nothing.
    private var isOver = false

    init() {}

    init(handOver deadline: Instant, final: Span) { (self.deadline, self.final) = (deadline, final) }

    /// What the server said last.
    var words: String { reply?.text ?? "" }

    func isOverdue(at now: Instant) -> Bool { deadline.map { now >= $0 + (step == .data && given == body.count ? final : .zero) } ?? false }

    /// Of a command only its name is looked at: what follows may be a password.
    mutating func said(_ command: UnsafeRawBufferPointer) {
        isOver = command.starts(with: "QUIT".utf8)
        guard !isOver else { return }
        reply = nil
        if command.starts(with: "MAIL ".utf8) { step = .mail } else if command.starts(with: "RCPT ".utf8) { step = .recipient } else if command.starts(with: "DATA".utf8) { step = .data }
    }

    mutating func heard(_ line: UnsafeRawBufferPointer) { if !isOver { reply = MailReply(line) ?? reply } }

    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        // The server has said that it is to come; what it says next is about all of it.
        reply = nil
        let count = min(buffer.count, body.count - given)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: body[given..<given + count]))
        given += count
        return count
    }

    /// What a failed attempt comes to.
    func answer(_ why: String, isTLS: Bool) -> MailAnswer {
        let isHandedOver = step == .data && given == body.count
        guard isTLS, let reply, !(200..<400).contains(reply.code) else { return isHandedOver ? .unknown("all was handed over, and then: \(why)") : .unavailable(why) }
        // It is closing, or wants another login: that is not about the mail.
        if [421, 530, 534, 535, 538].contains(reply.code) { return .unavailable(step == .greeting ? "\(why): \(reply.text)" : reply.text) }
        let isFinal = reply.code >= 500
        switch step {
        case .greeting: return .unavailable("\(why): \(reply.text)")
        // Too large (RFC 1870) is about this mail; whatever else it has against the sender is about all of them.
        case .mail: return reply.code == 552 ? .refused(reply.text) : .unavailable(reply.text)
        case .recipient, .data: return isFinal ? .refused(reply.text) : .later(reply.text)
        }
    }
}

/// A line of a server's.
struct MailReply: Hashable, Sendable {
    let code: Int
    /// For people: printable ASCII alone, and little of it.
    let text: String

    static let textMax = 160

    /// - Returns: nil: it does not begin with three digits.
    init?(_ line: UnsafeRawBufferPointer) {
        let digits = line.prefix(3)
        guard digits.count == 3, digits.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        code = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        text = MailReply.plain(line)
    }

    static func plain(_ bytes: UnsafeRawBufferPointer) -> String {
        let kept = bytes.prefix { $0 != 0x0D && $0 != 0x0A }.prefix(textMax).map { 0x20...0x7E ~= $0 ? $0 : UInt8(ascii: "?") }
        return String(decoding: kept, as: UTF8.self).trimmingCharacters(in: .whitespaces)
    }
}
