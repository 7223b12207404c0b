#if os(Linux)
import Chassis
import Exposure
import Foundation
import Gate
import Messaging
import Rules
import Wire

/// The case that Sluice is built against: a widening that two operators approve by mistake, up to who was exposed to whom.
struct LeakStory {
    private let stage: DemoStage
    private let teller: DemoTeller

    init(_ stage: DemoStage, _ teller: DemoTeller) {
        self.stage = stage
        self.teller = teller
    }

    private static let people = [("demo-ann", "demo-E1", "search", 5), ("demo-bob", "demo-E2", "ads", 3), ("demo-cleo", "demo-E3", "search", 2)]
    private static let (partner, clerk) = ("demo-partner", "demo-clerk")
    private static let purpose = "people-review"

    func play() throws -> LeakEnding {
        let before = try stage.client.query(.policy(WirePolicyQuery())).policy
        // A company's own document is widened by one grant, and by nothing else.
        if !before.document.isEmpty { return try playOn(PolicyFiles.document(canonical: [UInt8](before.document)), before.over) }
        let directory = try prepare()
        teller.tell("\(stage.operators) approve, by mistake, that everybody may read reviews: grant wiki-export")
        var wide = try LeakStory.document()
        wide.grants.append(.init("wiki-export", role: PolicyDocument.everyone, purpose: LeakStory.purpose, classes: ["review"], subjects: .everyone))
        let applied = try stage.both(.applyPolicy(WirePolicyApplied(wide.canonical, [])))
        let back = try LeakStory.document().canonical
        return try puttingBack(back, []) { try end(applied.entry, directory: directory, got: try readBeforeItIsFound(), back: back, over: []) }
    }

    /// Whatever comes between, the mistake does not stay in force.
    private func puttingBack(_ back: [UInt8], _ over: [String], _ story: () throws -> LeakEnding) throws -> LeakEnding {
        do { return try story() } catch {
            do { try stage.one(.applyPolicy(WirePolicyApplied(back, over))) } catch let other {
                throw Complaint("\(error); and the policy could not be put back (\(other)): 'sluice policy apply' the one before")
            }
            throw error
        }
    }

    /// On a document in force: everybody may read a class that is for few, and, as the grant says too, nothing of it.
    private func playOn(_ document: PolicyDocument, _ over: [String]) throws -> LeakEnding {
        let limited = Set(document.classes.filter { $0.audienceMax != nil }.map(\.name)).subtracting(over)
        guard let purpose = document.purposes.first(where: { !$0.classes.isDisjoint(with: limited) }), let name = purpose.classes.intersection(limited).min() else {
            throw Complaint("the policy in force limits the audience of no class that a purpose uses: nothing can leak by a mistake there")
        }
        var wide = document
        let until = Clock.wall() + .seconds(3_600)
        wide.grants.append(.init("demo-leak", role: PolicyDocument.everyone, purpose: purpose.name, classes: [name], subjects: .everyone, expires: until, rate: GrantRate(subjects: 0, per: .day)))
        teller.tell("\(stage.operators) approve, by mistake, that everybody may read \(name): grant demo-leak, of no subjects a day")
        let applied = try stage.both(.applyPolicy(WirePolicyApplied(wide.canonical, over)))
        return try puttingBack(document.canonical, over) { try end(applied.entry, directory: nil, got: nil, back: document.canonical, over: over) }
    }

    // MARK: Before

