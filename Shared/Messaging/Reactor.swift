import CZMQ
package import Gate
import Foundation
import Synchronization

/// Wakes a reactor from any thread.
///
/// `@unchecked Sendable`: a file descriptor, written with one system call, closed when the last holder lets go.
package final class Wakeup: @unchecked Sendable {
    #if os(Linux)
    fileprivate let readEnd: Int32
    private let writeEnd: Int32

    package init() throws(MessagingError) {
        readEnd = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard readEnd >= 0 else { throw MessagingError("cannot make an eventfd", code: errno) }
        writeEnd = readEnd
    }

    deinit { close(readEnd) }
    #else
    fileprivate let readEnd: Int32
    private let writeEnd: Int32

    package init() throws(MessagingError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw MessagingError("cannot make a pipe", code: errno) }
        (readEnd, writeEnd) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }
    #endif

    package func wake() {
        var one: UInt64 = 1
        _ = write(writeEnd, &one, 8)
    }

    fileprivate func clear() {
        var buffer = (UInt64(0), UInt64(0))
        while read(readEnd, &buffer, 16) > 0 {}
    }
}

/// What other threads leave for a reactor. The reactor's thread takes it whole.
package final class Mailbox<Element: Sendable>: Sendable {
    private let waiting = Mutex<[Element]>([])
    private let wakeup: Wakeup

    package init(wakeup: Wakeup) { self.wakeup = wakeup }

    package func post(_ element: Element) {
        let first = waiting.withLock { list in
            list.append(element)
            return list.count == 1
        }
        if first { wakeup.wake() }
    }

    package func take() -> [Element] {
        waiting.withLock { list in
            defer { list = [] }
            return list
        }
    }
}

/// Something with a socket that a reactor polls.
package protocol Source: AnyObject {
    /// Nil while there is no socket.
    var polled: UnsafeMutableRawPointer? { get }
    /// Whether to be called when the socket can send, too.
    var wantsToSend: Bool { get }
    /// Called when there is something to receive (or room to send). Takes a bounded number of messages.
    func ready()
}

/// Polls a service's sockets on a thread of its own. Everything that it calls runs on that thread, and must not block it.
package final class Reactor {
    private var sources: [any Source] = []
    private var timers: [(every: Span, next: Instant, action: (Instant) -> Void)] = []
    private let wakeup: Wakeup
    private let woken: () -> Void
    private var stopped = false
    private var last: () -> Void = {}
    private var roundEnded: (Instant) -> Void = { _ in }

    /// - Parameter woken: Called after ``Wakeup/wake()``: time to look into the mailboxes.
    package init(wakeup: Wakeup, woken: @escaping () -> Void) {
        self.wakeup = wakeup
        self.woken = woken
    }

    package func watch(_ source: any Source) { sources.append(source) }

    package func every(_ span: Span, _ action: @escaping (Instant) -> Void) {
        timers.append((span, Clock.now() + span, action))
    }

    /// Takes back the last ``every(_:_:)``.
    package func forgetLastTimer() { timers.removeLast() }

    /// Called once, on the reactor's thread, when ``run()`` is about to return: for a last word.
    package func atEnd(_ action: @escaping () -> Void) { last = action }

    /// Called after each round in which there was something to receive: for what is gathered while messages come in, and must not wait for a timer.
    package func afterRound(_ action: @escaping (Instant) -> Void) { roundEnded = action }

    /// Ends ``run()`` after the call that is running.
    package func stop() { stopped = true }

    /// Runs until ``stop()``.
    package func run() {
        var items: [zmq_pollitem_t] = []
        stopped = false
        defer { last() }
        while !stopped {
            items.removeAll(keepingCapacity: true)
            items.append(zmq_pollitem_t(socket: nil, fd: wakeup.readEnd, events: Int16(ZMQ_POLLIN), revents: 0))
            for source in sources {
                let events = source.wantsToSend ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN
                // A source without a socket keeps its place with a descriptor that poll ignores.
                items.append(zmq_pollitem_t(socket: source.polled, fd: -1, events: Int16(events), revents: 0))
            }
            var wait: Int64 = 1_000
            let before = Clock.now()
            for timer in timers { wait = min(wait, max(0, (timer.next - before).nanoseconds + 999_999) / 1_000_000) }
            let count = zmq_poll(&items, Int32(items.count), Int(wait))
            if count < 0 {
                // ETERM: the context is going away. EINTR: again.
                if zmq_errno() == ETERM { return }
                continue
            }
            if items[0].revents != 0 {
                wakeup.clear()
                woken()
            }
            if count > 0 {
                for (index, source) in sources.enumerated() where items[index + 1].revents != 0 && source.polled != nil {
                    source.ready()
                }
            }
            let now = Clock.now()
            if count > 0 { roundEnded(now) }
            for index in timers.indices where timers[index].next <= now {
                timers[index].next = now + timers[index].every
                timers[index].action(now)
            }
        }
    }
}

/// Starts a thread of our own: 1 MiB of stack or more, a name, and never Swift's cooperative pool.
package func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.stackSize = 4 << 20
    thread.start()
}
