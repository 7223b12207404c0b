package import Gate
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A queue between two threads. Its bound is kept by who fills it: policy's reactor answers `Busy`.
package final class Queue<Element: Sendable>: Sendable {
    private let waiting = Mutex<[Element]>([])
    private let filled = SteadySemaphore()

    package init() {}

    package func put(_ element: Element) {
        let first = waiting.withLock { list in
            list.append(element)
            return list.count == 1
        }
        if first { filled.signal() }
    }

    package var isEmpty: Bool { waiting.withLock { $0.isEmpty } }

    package func takeAll() -> [Element] { take(atMost: .max) }

    /// Waits until there is something, then takes what there is.
    ///
    /// - Parameter within: It waits no longer than that; nil: until there is something.
    package func take(atMost max: Int, within: Span? = nil) -> [Element] {
        let deadline = within.map { Clock.now() + $0 }
        while true {
            let taken = waiting.withLock { list -> [Element] in
                if list.count <= max {
                    defer { list = [] }
                    return list
                }
                let head = Array(list.prefix(max))
                list.removeFirst(max)
                return head
            }
            if !taken.isEmpty { return taken }
            if let deadline {
                if !filled.wait(atMost: deadline - Clock.now()) { return [] }
            } else {
                filled.wait()
            }
        }
    }

    /// Lets the thread that takes rest: what it has to do cannot be done now.
    package func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1_000) }
}
