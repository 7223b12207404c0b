import Chassis
import Foundation
import Gate
import Logging
import Messaging
import Rules
import Synchronization

/// Reads bodies that were authenticated, asks the rules, and keeps what they say, on a thread of its own: many bodies in one commit.
///
/// Parsing is here as well: one body at a time is parsed, however many have come, and the threads of the server stay free to say so.
final class Intake: Sendable {
    /// A body whose sender is known.
    struct Submission: Sendable {
        var hook: Hook
        /// `webhook-id` of a signed one.
        var id = ""
        var body: Data
    }

    enum Outcome: Sendable {
        case taken(ReportStore.Receipt)
        case refused(Report.Refused)
        /// It is not on the disk.
        case unstored
        /// So many wait that one more would be one too many.
        case busy
    }

    enum News: Sendable {
        case due([Finding])
        /// What could not be stored closes all the same, once, and is forgotten with this process: its sender comes again.
        case unstored([Finding])
        case totals(ReportStore.Totals, isWritable: Bool)
        case failed(String)
    }

    private enum Work: Sendable {
        case take(Submission, CheckedContinuation<Outcome, Never>)
        case due
        case answered([UInt8], incident: UInt64, entry: UInt64)
        case stop
    }

    private let store: ReportStore
    private let news: Mailbox<News>
    private let logger: Logger
    private let book: Mutex<RuleBook>
    private let queue = Mutex<(work: [Work], bytes: Int)>(([], 0))
    private let filled = SteadySemaphore()
    private let ended = SteadySemaphore()

    static let waitingMax = 256
    static let waitingBytesMax = 32 << 20
    /// Of one commit: a body that waits for it waits for that much parsing.
    private static let commitBytesMax = 4 << 20
    /// A closure that control has just answered for: what asks for it again gathers for so long, and is one finding.
    private static let restFor = Span.seconds(1)

    init(_ store: ReportStore, rules book: RuleBook, news: Mailbox<News>, logger: Logger) {
        self.store = store
        self.book = Mutex(book)
        self.news = news
        self.logger = logger
    }

    func use(_ book: RuleBook) { self.book.withLock { $0 = book } }

    /// Waits until it is on the disk.
    func take(_ submission: Submission) async -> Outcome {
        await withCheckedContinuation { continuation in
            let isFull = queue.withLock { queue in
                guard queue.work.count < Intake.waitingMax, queue.bytes + submission.body.count <= Intake.waitingBytesMax else { return true }
                queue.work.append(.take(submission, continuation))
                queue.bytes += submission.body.count
                return false
            }
            if isFull { continuation.resume(returning: .busy) } else { filled.signal() }
        }
    }

    /// Asks what control is to be told.
    func askDue() { put(.due) }
    func answered(_ id: [UInt8], incident: UInt64, entry: UInt64) { put(.answered(id, incident: incident, entry: entry)) }

    func start() { startThread("intake") { [self] in run() } }

    func stop() {
        put(.stop)
        ended.wait(atMost: .seconds(4))
    }

    private func put(_ work: Work) {
        queue.withLock { $0.work.append(work) }
        filled.signal()
    }

    private func run() {
        defer { ended.signal() }
        // By what they close.
        var resting: [Data: Instant] = [:]
        var isWritable = true
        func say(_ error: ReportStore.Unusable) {
            if isWritable { logger.error("\(error): nothing is answered as taken until it can be") }
            isWritable = false
        }
        while true {
            filled.wait()
            let work = queue.withLock { queue in
                defer { queue = ([], 0) }
                return queue.work
            }
            guard !work.isEmpty else { continue }
            var isDue = false
            var bodies: [(Submission, CheckedContinuation<Outcome, Never>)] = []
            func commit() {
                guard !bodies.isEmpty else { return }
                do throws(ReportStore.Unusable) {
                    if try take(bodies) { isDue = true }
                    isWritable = true
                } catch { say(error) }
                bodies = []
            }
            for item in work {
                switch item {
                case .take(let submission, let continuation):
                    bodies.append((submission, continuation))
                    if bodies.reduce(0, { $0 + $1.0.body.count }) >= Intake.commitBytesMax { commit() }
                case .due: isDue = true
                case .answered(let id, let incident, let entry):
                    do throws(ReportStore.Unusable) {
                        if let cause = try store.answered(id, incident: incident, entry: entry) { resting[cause] = Clock.now() + Intake.restFor }
                        isDue = true
                    } catch { say(error) }
                case .stop:
                    commit()
                    return
                }
            }
            commit()
            guard isDue else { continue }
            resting = resting.filter { $0.value > Clock.now() }
            do throws(ReportStore.Unusable) {
                news.post(.due(try store.due(resting: Set(resting.keys))))
                news.post(.totals(try store.totals(), isWritable: isWritable))
            } catch { say(error) }
            if !isWritable { news.post(.totals(.init(), isWritable: false)) }
        }
    }

    /// - Returns: whether something is to be closed.
    private func take(_ bodies: [(Submission, CheckedContinuation<Outcome, Never>)]) throws(ReportStore.Unusable) -> Bool {
        let book = book.withLock { $0 }
        var taken: [(body: ReportStore.Taken, continuation: CheckedContinuation<Outcome, Never>)] = []
        for (submission, continuation) in bodies {
            do throws(Report.Refused) {
                let reports =
                    switch submission.hook {
                    case .alertmanager: try Report.alerts(submission.body)
                    case .standard: [try Report.signed(submission.id, submission.body)]
                    }
                taken.append((.init(hook: submission.hook, book: book.digest, reports: reports.map { ($0, book.rules.matching($0.fields, from: submission.hook)) }), continuation))
            } catch { continuation.resume(returning: .refused(error)) }
        }
        guard !taken.isEmpty else { return false }
        let receipts: [ReportStore.Receipt]
        do { receipts = try store.take(taken.map(\.body), at: Clock.wall()) } catch {
            // Less takes one, and waits for no disk.
            news.post(.unstored(Intake.findings(of: taken.map(\.body))))
            for (_, continuation) in taken { continuation.resume(returning: .unstored) }
            throw error
        }
        FaultPoint.pass("after-report-stored")
        for (item, receipt) in zip(taken, receipts) { item.continuation.resume(returning: .taken(receipt)) }
        return receipts.contains { $0.new > 0 || $0.known > 0 }
    }

    /// One for each closure that is asked for.
    private static func findings(of bodies: [ReportStore.Taken]) -> [Finding] {
        var found: [Finding] = []
        for body in bodies {
            for (report, rules) in body.reports where report.isFiring {
                for rule in rules where !found.contains(where: { $0.direction == rule.direction && $0.selector == rule.selector }) {
                    found.append(rule.finding(ReportStore.id(of: report, rule), from: body.hook, reports: 1, at: Clock.wall()))
                }
            }
        }
        return found
    }
}
