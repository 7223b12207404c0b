import Foundation
import Gate
import Testing

@testable import sluice_notify

/// Incidents as control's ledger makes them.
struct Cases {
    private(set) var governance = Governance()
    private var index: UInt64 = 0
    static let start = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    var incidents: [Incident] { governance.incidents.values.sorted { $0.number < $1.number } }

    mutating func open(_ number: UInt64, title: String = "reviews on the wiki", dataClass: String = "review", isLeak: Bool = true, after: Span = .zero) {
        apply(.incidentOpened(number: number, title: title, closure: .none, dataClass: dataClass, isLeak: isLeak), after)
    }

    mutating func move(_ number: UInt64, to state: IncidentState, after: Span) { apply(.incidentMoved(number: number, to: state), after) }

    private mutating func apply(_ deed: Entry.Deed, _ after: Span) {
        index += 1
        governance.apply(Entry(index: index, at: Cases.start + after, author: "ada", deed: deed))
    }
}

struct AlertsTests {
    func told(_ cases: Cases, after: Span, labels: [String: String] = [:]) -> [Alert] {
        let now = Cases.start + after
        return Alerts.told(of: Alerts.concerned(cases.incidents, at: now), labels: labels, at: now)
    }

    func firing(_ alerts: [Alert], after: Span) -> [String] { alerts.filter { $0.endsAt > (Cases.start + after).rfc3339 }.compactMap { $0.labels["incident"] } }

    @Test func `an incident is an alert for as long as it lasts, and its labels never change`() throws {
        var cases = Cases()
        cases.open(7)
        let first = try #require(told(cases, after: .zero, labels: ["site": "berlin"]).first)
        #expect(first.labels == ["alertname": "SluiceIncident", "incident": "7", "severity": "critical", "class": "review", "site": "berlin"])
        #expect(first.annotations["summary"] == "reviews on the wiki")
        #expect(first.annotations["report_until"] == (Cases.start + .seconds(72 * 3_600)).rfc3339)
        #expect((first.startsAt, first.endsAt) == (Cases.start.rfc3339, (Cases.start + .seconds(1_800)).rfc3339))
        cases.move(7, to: .contained, after: .seconds(10))
        cases.move(7, to: .assessed, after: .seconds(20))
        for after in [Span.seconds(30), .seconds(86_400), .seconds(365 * 86_400)] {
            let later = try #require(told(cases, after: after, labels: ["site": "berlin"]).first)
            #expect((later.labels, later.startsAt) == (first.labels, first.startsAt))
            #expect(later.endsAt == (Cases.start + after + Alerts.lasts).rfc3339)
        }
    }

    @Test func `what is closed is over, is told so for as long as anybody may believe otherwise, and then no more`() throws {
        var cases = Cases()
        cases.open(7)
        cases.open(8, after: .seconds(1))
        cases.move(7, to: .closed, after: .seconds(100))
        for after in [Span.seconds(100), .seconds(1_899)] {
            let alerts = told(cases, after: after)
            #expect(firing(alerts, after: after) == ["8"])
            #expect(alerts.first?.endsAt == (Cases.start + .seconds(100)).rfc3339)
        }
        #expect(Set(told(cases, after: .seconds(1_900)).map { $0.labels["incident"] }) == ["8"])
        // Opened again, it is the same alert.
        cases.move(7, to: .open, after: .seconds(5_000))
        #expect(firing(told(cases, after: .seconds(5_000)), after: .seconds(5_000)) == ["7", "8"])
        #expect(told(cases, after: .seconds(5_000)).first?.startsAt == Cases.start.rfc3339)
        // A clock that was set back does not open it, and puts no end before a beginning.
        cases.move(7, to: .closed, after: .seconds(6_000))
        for alert in told(cases, after: .seconds(-50)) { #expect(alert.startsAt <= alert.endsAt) }
        #expect(firing(told(cases, after: .seconds(50)), after: .seconds(50)) == ["8"])
    }

    @Test func `what was no leak at first has one alert, and when it is one, another, and the first is over`() {
        var cases = Cases()
        cases.open(7, dataClass: "", isLeak: false)
        let before = told(cases, after: .seconds(5))
        #expect(before.map(\.labels) == [["alertname": "SluiceIncident", "incident": "7", "severity": "warning"]])
        cases = Cases()
        cases.open(7, dataClass: "")
        let after = told(cases, after: .seconds(5))
        #expect(after.compactMap { $0.labels["severity"] } == ["critical", "warning"])
        #expect(after.last?.labels == before.first?.labels)
        #expect(after.last?.endsAt == Cases.start.rfc3339)
    }

    @Test func `of more incidents than are told at a time leaks that last come first, then the newest`() {
        var cases = Cases()
        for number in 2...1_201 { cases.open(UInt64(number), isLeak: false) }
        #expect(told(cases, after: .zero).first?.labels["incident"] == "202")
        cases = Cases()
        cases.open(1, isLeak: true)
        for number in 2...1_200 { cases.open(UInt64(number), isLeak: false) }
        let alerts = told(cases, after: .zero)
        #expect(alerts.count == Alerts.countMax + 1, "the leak is two")
        #expect(alerts.first?.labels["incident"] == "1" && alerts.dropFirst(2).first?.labels["incident"] == "202")
        #expect(Alerts.body(alerts).count < 1 << 20)
    }
}

@Suite(.timeLimit(.minutes(5)))
struct AlertSenderTests {
    func make(_ url: String, every: Span = .milliseconds(50), clock: TestClock = TestClock()) throws -> AlertSender {
        let json = #"{"hooks":[],"alertmanager":{"url":"\#(url)","user":"u","password":"päss","allow_private":true,"labels":{"site":"berlin"}}}"#
        let target = try #require(try Hooks(json: Data(json.utf8), path: "p").alertmanager)
        var settings = AlertSender.Settings()
        (settings.every, settings.again) = (every, .milliseconds(10))
        return AlertSender(to: target, settings: settings, now: { clock.now })
    }

