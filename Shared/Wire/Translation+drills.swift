import Foundation
package import Gate

extension WireDrillBounds {
    package init(_ bounds: Drill.Bounds) {
        readsClosedUs = UInt32(clamping: bounds.readsClosed.microseconds)
        certificateUs = UInt32(clamping: bounds.certificate.microseconds)
        noticeUs = UInt32(clamping: bounds.notice.microseconds)
    }

    package var value: Drill.Bounds {
        Drill.Bounds(readsClosed: .microseconds(Int64(readsClosedUs)), certificate: .microseconds(Int64(certificateUs)), notice: .microseconds(Int64(noticeUs)))
    }
}

extension WireDrillBegan {
    package init(_ drill: Drill) {
        self.drill = drill.number
        sites = drill.sites.sorted()
        subjects = drill.subjects.sorted()
        bounds = WireDrillBounds(drill.bounds)
    }

    /// Nil: it is about nobody that is planted, or about somebody who is not.
    package var value: Drill? {
        guard drill > 0, !sites.isEmpty, !subjects.isEmpty, subjects.allSatisfy(Drill.isPlanted) else { return nil }
        return Drill(number: drill, sites: Set(sites), subjects: Set(subjects), bounds: bounds.value)
    }
}

extension WireDrillEnded {
    package init(_ number: UInt64, _ epoch: Epoch, _ outcome: Drill.Outcome) {
        // What was done within a microsecond took one: zero says that it did not come about.
        func wire(_ span: Span?) -> UInt32 { span.map { max(1, UInt32(clamping: $0.microseconds)) } ?? 0 }
        drill = number
        self.epoch = epoch.number
        readsClosedUs = wire(outcome.readsClosed)
        certificateUs = wire(outcome.certificate)
        noticeUs = wire(outcome.notice)
        agents = outcome.agents
        agentsAll = outcome.agentsAll
        hooks = outcome.hooks
        missed = outcome.missed
    }

    package var value: Drill.Outcome {
        func span(_ us: UInt32) -> Span? { us == 0 ? nil : .microseconds(Int64(us)) }
        return Drill.Outcome(
            readsClosed: span(readsClosedUs), certificate: span(certificateUs), notice: span(noticeUs), agents: agents, agentsAll: agentsAll, hooks: hooks, missed: missed)
    }
}

extension WireDrillRecord {
    package init(_ drill: Drill) {
        began = WireDrillBegan(drill)
        author = drill.author
        atUs = drill.began.microseconds
        foundUs = drill.finding?.at.microseconds ?? 0
        if let made = drill.closure { closure = WireClosure(made) }
        guard let at = drill.ended, let outcome = drill.outcome else { return }
        ended = WireDrillEnded(drill.number, .none, outcome)
        endedUs = at.microseconds
    }
}
