import Foundation
import Gate
import Rules
import Vault
import Wire

/// Rules by which everything that is stored is judged again.
struct Rescanner: Sendable {
    /// What a look at one segment came to. It may keep less of an event and never more, and raise its class and never lower it.
    struct Judged {
        /// By class.
        var left: [DataClass: [Event]]
        /// How many events were of a higher class than they lay under, by that class, whatever is left of them.
        var drifted: [String: Int] = [:]
    }

    /// Nil: all of it, as it is.
    typealias Judge = (Segment, OpenColumns) throws -> Judged?

    /// Of all that it goes by: with the same id a walk that was begun goes on, with another one begins.
    let id: Data
    /// Makes one for the thread that asks: it may own what one thread uses.
    let judge: @Sendable () throws -> Judge
}

/// A walk through what is stored, for as long as it lasts. One thread's.
final class RescanWalk {
    private var cutter: SegmentCutter
    private let judge: Rescanner.Judge
    /// Of the last step.
    private(set) var drifts: [Drift] = []

    init(_ rescanner: Rescanner) throws {
        cutter = try SegmentCutter()
        judge = try rescanner.judge()
    }

    /// Some milliseconds of work: each is unpacked and looked into.
    private static let segmentsPerStep = 32

    /// - Throws: Nothing of it was done: ``drifts`` says so, too.
    func step(_ vault: any Vault) throws -> Rescan? {
        drifts = []
        do { return try vault.rescanNext(atMost: RescanWalk.segmentsPerStep) { try left(of: $0) } } catch {
            drifts = []
            throw error
        }
    }

    private func left(of segment: Segment) throws -> [Segment]? {
        let columns: OpenColumns
        // It opened, and is none of ours all the same: nobody can read it, and it stays what it is.
        do { columns = try cutter.open(segment) } catch { throw SegmentUnreadable(row: 0, why: .changed) }
        guard let judged = try judge(segment, columns) else { return nil }
        let parts = judged.left
        if !judged.drifted.isEmpty { drifts.append(Drift(segment.dataClass, of: segment.scope.subject, into: judged.drifted)) }
        if parts.count == 1, parts[segment.dataClass] == columns.events() { return nil }
        // Where something shorter was replaced by its type's name it may be more than a segment holds: then it stays, and is counted.
        do {
            return try parts.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }.map { dataClass, events in
                var part = try cutter.pack(events, as: segment)
                part.dataClass = dataClass
                return part
            }
        } catch is ColumnsError { throw SegmentUnreadable(row: 0, why: .changed) }
    }
}
