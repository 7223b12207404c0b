import Messaging
import Wire

/// Who has asked how notices stand, and what, and has no answer yet: that may have to look at a hundred thousand people. Touches no disk and no socket.
struct Questions {
    /// At once, of all operators together.
    static let most = 16
    /// Of one operator, however many sessions they have.
    static let ofOneMost = 4

    private var underWay: [Route: (name: String, query: WireNoticesQuery)] = [:]

    enum Answer: Hashable, Sendable {
        case ask
        /// The same, sent again with another greeting: one answer is enough.
        case isAsked
        case refuse(String)
    }

    mutating func begin(_ query: WireNoticesQuery, from route: Route, by name: String) -> Answer {
        if let known = underWay[route] { return known.query == query ? .isAsked : .refuse("another question is under way: the next comes after its answer") }
        let own = underWay.values.count { $0.name == name }
        guard own < Questions.ofOneMost else { return .refuse("\(own) questions of \(name)'s are under way: the next comes after one of their answers") }
        guard underWay.count < Questions.most else { return .refuse("\(underWay.count) questions are under way: the next comes after one of their answers") }
        underWay[route] = (name, query)
        return .ask
    }

    mutating func end(_ route: Route) { underWay[route] = nil }
}
