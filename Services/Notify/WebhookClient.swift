import CCurl
import Foundation
import Gate
import Rules
import Webhooks

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Posts to one receiver at a time. Belongs to the thread that made it: it blocks until there is an answer.
///
/// Redirects are not followed, certificates are checked, the environment's proxies are ignored, and an answer's body is read up
/// to a limit and forgotten. An address that is not the internet's is refused where libcurl connects, unless it was asked for: a name that leads elsewhere a
/// moment later leads nowhere.
struct WebhookClient: ~Copyable {
    struct Settings: Hashable, Sendable {
        /// To resolve the name and to connect, TLS included.
        var connect = Span.seconds(5)
        /// For everything.
        var total = Span.seconds(15)
        /// Of an answer, headers and body together. It is not read further; its status counts.
        var bytesMax = 64 << 10
        /// A PEM file of certificate authorities to trust. Nil: the machine's.
        var authorities: String?
        /// Whether an address is taken that is not the internet's.
        var mayBePrivate = false
        /// Where the suite's own services listen: at a private address none of these is told anything.
        var ownPorts: Set<UInt16> = []

        func of(_ hook: Hooks.Hook) -> Settings {
            var settings = self
            settings.mayBePrivate = hook.mayBePrivate
            return settings
        }

        func of(_ target: Alertmanager) -> Settings {
            var settings = self
            (settings.mayBePrivate, settings.authorities) = (target.mayBePrivate, target.authorities)
            return settings
        }
    }

    /// libcurl would not give a handle, or knows not an option that we rely on.
    struct Unusable: Error, Hashable, Sendable, CustomStringConvertible {
        var code: UInt32
        var description: String { "libcurl cannot be used (\(code)): 7.85 or later is needed" }
    }

    private let handle: UnsafeMutableRawPointer
    private let settings: Settings

    /// libcurl wants this once and before all else; a static is.
    private static let started: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(_ settings: Settings) throws(Unusable) {
        handle = try WebhookClient.handle(settings)
        self.settings = settings
    }

    deinit { curl_easy_cleanup(handle) }

