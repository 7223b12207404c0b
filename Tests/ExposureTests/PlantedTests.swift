import Exposure
import Gate
import Rules
import Testing

/// Subjects that two operators have signed are nobody: in no number, and said to be left out.
struct PlantedTests {
    private static let review = DataClass("review")

    private static func place(_ subject: String, team: String = "search", _ dataClass: DataClass = review) -> ReadPlace { ReadPlace(Scope(subject: subject, site: "berlin", team: team), dataClass) }

    /// One person, and one who is nobody, both of whom everybody with a key could read.
    private static func history(_ planted: [ReadPlace] = [place("planted/x")]) -> ExposureHistory {
        var history = ExposureHistory()
        history.policies = [.init(index: 0, at: .distantPast, .none)]
        history.keys = [.init("job", .always)]
        history.holdings = ([place("E1")] + planted).map { .init($0, first: ms(0), events: 10) }
        return history
    }

    private static func release(of included: [String]?, asked: [String] = [], _ opened: Int, _ ended: Int?, _ dataClass: DataClass = review) -> ExposureHistory.ReleaseOnRecord {
        .init(
            number: 9, entry: 18, reader: "job", policy: 0, purpose: "p", classes: [dataClass], subjects: asked, included: included, opened: ms(opened), ended: ended.map { ms($0) }, events: 20, most: 20)
    }

    private static func assess(_ history: ExposureHistory, _ scope: Selector = Selector(classes: [review])) -> Assessment {
        Assessment(ExposureQuestion(incident: 7, ms(20, 80), of: scope), from: history)
    }

    private static func text(_ found: Assessment) -> String { found.lines.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n") }

    @Test func `who is nobody is in no number, and is named where it is said who was left out`() {
        var history = PlantedTests.history()
        history.releases = [PlantedTests.release(of: ["E1", "planted/x"], 50, 51)]
        let found = PlantedTests.assess(history)
        #expect(found.planted == ["planted/x"] && found.exposed.map(\.subject) == ["E1"] && found.totals.subjects == 1 && found.totals.events == 10)
        let lines = found.lines.map { String(decoding: $0, as: UTF8.self) }
        #expect(lines.filter { $0.contains("planted/x") } == [#"{"kind":"planted","subjects":["planted/x"]}"#])
        #expect(found.csvRows.count == 1)
        // The control: somebody whose id only looks so is somebody.
        history.holdings[1].place = PlantedTests.place("planted")
        history.releases = []
        let somebody = PlantedTests.assess(history)
        #expect(somebody.planted == [] && somebody.exposed.map(\.subject) == ["E1", "planted"] && !PlantedTests.text(somebody).contains(#""kind":"planted""#))
    }

    @Test(arguments: [
        ([], release(of: ["planted/y"], 50, 51), ["planted/y"]), ([], release(of: nil, asked: ["planted/y"], 50, nil), ["planted/y"]),
        // Nothing of it is left, and the release was before, or after, or of something else.
        ([], release(of: ["planted/y"], 1, 20), []), ([], release(of: ["planted/y"], 80, 81), []), ([], release(of: ["planted/y"], 50, 51, DataClass("activity")), []),
        // Of another class, and of another team than the question is about.
        ([place("planted/x", DataClass("activity"))], nil, []), ([place("planted/x", team: "ads")], nil, []),
    ] as [([ReadPlace], ExposureHistory.ReleaseOnRecord?, [String])])
    func `said is who would be among them, and nobody else who is planted`(_ held: [ReadPlace], _ release: ExposureHistory.ReleaseOnRecord?, _ planted: [String]) {
        var history = PlantedTests.history(held)
        history.releases = release.map { [$0] } ?? []
        var scope = Selector(classes: [PlantedTests.review])
        if release == nil { scope.teams = ["search"] }
        #expect(PlantedTests.assess(history, scope).planted == planted)
    }

    @Test func `a question about a team is not about those of another, whatever release they were in`() {
        var history = PlantedTests.history([PlantedTests.place("planted/ads", team: "ads"), PlantedTests.place("planted/x", DataClass("activity"))])
        history.releases = [PlantedTests.release(of: ["E1", "planted/ads", "planted/x", "planted/gone"], 50, 51)]
        func said(_ teams: Set<String>) -> [String] { PlantedTests.assess(history, Selector(teams: teams, classes: [PlantedTests.review])).planted }
        #expect(said(["search"]) == ["planted/x"] && said(["ads"]) == ["planted/ads"])
        #expect(said([]) == ["planted/ads", "planted/gone", "planted/x"], "the control: about everybody")
        // Where nothing is left that says where it was, it may have been there.
        history.holdingsAreFewer = true
        #expect(said(["search"]) == ["planted/gone", "planted/x"])
    }

    @Test func `what policy asked itself for left to nobody, and nobody is left out of it`() {
        var history = PlantedTests.history([])
        history.probe = "employee"
        history.releases = [PlantedTests.release(of: ["planted/y"], 50, 51)]
        history.releases[0].reader = "employee"
        let probed = PlantedTests.assess(history)
        #expect(probed.planted == [] && probed.probes == [9])
        // The control: whoever has a key under that name is a reader.
        history.keys.append(.init("employee", .always))
        #expect(PlantedTests.assess(history).planted == ["planted/y"])
    }

    @Test func `in any order of the history it is the same, and in a person's part there is nobody else`() {
        let places = ["planted/b", "planted/ä", "planted/a"].map { PlantedTests.place($0) }
        let (first, second) = (PlantedTests.assess(PlantedTests.history(places)), PlantedTests.assess(PlantedTests.history(places.reversed())))
        #expect(first.lines == second.lines && first.planted == ["planted/a", "planted/b", "planted/ä"])
        #expect(first.part(of: "E1").planted == [] && !PlantedTests.text(first.part(of: "E1")).contains("planted/"))
        let nobody = first.part(of: "planted/a")
        #expect(nobody.planted == ["planted/a"] && nobody.exposed == [])
    }
}
