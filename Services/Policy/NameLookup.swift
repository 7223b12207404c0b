import Foundation
import Gate
import Messaging
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Looks names up, each on a thread of its own: a name server that is dead holds whoever asks for half a minute, and libcurl, which can be told to wait no longer, waits for that all the same.
final class NameLookup: Sendable {
    private let lookUp: @Sendable (String) -> [String]
    /// Those that have not come back, though nobody waits for them.
    private let underWay = Mutex(0)

    /// Hung look-ups end with their resolver's patience, 30 s as a rule; until then each is a thread.
    static let underWayMax = 16
    static let addressesMax = 8

    init(_ lookUp: @escaping @Sendable (String) -> [String] = { NameLookup.system($0) }) { self.lookUp = lookUp }

    private final class Answer: Sendable {
        let addresses = Mutex<[String]>([])
        let isThere = DispatchSemaphore(value: 0)
    }

    /// - Returns: numeric addresses, in the order in which they are to be tried, none if there are none; nil: there was no answer in time.
    func addresses(of host: String, within: Span) -> [String]? {
        let isBusy = underWay.withLock { count in
            guard count < NameLookup.underWayMax else { return true }
            count += 1
            return false
        }
        guard !isBusy else { return nil }
        let answer = Answer()
        startThread("name") { [self] in
            let found = lookUp(host)
            answer.addresses.withLock { $0 = found }
            underWay.withLock { $0 -= 1 }
            answer.isThere.signal()
        }
        guard answer.isThere.wait(timeout: .now() + .nanoseconds(Int(max(0, within.nanoseconds)))) == .success else { return nil }
        return answer.addresses.withLock { $0 }
    }

    /// As this machine is set up to. Blocks for as long as it likes.
    static func system(_ host: String) -> [String] {
        var hints = addrinfo()
        #if os(Linux)
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
        hints.ai_socktype = SOCK_STREAM
        #endif
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next = list
        while let one = next, addresses.count < addressesMax {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(one.pointee.ai_addr, one.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                // An address with a scope is of this link alone: no page of it is anybody's.
                if !address.contains("%"), !addresses.contains(address) { addresses.append(address) }
            }
            next = one.pointee.ai_next
        }
        return addresses
    }
}
