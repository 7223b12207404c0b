import Exposure
import Gate
import Rules
import Testing

/// Histories of which everybody can say what must come out.
struct AssessmentTests {
    private static let review = DataClass("review")

    private static func document(_ members: Set<String> = ["partner"], _ more: [PolicyDocument.Grant] = [], roles: [PolicyDocument.Role] = []) -> PolicyDocument {
        PolicyDocument(
            classes: [.init("activity", retention: .seconds(3_600), audienceMax: nil), .init("review", retention: .seconds(3_600), audienceMax: nil)],
            purposes: [.init("review-cycle", basis: .legalObligation, classes: ["review", "activity"])], roles: [.init("partners", members: members)] + roles,
            grants: [.init("cycle", role: "partners", purpose: "review-cycle", classes: ["review"])] + more)
    }

    private static func wide(_ name: String = "wiki", role: String = PolicyDocument.everyone) -> PolicyDocument.Grant {
        .init(name, role: role, purpose: "review-cycle", classes: ["review"])
    }

    private static func place(_ subject: String, team: String = "search") -> ReadPlace { ReadPlace(Scope(subject: subject, site: "berlin", team: team), review) }

    /// Two subjects with ten reviews each; of the readers one may, until something changes.
    private static func history(_ versions: [(at: Int, PolicyDocument)] = [(0, document())]) -> ExposureHistory {
        var history = ExposureHistory()
        history.policies = versions.enumerated().map { .init(index: UInt64(100 + $0), at: ms($1.at), .known($1.1)) }
        history.keys = [("partner", "E9"), ("clerk", "E8")].map { .init($0.0, person: Person($0.1, site: "berlin", team: "search"), .always) }
        history.directory = ["E1", "E2", "E8", "E9"].map { .init(Person($0, site: "berlin", team: "search"), .always) }
        history.holdings = ["E1", "E2"].map { .init(place($0), first: ms(0), events: 10) }
        return history
    }

    private static func release(
        _ number: UInt64, of included: [String]?, by reader: String = "clerk", _ opened: Int, _ ended: Int?, _ events: Int64, most: Int64? = nil, teams: [String] = []
    ) -> ExposureHistory.ReleaseOnRecord {
        var release = ExposureHistory.ReleaseOnRecord(
            number: number, entry: number * 2, reader: reader, policy: 100, purpose: "review-cycle", classes: [review], subjects: teams.isEmpty ? included ?? [] : [], included: included,
            opened: ms(opened), ended: ended.map { ms($0) }, events: events, most: most ?? events)
        release.teams = teams
        return release
    }

    private static func assess(_ history: ExposureHistory, _ scope: Selector = Selector(classes: [review])) -> Assessment {
        Assessment(ExposureQuestion(incident: 7, ms(20, 80), of: scope), from: history)
    }

    private static func windows(_ found: Assessment, of subject: String = "E1") -> [Assessment.Window] {
        found.exposed.first { $0.subject == subject }?.could.map { found.groups[$0].windows } ?? []
    }

