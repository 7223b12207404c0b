import CZMQ
package import Foundation

/// One frame, owned by libzmq. Moving it copies 64 bytes and never the data.
package struct Message: ~Copyable {
    var raw = zmq_msg_t()

    package init() { zmq_msg_init(&raw) }

    package init(copying bytes: UnsafeRawBufferPointer) {
        // Fails only when memory is gone, and then nothing can be said about it either.
        precondition(zmq_msg_init_size(&raw, bytes.count) == 0, "out of memory")
        if let base = bytes.baseAddress, bytes.count > 0 { zmq_msg_data(&raw).copyMemory(from: base, byteCount: bytes.count) }
    }

    package init(_ bytes: [UInt8]) { 
        precondition(zmq_msg_init_size(&raw, bytes.count) == 0, "out of memory")
        let data = zmq_msg_data(&raw)
        bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { data?.copyMemory(from: base, byteCount: source.count) }
        }
    }

    package init(_ bytes: Data) {
        precondition(zmq_msg_init_size(&raw, bytes.count) == 0, "out of memory")
        let data = zmq_msg_data(&raw)
        bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { data?.copyMemory(from: base, byteCount: source.count) }
        }
    }

    deinit {
        var last = raw
        zmq_msg_close(&last)
    }

    package var count: Int {
        var copy = raw
        return zmq_msg_size(&copy)
    }

    /// The bytes, for as long as the message lives and only inside `body`.
    package borrowing func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        // A frame of up to 33 bytes lies inside `zmq_msg_t` itself, so the copy must outlive the call.
        var copy = raw
        return try Swift.withUnsafeMutablePointer(to: &copy) { pointer in
            try body(UnsafeRawBufferPointer(start: zmq_msg_data(pointer), count: zmq_msg_size(pointer)))
        }
    }

    package borrowing func array() -> [UInt8] { withUnsafeBytes { [UInt8]($0) } }

    /// A property of the connection that the frame came by: `User-Id`, `Peer-Address`.
    borrowing func property(_ name: String) -> String? {
        var copy = raw
        return zmq_msg_gets(&copy, name).map { String(cString: $0) }
    }

    var hasMore: Bool {
        var copy = raw
        return zmq_msg_more(&copy) != 0
    }
}
