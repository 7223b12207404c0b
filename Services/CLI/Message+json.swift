import Foundation
import SwiftProtobuf
import Wire

/// Wire messages as scripts read them: the field names of the .proto files, numbers in full, zeros and `false` too.
protocol SwiftProtobufJSON {
    /// What protobuf's JSON leaves out when it is zero and a script would ask for.
    static var zeros: [String: Any] { get }
    func shownAsJSON() throws -> String
}

extension SwiftProtobufJSON where Self: SwiftProtobuf.Message {
    static var zeros: [String: Any] { [:] }

    func shownAsJSON() throws -> String {
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        options.alwaysPrintInt64sAsNumbers = true
        let known = try JSONSerialization.jsonObject(with: Data(jsonString(options: options).utf8)) as? [String: Any] ?? [:]
        let whole = JSONZeros.merge(Self.zeros, known)
        return String(decoding: try JSONSerialization.data(withJSONObject: whole, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
    }
}

enum JSONZeros {
    static var gate: [String: Any] { ["epoch": 0, "closures": [Any](), "sealed": ""] }

    static func merge(_ zeros: [String: Any], _ known: [String: Any]) -> [String: Any] {
        var whole = zeros
        for (key, value) in known {
            if let inner = value as? [String: Any], let zero = zeros[key] as? [String: Any] {
                whole[key] = merge(zero, inner)
            } else {
                whole[key] = value
            }
        }
        return whole
    }
}

extension WireStatus: SwiftProtobufJSON {
    static var zeros: [String: Any] {
        [
            "gate": JSONZeros.gate, "lease_ms": 0, "up_us": 0, "services": [Any](), "agents_registered": 0, "agents_connected": 0,
            "agents_current": 0, "silent": [Any](), "entries": 0, "entries_waiting": 0, "journal": "", "incidents_open": 0,
            "counters": [String: Any](), "wall_us": 0,
        ]
    }
}
extension WireNoticesStanding: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["incident": 0, "rounds": [Any](), "sent": [Any]()] }
}
extension WireCertificate: SwiftProtobufJSON {
    static var zeros: [String: Any] {
        [
            "epoch": 0, "issued_us": 0, "services": [Any](), "agents": [Any](), "complete_after_us": 0, "reading_after_us": 0,
            "complete": false, "unconfirmed": [Any](), "durable_in": [Any](), "lease_ms": 0, "unrecorded": false,
        ]
    }
}
extension WireIncidents: SwiftProtobufJSON { static var zeros: [String: Any] { ["incidents": [Any]()] } }
extension WireIncident: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["incident": 0, "title": "", "state": "", "opened_us": 0, "moved_us": 0, "closure": 0, "class": "", "author": "", "leak": false, "findings": 0, "steps": [Any](), "in_force": false] }
}
extension WireAgents: SwiftProtobufJSON { static var zeros: [String: Any] { ["agents": [Any](), "more": false] } }
extension WireClosures: SwiftProtobufJSON { static var zeros: [String: Any] { ["closures": [Any]()] } }
extension WireDeliveries: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["deliveries": [Any](), "delivered": 0, "waiting": 0, "held": 0, "given_up": 0, "doubled": 0] }
}
extension WireOutcome: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["epoch": 0, "incident": 0, "lifted": [Any](), "nodes": [Any](), "entry": 0] }
}
extension WireProgress: SwiftProtobufJSON {
    static var zeros: [String: Any] {
        [
            "epoch": 0, "services": 0, "services_all": 0, "services_us": 0, "agents": 0, "agents_all": 0, "agents_us": 0, "silent": 0,
            "elapsed_us": 0, "lease_us": 0,
        ]
    }
}
extension WireReleaseEnded: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["release": 0, "chunks": 0, "events": 0, "code": 0, "text": "", "epoch": 0] }
}
extension WireProposals: SwiftProtobufJSON { static var zeros: [String: Any] { ["proposals": [Any]()] } }
extension WireOperators: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["operators": [Any](), "origin": "", "current_from": 0, "last": 0] }
}
extension WireRehearsal: SwiftProtobufJSON {
    static var zeros: [String: Any] {
        [
            "services": [Any](), "idle": [Any](), "agents": 0, "agents_current": 0, "agent_names": [Any](), "subjects": 0, "subject_names": [Any](), "classes": [Any](), "covered_by": [Any](), "reads_all": 0,
            "reads": [Any](),
        ]
    }
}
extension WireDrillRecord: SwiftProtobufJSON {
    static var zeros: [String: Any] { ["author": "", "at_us": 0, "found_us": 0] }
}
extension WireEntry: SwiftProtobufJSON {}
extension WireReadEntry: SwiftProtobufJSON {}
extension WireRecords: SwiftProtobufJSON { static var zeros: [String: Any] { ["records": [Any]()] } }
extension WireHolds: SwiftProtobufJSON { static var zeros: [String: Any] { ["holds": [Any]()] } }
extension WireErasures: SwiftProtobufJSON { static var zeros: [String: Any] { ["erasures": [Any]()] } }
