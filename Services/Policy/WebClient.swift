import CCurl
import Foundation
import Gate
import Rules

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Asks for one page at a time as an ordinary employee would. Belongs to the thread that made it: it blocks until there is an answer.
///
/// Everything is bounded: two seconds, names looked up and all, and 64 KiB, three redirects, and no private address but of hosts that the document names. The address is looked at
/// where libcurl connects: a name that leads elsewhere a moment later leads nowhere.
struct WebClient: ~Copyable {
    enum Outcome: Hashable, Sendable {
        /// Somebody gets it who must not.
        case exposed(status: Int)
        /// There was an answer, and it is none of those.
        case guarded(status: Int)
        /// There was an answer, and it does not say which: the marker may stand behind what was read, or the page has failed.
        case undecided(status: Int)
        case privateAddress
        case tooManyRedirects
        /// No answer: libcurl's code.
        case failed(UInt32)
    }

    static let within = Span.seconds(2)
    static let bytesMax = 64 << 10
    static let redirectsMax = 3

    private let handle: UnsafeMutableRawPointer
    private let within: Span
    private let names: NameLookup
    /// Lines `Name: value` that make this an employee; for the host that the document names, and no other.
    private let headers: [String]

    /// libcurl wants this once and before all else; a static is.
    private static let started: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(headers: [String], within: Span = WebClient.within, names: NameLookup = NameLookup()) throws(Unusable) {
        handle = try WebClient.handle()
        self.headers = headers
        self.within = within
        self.names = names
    }

    /// libcurl would not give a handle, or knows not an option that we rely on.
    struct Unusable: Error, Hashable, Sendable {}

    /// A handle with what is the same for every request.
    private static func handle() throws(Unusable) -> UnsafeMutableRawPointer {
        guard started == CURLE_OK, let handle = curl_easy_init() else { throw Unusable() }
        let codes = [
            sluice_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https"), sluice_curl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0),
            sluice_curl_set_long(handle, CURLOPT_NOSIGNAL, 1), sluice_curl_set_long(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1),
            sluice_curl_set_string(handle, CURLOPT_USERAGENT, "sluice-outsider"),
            // Empty: none, whatever the environment says.
            sluice_curl_set_string(handle, CURLOPT_PROXY, ""),
            // One that is kept open was looked at for another page's sake.
            sluice_curl_set_long(handle, CURLOPT_FORBID_REUSE, 1), sluice_curl_set_long(handle, CURLOPT_HTTPGET, 1),
            sluice_curl_set_write(handle, CURLOPT_HEADERFUNCTION, WebClient.header), sluice_curl_set_write(handle, CURLOPT_WRITEFUNCTION, WebClient.body),
            sluice_curl_set_open(handle, WebClient.open),
        ]
        guard codes.allSatisfy({ $0 == CURLE_OK }) else {
            curl_easy_cleanup(handle)
            throw Unusable()
        }
        return handle
    }

    deinit { curl_easy_cleanup(handle) }

    mutating func ask(_ probe: WebProbe, now: () -> Instant) -> Outcome {
        let end = now() + within
        let home = WebClient.origin(of: probe.url)
        var url = probe.url
        for hop in 0...WebClient.redirectsMax {
            guard let origin = WebClient.origin(of: url), end > now() else { return .failed(CURLE_OPERATION_TIMEDOUT.rawValue) }
            var pins: [String] = []
            if !origin.hostIsAddress {
                guard let addresses = names.addresses(of: origin.host, within: end - now()), end > now() else { return .failed(CURLE_OPERATION_TIMEDOUT.rawValue) }
                pins = WebClient.pins(of: origin, at: addresses)
                guard !pins.isEmpty else { return .failed(CURLE_COULDNT_RESOLVE_HOST.rawValue) }
            }
            let reading = Reading(mayBePrivate: probe.privateHosts.contains(origin.host))
            let code = perform(url, headers: origin == home ? headers : [], pins: pins, left: end - now(), into: reading)
            // A name may have more addresses: what answers at one that may be asked has answered.
            if reading.wasRefused, code != CURLE_OK, !reading.headersComplete { return .privateAddress }
            var status = 0
            _ = sluice_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
            // Whoever drips its body, or has more of it than anybody reads, has answered.
            guard code == CURLE_OK || reading.headersComplete, status >= 200 else { return .failed(code.rawValue) }
            var next: UnsafePointer<CChar>?
            if (300..<400).contains(status), sluice_curl_get_string(handle, CURLINFO_REDIRECT_URL, &next) == CURLE_OK, let next {
                if hop == WebClient.redirectsMax { break }
                url = String(cString: next)
                continue
            }
            return WebClient.judge(probe, status: status, at: url, body: reading.bytes, isWhole: code == CURLE_OK)
        }
        return .tooManyRedirects
    }