    func ends(_ request: Receiver.Request?) throws -> [String: String] {
        let alerts = try #require(try JSONSerialization.jsonObject(with: request?.body ?? Data()) as? [[String: Any]])
        return Dictionary(alerts.compactMap { alert in
            let labels = alert["labels"] as? [String: String]
            return labels?["severity"] == "critical" ? (labels?["incident"] ?? "", alert["endsAt"] as? String ?? "") : nil
        }) { first, _ in first }
    }

    @Test func `an incident is told again while it lasts, and once it is closed it is told to be over`() async throws {
        let (receiver, clock) = (Receiver(), TestClock())
        let sender = try make(receiver.url.replacingOccurrences(of: "/hook", with: "/am/"), clock: clock)
        sender.start()
        defer { sender.stop() }
        var arrived = receiver.requests.makeAsyncIterator()
        var cases = Cases()
        cases.open(7)
        sender.use(Alerts.concerned(cases.incidents, at: clock.now))
        for _ in 1...3 {
            let request = try #require(await arrived.next())
            #expect(request.line == "POST /am/api/v2/alerts HTTP/1.1")
            #expect(request["authorization"] == "Basic " + Data("u:päss".utf8).base64EncodedString())
            #expect(try ends(request) == ["7": (clock.now + Alerts.lasts).rfc3339])
        }
        cases.move(7, to: .closed, after: .zero)
        sender.use(Alerts.concerned(cases.incidents, at: clock.now))
        var last: [String: String] = [:]
        while last["7"] != Cases.start.rfc3339 { last = try ends(await arrived.next()) }
        #expect(sender.counts.firing == 0)
    }

    @Test func `what it does not take is counted, shown, and told until it is taken`() async throws {
        let receiver = Receiver(script: [.status(500), .close, .status(401), .status(200)])
        let sender = try make(receiver.url, every: .seconds(600))
        sender.start()
        defer { sender.stop() }
        var cases = Cases()
        cases.open(7)
        sender.use(Alerts.concerned(cases.incidents, at: Cases.start))
        var arrived = receiver.requests.makeAsyncIterator()
        for _ in 1...4 { _ = try #require(await arrived.next()) }
        try await eventually { sender.counts.sent == 1 }
        #expect(sender.counts == AlertSender.Counts(sent: 1, failed: 3, firing: 1, failing: nil))
    }

    @Test func `a failure names its reason and since when, and no secret`() async throws {
        let receiver = Receiver(script: [.status(401)])
        let sender = try make(receiver.url)
        sender.start()
        defer { sender.stop() }
        var cases = Cases()
        cases.open(7)
        sender.use(Alerts.concerned(cases.incidents, at: Cases.start))
        try await eventually { sender.counts.failing?.attempts ?? 0 >= 2 }
        #expect(sender.counts.failing?.why == "HTTP 401")
        #expect(sender.counts.failing?.since == Cases.start)
        #expect(sender.counts.sent == 0)
    }

    @Test func `before the incidents are known nothing is said, and with none neither`() async throws {
        let receiver = Receiver()
        let sender = try make(receiver.url, every: .milliseconds(1))
        sender.start()
        defer { sender.stop() }
        sender.use([])
        var cases = Cases()
        cases.open(9)
        sender.use(Alerts.concerned(cases.incidents, at: Cases.start))
        var arrived = receiver.requests.makeAsyncIterator()
        #expect(try ends(await arrived.next()).keys.sorted() == ["9"], "the first that was said")
    }

    @Test(arguments: [
        (#"{"url":"http://a/?x=1"}"#, "query"), (#"{"url":"ftp://a/"}"#, "url"), (#"{"url":"http://a/","user":"u"}"#, "not both"), (#"{"url":"http://a/","user":"u:v","password":"p"}"#, "colon"),
        (#"{"url":"http://a/","labels":{"alertname":"x"}}"#, "own"), (#"{"url":"http://a/","labels":{"a-b":"x"}}"#, "no name"), (#"{"url":"http://a/","labels":{"0a":"x"}}"#, "no name"),
        (#"{"url":"http://a/","labels":{"a":""}}"#, "bytes"),
    ]) func `what cannot be used is refused at the start`(text: String, why: String) throws {
        let error = #expect(throws: HooksRefused.self) { try Hooks(json: Data(#"{"hooks":[],"alertmanager":\#(text)}"#.utf8), path: "p") }
        guard case .badAlertmanager(_, let found) = error else { Issue.record("\(String(describing: error))"); return }
        #expect(found.contains(why), "\(found)")
    }

    @Test func `a password never prints itself`() throws {
        let json = #"{"hooks":[],"alertmanager":{"url":"http://a/","user":"u","password":"hunter2"}}"#
        var dumped = ""
        dump(try Hooks(json: Data(json.utf8), path: "p"), to: &dumped)
        #expect(dumped.contains("hidden") && !dumped.contains("hunter2") && !dumped.contains(Data("u:hunter2".utf8).base64EncodedString()))
    }
}
