import Gate
import Vault
import Wire

extension Closure {
    /// As it is asked about: it has no epoch yet.
    init(_ pause: WirePause) {
        self.init(epoch: .none, direction: pause.direction.value, selector: pause.selector.value, reason: pause.reason, author: "", incident: 0, from: .distantPast)
    }

    /// Whether nothing of what was asked for can be read any more under it: then a release ends at once, and not at its next chunk.
    func endsAll(of record: ReleaseRecord) -> Bool {
        let subjects = Set(record.selection.subjects)
        let teams = Set(record.selection.teams)
        return selector.sites.isEmpty
            && (selector.readers.isEmpty || selector.readers.contains(record.reader))
            && (selector.purposes.isEmpty || selector.purposes.contains(record.purpose))
            && (selector.classes.isEmpty || selector.classes.isSuperset(of: record.selection.classes))
            && (selector.subjects.isEmpty || (!subjects.isEmpty && selector.subjects.isSuperset(of: subjects)))
            && (selector.teams.isEmpty || (!teams.isEmpty && selector.teams.isSuperset(of: teams)))
    }

    /// Whether a chunk of what was asked for may be one that it stops. Whose site a chunk is of shows only in the chunk.
    func mayEnd(_ record: ReleaseRecord) -> Bool {
        func meet<Value>(_ mine: Set<Value>, _ theirs: some Sequence<Value>) -> Bool {
            let theirs = Set(theirs)
            return mine.isEmpty || theirs.isEmpty || !mine.isDisjoint(with: theirs)
        }
        return (selector.readers.isEmpty || selector.readers.contains(record.reader)) && (selector.purposes.isEmpty || selector.purposes.contains(record.purpose))
            && meet(selector.classes, record.selection.classes) && meet(selector.subjects, record.selection.subjects) && meet(selector.teams, record.selection.teams)
    }
}