    /// Three people whose reviews are captured, one partner who may read them, and a clerk who may not. Returns the directory's file.
    ///
    /// Policy is not given the directory: by it `audience` would close before anybody can read, and there would be nobody who did.
    private func prepare() throws -> String {
        let directory = stage.home.file("demo-people.csv")
        var rows = ["subject,name,mail,team,site,locale"]
        rows += LeakStory.people.map { "\($0.1),\($0.0),\($0.1)@example.com,\($0.2),berlin,de" }
        rows += (4...12).map { "demo-E\($0),somebody,demo-E\($0)@example.com,sales,berlin,de" }
        do { try (rows.joined(separator: "\n") + "\n").write(toFile: directory, atomically: true, encoding: .utf8) } catch { throw Complaint("cannot write \(directory): \(error.localizedDescription)") }
        var register = WireRegister()
        register.nodes = try LeakStory.people.map { try stage.makeAgent($0.0, $0.1, site: "berlin", team: $0.2) }
        register.nodes.append(try stage.makeReader(LeakStory.partner, "demo-E4", site: "berlin", team: "sales"))
        register.nodes.append(try stage.makeReader(LeakStory.clerk, "demo-E5", site: "berlin", team: "sales"))
        try stage.both(.register(register))
        try stage.both(.applyPolicy(WirePolicyApplied(LeakStory.document().canonical, [])))
        let stored = { try gauge("vault.events") }
        let (already, all) = (try stored(), Int64(LeakStory.people.reduce(0) { $0 + $1.3 }))
        for (name, _, _, count) in LeakStory.people {
            try stage.startAgent(name)
            try stage.send((0..<count).map { _ in "{\"at\":\"\(Clock.wall().rfc3339)\",\"kind\":\"text\",\"source\":\"review\",\"text\":\"what a partner wrote about a colleague\"}" }, to: name)
        }
        try stage.wait("the reviews are stored") { try stored() >= already + all ? true : nil }
        // Policy may hear of a reader a moment after control does.
        let read = try stage.wait("the partner may read") { try DemoReader(LeakStory.partner, stage.home).read(LeakStory.purpose, "review") }
        teller.tell("\(all) reviews of \(LeakStory.people.count) people are stored; \(LeakStory.partner), who may, has read \(read) of them")
        let denied = try DemoReader(LeakStory.clerk, stage.home).read(LeakStory.purpose, "review")
        guard denied == nil else { throw Complaint("an ordinary employee may read reviews before anything was widened: the story makes no sense here") }
        teller.tell("\(LeakStory.clerk), an ordinary employee, asks for them and is denied, on record")
        return directory
    }

    private func gauge(_ name: String) throws -> Int64 {
        try stage.client.query(.status(WireStatusQuery())).status.services.first { $0.name == "policy" }?.gauges[name] ?? 0
    }

    /// The clerk tries until it works, or until it is found: who is first is nobody's to say.
    ///
    /// - Returns: events that left; nil: it was found before.
    private func readBeforeItIsFound() throws -> Int? {
        let reader = try DemoReader(LeakStory.clerk, stage.home)
        let got: Int?? = try stage.wait("somebody reads, or it is found") {
            if let events = try reader.read(LeakStory.purpose, "review") { return .some(events) }
            return try closure() == nil ? nil : .some(nil)
        }
        if let events = got ?? nil { teller.tell("\(LeakStory.clerk) asks again, and gets \(events) reviews") }
        return got ?? nil
    }

    // MARK: After

    /// In force by a detector.
    private func closure() throws -> WireClosure? {
        try stage.client.query(.closures(WireClosuresQuery())).closures.closures.first { $0.author.hasPrefix("detector ") }
    }

    private func end(_ applied: UInt64, directory: String?, got: Int?, back: [UInt8], over: [String]) throws -> LeakEnding {
        let closure = try stage.wait("it is found", until: closure)
        let found = try IncidentCommand.ask(closure.incident, stage.client).steps.first { $0.what == "found" } ?? WireIncidentStep()
        teller.tell("FINDING  \(found.detector)   \(found.text)", at: found.foundUs)
        teller.tell("reads closed in policy", at: found.foundUs + Int64(found.closedAfterUs))
        teller.tell("PAUSED   \(Show.selector(closure)), epoch \(closure.epoch), by \(closure.author)   incident \(closure.incident)", at: closure.fromUs)
        let certificate = try stage.wait("its certificate is complete") {
            let certificate = try stage.client.query(.certificate(closure.epoch)).certificate
            return certificate.complete ? certificate : nil
        }
        let stop = StopSummary(certificate)
        let acknowledged = closure.fromUs + Int64(max(stop.agentsUs, stop.servicesUs))
        teller.tell("\(stop.services)/\(stop.servicesAll) services and \(stop.agents)/\(stop.agentsAll) agents have acknowledged\(stop.silent > 0 ? ", the lease of \(stop.silent) has ended" : "")", at: acknowledged)
        teller.tell("\(certificate.closure.selector == WireSelector() && certificate.closure.direction == .both ? "STOPPED EVERYWHERE" : "STOPPED")   certificate \(certificate.epoch)", at: closure.fromUs + Int64(certificate.completeAfterUs))
        if directory != nil {
            guard try DemoReader(LeakStory.partner, stage.home).read(LeakStory.purpose, "review") == nil else { throw Complaint("the partner reads on: the stop is none") }
            teller.tell("\(LeakStory.partner) asks too, and is told that reading is paused")
        }
        // By the ordinary way: it takes away, so that one may.
        let restored = try stage.one(.applyPolicy(WirePolicyApplied(back, over)))
        teller.tell(restored.hasProposal ? "the policy is proposed as it was: proposal \(restored.proposal.proposal) waits for a second operator" : "the policy is as it was, by \(SuiteHome.operators[0]) alone: it takes away")
        let files = try stage.wait("what was read is on record, with its end") { try exposure(closure.incident, directory) }
        return LeakEnding(applied: applied, found: found, certificate: certificate, incident: try IncidentCommand.ask(closure.incident, stage.client), exposure: files, got: got, toldAt: teller.told.first { $0.what.contains("by mistake") }?.us ?? 0)
    }

