package import Gate

extension DataClass {
    /// What was done, not what was said: pointer, keys, windows, presence.
    package static let activity = DataClass("activity")
    /// What a person wrote for themselves or for a machine.
    package static let content = DataClass("content")
    /// What people said to each other.
    package static let conversation = DataClass("conversation")
    /// What people said about a person.
    package static let review = DataClass("review")
    /// Passwords, keys, card numbers. Exists so that it can be named; never stored, and no event is given it here.
    package static let credential = DataClass("credential")
}

/// Which data belongs to which class, in what order of sensitivity.
///
/// What is used until a ``PolicyDocument`` is in force, which brings classes and rules on application, title, URL, label and detected
/// content. There is one value, ``standard``, which looks at kind and source alone; ``PolicyDocument/standard`` says the same.
package struct Classification: Hashable, Sendable {
    /// From the least sensitive. The last is never stored.
    package let classes: [DataClass] = [.activity, .content, .conversation, .review, .credential]

    package static let standard = Classification()

    /// What may be written down at all.
    package var stored: ArraySlice<DataClass> { classes.dropLast() }

    /// The place in ``classes``, from 0; nil: no such class.
    package func sensitivity(of dataClass: DataClass) -> Int? { classes.firstIndex(of: dataClass) }

    package func classify(_ event: Event) -> DataClass {
        if case .text(let text) = event.detail { classify(text.source) } else { .activity }
    }

    /// A batch can be classified without building its events for as long as only these two functions decide.
    package func classify(_ kind: Event.Kind) -> DataClass? { kind == .text ? nil : .activity }

    package func classify(_ source: Event.Text.Source) -> DataClass {
        switch source {
        case .chat, .mail, .transcript: .conversation
        case .review: .review
        case .document, .prompt: .content
        }
    }
}

/// The class of an event by the standard classification.
package func classify(_ event: Event) -> DataClass { Classification.standard.classify(event) }
