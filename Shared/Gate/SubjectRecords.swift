/// What may be on record of a subject for a purpose.
package enum RecordKind: String, Hashable, Sendable, CaseIterable {
    /// They were told.
    case notice
    /// They agreed.
    case consent
}

/// What is on record of one subject: purposes, by the names that the policy document gives them. A name that it does not have is no purpose, and allows nothing.
package struct SubjectRecords: Hashable, Sendable {
    package var notices: Set<String>
    package var consents: Set<String>

    package init(notices: Set<String> = [], consents: Set<String> = []) {
        self.notices = notices
        self.consents = consents
    }

    package static let none = SubjectRecords()

    package subscript(kind: RecordKind) -> Set<String> {
        get { kind == .notice ? notices : consents }
        set { if kind == .notice { notices = newValue } else { consents = newValue } }
    }
}

/// Somebody of whom nothing is to be held.
package struct ErasedSubject: Hashable, Sendable {
    /// The entry that says so; the last one, if they were readmitted in between.
    package var index: UInt64
    /// Of that entry; but later than any earlier erasure of theirs, whatever a clock said: a store knows one from the next by it.
    package var at: WallTime
    /// An incident holds what there is, or did when it was said: erased is it when the last hold is lifted.
    package var isWaiting: Bool
    /// They have agreed anew since; nil: nothing of them is stored.
    package var readmitted: WallTime?

    package init(index: UInt64, at: WallTime, isWaiting: Bool = false, readmitted: WallTime? = nil) {
        self.index = index
        self.at = at
        self.isWaiting = isWaiting
        self.readmitted = readmitted
    }
}
