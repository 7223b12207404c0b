import Foundation
import Gate
import Ledger
import Wire

/// Entries of the two ledgers as lines for people.
enum EntryWords {
    static func line(_ wire: WireEntry) -> String {
        let signed = wire.hasSigned ? "   signed" : ""
        let carried = wire.proposal == 0 ? "" : "   carries out proposal \(wire.proposal)"
        return "\(Show.time(microseconds: wire.atUs, milliseconds: true))   \(Terminal.safe(wire.author))   \(wire.value.map { Terminal.safe(words($0.deed)) } ?? "unknown to this version")\(carried)\(signed)"
    }

    private static func words(_ deed: Entry.Deed) -> String {
        switch deed {
        case .began(let beginning): "the ledger begins, with \(list(beginning.operators.map(\.name)))"
        case .operatorsChanged(let removed, let added): "operators: \((added.map { "+\($0.name)" } + removed.map { "-\($0)" }).joined(separator: " "))"
        case .vaultKeyAnnounced: "the vault's key is announced"
        case .serviceKeyAnnounced(let key, let service, _): "the key \(hex(key)) counts as \(service)'s too"
        case .serviceKeyRetired(let key, let service): "the key \(hex(key)) is \(service)'s no more"
        case .ledgerKeyAnnounced(let key, _): "what the key \(key) signs counts too"
        case .ledgerKeyRetired(let key): "what the key \(key) signs counts no more"
        case .proposed(let number, _, _, let command): "proposes \(number): \(ProposalView.text(of: command))"
        case .approved(let number): "approves proposal \(number)"
        case .withdrawn(let number): "withdraws proposal \(number)"
        case .enrolmentOpened(let enrolment): "invites an agent of \(enrolment.scope.subject), by token \(enrolment.number)"
        case .registered(let nodes, let enrolment): "registers \(list(nodes.map(\.name)))\(enrolment.map { ", by token \($0)" } ?? "")"
        case .removed(let ordinals): "removes agents \(list(ordinals.map { "\($0)" }))"
        case .paused(let closure): "pauses at epoch \(closure.epoch.number): \(Show.selector(WireClosure(closure)))   \"\(closure.reason)\""
        case .resumed(let epoch, let closures, let reason): "resumes \(list(closures.map { "\($0.number)" })) at epoch \(epoch.number)   \"\(reason)\""
        case .incidentOpened(let number, let title, _, _, let isLeak): "opens incident \(number)\(isLeak ? ", a leak" : "")   \"\(title)\""
        case .incidentMoved(let number, let state): "incident \(number) is \(state.rawValue)"
        case .found(let finding, 0, let closure?) where finding.detector == Drill.detector: "finds what a drill is about, and closes \(Show.selector(WireClosure(closure))) at epoch \(closure.epoch.number)   \"\(finding.sentence)\""
        case .found(let finding, let number, let closure):
            "finds, for incident \(number)\(closure.map { ", and closes \(Show.selector(WireClosure($0))) at epoch \($0.epoch.number)" } ?? ", closed already")   \"\(finding.sentence)\""
        case .incidentNoted(let number, let text): "notes on incident \(number)   \"\(text)\""
        case .incidentAssessed(let number, let exposure, let summary): "assesses incident \(number), exposure \(hex(exposure).prefix(12))…   \"\(summary)\""
        case .noticesDecided(let number, let count, let digest): "tells \(count) people of incident \(number) what has the digest \(ProposalView.hex(digest))"
        case .incidentNotified(let number, let decision, let delivered, let unreachable): "incident \(number) is notified: by the notices of entry \(decision) \(delivered) were told, \(unreachable) not reached"
        case .drillBegan(let drill): "begins drill \(drill.number) on the planted subjects of \(list(drill.sites.sorted()))"
        case .drillEnded(let number, let epoch, let outcome): "drill \(number) is over\(epoch == .none ? "" : ", what it closed is open again at epoch \(epoch.number)")\(outcome.missed.isEmpty ? ", within its bounds" : "   MISSED: \(outcome.missed.joined(separator: "; "))")"
        case .certified(let certificate): "certificate \(certificate.epoch.number), \(certificate.isComplete ? "complete" : "not complete"): \(certificate.services.count) services, \(certificate.agents.count) agents"
        case .unsealed(let epoch, let dropped, let reason, let abandons):
            "unseals at epoch \(epoch.number)\(dropped.isEmpty ? "" : ", drops closures \(list(dropped.map { "\($0.number)" }))")\(abandons.isEmpty ? "" : ", gives up the history of \(size(abandons)) entries that policy had cosigned")   \"\(reason)\""
        case .readsRestored(let abandons, let adopts, let reason): "gives up \(size(abandons)) entries of the read ledger for the \(size(adopts)) that are there\(segments(abandons, adopts))   \"\(reason)\""
        case .policyApplied(let document, let over): "applies the policy \(PolicyText.hash(document).prefix(12))…\(over.isEmpty ? "" : ", over the audience limit of \(list(over))")"
        case .recordsChanged(let subjects, let purpose, let kind, let given): "\(given ? "records" : "withdraws") the \(kind.rawValue) of \(list(subjects)) for \(purpose)"
        case .erased(let subjects): "erases \(list(subjects))"
        case .readmitted(let subjects): "readmits \(list(subjects))"
        case .held(let incident, let subjects): "holds what there is of \(list(subjects)) for incident \(incident)"
        case .holdLifted(let incident, let subjects): "holds \(list(subjects)) no more for incident \(incident)"
        }
    }