    private func exposure(_ incident: UInt64, _ directory: String?) throws -> ExposureFiles? {
        let files = try ExposureFiles(.init(incident: incident, people: directory), in: LedgerFiles(stage.home), at: Clock.wall())
        return files.assessment.gaps.contains { if case .notEnded = $0 { true } else { false } } ? nil : files
    }

    /// Reviews are for few; two purposes use them, so that the outsider asks for each every four seconds.
    private static func document() throws -> PolicyDocument {
        let text = """
            {"version": 1,
             "classes": [{"name": "activity", "retention": "30 days", "audience": "unlimited"}, {"name": "review", "retention": "30 days", "audience": 3}],
             "rules": [{"class": "activity", "kind": ["pointer", "key", "window", "presence"]}, {"class": "review", "source": ["review"]}],
             "capture": [{"for": "everyone", "as": "keep"}],
             "purposes": [{"name": "people-review", "basis": "legal-obligation", "classes": ["review"]}, {"name": "coaching", "basis": "legal-obligation", "classes": ["review"]}],
             "roles": [{"name": "partners", "members": ["demo-partner"]}],
             "access": [{"name": "review-cycle", "role": "partners", "purpose": "people-review", "classes": ["review"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
             "leaks": [{"detector": "outsider", "close": "both", "of": "everything"}]}
            """
        return try PolicyFiles.told("the demonstration's policy") { () throws(Mistakes) in try PolicyReader().read(Tree(json: Array(text.utf8))) }
    }
}

/// What the story came to.
struct LeakEnding {
    /// The entry that applied the mistake.
    let applied: UInt64
    let found: WireIncidentStep
    let certificate: WireCertificate
    let incident: WireIncident
    let exposure: ExposureFiles
    /// Events that the clerk got; nil: it was found before, or nobody tried.
    let got: Int?
    /// When the mistake was signed.
    let toldAt: Int64

    var lines: [String] {
        let stop = StopSummary(certificate)
        return [
            "",
            "found \(Show.span(microseconds: max(0, found.foundUs - toldAt))) after the mistake   reads closed \(Show.span(microseconds: found.closedAfterUs)) after that   \(stop.agents) agents in \(Show.span(microseconds: stop.agentsUs))   stopped everywhere in \(Show.span(microseconds: certificate.completeAfterUs))",
            "",
        ] + ExposureView(exposure, exposure.assessment).summary
    }

    func showJSON(_ stage: DemoStage, _ teller: DemoTeller, _ keeping: Bool) throws {
        let stop = StopSummary(certificate)
        let totals = exposure.assessment.totals
        var object: [String: Any] = [
            "own_suite": stage.isOwn, "applied": applied, "incident": incident.incident, "state": incident.state, "epoch": certificate.epoch, "complete": certificate.complete,
            "found_after_us": max(0, found.foundUs - toldAt), "reads_closed_after_us": found.closedAfterUs, "complete_after_us": certificate.completeAfterUs, "lease_ms": certificate.leaseMs,
            "agents": stop.agents, "agents_all": stop.agentsAll, "services": stop.services, "services_all": stop.servicesAll,
            "exposed_subjects": totals.subjects, "exposed_events": totals.events, "could_people": totals.people, "could_keys": totals.keys, "did_readers": totals.readers,
            "did_subjects": [totals.readSubjects.lowerBound, totals.readSubjects.upperBound], "did_events": [totals.readEvents.lowerBound, totals.readEvents.upperBound],
            "told": teller.told.map { ["at_us": $0.us, "what": $0.what] },
        ]
        if let got { object["clerk_got"] = got }
        if keeping || !stage.isOwn { object["home"] = stage.home.path }
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}
#endif
