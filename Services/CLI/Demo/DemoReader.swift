import Chassis
import Gate
import Messaging
import Wire

/// A reader of the story: asks as any reader does, and counts what comes.
struct DemoReader {
    private let name: String
    private let home: Home

    init(_ name: String, _ home: Home) throws {
        self.name = name
        self.home = home
    }

    /// - Returns: events that came, to the release's end; nil: it was refused, or cut off before the first.
    func read(_ purpose: String, _ dataClass: String) throws -> Int? {
        let client = try Client("policy", home: home, as: name)
        var request = WireReleaseRequest()
        request.id = Nonce.random().bytes
        request.purpose = purpose
        request.justification = "part of a demonstration"
        request.classes = [dataClass]
        request.credit = UInt32(Limits.releaseCreditMax)
        var release: WireRelease?
        var events = 0
        do {
            let ended = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> WireReleaseEnded? in
                switch message.kind {
                case .release:
                    let body = try message.body(WireRelease.self)
                    if body.id == request.id { release = body }
                case .chunk:
                    let chunk = try message.body(WireChunk.self)
                    guard chunk.release == release?.release else { return nil }
                    events += Int(chunk.count)
                    var credit = WireCredit()
                    (credit.release, credit.chunks) = (chunk.release, 1)
                    client.send(.credit, credit)
                case .releaseEnded:
                    let body = try message.body(WireReleaseEnded.self)
                    return body.release == release?.release ? body : nil
                default: break
                }
                return nil
            }
            return ended.code != 0 && events == 0 ? nil : events
        } catch ClientError.refused { return nil } catch ClientError.shutOut { return nil }
    }
}
