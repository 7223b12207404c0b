import Chassis
import Exposure
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Rules
import SwiftProtobuf
import Wire

/// What control's ledger says of who was allowed what and when, checked entry by entry as it is read.
struct GovernanceRecord {
    /// One document that came into force, and who stands behind it.
    struct Applied {
        let index: UInt64
        let at: WallTime
        /// The proposer and who approved; one, where nobody gained.
        let by: [String]
        var isWidening: Bool { by.count > 1 }
    }

    private(set) var governance = Governance()
    private(set) var began: WallTime?
    private(set) var policies: [ExposureHistory.PolicyVersion] = []
    private(set) var applied: [Applied] = []
    private(set) var keys: [ExposureHistory.ReaderKey] = []
    private(set) var records: [ExposureHistory.RecordsKept] = []
    private(set) var erasures: [ExposureHistory.ErasureDone] = []
    private(set) var certificates: [Epoch: Certificate] = [:]
    /// Entries of each incident: what was recorded of it.
    private(set) var timeline: [UInt64: [(index: UInt64, at: WallTime, author: String, words: String)]] = [:]
    /// Where agents of each person were registered, ever.
    private(set) var scopes: [String: Set<Scope>] = [:]
    /// When the clock of control was set back, as its entries show it.
    private(set) var setBack: [Gap] = []
    /// Why what follows is not believed; nil: it was read to its end.
    private(set) var fault: String?

    private struct Held {
        let person: Person?
        var tenure: Tenure

        init(_ scope: Scope, since: WallTime) {
            person = Person.holder(of: scope)
            tenure = Tenure(from: since)
        }

        init(_ one: Operator, since: WallTime) { self.init(Scope(subject: one.person, site: "", team: ""), since: since) }
    }

    private var readers: [String: Held] = [:]
    private var operators: [String: Held] = [:]
    private var kept: [String: (records: SubjectRecords, tenure: Tenure)] = [:]
    private var highest = WallTime.distantPast
    private var waiting: Set<String> = []

    init(_ files: LedgerFiles) throws {
        let (store, database) = try files.open(.governance)
        defer { try? database.close() }
        var fold = GovernanceFold()
        let size = try store.size()
        for start in stride(from: UInt64(0), to: size, by: 256) where fault == nil {
            for (offset, recorded) in try store.entries(start..<min(size, start + 256)).enumerated() {
                guard let entry = recorded.entry else {
                    fault = "entry \(start + UInt64(offset) + 1) was erased"
                    break
                }
                var wire = WireRecordedEntry()
                (wire.salt, wire.body) = (Data(entry.salt), Data(entry.body))
                do throws(FoldFault) { try take(fold.take(wire), fold.governance) } catch {
                    fault = "\(error)"
                    break
                }
            }
        }
        governance = fold.governance
        finish(readers, operators)
    }