    private static func text(_ found: Assessment) -> String { found.lines.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n") }

    // MARK: Could

    @Test func `a grant that lasted a millisecond is in the list, with the millisecond and the document`() {
        let found = AssessmentTests.assess(AssessmentTests.history([(0, AssessmentTests.document()), (40, AssessmentTests.document(["partner"], [AssessmentTests.wide()])), (41, AssessmentTests.document())]))
        let wide = AssessmentTests.windows(found).filter { $0.grant == "wiki" }
        #expect(wide.map(\.period) == [ms(40, 41)] && wide.map(\.policies) == [101...101])
        #expect(found.audiences[wide[0].audience].keys.map(\.name) == ["clerk", "partner"])
        #expect(found.audiences[wide[0].audience].people == 4)
        // What stood in all three is one window.
        #expect(AssessmentTests.windows(found).filter { $0.grant == "cycle" }.map(\.policies) == [100...102])
        #expect(found.totals.people == 4 && found.totals.subjects == 2 && found.totals.events == 20)
    }

    @Test func `a reader who was revoked and registered anew could read in both times, and not between`() {
        var history = AssessmentTests.history()
        history.keys = [.init("partner", ms(0, 30)), .init("partner", ms(50, 200))]
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(found).map(\.period) == [ms(20, 30), ms(50, 80)])
        #expect(found.exposed[0].period == ms(20, 80))
        // Somebody whom a role names had the right all the time, and no key.
        history.policies = [.init(index: 100, at: ms(0), .known(AssessmentTests.document(["partner", "E2"])))]
        let both = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(both).map(\.period) == [ms(20, 80)] && both.totals.people == 2 && both.totals.keys == 1)
        #expect(both.audiences[0].keys.first?.periods == [ms(20, 30), ms(50, 80)])
    }

    @Test func `whoever moved to another team is read by it from then on, and only what lay in both`() {
        let ads = AssessmentTests.wide("ads", role: "ads-leads")
        var grant = ads
        grant.subjects = Group(only: .init(teams: ["ads"]))
        var history = AssessmentTests.history([(0, AssessmentTests.document([], [grant], roles: [.init("ads-leads", members: ["clerk"])]))])
        history.directory = [.init(Person("E1", site: "berlin", team: "search"), ms(0, 50)), .init(Person("E1", site: "berlin", team: "ads"), ms(50, 200))]
        history.holdings = [.init(AssessmentTests.place("E1"), first: ms(0), events: 10), .init(AssessmentTests.place("E1", team: "ads"), first: ms(60), events: 3)]
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(found).map(\.period) == [ms(60, 80)])
        #expect(found.exposed.map(\.events) == [3], "what was captured in search is read by grants for both")
        // And the reader who moves has the role of where they are registered.
        history = AssessmentTests.history([(0, AssessmentTests.document([], [AssessmentTests.wide("lead", role: "leads")], roles: [.init("leads", people: Group(only: .init(teams: ["ads"])))]))])
        history.keys = [.init("mover", person: Person("E7", site: "berlin", team: "search"), ms(0, 30)), .init("mover", person: Person("E7", site: "berlin", team: "ads"), ms(30, 45))]
        #expect(AssessmentTests.windows(AssessmentTests.assess(history)).map(\.period) == [ms(30, 45)])
    }

    @Test func `where it was denied by default nobody could read before there was a document`() {
        var history = AssessmentTests.history([(50, AssessmentTests.document())])
        history.policies.insert(.init(index: 0, at: .distantPast, .known(.nothing)), at: 0)
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(found).map { [$0.grant, "\($0.policies)"] } == [["cycle", "100...100"]])
        #expect(found.gaps == [])
    }

    @Test func `in a ledger from before default deny every key could read until there was a document, and nobody without one`() {
        var history = AssessmentTests.history([(50, AssessmentTests.document())])
        history.policies.insert(.init(index: 0, at: .distantPast, .none), at: 0)
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(found).map { [$0.grant, "\($0.policies)"] } == [["", "0...0"], ["cycle", "100...100"]])
        #expect(found.totals.people == 2 && found.totals.keys == 2 && found.gaps == [])
    }

    @Test func `a closure for one reader closes it to that reader alone`() {
        var history = AssessmentTests.history([(0, AssessmentTests.document(["partner"], [AssessmentTests.wide(role: "clerks")], roles: [.init("clerks", members: ["clerk"])]))])
        history.closures = [Closure(epoch: Epoch(3), direction: .read, selector: Selector(readers: ["clerk"]), reason: "", author: "", incident: 0, from: ms(40), until: nil)]
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.windows(found).map { "\($0.grant) \($0.period == ms(20, 40))" } == ["wiki true", "cycle false"])
        history.closures[0].selector = .everything
        #expect(AssessmentTests.assess(history).exposed.map(\.period) == [ms(20, 40), ms(20, 40)])
    }

    // MARK: Did

    @Test func `who could and who did are apart`() {
        var history = AssessmentTests.history([(0, AssessmentTests.document()), (40, AssessmentTests.document(["partner", "clerk"]))])
        history.releases = [AssessmentTests.release(9, of: ["E1"], 50, 51, 10)]
        let found = AssessmentTests.assess(history)
        #expect(found.totals.keys == 2 && found.totals.readers == 1 && found.totals.readEvents == 10...10 && found.totals.readSubjects == 1...1)
        #expect(found.exposed.map { $0.did.map(\.events) } == [[10...10], []])
        // And a read is one that nobody could have made, too: it is in the ledger.
        history.policies.removeLast()
        let alone = AssessmentTests.assess(history)
        #expect(alone.totals.keys == 1 && alone.totals.readers == 1)
    }

    @Test func `a read that was cut off midway is of those whom it reached, if the vault is as it was`() {
        var history = AssessmentTests.history()
        var release = AssessmentTests.release(9, of: ["E1", "E2"], 50, 51, 13, most: 20)
        release.cutOff = "paused"
        history.releases = [release]
        #expect(AssessmentTests.assess(history).exposed.map { $0.did.map(\.events) } == [[0...10], [0...10]], "nobody has asked the vault")
        history.releases[0].shares = [.init("E1", AssessmentTests.review, events: 10), .init("E2", AssessmentTests.review, events: 10)]
        let found = AssessmentTests.assess(history)
        #expect(found.exposed.map { $0.did.map(\.events) } == [[10...10], [3...3]] && found.totals.readEvents == 13...13 && found.totals.readSubjects == 2...2)
        // Something has come since, or gone: what was in it is a range again.
        history.releases[0].shares?[0].events = 11
        #expect(AssessmentTests.assess(history).exposed.map { $0.did.map(\.events) } == [[0...10], [0...10]])
    }

    @Test func `a release to a team is of those whom its entry names, whoever is in the team now; without names, of whoever may have been`() {
        var history = AssessmentTests.history()
        history.directory = [.init(Person("E1", site: "berlin", team: "search"), ms(0, 55)), .init(Person("E1", site: "berlin", team: "ads"), ms(55, 200)), .init(Person("E2", site: "berlin", team: "search"), ms(55, 200))]
        history.holdings[1].place.scope.team = "ads"
        history.releases = [AssessmentTests.release(9, of: ["E1"], 50, 51, 10, teams: ["search"])]
        let named = AssessmentTests.assess(history)
        #expect(named.exposed.map { "\($0.subject) \($0.did.count)" } == ["E1 1", "E2 0"] && named.gaps == [])
        history.releases = [AssessmentTests.release(9, of: nil, 50, 51, 10, teams: ["search"])]
        let unnamed = AssessmentTests.assess(history)
        #expect(unnamed.exposed.map { $0.did.map(\.events) } == [[0...10], []], "what was captured of E2 was in ads")
        #expect(unnamed.gaps == [.notNamed([9])] && unnamed.totals.readSubjects == 0...1)
        history.releases = [AssessmentTests.release(9, of: nil, 50, 51, 10)]
        #expect(AssessmentTests.assess(history).exposed.map { $0.did.map(\.events) } == [[0...10], [0...10]])
    }

    @Test func `what left before is named, and is no read of the incident`() {
        var history = AssessmentTests.history()
        history.releases = [AssessmentTests.release(8, of: ["E1"], 1, 20, 10), AssessmentTests.release(9, of: ["E1"], 19, 21, 4), AssessmentTests.release(10, of: ["E1"], 80, 81, 10)]
        let found = AssessmentTests.assess(history)
        #expect(found.gaps == [.releasedBefore([8])] && found.releases.map(\.release.number) == [9])
    }

    @Test func `what policy's own probe was released is listed, and is nobody's read, unless somebody has that name`() {
        var history = AssessmentTests.history()
        history.probe = "clerk"
        history.releases = [AssessmentTests.release(9, of: ["E1"], 50, 51, 10), AssessmentTests.release(10, of: ["E1"], by: "partner", 60, 61, 10)]
        let named = AssessmentTests.assess(history)
        #expect(named.totals.readers == 2 && named.probes == [])
        history.keys.removeLast()
        let probed = AssessmentTests.assess(history)
        #expect(probed.totals.readers == 1 && probed.probes == [9] && probed.releases.map(\.release.number) == [10] && probed.exposed[0].did.count == 1)
    }

    // MARK: Gaps

    @Test func `a document that nobody can read is a gap, and everybody is listed with it`() {
        var history = AssessmentTests.history([(0, AssessmentTests.document([])), (30, AssessmentTests.document([])), (40, AssessmentTests.document([]))])
        #expect(AssessmentTests.assess(history).exposed == [])
        history.policies[1].document = .unknown("it is of a later version")
        let found = AssessmentTests.assess(history)
        #expect(found.gaps == [.policy(index: 101, ms(30, 40), why: "it is of a later version")])
        #expect(found.exposed.map(\.subject) == ["E1", "E2"] && found.totals.subjects == 0)
        history.policies.remove(at: 1)
        history.policies[0].tenure = Tenure(from: ms(35))
        #expect(AssessmentTests.assess(history).gaps == [.policyBefore(ms(35))])
    }

    @Test func `of somebody who was erased it is said until when, and that nobody knows how much`() {
        var history = AssessmentTests.history()
        history.erasures = [.init("E1", at: ms(60)), .init("E3", at: ms(70))]
        history.holdings[0].events = nil
        history.releases = [AssessmentTests.release(9, of: ["E1"], by: "partner", 50, 51, 10)]
        let found = AssessmentTests.assess(history)
        let one = found.exposed[0]
        #expect(one.period == ms(20, 60) && one.events == nil && one.gaps == ["erased"] && one.did.map(\.events) == [10...10])
        #expect(found.gaps == [.erased(["E1", "E3"])] && found.totals.events == 10 && found.totals.eventsUnknown == 1)
        // Nothing says where they were: the read is there all the same.
        history.holdings.removeFirst()
        history.holdingsAreFewer = true
        let unplaced = AssessmentTests.assess(history)
        #expect(unplaced.exposed.first { $0.subject == "E1" }?.gaps == ["erased", "place-unknown"])
        #expect(unplaced.gaps == [.holdingsFewer, .erased(["E1", "E3"]), .placeUnknown(["E1"])])
    }

    @Test func `a document whose hours the clock went through twice counts in all of them, and not only where the next one overlaps it`() {
        var history = AssessmentTests.history([(0, AssessmentTests.document()), (30, AssessmentTests.document(["clerk"])), (45, AssessmentTests.document([]))])
        let straight = AssessmentTests.windows(AssessmentTests.assess(history)).filter { $0.policies == 101...101 }.map(\.period)
        #expect(straight == [ms(30, 45)])
        // It was 60 when the clock went back to 40, and then 45 when the next one came.
        history.policies[1].tenure.clockWent(backTo: ms(40), from: ms(60))
        let found = AssessmentTests.assess(history)
        let after60 = WallTime(nanoseconds: ms(60).nanoseconds + 1)
        #expect(AssessmentTests.windows(found).filter { $0.policies == 101...101 }.map(\.period) == [Period(from: ms(30), until: after60)])
        #expect(found.gaps == [.clockBack(Period(from: ms(45), until: after60), entry: 102)])
    }

    @Test func `what counted while the clock was set back counted through all that it showed`() {
        var tenure = Tenure(from: ms(50))
        #expect(tenure.ended(at: ms(60)) == ms(50, 60))
        #expect(tenure.ended(at: ms(40)) == ms(40, 40), "the clock went back at its end, and nobody said so")
        tenure.clockWent(backTo: ms(20), from: ms(55))
        #expect(tenure.ended(at: ms(30)) == Period(from: ms(20), until: WallTime(nanoseconds: ms(55).nanoseconds + 1)))
        tenure.clockWent(backTo: ms(25), from: ms(30))
        #expect(tenure.ended(at: ms(70)) == ms(20, 70))
    }

    @Test func `a clock that was set back leaves both documents in the list, and a gap`() {
        var history = AssessmentTests.history([(0, AssessmentTests.document()), (50, AssessmentTests.document(["clerk"])), (40, AssessmentTests.document([]))])
        let found = AssessmentTests.assess(history)
        #expect(found.gaps == [.clockBack(Period(from: ms(40), until: WallTime(nanoseconds: ms(50).nanoseconds + 1)), entry: 102)])
        #expect(Set(AssessmentTests.windows(found).map(\.policies)) == [100...100, 101...101])
        history.policies = AssessmentTests.history([(0, AssessmentTests.document()), (10_000, AssessmentTests.document())]).policies
        history.releases = [AssessmentTests.release(9, of: ["E1"], 50, 51, 10)]
        #expect(AssessmentTests.assess(history).gaps == [])
        history.releases[0].policy = 101
        #expect(AssessmentTests.assess(history).gaps == [.clockApart(release: 9, by: .milliseconds(9_950))])
    }

    // MARK: Bytes

    @Test func `a person's own part holds nobody else`() {
        var history = AssessmentTests.history()
        history.holdings += ["E3", "E4"].map { .init(AssessmentTests.place($0), first: ms(0), events: 10) }
        history.releases = [AssessmentTests.release(9, of: ["E1", "E3"], by: "partner", 50, nil, 13), AssessmentTests.release(10, of: ["E4"], by: "partner", 50, 51, 10)]
        history.erasures = [.init("E4", at: ms(60))]
        let whole = AssessmentTests.assess(history)
        let part = whole.part(of: "E1")
        let bytes = AssessmentTests.text(part)
        #expect(AssessmentTests.text(whole).contains("E3") && AssessmentTests.text(whole).contains("E4"))
        #expect(bytes.contains("E1") && !bytes.contains("E3") && !bytes.contains("E4") && !bytes.contains("\"release\":10"))
        #expect(part.exposed.map { $0.did.map(\.events) } == [[0...10]] && part.totals.subjects == 1 && part.totals.people == whole.totals.people)
        #expect(whole.part(of: "nobody").exposed == [])
    }

    @Test func `the bytes are these, and a value that a spreadsheet would run is not run`() {
        var history = AssessmentTests.history()
        history.directory = []
        history.keys = [.init("partner", ms(0, 200))]
        history.holdings = [.init(AssessmentTests.place("=E1,\"\n"), first: ms(30), events: 10)]
        history.releases = [AssessmentTests.release(9, of: ["=E1,\"\n"], by: "partner", 50, 51, 10)]
        let found = AssessmentTests.assess(history)
        #expect(AssessmentTests.text(found) == #"""
            {"kind":"exposure","version":1,"incident":7,"from_us":1000000000020000,"until_us":1000000000080000,"classes":["review"],"sites":[],"teams":[],"subjects":[],"readers":[],"purposes":[],"exposed_subjects":1,"exposed_events":10,"exposed_unknown":0,"could_people":1,"could_keys":1,"did_releases":1,"did_readers":1,"did_subjects":[1,1],"did_events":[10,10],"probes":[]}
            {"kind":"audience","audience":0,"people":1,"keys":[{"reader":"partner"}]}
            {"kind":"could","group":0,"class":"review","people":1,"keys":1,"windows":[{"from_us":1000000000020000,"until_us":1000000000080000,"grant":"cycle","role":"partners","purpose":"review-cycle","policies":[100,100],"audience":0}]}
            {"kind":"release","release":9,"entry":18,"reader":"partner","roles":[],"grants":[],"policy":100,"purpose":"review-cycle","classes":["review"],"asked":"=E1,\"\u000a","opened_us":1000000000050000,"ended_us":1000000000051000,"left":10,"events":[10,10],"subjects":[1,1]}
            {"kind":"subject","subject":"=E1,\"\u000a","class":"review","from_us":1000000000030000,"until_us":1000000000080000,"events":10,"could":0,"did":[{"release":9,"events":[10,10]}]}
            """#)
        #expect(found.csvRows == ["\"'=E1,\"\"\n\",review,2001-09-09T01:46:40.030000Z,2001-09-09T01:46:40.080000Z,10,1,1,1,1,10,10,"])
        #expect(found.csvRows[0].split(separator: ",", omittingEmptySubsequences: false).count == Assessment.csvHead.split(separator: ",").count + 1)
    }
}
