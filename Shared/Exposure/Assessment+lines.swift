import Gate

extension Assessment {
    /// JSON, a line for each thing, keys and lines in a fixed order: the same history makes the same bytes. Times are microseconds of the ledgers' clocks.
    ///
    /// `exposure` first, then each `gap`, who is `planted`, if anybody is, and each `audience`, `could`, `release` and `subject`. What a `could` says of its group holds for a subject within that
    /// subject's own times.
    package var lines: [[UInt8]] {
        [head] + gaps.map(\.line) + nobody + audiences.enumerated().map { line(of: $1, $0) } + groups.enumerated().map { line(of: $1, $0) } + releases.map { line(of: $0) }
            + exposed.map { line(of: $0) }
    }

    private var head: [UInt8] {
        var line = JSONLine("exposure")
        line.put("version", 1)
        line.put("incident", question.incident)
        line.put(question.period)
        let scope = question.scope
        line.put("classes", texts: scope.classes.map(\.name).sorted())
        line.put("sites", texts: scope.sites.sorted())
        line.put("teams", texts: scope.teams.sorted())
        line.put("subjects", texts: scope.subjects.sorted())
        line.put("readers", texts: scope.readers.sorted())
        line.put("purposes", texts: scope.purposes.sorted())
        line.put("exposed_subjects", totals.subjects)
        line.put("exposed_events", totals.events)
        line.put("exposed_unknown", totals.eventsUnknown)
        line.put("could_people", totals.people)
        line.put("could_keys", totals.keys)
        line.put("did_releases", totals.releases)
        line.put("did_readers", totals.readers)
        line.put("did_subjects", numbers: [totals.readSubjects.lowerBound, totals.readSubjects.upperBound])
        line.put("did_events", numbers: [totals.readEvents.lowerBound, totals.readEvents.upperBound])
        line.put("probes", numbers: probes)
        return line.finished
    }

    private var nobody: [[UInt8]] {
        guard !planted.isEmpty else { return [] }
        var line = JSONLine("planted")
        line.put("subjects", texts: planted)
        return [line.finished]
    }

    private func line(of audience: Audience, _ number: Int) -> [UInt8] {
        var line = JSONLine("audience")
        line.put("audience", number)
        line.put("people", audience.people)
        line.put(
            "keys",
            objects: audience.keys.map { key in
                var line = JSONLine()
                line.put("reader", text: key.name)
                if !key.person.isEmpty { line.put("person", text: key.person) }
                if !key.periods.isEmpty { line.put("periods", values: key.periods.map(\.line)) }
                return line
            })
        return line.finished
    }

    private func line(of could: CouldRead, _ number: Int) -> [UInt8] {
        var line = JSONLine("could")
        line.put("group", number)
        line.put("class", text: could.dataClass.name)
        line.put("people", could.people)
        line.put("keys", could.keys)
        line.put(
            "windows",
            objects: could.windows.map { window in
                var line = JSONLine()
                line.put(window.period)
                line.put("grant", text: window.grant)
                line.put("role", text: window.role)
                line.put("purpose", text: window.purpose)
                line.put("policies", numbers: [window.policies.lowerBound, window.policies.upperBound])
                line.put("audience", window.audience)
                return line
            })
        return line.finished
    }

    private func line(of one: ReleaseInScope) -> [UInt8] {
        let release = one.release
        var line = JSONLine("release")
        line.put("release", release.number)
        line.put("entry", release.entry)
        line.put("reader", text: release.reader)
        if !release.person.isEmpty { line.put("person", text: release.person) }
        line.put("roles", texts: release.roles.sorted())
        line.put("grants", texts: release.grants.sorted())
        line.put("policy", release.policy)
        line.put("purpose", text: release.purpose)
        line.put("classes", texts: release.classes.map(\.name).sorted())
        line.put("asked", text: release.asked)
        line.put("opened_us", release.opened.microsecondsDown)
        if let ended = release.ended { line.put("ended_us", ended.microsecondsUp) }
        if !release.cutOff.isEmpty { line.put("cut_off", text: release.cutOff) }
        line.put("left", release.events)
        line.put("events", numbers: [one.events.lowerBound, one.events.upperBound])
        line.put("subjects", numbers: [one.subjects.lowerBound, one.subjects.upperBound])
        return line.finished
    }