    private mutating func take(_ entry: Entry, _ governance: Governance) {
        followClock(entry)
        switch entry.deed {
        case .began(let beginning):
            began = entry.at
            policies = [.init(index: 0, at: .distantPast, beginning.deniesByDefault ? .known(.nothing) : .none)]
            for one in beginning.operators { operators[one.name] = Held(one, since: entry.at) }
        case .operatorsChanged(let removed, let added):
            for name in removed { end(operators.removeValue(forKey: name), name, entry.at) }
            for one in added {
                end(operators.removeValue(forKey: one.name), one.name, entry.at)
                operators[one.name] = Held(one, since: entry.at)
            }
        case .registered(let nodes, _):
            for node in nodes {
                if node.role == .agent { scopes[node.scope.subject, default: []].insert(node.scope) }
                end(readers.removeValue(forKey: node.name), node.name, entry.at)
                if node.role == .reader { readers[node.name] = Held(node.scope, since: entry.at) }
            }
        case .removed:
            for name in readers.keys.sorted() where governance.node(named: name) == nil { end(readers.removeValue(forKey: name), name, entry.at) }
        case .policyApplied(let document, _):
            let text: ExposureHistory.PolicyVersion.Document
            do { text = .known(try PolicyReader().read(canonical: document)) } catch { text = .unknown("this version cannot read it: \(error.all.first.map { "\($0.fault)" } ?? "")") }
            policies.append(.init(index: entry.index, at: entry.at, text))
            let proposal = entry.proposal.flatMap { governance.proposals.all[$0] }
            applied.append(Applied(index: entry.index, at: entry.at, by: proposal.map { [$0.proposer.name] + $0.approvers.map(\.name) } ?? [entry.author]))
        case .recordsChanged(let subjects, _, _, _): note(subjects, governance, entry.at)
        case .erased(let subjects):
            note(subjects, governance, entry.at)
            for subject in subjects {
                if governance.erased[subject]?.isWaiting ?? false { waiting.insert(subject) } else { erasures.append(.init(subject, at: entry.at)) }
            }
        case .holdLifted(_, let subjects):
            for subject in subjects where waiting.contains(subject) && !(governance.erased[subject]?.isWaiting ?? true) {
                waiting.remove(subject)
                erasures.append(.init(subject, at: entry.at))
            }
        case .certified(let certificate):
            certificates[certificate.epoch] = certificate
            note(certificate.closure.incident, entry, "certificate \(certificate.epoch.number), \(certificate.isComplete ? "complete" : "not complete")")
        case .found(let finding, let number, let closure): note(number, entry, "found\(closure.map { ", and closed at epoch \($0.epoch.number)" } ?? "")   \"\(finding.sentence)\"")
        case .incidentNoted(let number, let text): note(number, entry, "noted   \"\(text)\"")
        case .incidentAssessed(let number, _, let summary): note(number, entry, "assessed   \"\(summary)\"")
        case .noticesDecided(let number, let count, _): note(number, entry, "decided that \(count) people are told")
        case .incidentNotified(let number, _, let delivered, let unreachable): note(number, entry, "notified: \(delivered) have their notice, \(unreachable) were not reached")
        case .incidentOpened(let number, let title, _, _, let isLeak): note(number, entry, "opened\(isLeak ? " as a leak" : "")   \"\(title)\"")
        case .incidentMoved(let number, let state): note(number, entry, state.rawValue)
        case .held(let number, let subjects): note(number, entry, "what there is of \(subjects.count) people is kept")
        default: break
        }
    }

    /// Whatever counts now counted through all the hours that the clock goes through again.
    private mutating func followClock(_ entry: Entry) {
        let at = entry.at
        defer { highest = max(highest, at) }
        guard at < highest else { return }
        for name in readers.keys { readers[name]?.tenure.clockWent(backTo: at, from: highest) }
        for name in operators.keys { operators[name]?.tenure.clockWent(backTo: at, from: highest) }
        for subject in kept.keys { kept[subject]?.tenure.clockWent(backTo: at, from: highest) }
        if let last = policies.indices.last { policies[last].tenure.clockWent(backTo: at, from: highest) }
        // Of a document that came into force then, the timeline of documents says so.
        if case .policyApplied = entry.deed { return }
        setBack.append(.clockBack(Period(from: at, until: WallTime(nanoseconds: highest.nanoseconds &+ 1)), entry: entry.index))
    }

    private mutating func note(_ incident: UInt64, _ entry: Entry, _ words: String) {
        timeline[incident, default: []].append((entry.index, entry.at, entry.author, words))
    }

    private mutating func end(_ held: Held?, _ name: String, _ at: WallTime) {
        guard let held else { return }
        keys.append(.init(name, person: held.person, held.tenure.ended(at: at)))
    }

    private mutating func note(_ subjects: [String], _ governance: Governance, _ at: WallTime) {
        for subject in subjects {
            if let before = kept[subject] { records.append(.init(subject, Records(before.records), before.tenure.ended(at: at))) }
            kept[subject] = governance.records[subject].map { ($0, Tenure(from: at)) }
        }
    }

    private mutating func finish(_ readers: [String: Held], _ operators: [String: Held]) {
        for (name, held) in readers.sorted(by: { $0.key < $1.key }) + operators.sorted(by: { $0.key < $1.key }) {
            keys.append(.init(name, person: held.person, held.tenure.ended(at: .distantFuture)))
        }
        for (subject, held) in kept { records.append(.init(subject, Records(held.records), held.tenure.ended(at: .distantFuture))) }
    }

    var closures: [Closure] { governance.lifted + governance.gate.closures }
}