    static func line(_ wire: WireReadEntry) -> String {
        let time = Show.time(microseconds: wire.atUs, milliseconds: true)
        switch wire.what {
        case .opened(let read):
            let who = read.subjects.isEmpty && read.teams.isEmpty ? "everyone" : list(read.subjects + read.teams.map { "team \($0)" })
            let extent = "\(Show.time(microseconds: read.fromUs)) to \(Show.time(microseconds: read.untilUs))"
            return Terminal.safe(
                "\(time)   \(read.reader)   opens release \(read.release): \(list(read.classes)) of \(who), \(extent), for \(read.purpose), \(read.eventsMax) events of \(read.subjectCount) subjects at most, epoch \(read.epoch)\(read.policy == 0 ? "" : ", policy of entry \(read.policy)")\(read.uses.isEmpty ? "" : ", by grant \(list(read.uses.map { "\($0.grant) to \($0.role)" }))")\(read.leftOut.isEmpty ? "" : ", without \(list(read.leftOut.map { "\($0.subjects) (\($0.why))" }))")   \"\(read.justification)\"")
        case .ended(let read):
            return "\(time)   release \(read.release) ended: \(read.events) events\(read.canaries > 0 ? " and \(read.canaries) canaries" : "") in \(read.chunks) chunks\(read.code == 0 ? "" : ", cut off (\(Refusal(rawValue: read.code)?.word ?? "\(read.code)")\(read.why.isEmpty ? "" : ": \(read.why)"))")"
        case .denied(let read):
            let who = read.subjects.isEmpty && read.teams.isEmpty ? "everyone" : list(read.subjects + read.teams.map { "team \($0)" })
            return Terminal.safe(
                "\(time)   \(read.reader)   is denied \(list(read.classes)) of \(who), for \(read.purpose): \(read.why)\(read.count > 1 ? ", and \(read.count - 1) more since \(Show.time(microseconds: read.sinceUs))" : "")   \"\(read.justification)\"")
        case .moved(let moved):
            let gone = moved.places.count { $0.place.isEmpty }
            return Terminal.safe(
                "\(time)   \(moved.author)   says in the directory where \(list(moved.places.filter { !$0.place.isEmpty }.map(\.subject))) are\(gone == 0 ? "" : ", and takes out \(list(moved.places.filter(\.place.isEmpty).map(\.subject)))")")
        case nil: return "\(time)   unknown to this version"
        }
    }

    private static func hex(_ key: [UInt8]) -> String { key.prefix(4).map { String(format: "%02x", $0) }.joined() + "…" }

    private static func list(_ names: [String]) -> String {
        names.count > 8 ? "\(names.prefix(8).joined(separator: ", ")) and \(names.count - 8) more" : names.joined(separator: ", ")
    }

    /// What it means for the vault, by the fourth line of each.
    private static func segments(_ abandons: [UInt8], _ adopts: [UInt8]) -> String {
        let counts = [abandons, adopts].compactMap { try? Checkpoint(parsing: String(decoding: $0, as: UTF8.self)).stored }
        return counts.count == 2 && counts[0] != counts[1] ? ", and of \(counts[0]) segments that were stored goes on from \(counts[1])" : ""
    }

    /// The second line of a checkpoint.
    private static func size(_ checkpoint: [UInt8]) -> String {
        let lines = String(decoding: checkpoint, as: UTF8.self).split(separator: "\n")
        return lines.count > 1 ? String(lines[1]) : "?"
    }
}
