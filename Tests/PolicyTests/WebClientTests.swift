import Foundation
import Gate
import Messaging
import Rules
import Synchronization
import Testing

@testable import sluice_policy

struct WebClientTests {
    @Test func `a host is what libcurl would connect to`() {
        #expect(WebClient.host(of: "http://Wiki.example:8080/a?b#c") == "wiki.example")
        #expect(WebClient.host(of: "http://user@wiki.example/") == nil)
        #expect(WebClient.host(of: "https://[::1]/") == "[::1]")
        #expect(WebClient.host(of: "http://2130706433/") == "127.0.0.1", "a number is an address")
    }

    @Test(arguments: [
        (200, "REVIEW of", true, .exposed(status: 200)), (200, "a REVIEW", false, .exposed(status: 200)), (200, "sign in", true, .guarded(status: 200)),
        // One short: the marker may come.
        (200, "sign in", false, .undecided(status: 200)), (200, "", false, .undecided(status: 200)),
        (403, "REVIEW", true, .guarded(status: 403)), (404, "", false, .guarded(status: 404)), (500, "REVIEW", true, .undecided(status: 500)), (429, "", true, .undecided(status: 429)),
    ] as [(Int, String, Bool, WebClient.Outcome)])
    func `with a marker the text decides, and what was cut off before it decides nothing`(_ status: Int, _ body: String, _ isWhole: Bool, _ outcome: WebClient.Outcome) {
        let probe = WebProbe(url: "https://wiki.example/reviews", marker: "REVIEW")
        for url in [probe.url, "https://login.example/"] { #expect(WebClient.judge(probe, status: status, at: url, body: Data(body.utf8), isWhole: isWhole) == outcome) }
    }

    @Test(arguments: [
        ("http://wiki.example/reviews", .exposed(status: 200)), ("https://WIKI.example/reviews/", .exposed(status: 200)), ("https://wiki.example/reviews?session=1#top", .exposed(status: 200)),
        ("https://wiki.example/login", .guarded(status: 200)), ("https://wiki.example/reviews/login", .guarded(status: 200)), ("https://wiki.example/", .guarded(status: 200)), ("https://login.example/reviews", .guarded(status: 200)),
    ] as [(String, WebClient.Outcome)])
    func `without a marker the page itself is a finding, and where a redirect leads is not`(_ url: String, _ outcome: WebClient.Outcome) {
        let probe = WebProbe(url: "http://wiki.example/reviews")
        for isWhole in [true, false] { #expect(WebClient.judge(probe, status: 200, at: url, body: Data(), isWhole: isWhole) == outcome) }
        for status in [401, 403, 404, 410] { #expect(WebClient.judge(probe, status: status, at: probe.url, body: Data(), isWhole: true) == .guarded(status: status)) }
        for status in [304, 400, 429, 500, 503] { #expect(WebClient.judge(probe, status: status, at: probe.url, body: Data(), isWhole: true) == .undecided(status: status)) }
    }

    @Test func `what is undecided is a finding where the document says so, and a page that does not answer is none`() {
        let (shown, strict) = (WebProbe(url: "https://wiki.example/"), WebProbe(url: "https://wiki.example/", undecided: .finding))
        #expect(WebOutsider.Found(.undecided(status: 500), of: shown) == nil && WebOutsider.Found(.undecided(status: 500), of: strict)?.isUndecided == true)
        for probe in [shown, strict] {
            #expect(WebOutsider.Found(.exposed(status: 200), of: probe)?.isUndecided == false)
            for outcome in [WebClient.Outcome.guarded(status: 403), .failed(28), .privateAddress, .tooManyRedirects] { #expect(WebOutsider.Found(outcome, of: probe) == nil) }
        }
    }

    @Test func `a dead name server holds a probe no longer than its time, and a look-up for each is all that it costs`() throws {
        let dead = DispatchSemaphore(value: 0)
        let asked = Mutex(0)
        let names = NameLookup { _ in
            asked.withLock { $0 += 1 }
            dead.wait()
            return []
        }
        defer { for _ in 0..<NameLookup.underWayMax { dead.signal() } }
        var client = try WebClient(headers: [], within: .milliseconds(5), names: names)
        for _ in 0..<NameLookup.underWayMax + 4 { #expect(client.ask(WebProbe(url: "http://wiki.example/"), now: Clock.now) == .failed(28)) }
        #expect(asked.withLock { $0 } <= NameLookup.underWayMax)
        // What needs no name is asked all the same: it is refused by its address, not by the time.
        var patient = try WebClient(headers: [], within: .seconds(30), names: names)
        #expect(patient.ask(WebProbe(url: "http://10.0.0.1/"), now: Clock.now) == .privateAddress)
    }

    @Test(arguments: [["10.0.0.1"], ["fe80::1", "127.0.0.1"]]) func `a name is looked up once, and what it leads to is looked at`(_ addresses: [String]) throws {
        let asked = Mutex<[String]>([])
        let names = NameLookup { host in
            asked.withLock { $0.append(host) }
            return addresses
        }
        var client = try WebClient(headers: [], within: .seconds(30), names: names)
        #expect(client.ask(WebProbe(url: "http://Wiki.example./"), now: Clock.now) == .privateAddress)
        #expect(asked.withLock { $0 } == ["wiki.example."])
    }
}
