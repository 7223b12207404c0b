import Gate
import Rules
import Wire

extension ReadRefusal {
    var refusal: Refusal {
        switch why {
        case .denial, .noDocument: .denied
        case .overRate: .overRate
        }
    }

    /// For the reader.
    func text(_ reader: String, _ purpose: String, events: Int64 = 0, subjects: Int = 0) -> String {
        switch why {
        case .denial(let denial): return denial.text(reader, purpose, dataClass?.name ?? "", of: of)
        case .overRate(let grant, let rate, let taken):
            var parts: [String] = []
            if let max = rate.events { parts.append("\(max) events, and \(taken.events) were taken") }
            if let max = rate.subjects { parts.append("\(max) subjects, and \(Int64(taken.subjects.count) + taken.uncounted) were taken") }
            return "grant '\(grant)' allows in any \(rate.per.rawValue) \(parts.joined(separator: "; ")); this read may take \(events) events of \(subjects) subjects: ask for less, or later"
        case .noDocument: return "no policy document is in force: nobody may read; 'sluice policy apply FILE' puts one in force, and takes two operators"
        }
    }
}

extension Policy.Denial {
    func text(_ reader: String, _ purpose: String, _ dataClass: String, of who: String) -> String {
        let whose = who.isEmpty ? "anybody" : "'\(who)'"
        return switch self {
        case .unknownPurpose: "the policy document has no purpose '\(purpose)'"
        case .unknownClass: "the policy document has no class '\(dataClass)'"
        case .neverStored: "'\(dataClass)' is never stored"
        case .notOfPurpose: "the purpose '\(purpose)' is not for '\(dataClass)'"
        case .noGrant: "no grant gives \(reader) '\(dataClass)' for '\(purpose)'"
        case .subjectNotCovered: "no grant gives \(reader) '\(dataClass)' of \(whose) for '\(purpose)'"
        case .expired(let grant, let at): "grant '\(grant)' ended at \(at.day)"
        case .noRecord(let record): "it is on record of nobody in \(who.isEmpty ? "it" : whose) that they \(record == .consent ? "agreed to" : "were told of") '\(purpose)'"
        }
    }
}
