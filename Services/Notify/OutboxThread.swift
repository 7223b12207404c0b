import Chassis
import Foundation
import Gate
import Messaging
import Synchronization
import Wire

/// Takes entries into the outbox and answers for it, on a thread of its own: the reactor never waits for the disk.
final class OutboxThread: Sendable {
    enum News: Sendable {
        case deliveries(Route, WireDeliveries)
        case counts(WireDeliveries)
        case failed(String)
    }

    enum Work: Sendable {
        case take([Entry])
        case deliveries(Route)
        case count
        case stop
    }

    private let outbox: Outbox
    private let bodies: Bodies
    private let channels: [String]
    private let delivery: Delivery
    private let news: Mailbox<News>
    private let queue = Mutex<[Work]>([])
    private let filled = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)

    init(outbox: Outbox, bodies: Bodies, channels: [String], delivery: Delivery, news: Mailbox<News>) {
        self.outbox = outbox
        self.bodies = bodies
        self.channels = channels
        self.delivery = delivery
        self.news = news
    }

    func put(_ item: Work) {
        queue.withLock { $0.append(item) }
        filled.signal()
    }

    func start() { startThread("outbox") { [self] in run() } }

    func stop() {
        put(.stop)
        _ = ended.wait(timeout: .now() + 4)
    }

    private func run() {
        defer { ended.signal() }
        while true {
            filled.wait()
            let items = queue.withLock { list in
                defer { list = [] }
                return list
            }
            do {
                for item in items {
                    switch item {
                    case .take(let entries): try take(entries)
                    case .deliveries(let route): news.post(.deliveries(route, try list(limit: 500)))
                    case .count: news.post(.counts(try list(limit: 0)))
                    case .stop: return
                    }
                }
            } catch {
                return news.post(.failed("\(error)"))
            }
        }
    }

    private func take(_ entries: [Entry]) throws {
        for entry in entries {
            let messages = bodies.messages(for: entry)
            if try outbox.take(index: entry.index, messages: messages, channels: channels, at: Clock.wall()), !messages.isEmpty { delivery.wake() }
        }
    }

    private func list(limit: Int) throws -> WireDeliveries {
        let counts = try outbox.counts()
        var body = WireDeliveries()
        body.delivered = UInt64(counts.delivered)
        body.waiting = UInt64(counts.waiting)
        body.held = UInt64(counts.held)
        body.givenUp = UInt64(counts.givenUp)
        guard limit > 0 else { return body }
        body.deliveries = try outbox.undelivered(limit: limit).map { item in
            var delivery = WireDelivery()
            delivery.id = item.id
            delivery.type = item.type
            delivery.channel = item.channel
            delivery.state = "\(item.state)"
            delivery.attempts = UInt32(clamping: item.attempts)
            delivery.lastError = item.lastError ?? ""
            delivery.createdUs = item.created.microseconds
            return delivery
        }
        return body
    }
}
