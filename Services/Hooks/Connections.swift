import Messaging
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Who is connected, by address, so that nobody alone holds all the connections there are. Closes nothing itself.
struct ConnectionTable: Sendable {
    private var open: [Network: Int] = [:]

    /// Of one address: a sender has one or two, and a group's requests come one after the other.
    static let eachMax = 16
    /// Of this machine: a proxy stands for everybody behind it, and bounds each of them itself. The rest is for who comes without it.
    static let localMax = 48
    private static let local: Set<Network> = [Network("127.0.0.1"), Network("::1")]

    /// - Returns: false: there are as many of this address as may be, and it is not counted among them.
    mutating func admit(_ network: Network) -> Bool {
        let count = open[network, default: 0]
        guard count < (ConnectionTable.local.contains(network) ? ConnectionTable.localMax : ConnectionTable.eachMax) else { return false }
        open[network] = count + 1
        return true
    }

    /// One that was admitted has ended.
    mutating func left(_ network: Network) {
        let count = open[network, default: 1]
        open[network] = count == 1 ? nil : count - 1
    }

    /// Addresses of which there is one at least.
    var count: Int { open.count }
}

/// Ends a connection at once of whose address there are enough, before anything of it is read. Belongs to its event loop.
final class DoorKeeper: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    private let server: HookServer
    private var admitted: Network?

    init(_ server: HookServer) { self.server = server }

    func channelActive(context: ChannelHandlerContext) {
        let network = Network(context.remoteAddress?.ipAddress ?? "")
        if server.admit(network) { admitted = network } else { context.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    private func leave() {
        if let admitted { server.left(admitted) }
        admitted = nil
    }
}

/// Ends a connection whose request takes too long from its head to its end: one byte now and then would keep it for ever.
///
/// The server's own bound is on silence, and begins anew with each part. Belongs to its event loop.
final class RequestDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    private var deadline: Scheduled<Void>?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            deadline?.cancel()
            let channel = context.channel
            deadline = context.eventLoop.scheduleTask(in: HookServer.requestWithin) { channel.close(promise: nil) }
        case .body: break
        case .end:
            deadline?.cancel()
            deadline = nil
        }
        context.fireChannelRead(data)
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }
    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }
}
