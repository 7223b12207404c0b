import Chassis
import Foundation
import Gate
import Ledger
import Testing
import Webhooks

@testable import sluice_notify

/// A body of each kind that there is: `deploy/schemas/examples` holds them, and `Tests/Suite/test_schemas.py` holds those to the schemas.
enum Examples {
    static let at = WallTime(nanoseconds: 1_614_265_330_017_900_000)

    static var closure: Closure {
        Closure(
            epoch: Epoch(7), direction: .both, selector: Selector(teams: ["search", "ads"], classes: [DataClass("review")]), reason: "reviews on the wiki", author: "ops-1", incident: 3, from: at)
    }

    static var finding: Finding {
        Finding(
            id: Array(repeating: 7, count: 16), detector: "outsider", sentence: "probe \"ordinary employee\" read 25 events of class review", direction: .read,
            selector: Selector(classes: [DataClass("review")]), at: at)
    }

    static func certificate(_ closure: Closure = Examples.closure, unconfirmed: [String] = []) -> Certificate {
        Certificate(
            closure: closure, lease: .seconds(3), issued: at + .seconds(1), services: ["policy": .acknowledged(after: .milliseconds(12)), "ingest": .leaseEnded(by: .seconds(3))],
            agents: ["ann": .acknowledged(after: .zero), "bob": .noLease], completeAfter: .milliseconds(221), readingAfter: .milliseconds(2), durableIn: [.vault, .journal], unconfirmed: unconfirmed)
    }

    static var drillClosure: Closure { Closure(epoch: Epoch(8), direction: .both, selector: Selector(subjects: ["P1"]), reason: "drill", author: "detector \(Drill.detector)", incident: 0, from: at) }

    static func message(_ deed: Entry.Deed, author: String = "ops-1", proposal: UInt64? = nil) -> Message? {
        Bodies.message(for: FollowedEntry(Entry(index: 12, at: at, author: author, proposal: proposal, deed: deed), hash: TreeHash(leaf: Array("a leaf".utf8))))
    }

    static var all: [(name: String, message: Message)] {
        var drill = finding
        drill.detector = Drill.detector
        let deeds: [(String, Entry.Deed)] = [
            ("incident.opened", .incidentOpened(number: 3, title: "reviews on the wiki", closure: Epoch(7), dataClass: "review", isLeak: true)),
            ("incident.opened-plain", .incidentOpened(number: 4, title: "maintenance", closure: .none, dataClass: "", isLeak: false)),
            ("incident.opened-found", .found(finding, incident: 5, closes: closure)), ("incident.finding", .found(finding, incident: 5, closes: nil)), ("gate.paused", .paused(closure)),
            ("gate.resumed", .resumed(to: Epoch(9), closures: [Epoch(7), Epoch(8)], reason: "fixed")), ("certificate.completed", .certified(certificate())),
            ("certificate.incomplete", .certified(certificate(unconfirmed: ["policy has not answered"]))), ("drill.found", .found(drill, incident: 0, closes: drillClosure)),
            ("drill.certified", .certified(certificate(drillClosure))),
            (
                "drill.ended",
                .drillEnded(
                    number: 2, to: Epoch(10), Drill.Outcome(readsClosed: .microseconds(90), certificate: .milliseconds(300), notice: nil, agents: 1, agentsAll: 1, missed: ["no hook was told"]))
            ),
        ]
        let reminder = Reminder(incident: 3, title: "reviews on the wiki", dataClass: "review", found: at, hours: 48)
        let told = Entry.Deed.noticesDecided(incident: 3, count: 312, digest: Array(0..<32))
        return deeds.compactMap { name, deed in message(deed).map { (name, $0) } }
            + [("notices.decided", message(told, proposal: 11)), ("notices.decided-alone", message(told))].compactMap { name, message in message.map { (name, $0) } } + [
            ("incident.reminder", Bodies.message(for: reminder)), ("notify.test", Bodies.test(id: Bodies.id(of: TreeHash(leaf: [1])), at: at)),
        ]
    }
}

struct FormatTests {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("deploy/schemas/examples")

