import Chassis
import Foundation
import Gate
import Ledger
import Testing
import Webhooks

@testable import sluice_notify

struct BodiesTests {
    let at = WallTime(nanoseconds: 1_614_265_330_017_900_000)

    var closure: Closure {
        Closure(
            epoch: Epoch(7), direction: .both, selector: Selector(teams: ["b", "a"], classes: [DataClass("review")]),
            reason: "leak \"x\"\n", author: "ada", incident: 3, from: at)
    }

    func text(_ deed: Entry.Deed) -> String? {
        message(deed).map { String(decoding: $0.body, as: UTF8.self) }
    }
    func message(_ deed: Entry.Deed, index: UInt64 = 12, leaf: String = "a leaf") -> Message? {
        Bodies.message(for: FollowedEntry(Entry(index: index, at: at, author: "ada", deed: deed), hash: TreeHash(leaf: Array(leaf.utf8))))
    }

    @Test func `a pause is told with its scope, and the same way each time`() {
        #expect(
            text(.paused(closure)) == #"{"data":{"closure":{"author":"ada","direction":"both","epoch":7,"from":"2021-02-25T15:02:10.017Z","#
                + #""incident":3,"reason":"leak \"x\"\n","scope":{"classes":["review"],"purposes":[],"readers":[],"sites":[],"subjects":[],"#
                + #""teams":["a","b"]}},"entry":12},"timestamp":"2021-02-25T15:02:10.017Z","type":"gate.paused"}"#)
        #expect(text(.paused(closure)) == text(.paused(closure)))
    }

    @Test func `a message is named after its entry's leaf, so that a place that is given out twice names two`() {
        let message = message(.paused(closure))
        // SHA-256 of 0x00 and "a leaf", by another program.
        #expect(message?.id == "msg_6bea1ff018250a3972bd56eb648b89bf5977abefa715ba37e811821605bc878c")
        #expect(message?.type == "gate.paused")
        #expect(message?.created == at)
        #expect(message.map { StandardWebhook.isID($0.id) } == true)
        #expect(self.message(.paused(closure), leaf: "another leaf")?.id != message?.id)
        #expect(self.message(.paused(closure), index: 13)?.id == message?.id, "the control: its place is no part of it")
    }

    @Test func `a resume is told with what it lifted`() {
        #expect(
            text(.resumed(to: Epoch(9), closures: [Epoch(8), Epoch(7)], reason: "fixed"))
                == #"{"data":{"author":"ada","closures":[7,8],"entry":12,"epoch":9,"reason":"fixed"},"#
                    + #""timestamp":"2021-02-25T15:02:10.017Z","type":"gate.resumed"}"#
        )
    }

    @Test func `an incident is told, without what it does not have`() {
        #expect(
            text(.incidentOpened(number: 3, title: "seen outside", closure: Epoch(7), dataClass: "review", isLeak: true))
                == #"{"data":{"author":"ada","closure":7,"data_class":"review","entry":12,"incident":3,"is_leak":true,"#
                    + #""title":"seen outside"},"timestamp":"2021-02-25T15:02:10.017Z","type":"incident.opened"}"#
        )
        #expect(
            text(.incidentOpened(number: 3, title: "t", closure: .none, dataClass: "", isLeak: false))
                == #"{"data":{"author":"ada","entry":12,"incident":3,"is_leak":false,"title":"t"},"timestamp":"2021-02-25T15:02:10.017Z","type":"incident.opened"}"#
        )
    }

    @Test func `a certificate counts the agents and rounds its times up`() throws {
        var certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: at + .seconds(1),
            services: ["policyOne": .acknowledged(after: .microseconds(1_001))],
            agents: ["a": .acknowledged(after: .zero), "b": .leaseEnded(by: .seconds(3)), "c": .noLease],
            completeAfter: .microseconds(12_001), readingAfter: .milliseconds(2), durableIn: [.vault, .journal], unconfirmed: [])
        let text = try #require(self.text(.certified(certificate)))
        for part in [
            #""type":"certificate.completed""#, #""complete":true"#, #""complete_after_ms":13,"#, #""reading_stopped_after_ms":2,"#,
            #""durable_in":["journal","vault"]"#, #""agents":{"acknowledged":1,"lease_ended":1,"no_lease":1}"#, #""lease_ms":3000"#,
            #""services":{"policyOne":{"after_ms":2,"how":"acknowledged"}}"#, #""issued":"2021-02-25T15:02:11.017Z""#,
        ] { #expect(text.contains(part), "\(part) is not in \(text)") }
        certificate.unconfirmed = ["in force, but …"]
        let incomplete = try #require(self.text(.certified(certificate)))
        #expect(incomplete.contains(#""type":"certificate.incomplete""#))
        #expect(incomplete.contains(#""unconfirmed":["in force, but …"]"#))
    }

    @Test func `what is of an incident is in its order, and a drill's finding and a resume in none`() throws {
        var certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: at, services: [:], agents: [:], completeAfter: .zero, readingAfter: .zero, durableIn: [.journal], unconfirmed: [])
        func incident(_ deed: Entry.Deed) throws -> UInt64? { try #require(message(deed)).incident }
        #expect(try incident(.paused(closure)) == 3)
        #expect(try incident(.certified(certificate)) == 3)
        #expect(try incident(.incidentOpened(number: 3, title: "t", closure: .none, dataClass: "", isLeak: false)) == 3)
        #expect(try incident(.noticesDecided(incident: 3, count: 1, digest: [1])) == 3)
        #expect(Bodies.message(for: Reminder(incident: 3, title: "t", dataClass: "", found: at, hours: 24)).incident == 3)
        #expect(try incident(.resumed(to: Epoch(8), closures: [Epoch(7)], reason: "over")) == nil)
        certificate.closure.incident = 0
        #expect(try incident(.certified(certificate)) == nil)
    }

    @Test func `what concerns nobody outside gives no message`() {
        #expect(text(.registered([], enrolment: nil)) == nil)
        #expect(text(.removed([1])) == nil)
        #expect(text(.incidentMoved(number: 3, to: .contained)) == nil)
        #expect(text(.unsealed(Epoch(1), dropped: [], reason: "")) == nil)
    }

    @Test func `times agree with Foundation over five centuries`() {
        let formatter = ISO8601DateFormatter()
        var generator = SystemRandomNumberGenerator()
        let edges: [Int64] = [
            0, -1, 951_782_399, 951_782_400, 951_868_800, 4_107_542_399, 4_107_542_400, -2_203_891_200, 9_223_372_036, -9_223_372_036,
        ]
        for seconds in edges + (0..<2_000).map({ _ in Int64.random(in: -9_223_372_036...9_223_372_036, using: &generator) }) {
            let ours = WallTime(nanoseconds: seconds * 1_000_000_000 + 7_999_999).rfc3339
            let theirs = formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))
            #expect(ours == theirs.dropLast() + ".007Z", "second \(seconds)")
        }
    }
}
