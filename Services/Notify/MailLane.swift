import Chassis
import Dispatch
import Foundation
import Gate
import Mail
import Synchronization

/// How mails leave, and from whom.
struct MailRoute: Sendable {
    var settings: MailSettings
    /// Where they are kept when there is no server.
    var folder: String
}

/// Sends mails over several connections, each with a thread of its own, and records what became of them.
///
/// A connection has one mail in hand, and gets the next when the outcome of that one is durable: so a kill leaves as many mails whose answer is not recorded as there
/// are connections, and those go out again with the same `Message-ID`. Outcomes that come while the disk is busy are recorded together.
final class MailLane: Lane {
    /// What stands as a server's answer where there is none.
    static let keptAnswer = "kept in the Maildir"

    let bell = Bell()
    private let route: MailRoute
    private let outbox: Outbox
    private let settings: Delivery.Settings
    private let pace: SharedPace
    private let now: @Sendable () -> WallTime
    private let jitter: @Sendable () -> Double
    private let returned = Mutex<[Return]>([])
    private let outage = Mutex(Outage())

    /// What a connection hands back.
    private enum Return: Sendable {
        case outcome(Int, Outbox.MailOutcome)
        case failure(Int, DeliveryFailed)
    }

    init(
        _ route: MailRoute, outbox: Outbox, settings: Delivery.Settings, pace: SharedPace, now: @escaping @Sendable () -> WallTime,
        jitter: @escaping @Sendable () -> Double
    ) {
        self.route = route
        self.outbox = outbox
        self.settings = settings
        self.pace = pace
        self.now = now
        self.jitter = jitter
    }

    func work() throws(DeliveryFailed) {
        let connections = (0..<route.settings.connections).map { Connection($0) }
        for connection in connections { start(connection) }
        defer {
            for connection in connections { connection.give(nil) }
            for connection in connections { connection.ended.wait() }
        }
        var idle = connections.map(\.number)
        // By connection.
        var inHand: [Int: String] = [:]
        var failure: DeliveryFailed?
        // In a folder a second copy takes the first one's place.
        let marks = route.settings.server != nil
        do throws(OutboxError) {
            if marks { try outbox.foundInHand() }
            while true {
                let outcomes = takeBack(&idle, &inHand, &failure)
                if bell.isStopped || failure != nil {
                    // Each ends within its total time, and what it says is recorded.
                    try outbox.record(outcomes)
                    if inHand.isEmpty { break }
                    bell.wait(atMost: settings.sleepMax)
                    continue
                }
                let time = now()
                var pause: Span?
                let next = try outbox.exchange(outcomes, at: time, limit: idle.count, besides: Set(inHand.values), marks: marks) { mail in
                    pause = pace.take(Outbox.mailChannel, host: route.settings.server?.host.lowercased(), at: time, goesFirst: mail.rank == .operators)
                    return pause == nil
                }
                if !next.isEmpty { FaultPoint.pass("mail-in-hand") }
                for mail in next {
                    guard let number = idle.popLast() else { break }
                    inHand[number] = mail.id
                    connections[number].give(mail)
                }
                // With nobody idle, the next thing that happens rings the bell.
                if pause == nil, !idle.isEmpty { pause = try outbox.nextDueMail(at: time, besides: Set(inHand.values)).map { $0 - time } }
                bell.wait(atMost: min(pause ?? settings.sleepMax, settings.sleepMax))
            }
        } catch { throw .outbox(error) }
        if let failure { throw failure }
    }

    private func takeBack(_ idle: inout [Int], _ inHand: inout [Int: String], _ failure: inout DeliveryFailed?) -> [Outbox.MailOutcome] {
        let back = returned.withLock { list in
            defer { list = [] }
            return list
        }
        var outcomes: [Outbox.MailOutcome] = []
        for item in back {
            switch item {
            case .outcome(let number, let outcome):
                outcomes.append(outcome)
                idle.append(number)
                inHand[number] = nil
            case .failure(let number, let why):
                // Of the mail that it had nothing is known: that stays due.
                failure = failure ?? why
                inHand[number] = nil
            }
        }
        if !outcomes.isEmpty { FaultPoint.pass("mail-answered") }
        return outcomes
    }