    private func line(of one: ExposedSubject) -> [UInt8] {
        var line = JSONLine("subject")
        line.put("subject", text: one.subject)
        line.put("class", text: one.dataClass.name)
        if let period = one.period { line.put(period) }
        if let events = one.events { line.put("events", events) }
        if let could = one.could { line.put("could", could) }
        line.put(
            "did",
            objects: one.did.map { part in
                var line = JSONLine()
                line.put("release", releases[part.release].release.number)
                line.put("events", numbers: [part.events.lowerBound, part.events.upperBound])
                return line
            })
        if !one.gaps.isEmpty { line.put("gaps", texts: one.gaps) }
        return line.finished
    }

    // MARK: CSV

    package static let csvHead = "subject,class,exposed_from,exposed_until,events,could_people,could_keys,did_releases,did_readers,did_events_least,did_events_most,gaps"

    /// RFC 4180, a row for each subject and class, after ``csvHead``. A value that a spreadsheet would run is written so that it does not.
    package var csvRows: [String] {
        exposed.map { one in
            let could = one.could.map { groups[$0] }
            let least = one.did.reduce(Int64(0)) { $0 + $1.events.lowerBound }
            let most = one.did.reduce(Int64(0)) { $0 + $1.events.upperBound }
            let readers = Set(one.did.map { releases[$0.release].release.reader }).count
            let cells: [String] = [
                Assessment.cell(one.subject), Assessment.cell(one.dataClass.name), one.period?.from.stamp ?? "", one.period?.until.stamp ?? "", one.events.map(String.init) ?? "",
                "\(could?.people ?? 0)", "\(could?.keys ?? 0)", "\(one.did.count)", "\(readers)", "\(least)", "\(most)", one.gaps.joined(separator: " "),
            ]
            return cells.joined(separator: ",")
        }
    }

    private static func cell(_ text: String) -> String {
        let neutral = text.first.map { "=+-@\t\r".contains($0) } ?? false ? "'" + text : text
        guard neutral.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return neutral }
        return "\"" + neutral.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

extension ExposureHistory.ReleaseOnRecord {
    /// Whom it was asked for.
    package var asked: String {
        if subjects.isEmpty, teams.isEmpty { return "everyone" }
        let names = subjects.prefix(3) + (subjects.count > 3 ? ["\(subjects.count - 3) more"] : [])
        return (names + teams.prefix(3).map { "team \($0)" } + (teams.count > 3 ? ["\(teams.count - 3) more teams"] : [])).joined(separator: ", ")
    }
}

extension Period {
    fileprivate var line: [UInt8] {
        var line = JSONLine()
        line.put(self)
        return line.finished
    }
}

extension Gap {
    var line: [UInt8] {
        var line = JSONLine("gap")
        line.put("gap", text: word)
        switch self {
        case .policy(let index, let period, let why):
            line.put("policy", index)
            line.put(period)
            line.put("why", text: why)
        case .policyBefore(let at), .directoryBefore(let at): line.put("until_us", at.microsecondsUp)
        case .reads(let why), .governance(let why): line.put("why", text: why)
        case .directoryUnknown, .holdingsFewer: break
        case .keysUndated(let readers): line.put("readers", texts: readers)
        case .clockBack(let period, let entry):
            line.put(period)
            line.put("entry", entry)
        case .clockApart(let release, let by):
            line.put("release", release)
            line.put("by_us", by.microseconds)
        case .releasedBefore(let releases), .notNamed(let releases), .notEnded(let releases): line.put("releases", numbers: releases)
        case .erased(let subjects), .placeUnknown(let subjects): line.put("subjects", texts: subjects)
        }
        return line.finished
    }
}
