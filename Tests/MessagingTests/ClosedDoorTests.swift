import CZMQ
import Messaging
import Testing
import Wire

/// Of libzmq 4.3, in its draft headers: refuse all whom no handler has judged.
private let enforceDomain: Int32 = 93

/// A ROUTER with CURVE as somebody may bind it who knows libzmq's defaults too well: with this domain, or none.
///
/// Bound in a context of its own, as another process would.
private final class Door {
    let keys: CurveKeyPair
    let endpoint: String
    private let context: UnsafeMutableRawPointer
    private let socket: UnsafeMutableRawPointer

    init(domain: String?, isEnforced: Bool) throws {
        keys = try CurveKeyPair.generate()
        context = try #require(zmq_ctx_new())
        socket = try #require(zmq_socket(context, ZMQ_ROUTER))
        try set(ZMQ_LINGER, 0, of: socket)
        try set(ZMQ_CURVE_SERVER, 1, of: socket)
        try #require(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys.secretKey.bytes, 32) == 0)
        if let domain { try #require(zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, domain.utf8.count) == 0) }
        try set(enforceDomain, isEnforced ? 1 : 0, of: socket)
        try #require(zmq_bind(socket, "tcp://127.0.0.1:*") == 0)
        endpoint = try lastEndpoint(of: socket)
    }

    deinit {
        zmq_close(socket)
        zmq_ctx_term(context)
    }
}

private func set(_ option: Int32, _ value: Int32, of socket: UnsafeMutableRawPointer) throws {
    var value = value
    try #require(zmq_setsockopt(socket, option, &value, MemoryLayout<Int32>.size) == 0)
}

private func lastEndpoint(of socket: UnsafeMutableRawPointer) throws -> String {
    var text = [CChar](repeating: 0, count: 256)
    var size = text.count
    try #require(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &text, &size) == 0)
    return String(decoding: text.prefix(max(size - 1, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A service's own ROUTER, behind this handler; nil: behind none.
private func bound(_ admission: Admission?, in context: Context) throws -> (Binder, endpoint: String, keys: CurveKeyPair) {
    try admission?.serve(in: context)
    let keys = try CurveKeyPair.generate()
    let binder = try Binder("tcp://127.0.0.1:*", keys: keys, limits: SocketLimits(), in: context)
    return (binder, try lastEndpoint(of: try #require(binder.polled)), keys)
}

@Suite struct ClosedDoorTests {
    private func check(_ endpoint: String, _ keys: CurveKeyPair) throws {
        try ClosedDoor.check(endpoint, server: keys.publicKey, in: Context())
    }

    @Test func `a door whose handler admits those alone who are known is closed`() throws {
        let context = try Context()
        let admission = Admission()
        admission.admit([try CurveKeyPair.generate().publicKey: "service/policy"])
        let (binder, endpoint, keys) = try bound(admission, in: context)
        try check(endpoint, keys)
        #expect(admission.refusals == 1)
        withExtendedLifetime(binder) { context.shutDown() }
    }

    @Test func `a handler that admits everybody is an open door`() throws {
        let context = try Context()
        let admission = Admission(strangersAs: "join")
        admission.open()
        let (binder, endpoint, keys) = try bound(admission, in: context)
        #expect(throws: ClosedDoor.Failure.open(endpoint)) { try check(endpoint, keys) }
        withExtendedLifetime(binder) { context.shutDown() }
    }

    @Test func `without a handler a port of ours lets nobody in, and is not shown to be closed`() throws {
        let context = try Context()
        let (binder, endpoint, keys) = try bound(nil, in: context)
        #expect(throws: ClosedDoor.Failure.noAnswer(endpoint)) { try check(endpoint, keys) }
        withExtendedLifetime(binder) { context.shutDown() }
    }

    @Test func `a handler that is not ready proves nothing`() throws {
        let context = try Context()
        let (binder, endpoint, keys) = try bound(Admission(), in: context)
        #expect(throws: ClosedDoor.Failure.noAnswer(endpoint)) { try check(endpoint, keys) }
        withExtendedLifetime(binder) { context.shutDown() }
    }

    @Test(arguments: [false, true])
    func `without a domain libzmq asks no handler`(isEnforced: Bool) throws {
        let door = try Door(domain: nil, isEnforced: isEnforced)
        #expect(throws: ClosedDoor.Failure.open(door.endpoint)) { try check(door.endpoint, door.keys) }
    }

    @Test func `without a handler a domain that is not enforced lets everybody in`() throws {
        let door = try Door(domain: "sluice", isEnforced: false)
        #expect(throws: ClosedDoor.Failure.open(door.endpoint)) { try check(door.endpoint, door.keys) }
    }

    /// A refusal is for ever: libzmq does not come back after it.
    @Test func `who may be in what has not been read yet is asked to try again, and our own stranger is refused all the same`() throws {
        let context = try Context()
        let admission = Admission()
        admission.admit(first: [:])
        let (binder, endpoint, keys) = try bound(admission, in: context)
        #expect(throws: ClosedDoor.Failure.noAnswer(endpoint)) { try check(endpoint, keys) }
        #expect(admission.refusals == 0)
        try ClosedDoor.check(endpoint, server: keys.publicKey, in: Context()) { admission.neverAdmit($0) }
        #expect(admission.refusals == 1)
        admission.admit([:])
        #expect(throws: ClosedDoor.Failure.noAnswer(endpoint), "a table is not yet all of it") { try check(endpoint, keys) }
        admission.open()
        try check(endpoint, keys)
        withExtendedLifetime(binder) { context.shutDown() }
    }

    @Test func `who holds another key than the port's is never taken for it`() throws {
        let context = try Context()
        let admission = Admission()
        admission.open()
        let (binder, endpoint, _) = try bound(admission, in: context)
        #expect(throws: ClosedDoor.Failure.noAnswer(endpoint)) { try check(endpoint, CurveKeyPair.generate()) }
        withExtendedLifetime(binder) { context.shutDown() }
    }
}
