import Gate
import Rules
import Wire

/// The policy document, and what is on record of people.
extension Planning {
    func deeds(applying document: [UInt8], over: [String]) throws(Refused) -> [Entry.Deed] {
        guard document.count <= Limits.policyBytesMax else {
            throw Refused(.tooLarge, "\(Mistake.Fault.canonicalTooLarge(bytes: document.count, max: Limits.policyBytesMax))")
        }
        guard let read = reading.document(document) else {
            // Once more, for its mistakes.
            do throws(Mistakes) { _ = try PolicyReader().read(canonical: document) } catch {
                throw Refused(.invalid, "this is no policy document in its canonical form ('sluice policy check' shows its mistakes): \(error.all.first.map { "\($0.fault)" } ?? "it cannot be read")")
            }
            throw Refused(.invalid, "this is no policy document in its canonical form")
        }
        do throws(Mistakes) { _ = try PolicyReader().read(canonical: document, isRecorded: false) } catch {
            throw Refused(.invalid, "this document is not applied ('sluice policy check' shows its mistakes): \(error.all.first.map { "\($0.fault)" } ?? "")")
        }
        guard over == Set(over).sorted() else { throw Refused(.invalid, "the classes whose audience may be larger stand in order, each once") }
        if let unknown = over.first(where: { name in read.classes.first { $0.name == name }?.audienceMax == nil }) {
            throw Refused(.notFound, "the policy sets no audience limit for a class '\(unknown)': there is nothing to go over")
        }
        if let known = planned.policy, known.bytes == document, known.over == Set(over) { return [] }
        return [.policyApplied(document, over: over)]
    }

    // MARK: Records

    func deeds(changing subjects: [String], _ purpose: String, _ kind: RecordKind, given: Bool) throws(Refused) -> [Entry.Deed] {
        try check(subjects)
        guard (1...Limits.nameBytesMax).contains(purpose.utf8.count) else { throw Refused(.invalid, "a purpose has a name of 1 to \(Limits.nameBytesMax) bytes") }
        guard given else {
            // What stops nothing must not look like a success.
            guard subjects.contains(where: { planned.records[$0]?[kind].contains(purpose) ?? false }) else {
                throw Refused(.notFound, "no \(kind.rawValue) of \(subjects.count == 1 ? "'\(subjects[0])'" : "any of these") is on record for '\(purpose)': nothing was withdrawn; 'sluice consent show' lists what is")
            }
            return [.recordsChanged(subjects, purpose: purpose, kind, given: false)]
        }
        var document = PolicyDocument.standard
        if let policy = planned.policy {
            guard let read = reading.document(policy) else { throw Refused(.invalid, "the policy that entry \(policy.index) applied cannot be read here") }
            document = read
        }
        guard document.purposes.contains(where: { $0.name == purpose }) else {
            throw Refused(.notFound, "the policy has no purpose '\(purpose)'; it has \(document.purposes.map(\.name).sorted().joined(separator: ", "))")
        }
        if let erased = subjects.first(where: { planned.isErased($0) }) { throw Refused(.invalid, "'\(erased)' is erased: 'sluice readmit' first") }
        guard subjects.contains(where: { !(planned.records[$0]?[kind].contains(purpose) ?? false) }) else { return [] }
        return [.recordsChanged(subjects, purpose: purpose, kind, given: true)]
    }

    // MARK: Erasing and holding

    func deeds(erasing subjects: [String]) throws(Refused) -> [Entry.Deed] {
        try check(subjects)
        return subjects.allSatisfy { planned.isErased($0) } ? [] : [.erased(subjects)]
    }

    func deeds(readmitting subjects: [String]) throws(Refused) -> [Entry.Deed] {
        try check(subjects)
        if let other = subjects.first(where: { !planned.isErased($0) }) { throw Refused(.notFound, "'\(other)' is not erased: there is nothing to take back") }
        return [.readmitted(subjects)]
    }

    func deeds(holding subjects: [String], _ incident: UInt64) throws(Refused) -> [Entry.Deed] {
        try check(subjects)
        guard let known = planned.incidents[incident] else { throw Refused(.notFound, "there is no incident \(incident): 'sluice incidents' lists them") }
        guard known.state != .closed else { throw Refused(.invalid, "incident \(incident) is closed: it holds nothing any more") }
        guard !(planned.holds[incident] ?? []).isSuperset(of: subjects) else { return [] }
        return [.held(incident: incident, subjects)]
    }

    func deeds(lifting subjects: [String], _ incident: UInt64) throws(Refused) -> [Entry.Deed] {
        try check(subjects)
        guard let held = planned.holds[incident], !held.isDisjoint(with: subjects) else {
            throw Refused(.notFound, "incident \(incident) holds nothing of \(subjects.count == 1 ? "'\(subjects[0])'" : "any of these"): 'sluice hold list' shows what is held")
        }
        return [.holdLifted(incident: incident, subjects)]
    }

    /// Each once, in order, so that two who ask for the same sign the same.
    private func check(_ subjects: [String]) throws(Refused) {
        guard (1...Limits.subjectsPerCommandMax).contains(subjects.count) else {
            throw Refused(.tooLarge, "one command names 1 to \(Limits.subjectsPerCommandMax) subjects, not \(subjects.count): use several")
        }
        guard subjects.allSatisfy({ (1...Limits.nameBytesMax).contains($0.utf8.count) }) else {
            throw Refused(.invalid, "a subject is an id of 1 to \(Limits.nameBytesMax) bytes")
        }
        guard Set(subjects).count == subjects.count else { throw Refused(.invalid, "a subject is named twice") }
    }
}