    /// A handle with what is the same for every request.
    private static func handle(_ settings: Settings) throws(Unusable) -> UnsafeMutableRawPointer {
        guard started == CURLE_OK, let handle = curl_easy_init() else { throw Unusable(code: started.rawValue) }
        func milliseconds(_ span: Span) -> Int { Int(max(span.milliseconds, 1)) }
        var codes = [
            sluice_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https"),
            sluice_curl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0),
            sluice_curl_set_long(handle, CURLOPT_SSL_VERIFYPEER, 1),
            sluice_curl_set_long(handle, CURLOPT_SSL_VERIFYHOST, 2),
            // Its timeouts would else come as SIGALRM, which is the process's and not this thread's.
            sluice_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
            sluice_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(settings.connect)),
            sluice_curl_set_long(handle, CURLOPT_TIMEOUT_MS, milliseconds(settings.total)),
            sluice_curl_set_long(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1),
            sluice_curl_set_long(handle, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)),
            sluice_curl_set_string(handle, CURLOPT_USERAGENT, "sluice-notify"),
            // Empty: none, whatever the environment says.
            sluice_curl_set_string(handle, CURLOPT_PROXY, ""),
            sluice_curl_set_long(handle, CURLOPT_POST, 1),
            sluice_curl_set_write(handle, CURLOPT_HEADERFUNCTION, WebhookClient.header),
            sluice_curl_set_write(handle, CURLOPT_WRITEFUNCTION, WebhookClient.body),
            sluice_curl_set_open(handle, WebhookClient.open),
        ]
        if let authorities = settings.authorities { codes.append(sluice_curl_set_string(handle, CURLOPT_CAINFO, authorities)) }
        guard let refused = codes.first(where: { $0 != CURLE_OK }) else { return handle }
        curl_easy_cleanup(handle)
        throw Unusable(code: refused.rawValue)
    }

    /// Sends one attempt and waits for its answer, at most the total time.
    ///
    /// The status counts as soon as the headers are complete: a receiver that drips its body has answered.
    ///
    /// - Parameter lines: headers, `name: value` each.
    mutating func post(_ body: Data, to url: String, lines: [String]) -> RetrySchedule.Answer {
        // No "Expect": it would cost a second with receivers that ignore it.
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines + ["expect:"] { list = curl_slist_append(list, line) }
        defer { curl_slist_free_all(list) }

        var reading = Reading(bytesLeft: settings.bytesMax, mayBePrivate: settings.mayBePrivate, ownPorts: settings.ownPorts)
        let code = body.withUnsafeBytes { bytes in
            withUnsafeMutablePointer(to: &reading) { reading in
                let codes = [
                    sluice_curl_set_string(handle, CURLOPT_URL, url),
                    sluice_curl_set_pointer(handle, CURLOPT_HTTPHEADER, list),
                    sluice_curl_set_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(bytes.count)),
                    sluice_curl_set_pointer(handle, CURLOPT_POSTFIELDS, bytes.baseAddress),
                    sluice_curl_set_pointer(handle, CURLOPT_HEADERDATA, reading),
                    sluice_curl_set_pointer(handle, CURLOPT_WRITEDATA, reading),
                    sluice_curl_set_pointer(handle, CURLOPT_OPENSOCKETDATA, reading),
                ]
                let code = codes.first { $0 != CURLE_OK } ?? curl_easy_perform(handle)
                // What these point to ends here.
                for option in [CURLOPT_HTTPHEADER, CURLOPT_POSTFIELDS, CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_OPENSOCKETDATA] {
                    _ = sluice_curl_set_pointer(handle, option, nil)
                }
                return code
            }
        }
        guard code == CURLE_OK || reading.headersComplete else {
            if let refused = reading.refused { return .none(refused.rawValue) }
            // libcurl's own words: they name neither the URL nor anything that the receiver sent.
            return .none("\(String(cString: curl_easy_strerror(code))) (libcurl \(code.rawValue))")
        }
        var status = 0
        var wait: curl_off_t = 0
        guard sluice_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK, status >= 200 else {
            return .none("no status in the answer")
        }
        let knowsWait = sluice_curl_get_offset(handle, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0
        // Bounded before it becomes nanoseconds, which it might overflow.
        return .status(status, retryAfter: knowsWait ? min(.seconds(min(Int64(wait), 1 << 30)), RetrySchedule.retryAfterMax) : nil)
    }

    /// Sends one attempt of a message in the hook's own form, signed with all that it signs with.
    mutating func post(_ message: Message, to hook: Hooks.Hook, at now: WallTime) -> RetrySchedule.Answer {
        let body = hook.format.body(of: message)
        let headers = hook.signers.isEmpty ? [] : StandardWebhook.headers(id: message.id, at: now, body: body, signers: hook.signers).lines
        return post(body, to: hook.url, lines: headers + ["content-type: \(hook.format.contentType)"])
    }

    /// How far an answer has been read.
    private struct Reading {
        var bytesLeft: Int
        var headersComplete = false
        /// The headers under way are those of a 1xx, which is not the answer yet.
        var isInterim = false
        let mayBePrivate: Bool
        let ownPorts: Set<UInt16>
        /// Why an address was not connected to.
        var refused: AddressRefused?
    }

    /// Why nothing was sent to an address. In words for operators.
    private enum AddressRefused: String {
        case isPrivate = "its address is not the internet's, and notify.json has no \"allow_private\": true beside the url"
        case isOwn = "it leads to a port of this suite's own services"
    }

    private typealias Callback = @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int

    /// Called with each line of the headers. To return fewer bytes than came ends the transfer.
    private static let header: Callback = { line, size, count, context in
        guard let line, let reading = context?.assumingMemoryBound(to: Reading.self) else { return 0 }
        let bytes = UnsafeRawBufferPointer(start: line, count: size * count)
        reading.pointee.bytesLeft -= bytes.count
        guard reading.pointee.bytesLeft >= 0 else { return 0 }
        if bytes.starts(with: "HTTP/".utf8) {
            reading.pointee.isInterim = bytes.split(separator: UInt8(ascii: " "), maxSplits: 1).last?.first == UInt8(ascii: "1")
        }
        let isEnd = bytes.elementsEqual("\r\n".utf8) || bytes.elementsEqual("\n".utf8)
        if isEnd { reading.pointee.headersComplete = !reading.pointee.isInterim }
        return bytes.count
    }

    private static let open: @convention(c) (UnsafeMutableRawPointer?, curlsocktype, UnsafeMutablePointer<curl_sockaddr>?) -> curl_socket_t = { context, _, address in
        guard let reading = context?.assumingMemoryBound(to: Reading.self), let address, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return -1 }
        let (family, kind, number) = (address.pointee.family, address.pointee.socktype, address.pointee.protocol)
        // The whole address lies there, longer than its declared type: an IPv6 one is.
        let bytes = UnsafeRawBufferPointer(start: UnsafeRawPointer(address) + offset, count: Int(address.pointee.addrlen))
        if let refused = WebhookClient.refusal(of: bytes, family: family, for: reading.pointee) {
            reading.pointee.refused = refused
            return -1
        }
        #if os(Linux)
        return socket(family, kind | Int32(SOCK_CLOEXEC.rawValue), number)
        #else
        return socket(family, kind, number)
        #endif
    }

    /// - Parameter bytes: a `sockaddr`: after the family, the port in the network's order.
    private static func refusal(of bytes: UnsafeRawBufferPointer, family: Int32, for reading: Reading) -> AddressRefused? {
        let isPublic =
            switch family {
            case AF_INET where bytes.count >= 8: InternetAddress.isPublic(bytes[4..<8])
            case AF_INET6 where bytes.count >= 24: InternetAddress.isPublic(bytes[8..<24])
            default: false
            }
        guard !isPublic else { return nil }
        guard reading.mayBePrivate, bytes.count >= 4 else { return .isPrivate }
        return reading.ownPorts.contains(UInt16(bytes[2]) << 8 | UInt16(bytes[3])) ? .isOwn : nil
    }

    private static let body: Callback = { _, size, count, context in
        guard let reading = context?.assumingMemoryBound(to: Reading.self) else { return 0 }
        reading.pointee.bytesLeft -= size * count
        return reading.pointee.bytesLeft >= 0 ? size * count : 0
    }
}