    /// One thread, and the mail that it has been given.
    private final class Connection: Sendable {
        let number: Int
        let ended = DispatchSemaphore(value: 0)
        private let given = DispatchSemaphore(value: 0)
        private let mail = Mutex<Outbox.DueMail?>(nil)

        init(_ number: Int) { self.number = number }

        /// - Parameter next: nil: the end.
        func give(_ next: Outbox.DueMail?) {
            mail.withLock { $0 = next }
            given.signal()
        }

        func take() -> Outbox.DueMail? {
            given.wait()
            return mail.withLock { $0 }
        }
    }

    private func start(_ connection: Connection) {
        let thread = Thread {
            defer { connection.ended.signal() }
            do throws(DeliveryFailed) { try self.carry(connection) } catch { self.hand(back: .failure(connection.number, error)) }
        }
        thread.name = "mail"
        // Resolving a name and TLS go deep; the default of a Foundation thread is 512 KiB.
        thread.stackSize = 1 << 20
        thread.start()
    }

    private func hand(back item: Return) {
        returned.withLock { $0.append(item) }
        bell.ring()
    }

    private func carry(_ connection: Connection) throws(DeliveryFailed) {
        let carrier: Carrier
        if let server = route.settings.server {
            do throws(WebhookClient.Unusable) { carrier = .client(try MailClient(server, settings.mail), from: route.settings.from.address) } catch { throw .client(error) }
        } else {
            carrier = .folder(route.folder)
        }
        var maildir: Maildir?
        while let mail = connection.take() {
            let bytes: Data
            do throws(OutboxError) { bytes = try outbox.bytes(of: mail.id) } catch { throw .outbox(error) }
            let answer = carrier.send(mail, bytes, &maildir)
            let time = now()
            var outcome = Outbox.MailOutcome(
                id: mail.id, verdict: settings.schedule.verdict(on: answer, attempt: mail.attempts + 1, at: time, jitter: jitter()), at: time)
            if case .taken(let words) = answer { outcome.answer = words }
            if case .unknown = answer { outcome.mayHaveArrived = true }
            if case .unavailable = answer {
                outcome.isAttempt = false
                outcome.hold = outage.withLock { $0.found(at: time) { settings.schedule.hold(on: answer, failures: $0, at: time) } }
            } else { outage.withLock { $0 = Outage() } }
            hand(back: .outcome(connection.number, outcome))
        }
    }

    /// The server has not been there since some answers.
    private struct Outage {
        private var failures = 0
        private var until = WallTime.distantPast

        /// - Parameter hold: from how often in a row it was not there.
        /// - Returns: until when it is left alone. Connections that find out together have found out once.
        mutating func found(at now: WallTime, _ hold: (Int) -> WallTime?) -> WallTime? {
            if failures == 0 || now >= until {
                failures += 1
                until = hold(failures) ?? now
            }
            return until
        }
    }

    /// Where a connection leads.
    private enum Carrier {
        case client(MailClient, from: MailAddress)
        case folder(String)

        /// - Parameter maildir: made when it is first needed: on a full disk that is later.
        func send(_ mail: Outbox.DueMail, _ bytes: Data, _ maildir: inout Maildir?) -> MailAnswer {
            switch self {
            case .client(let client, let from):
                // It was checked when it was put in.
                do throws(MailAddressRefused) { return client.send(bytes, from: from, to: try MailAddress(mail.recipient)) } catch { return .refused("\(mail.recipient.debugDescription) is no mail address: \(error.words)") }
            case .folder(let path):
                do throws(MaildirFailed) {
                    let open = if let maildir { maildir } else { try Maildir(path) }
                    maildir = open
                    try open.keep(mail.id, bytes, isRetry: mail.attempts > 0)
                    return .taken(MailLane.keptAnswer)
                } catch { return .unavailable("\(error)") }
            }
        }
    }
}