    /// What an answer says of a page.
    ///
    /// Without a marker the page itself is asked to be refused, or to lead elsewhere: a page of another path, or host, is where somebody signs in. With one its text decides, wherever it stands.
    /// - Parameters:
    ///   - url: That answered, after redirects.
    ///   - body: As much of it as was read.
    static func judge(_ probe: WebProbe, status: Int, at url: String, body: Data, isWhole: Bool) -> Outcome {
        switch status {
        case 200..<300:
            guard let marker = probe.marker else { return isPage(url, probe.url) ? .exposed(status: status) : .guarded(status: status) }
            if body.range(of: Data(marker.utf8)) != nil { return .exposed(status: status) }
            return isWhole ? .guarded(status: status) : .undecided(status: status)
        case 401, 403, 404, 410: return .guarded(status: status)
        // It has failed, or is asked for too often: what it says otherwise is not known.
        default: return .undecided(status: status)
        }
    }

    /// What libcurl is told of a name, so that it looks up none itself: it would wait for a dead name server beyond any bound. Empty: nothing can be said of it.
    private static func pins(of origin: Origin, at addresses: [String]) -> [String] {
        // As it is written in the URL, or libcurl would not find it.
        guard !addresses.isEmpty, origin.host.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: ",") }) else { return [] }
        let list = addresses.map { $0.contains(":") ? "[\($0)]" : $0 }.joined(separator: ",")
        // A dot at the end is no part of a name to everybody.
        return Set([origin.host, origin.host.hasSuffix(".") ? String(origin.host.dropLast()) : origin.host]).map { "\($0):\(origin.port):\(list)" }
    }

    private func perform(_ url: String, headers: [String], pins: [String], left: Span, into reading: Reading) -> CURLcode {
        let (list, names) = (WebClient.list(headers), WebClient.list(pins))
        defer {
            curl_slist_free_all(list)
            curl_slist_free_all(names)
        }
        // It outlives the call, and libcurl has it no longer.
        let pointer = Unmanaged.passUnretained(reading).toOpaque()
        let codes = [
            sluice_curl_set_string(handle, CURLOPT_URL, url), sluice_curl_set_pointer(handle, CURLOPT_HTTPHEADER, list), sluice_curl_set_pointer(handle, CURLOPT_RESOLVE, names),
            sluice_curl_set_long(handle, CURLOPT_TIMEOUT_MS, Int(max(1, left.milliseconds))),
            sluice_curl_set_pointer(handle, CURLOPT_HEADERDATA, pointer), sluice_curl_set_pointer(handle, CURLOPT_WRITEDATA, pointer), sluice_curl_set_pointer(handle, CURLOPT_OPENSOCKETDATA, pointer),
        ]
        let code = withExtendedLifetime(reading) { codes.first { $0 != CURLE_OK } ?? curl_easy_perform(handle) }
        for option in [CURLOPT_HTTPHEADER, CURLOPT_RESOLVE, CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_OPENSOCKETDATA] { _ = sluice_curl_set_pointer(handle, option, nil) }
        return code
    }

    private static func list(_ lines: [String]) -> UnsafeMutablePointer<curl_slist>? { lines.reduce(nil) { curl_slist_append($0, $1) } }

    /// What the employee has of their own is sent nowhere else, and not in the clear because a page says so.
    private struct Origin: Hashable {
        var scheme: String
        var host: String
        var port: String

        var hostIsAddress: Bool {
            var four = in_addr()
            return host.hasPrefix("[") || inet_pton(AF_INET, host, &four) == 1
        }
    }

    private static func origin(of url: String) -> Origin? {
        guard let parts = parts(of: url, [CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT]) else { return nil }
        return Origin(scheme: parts[0].lowercased(), host: parts[1].lowercased(), port: parts[2])
    }

    static func host(of url: String) -> String? { parts(of: url, [CURLUPART_HOST])?[0].lowercased() }

    /// Whether two URLs are the same page: host and path, whatever is asked of it, and over whichever scheme.
    static func isPage(_ url: String, _ other: String) -> Bool {
        func page(_ url: String) -> [String]? {
            guard let parts = parts(of: url, [CURLUPART_HOST, CURLUPART_PATH]) else { return nil }
            return [parts[0].lowercased(), parts[1].hasSuffix("/") ? String(parts[1].dropLast()) : parts[1]]
        }
        return page(url).map { $0 == page(other) } ?? false
    }

    /// As libcurl reads it, because libcurl will connect there.
    private static func parts(of url: String, _ wanted: [CURLUPart]) -> [String]? {
        guard let parsed = curl_url() else { return nil }
        defer { curl_url_cleanup(parsed) }
        guard curl_url_set(parsed, CURLUPART_URL, url, UInt32(CURLU_DISALLOW_USER)) == CURLUE_OK else { return nil }
        var parts: [String] = []
        for part in wanted {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(parsed, part, &text, UInt32(CURLU_DEFAULT_PORT)) == CURLUE_OK, let text else { return nil }
            parts.append(String(cString: text))
            curl_free(text)
        }
        return parts
    }

    /// What has come of one answer. Used by the thread that waits for it alone.
    private final class Reading {
        let mayBePrivate: Bool
        var bytes = Data()
        var left = WebClient.bytesMax
        var headersComplete = false
        var isInterim = false
        var wasRefused = false

        init(mayBePrivate: Bool) { self.mayBePrivate = mayBePrivate }

        static func of(_ pointer: UnsafeMutableRawPointer?) -> Reading? { pointer.map { Unmanaged<Reading>.fromOpaque($0).takeUnretainedValue() } }
    }

    private typealias Callback = @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int

    /// To return fewer bytes than came ends the transfer.
    private static let header: Callback = { line, size, count, context in
        guard let line, let reading = Reading.of(context) else { return 0 }
        let bytes = UnsafeRawBufferPointer(start: line, count: size * count)
        reading.left -= bytes.count
        guard reading.left >= 0 else { return 0 }
        if bytes.starts(with: "HTTP/".utf8) { reading.isInterim = bytes.split(separator: UInt8(ascii: " "), maxSplits: 1).last?.first == UInt8(ascii: "1") }
        if bytes.elementsEqual("\r\n".utf8) || bytes.elementsEqual("\n".utf8) { reading.headersComplete = !reading.isInterim }
        return bytes.count
    }

    private static let body: Callback = { data, size, count, context in
        guard let data, let reading = Reading.of(context) else { return 0 }
        let bytes = UnsafeRawBufferPointer(start: data, count: size * count)
        reading.bytes.append(contentsOf: bytes.prefix(reading.left))
        reading.left -= bytes.count
        return reading.left >= 0 ? bytes.count : 0
    }

    private static let open: @convention(c) (UnsafeMutableRawPointer?, curlsocktype, UnsafeMutablePointer<curl_sockaddr>?) -> curl_socket_t = { context, _, address in
        guard let reading = Reading.of(context), let address, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return -1 }
        let (family, kind, number) = (address.pointee.family, address.pointee.socktype, address.pointee.protocol)
        // The whole address lies there, longer than its declared type: an IPv6 one is.
        let bytes = UnsafeRawBufferPointer(start: UnsafeRawPointer(address) + offset, count: Int(address.pointee.addrlen))
        guard reading.mayBePrivate || WebClient.isPublic(bytes, family: family) else {
            reading.wasRefused = true
            return -1
        }
        #if os(Linux)
        return socket(family, kind | Int32(SOCK_CLOEXEC.rawValue), number)
        #else
        return socket(family, kind, number)
        #endif
    }

    private static func isPublic(_ socket: UnsafeRawBufferPointer, family: Int32) -> Bool {
        switch family {
        case AF_INET where socket.count >= 8: InternetAddress.isPublic(socket[4..<8])
        case AF_INET6 where socket.count >= 24: InternetAddress.isPublic(socket[8..<24])
        default: false
        }
    }
}