    func json(_ data: Data) throws -> [String: Any] { try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any]) }

    /// To write them anew after a change that is meant: `SLUICE_WRITE_EXAMPLES=1`.
    @Test func `the examples are what hooks are told, byte for byte`() throws {
        let isWriting = ProcessInfo.processInfo.environment["SLUICE_WRITE_EXAMPLES"] != nil
        #expect(Examples.all.count == 15)
        for (name, message) in Examples.all {
            for format in Format.allCases {
                let file = folder.appendingPathComponent("\(name).\(format.rawValue).json")
                let body = format.body(of: message)
                if isWriting { try (body + Data("\n".utf8)).write(to: file) }
                #expect(try Data(contentsOf: file) == body + Data("\n".utf8), "\(file.lastPathComponent)")
                #expect(format.body(of: message) == body, "the same on each attempt")
            }
        }
    }

    struct Event: Decodable, Equatable {
        var specversion, id, type, time: String
        var data: BodyValue
    }

    @Test func `an event has the message's id, type and time, and the same data`() throws {
        for (_, message) in Examples.all {
            let (event, told) = (try JSONDecoder().decode(Event.self, from: Format.cloudevents.body(of: message)), try JSONDecoder().decode(Format.Envelope.self, from: message.body))
            #expect(event == Event(specversion: "1.0", id: message.id, type: "sluice." + message.type, time: told.timestamp, data: told.data))
        }
    }

    @Test func `numbers and truths are what they were, however large`() throws {
        let body = Data(#"{"data":{"a":18446744073709551615,"b":-9223372036854775808,"c":true,"d":null,"e":[1,"x",{"f":false}]},"timestamp":"t","type":"x"}"#.utf8)
        let event = String(decoding: Format.cloudevents.body(of: Message(id: "msg_1", type: "x", body: body, created: Examples.at)), as: UTF8.self)
        #expect(event.contains(#""data":{"a":18446744073709551615,"b":-9223372036854775808,"c":true,"d":null,"e":[1,"x",{"f":false}]}"#), "\(event)")
    }

    /// Texts that a chat would act on, were they not escaped.
    static let hostile = [
        "<!channel> look", "<http://evil.example|the certificate>", "<@U012AB3CD>", "a & b < c > d", "*bold* _it_ ~no~ `code`", "[click](http://evil.example)", "<\u{301}!channel>\u{301}", "<at>everyone</at>", "line\r\none\u{2028}two\u{0}",
        "\u{202E}desrever", "{{title}} ${x}", String(repeating: "&", count: 10_000), "a" + String(repeating: "\u{301}", count: 10_000), "\"quoted\" \\ 👩‍👩‍👧",
    ]

    @Test(arguments: hostile) func `what people wrote is shown in a chat and does nothing`(text: String) throws {
        let message = try #require(Examples.message(.incidentOpened(number: 3, title: text, closure: .none, dataClass: text, isLeak: true), author: text))
        let slack = try json(Format.slack.body(of: message))
        var shown: [String] = []
        for block in try #require(slack["blocks"] as? [[String: Any]]) {
            var texts = (block["fields"] as? [Any] ?? []) + (block["elements"] as? [Any] ?? [])
            if let text = block["text"] { texts.append(text) }
            for case let text as [String: Any] in texts {
                #expect(text["verbatim"] as? Bool == true)
                shown.append(try #require(text["text"] as? String))
            }
        }
        for (number, text) in (shown + [try #require(slack["text"] as? String)]).enumerated() {
            #expect(text.utf8.allSatisfy { $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }, "\(number)")
            #expect(text.utf8.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false).dropFirst().allSatisfy { part in ["amp;", "lt;", "gt;"].contains { part.starts(with: $0.utf8) } }, "no entity is cut")
            #expect(text.unicodeScalars.count <= 2_000)
        }
        let breaking: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        let teams = try json(Format.teams.body(of: message))
        let card = try #require(((teams["attachments"] as? [[String: Any]])?.first)?["content"] as? [String: Any])
        let blocks = try #require(card["body"] as? [[String: Any]])
        #expect(Set(blocks.compactMap { $0["type"] as? String }) == ["RichTextBlock"], "a block of text would be read as Markdown")
        let runs = blocks.flatMap { $0["inlines"] as? [[String: Any]] ?? [] }
        #expect(runs.allSatisfy { $0["type"] as? String == "TextRun" })
        for text in shown + runs.compactMap({ $0["text"] as? String }) {
            #expect(!text.unicodeScalars.contains { breaking.contains($0.properties.generalCategory) && $0 != "\n" && $0 != "\u{200B}" })
        }
        #expect(Format.teams.body(of: message).count < 25_000)
    }

    @Test func `what is no envelope is sent as it is`() {
        let message = Message(id: "msg_1", type: "x", body: Data("plain".utf8), created: Examples.at)
        for format in Format.allCases { #expect(format.body(of: message) == message.body) }
    }

    @Test(.timeLimit(.minutes(5))) func `each hook is told in its own form, and signed over what it gets`() async throws {
        let (folder, receiver) = (try Folder(), Receiver())
        let listed = Format.allCases.map { format in
            let secrets = format.needsSecret ? [secretText] : []
            return ["name": format.rawValue, "url": "\(receiver.url)?\(format.rawValue)", "format": format.rawValue, "allow_private": true, "secrets": secrets] as [String: Any]
        }
        let hooks = try Hooks(json: JSONSerialization.data(withJSONObject: ["hooks": listed]), path: "p")
        let scene = try Scene(folder: folder, hooks: hooks)
        let message = Examples.all[0].message
        try scene.outbox.put([message], channels: hooks.all.map(\.name), at: scene.clock.now)
        scene.delivery.wake()
        var arrived = receiver.requests.makeAsyncIterator()
        for _ in Format.allCases {
            let request = try #require(await arrived.next())
            let format = try #require(Format.allCases.first { request.line.contains("?\($0.rawValue) ") })
            #expect(request.body == format.body(of: message))
            #expect(request["content-type"] == format.contentType)
            #expect(request["webhook-signature"].isEmpty == !format.needsSecret)
            guard format.needsSecret else { continue }
            let headers = StandardWebhook.Headers(id: request.id, timestamp: try #require(Int64(request["webhook-timestamp"])), signature: request["webhook-signature"])
            #expect(StandardWebhook.verifies(headers, body: request.body, secret: try .init(secretText), at: scene.clock.now))
        }
        try await scene.stop()
    }
}
