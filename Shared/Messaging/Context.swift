import CZMQ

/// What libzmq, or the kernel behind it, would not do.
package struct MessagingError: Error, Hashable, Sendable, CustomStringConvertible {
    package var what: String
    package var code: Int32

    package init(_ what: String, code: Int32 = zmq_errno()) {
        self.what = what
        self.code = code
    }

    package var isAddressInUse: Bool { code == EADDRINUSE }
    package var description: String { "\(what): \(String(cString: zmq_strerror(code)))" }
}

/// A libzmq context: its I/O threads and its sockets' common limits.
///
/// `@unchecked Sendable`: libzmq's contexts are thread-safe, and the pointer never changes.
package final class Context: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer

    /// - Parameter sockets: At least four times the sockets that the process will hold; libzmq's default of 1,023 is soon gone.
    package init(ioThreads: Int = 1, sockets: Int = 1_024) throws(MessagingError) {
        guard let pointer = zmq_ctx_new() else { throw MessagingError("cannot make a ZeroMQ context") }
        self.pointer = pointer
        zmq_ctx_set(pointer, ZMQ_IO_THREADS, Int32(ioThreads))
        zmq_ctx_set(pointer, ZMQ_MAX_SOCKETS, Int32(sockets))
        // No socket may keep the process: what matters was acknowledged, the rest is sent again.
        zmq_ctx_set(pointer, ZMQ_BLOCKY, 0)
    }

    /// Makes every call on this context's sockets end. Sockets are still to be closed by their threads.
    package func shutDown() { zmq_ctx_shutdown(pointer) }

    deinit { zmq_ctx_term(pointer) }
}
