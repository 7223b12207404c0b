import Gate
import Rules

extension ExposureHistory {
    /// Who is in no exposure though there is something of them in its scope, or in a release of it: two operators have signed that they are nobody. In the order of their bytes.
    ///
    /// Whoever adds up what left, or what is stored, finds more than is counted: these are the difference. A question about a team or a site is not about those of whom all there is lies
    /// elsewhere, whatever release they were in.
    func planted(_ question: ExposureQuestion, _ classes: [DataClass]) -> [String] {
        let (period, scope, classes) = (question.period, question.scope, Set(classes))
        let isByPlace = !scope.sites.isEmpty || !scope.teams.isEmpty
        var all: Set<String> = []
        var (known, there): (Set<String>, Set<String>) = ([], [])
        for holding in holdings where Drill.isPlanted(holding.place.scope.subject) {
            known.insert(holding.place.scope.subject)
            guard scope.matches(holding.place.scope) else { continue }
            there.insert(holding.place.scope.subject)
            if classes.contains(holding.place.dataClass), holding.first < period.until { all.insert(holding.place.scope.subject) }
        }
        let erased = Set(erasures.lazy.map(\.subject))
        func mayBeThere(_ subject: String) -> Bool {
            guard isByPlace else { return scope.subjects.isEmpty || scope.subjects.contains(subject) }
            guard !known.contains(subject) else { return there.contains(subject) }
            // Nothing is left that says where it was.
            return (holdingsAreFewer || erased.contains(subject)) && (scope.subjects.isEmpty || scope.subjects.contains(subject))
        }
        for release in releases where release.opened < period.until && release.ended.map({ $0 > period.from }) ?? true && release.classes.contains(where: { classes.contains($0) }) {
            guard release.reader != probeReader, scope.readers.isEmpty || scope.readers.contains(release.reader), scope.purposes.isEmpty || scope.purposes.contains(release.purpose) else { continue }
            for subject in release.included ?? release.subjects where Drill.isPlanted(subject) && mayBeThere(subject) { all.insert(subject) }
        }
        return all.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
