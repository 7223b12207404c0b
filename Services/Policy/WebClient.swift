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
/// Everything is bounded: two seconds and 64 KiB in all, three redirects, and no private address but of hosts that the document names. The address is looked at where libcurl
/// connects: a name that leads elsewhere a moment later leads nowhere.
struct WebClient: ~Copyable {
    enum Outcome: Hashable, Sendable {
        /// Somebody gets it who must not.
        case exposed(status: Int)
        /// There was an answer, and it is none of those.
        case guarded(status: Int)
        case privateAddress
        case tooManyRedirects
        /// No answer: libcurl's code.
        case failed(UInt32)
    }

    static let within = Span.seconds(2)
    static let bytesMax = 64 << 10
    static let redirectsMax = 3

    private let handle: UnsafeMutableRawPointer
    /// Lines `Name: value` that make this an employee; for the host that the document names, and no other.
    private let headers: [String]

    /// libcurl wants this once and before all else; a static is.
    private static let started: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(headers: [String]) throws(Unusable) {
        handle = try WebClient.handle()
        self.headers = headers
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
        let end = now() + WebClient.within
        let home = WebClient.origin(of: probe.url)
        var url = probe.url
        for hop in 0...WebClient.redirectsMax {
            guard let host = WebClient.host(of: url), end > now() else { return .failed(CURLE_OPERATION_TIMEDOUT.rawValue) }
            let reading = Reading(mayBePrivate: probe.privateHosts.contains(host))
            let code = perform(url, headers: WebClient.origin(of: url) == home ? headers : [], left: end - now(), into: reading)
            if reading.wasRefused { return .privateAddress }
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
            guard (200..<300).contains(status) else { return .guarded(status: status) }
            if let marker = probe.marker, reading.bytes.range(of: Data(marker.utf8)) == nil { return .guarded(status: status) }
            return .exposed(status: status)
        }
        return .tooManyRedirects
    }

    private func perform(_ url: String, headers: [String], left: Span, into reading: Reading) -> CURLcode {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in headers { list = curl_slist_append(list, line) }
        defer { curl_slist_free_all(list) }
        // It outlives the call, and libcurl has it no longer.
        let pointer = Unmanaged.passUnretained(reading).toOpaque()
        let codes = [
            sluice_curl_set_string(handle, CURLOPT_URL, url), sluice_curl_set_pointer(handle, CURLOPT_HTTPHEADER, list),
            sluice_curl_set_long(handle, CURLOPT_TIMEOUT_MS, Int(max(1, left.milliseconds))),
            sluice_curl_set_pointer(handle, CURLOPT_HEADERDATA, pointer), sluice_curl_set_pointer(handle, CURLOPT_WRITEDATA, pointer), sluice_curl_set_pointer(handle, CURLOPT_OPENSOCKETDATA, pointer),
        ]
        let code = withExtendedLifetime(reading) { codes.first { $0 != CURLE_OK } ?? curl_easy_perform(handle) }
        for option in [CURLOPT_HTTPHEADER, CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_OPENSOCKETDATA] { _ = sluice_curl_set_pointer(handle, option, nil) }
        return code
    }

    /// As libcurl reads it, because libcurl will connect there; lower-case.
    /// Scheme, host and port: what the employee has of their own is sent nowhere else, and not in the clear because a page says so.
    private static func origin(of url: String) -> [String]? {
        guard let parsed = curl_url() else { return nil }
        defer { curl_url_cleanup(parsed) }
        guard curl_url_set(parsed, CURLUPART_URL, url, UInt32(CURLU_DISALLOW_USER)) == CURLUE_OK else { return nil }
        var parts: [String] = []
        for part in [CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT] {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(parsed, part, &text, UInt32(CURLU_DEFAULT_PORT)) == CURLUE_OK, let text else { return nil }
            parts.append(String(cString: text).lowercased())
            curl_free(text)
        }
        return parts
    }

    static func host(of url: String) -> String? {
        guard let parsed = curl_url() else { return nil }
        defer { curl_url_cleanup(parsed) }
        var text: UnsafeMutablePointer<CChar>?
        guard curl_url_set(parsed, CURLUPART_URL, url, UInt32(CURLU_DISALLOW_USER)) == CURLUE_OK, curl_url_get(parsed, CURLUPART_HOST, &text, 0) == CURLUE_OK, let text else { return nil }
        defer { curl_free(text) }
        return String(cString: text).lowercased()
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
        case AF_INET where socket.count >= 8: isPublic(version4: [UInt8](socket[4..<8]))
        case AF_INET6 where socket.count >= 24: isPublic(version6: [UInt8](socket[8..<24]))
        default: false
        }
    }

    /// Reachable from the internet, by IANA's registries of special addresses: what is not known to be is not.
    static func isPublic(version4 bytes: [UInt8]) -> Bool {
        guard bytes.count == 4 else { return false }
        switch (bytes[0], bytes[1], bytes[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (224..., _, _), (100, 64..<128, _), (169, 254, _), (172, 16..<32, _), (192, 168, _), (192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 18..<20, _),
            (198, 51, 100), (203, 0, 113):
            return false
        default: return true
        }
    }

    /// 2000::/3 without what is another network in its clothes (Teredo, 6to4) or for documents.
    static func isPublic(version6 bytes: [UInt8]) -> Bool {
        guard bytes.count == 16 else { return false }
        if bytes[..<12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] { return isPublic(version4: [UInt8](bytes[12...])) }
        guard bytes[0] & 0xE0 == 0x20 else { return false }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return false }
        if bytes[0] == 0x20, bytes[1] == 0x01 { return !(bytes[2] < 2 || (bytes[2] == 0x0D && bytes[3] == 0xB8)) }
        return !(bytes[0] == 0x3F && bytes[1] == 0xFF)
    }
}
