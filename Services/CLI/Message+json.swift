import Foundation
import SwiftProtobuf
import Wire

/// Wire messages as scripts read them: the field names of the .proto files, numbers in full, nothing left out.
protocol SwiftProtobufJSON {
    func shownAsJSON() throws -> String
}

extension SwiftProtobufJSON where Self: SwiftProtobuf.Message {
    func shownAsJSON() throws -> String {
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        options.alwaysPrintInt64sAsNumbers = true
        options.useDeterministicOrdering = true
        return try jsonString(options: options)
    }
}

extension WireStatus: SwiftProtobufJSON {}
extension WireCertificate: SwiftProtobufJSON {}
extension WireIncidents: SwiftProtobufJSON {}
extension WireAgents: SwiftProtobufJSON {}
extension WireClosures: SwiftProtobufJSON {}
extension WireDeliveries: SwiftProtobufJSON {}
extension WireOutcome: SwiftProtobufJSON {}
extension WireProgress: SwiftProtobufJSON {}
extension WireReleaseEnded: SwiftProtobufJSON {}
