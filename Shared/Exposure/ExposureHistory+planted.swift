import Gate
import Rules

extension ExposureHistory {
    /// Who is in no exposure though there is something of them in its scope, or in a release of it: two operators have signed that they are nobody. In the order of their bytes.
    ///
    /// Whoever adds up what left, or what is stored, finds more than is counted: these are the difference.
    func planted(_ question: ExposureQuestion, _ classes: [DataClass]) -> [String] {
        let (period, scope, classes) = (question.period, question.scope, Set(classes))
        var all: Set<String> = []
        for holding in holdings where Drill.isPlanted(holding.place.scope.subject) && classes.contains(holding.place.dataClass) {
            if scope.matches(holding.place.scope), holding.first < period.until { all.insert(holding.place.scope.subject) }
        }
        for release in releases where release.opened < period.until && release.ended.map({ $0 > period.from }) ?? true && release.classes.contains(where: { classes.contains($0) }) {
            guard scope.readers.isEmpty || scope.readers.contains(release.reader), scope.purposes.isEmpty || scope.purposes.contains(release.purpose) else { continue }
            for subject in release.included ?? release.subjects where Drill.isPlanted(subject) && (scope.subjects.isEmpty || scope.subjects.contains(subject)) { all.insert(subject) }
        }
        return all.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
