package import Gate

/// What drills must keep to, and how often there is to be one, where the policy document says so. What is not named is up to whoever drills.
package struct DrillTerms: Hashable, Sendable {
    package enum Every: String, Hashable, Sendable, CaseIterable {
        case day, week, month

        /// A drill that is older is followed by another. An hour less than it says: what begins each night does not begin at the same second.
        package var span: Span { .seconds((Int64(self == .day ? 24 : self == .week ? 168 : 31 * 24) - 1) * 3_600) }
    }

    package var every: Every?
    /// As ``Drill/Bounds`` has them.
    package var readsClosed: Span?
    package var certificate: Span?
    package var notice: Span?

    package init(every: Every? = nil, readsClosed: Span? = nil, certificate: Span? = nil, notice: Span? = nil) {
        self.every = every
        self.readsClosed = readsClosed
        self.certificate = certificate
        self.notice = notice
    }

    package static let none = DrillTerms()

    /// Whatever keeps to this keeps to the other as well.
    package func isWithin(_ other: DrillTerms) -> Bool {
        func isWithin(_ mine: Span?, _ others: Span?) -> Bool { others.map { other in mine.map { $0 <= other } ?? false } ?? true }
        return isWithin(every?.span, other.every?.span) && isWithin(readsClosed, other.readsClosed) && isWithin(certificate, other.certificate) && isWithin(notice, other.notice)
    }

    /// Of these sites, those whose last drill is so long ago that another is due, or that never had one. Without a word on how often: all.
    ///
    /// - Parameter drills: Of each, its sites and when it began. One that missed its bounds was one.
    package func due(_ sites: Set<String>, after drills: [(sites: Set<String>, began: WallTime)], at now: WallTime) -> Set<String> {
        guard let every else { return sites }
        let recent = drills.filter { now - $0.began < every.span }.reduce(into: Set<String>()) { $0.formUnion($1.sites) }
        return sites.subtracting(recent)
    }
}
