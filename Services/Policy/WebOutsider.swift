import Foundation
import Gate
import Identity
import Logging
import Messaging
import Rules
import Synchronization

/// Tries the pages that the document names, every few seconds, with the rights of an ordinary employee, on a thread of its own: whatever answers, or does not, keeps nobody waiting.
final class WebOutsider: Sendable {
    struct Found: Hashable, Sendable {
        var probe: WebProbe
        var status: Int
        /// It may hold what nobody should get, and the document says that this is enough.
        var isUndecided = false

        init?(_ outcome: WebClient.Outcome, of probe: WebProbe) {
            self.probe = probe
            switch outcome {
            case .exposed(let status): self.status = status
            case .undecided(let status) where probe.undecided == .finding: (self.status, isUndecided) = (status, true)
            default: return nil
            }
        }

        var sentence: String {
            if isUndecided { return "probe \"ordinary employee\" got an answer from \(probe.url), status \(status), that does not say whether it holds what it must not" }
            let what = probe.marker == nil ? "an answer" : "what stands for data that it must not get"
            return "probe \"ordinary employee\" got \(what) from \(probe.url), status \(status)"
        }
    }

    /// Since the start.
    struct Tried: Hashable, Sendable {
        var asked: UInt64 = 0
        /// No answer, or none that may be looked at.
        var failed: UInt64 = 0
        /// An answer that does not say whether anybody gets the page.
        var undecided: UInt64 = 0
    }

    private let probes = Mutex<[WebProbe]>([])
    private let counts = Mutex<Tried>(Tried())
    private let said = Mutex<[WebProbe: WebClient.Outcome]>([:])
    private let isStopped = Mutex<Bool>(false)
    private let headers: [String]
    private let news: Mailbox<Found>
    private let logger: Logger

    /// From the end of a round to the next.
    static let every = Span.seconds(5)

    /// - Parameter path: Lines `Name: value`, mode 0600, that make requests an employee's. No file: nobody in particular.
    init(headersFile path: String, news: Mailbox<Found>, logger: Logger) throws {
        self.news = news
        self.logger = logger
        guard FileManager.default.fileExists(atPath: path) else { headers = []; return }
        headers = try SecretFile.read(path).withCopy { String(decoding: $0, as: UTF8.self) }.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { $0.contains(":") }
    }

    /// Those that are tried from here on; none while nothing may be read anyway.
    func use(_ urls: Set<WebProbe>) {
        let sorted = urls.sorted { ($0.url, $0.marker ?? "") < ($1.url, $1.marker ?? "") }
        probes.withLock { if $0 != sorted { $0 = sorted } }
    }

    var tried: Tried { counts.withLock { $0 } }

    /// Pages of those that are tried of which the last try has not shown whether anybody gets them.
    var unknown: Int {
        let probes = probes.withLock { $0 }
        return said.withLock { said in probes.count { probe in said[probe].map { !$0.isDecided } ?? false } }
    }

    func start() { startThread("probes") { [self] in run() } }
    /// A request that runs ends with the process, in two seconds at most.
    func stop() { isStopped.withLock { $0 = true } }

    private func run() {
        do throws(WebClient.Unusable) {
            var client = try WebClient(headers: headers)
            run(&client)
        } catch { logger.error("libcurl cannot be used: no page is tried; 7.85 or later is needed") }
    }

    private func run(_ client: inout WebClient) {
        while !isStopped.withLock({ $0 }) {
            for probe in probes.withLock({ $0 }) where !isStopped.withLock({ $0 }) {
                let outcome = client.ask(probe, now: Clock.now)
                note(outcome, of: probe)
                if let found = Found(outcome, of: probe) { news.post(found) }
            }
            let next = Clock.now() + WebOutsider.every
            while Clock.now() < next, !isStopped.withLock({ $0 }) { usleep(100_000) }
        }
    }

    private func note(_ outcome: WebClient.Outcome, of probe: WebProbe) {
        counts.withLock { counts in
            counts.asked += 1
            switch outcome {
            case .exposed, .guarded: break
            case .undecided: counts.undecided += 1
            case .privateAddress, .tooManyRedirects, .failed: counts.failed += 1
            }
        }
        // Once, until it is something else: a page that cannot be tried is one of which nothing is known.
        let isNew = said.withLock { $0.updateValue(outcome, forKey: probe) != outcome }
        guard isNew, !outcome.isDecided else { return }
        if case .undecided(let status) = outcome {
            logger.warning("\(probe.url) answers status \(status), and whether an ordinary employee gets it cannot be told: what was read of it does not say, or it has failed")
        } else {
            logger.warning("\(probe.url) cannot be tried as an ordinary employee: \(outcome)")
        }
    }
}

extension WebClient.Outcome {
    /// Whether it is known that anybody gets it, or that they do not.
    fileprivate var isDecided: Bool {
        switch self {
        case .exposed, .guarded: true
        case .undecided, .privateAddress, .tooManyRedirects, .failed: false
        }
    }
}
