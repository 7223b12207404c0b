import Foundation
import Gate
import Rules
import Testing
import Wire

private func parse(_ line: String) throws(EventLineError) -> EventLine { try EventLine.parse(Array(line.utf8)) }

private let head = #""at":"2026-11-23T08:00:00.094Z""#
private let at = WallTime(nanoseconds: 1_795_420_800_094_000_000)

@Suite struct EventLineTests {
    @Test(arguments: [
        (#"{\#(head),"kind":"pointer","action":"move","x":10,"y":-4}"#, Event.Detail.pointer(Event.Pointer(.move, x: 10, y: -4))),
        (
            #"{\#(head),"kind":"pointer","action":"drag","x":1,"y":2,"button":"left"}"#,
            .pointer(Event.Pointer(.drag, x: 1, y: 2, button: "left"))
        ),
        (
            #"{\#(head),"kind":"pointer","action":"scroll","x":1.0,"y":2e1,"dy":-3}"#,
            .pointer(Event.Pointer(.scroll(dx: nil, dy: -3), x: 1, y: 20))
        ),
        (#"{\#(head),"kind":"key","action":"down","key":"\u00e9"}"#, .key(Event.Key(.down, "é"))),
        (#"{\#(head),"kind":"window","app":"a","title":"t","url":null}"#, .window(Event.Window(app: "a", title: "t"))),
        (#"{\#(head),"kind":"presence","status":"away"}"#, .presence(.away)),
        (
            #"{\#(head),"kind":"text","text":"hi","source":"chat","label":"secret"}"#,
            .text(Event.Text("hi", source: .chat, label: "secret"))
        ),
    ])
    func `a line of each kind becomes its event`(line: String, detail: Event.Detail) throws {
        let parsed = try parse(line)
        #expect(parsed == EventLine(event: Event(at: at, detail: detail), unknownFields: 0))
    }

    @Test func `unknown fields are counted and not kept`() throws {
        let line = #"{\#(head),"kind":"pointer","action":"move","x":1,"y":2,"dx":7,"title":"t","z":{"a":[1]}}"#
        let parsed = try parse(line)
        #expect(parsed.unknownFields == 3)
        #expect(parsed.event.detail == .pointer(Event.Pointer(.move, x: 1, y: 2)))
    }

    @Test func `a line over 64 KiB is refused with its size`() {
        let line = [UInt8](repeating: UInt8(ascii: " "), count: 65_537)
        #expect(throws: EventLineError.tooLong(bytes: 65_537, max: 65_536)) { try EventLine.parse(line) }
    }

    @Test(arguments: [
        (#"{"kind":"presence","status":"away"}"#, EventLineError.missing(field: "at")),
        (#"{\#(head),"status":"away"}"#, .missing(field: "kind")),
        (#"{\#(head),"kind":null,"status":"away"}"#, .missing(field: "kind")),
        (#"{\#(head),"kind":"presence"}"#, .missing(field: "status")),
        (#"{\#(head),"kind":"heartbeat"}"#, .unknownKind("heartbeat")),
        (#"{\#(head),"kind":"presence","status":"asleep"}"#, .unknownValue(field: "status", value: "asleep")),
        (#"{\#(head),"kind":"text","text":"","source":"fax"}"#, .unknownValue(field: "source", value: "fax")),
        (#"{\#(head),"kind":"key","action":"move","key":"a"}"#, .unknownValue(field: "action", value: "move")),
        (#"{\#(head),"kind":"key","action":"up"}"#, .missing(field: "key")),
        (
            #"{\#(head),"kind":"key","action":"up","key":"\ud800"}"#,
            .notJSON(detail: "field 'key' has an escape that stands for no character")
        ),
        (#"{\#(head),"kind":"key","action":"up","key":5}"#, .wrongType(field: "key", expected: .text)),
        (#"{\#(head),"kind":"pointer","action":"click","x":1,"y":1}"#, .unknownValue(field: "action", value: "click")),
        (#"{\#(head),"kind":"pointer","action":"up","x":"1","y":1}"#, .wrongType(field: "x", expected: .integer)),
        (#"{\#(head),"kind":"pointer","action":"up","x":true,"y":1}"#, .wrongType(field: "x", expected: .integer)),
        (#"{\#(head),"kind":"pointer","action":"up","x":1,"y":1.5}"#, .wrongType(field: "y", expected: .integer)),
        (#"{\#(head),"kind":"pointer","action":"up","x":2147483648,"y":1}"#, .outOfRange(field: "x")),
        (#"{\#(head),"kind":"pointer","action":"up","x":-9223372036854775809,"y":1}"#, .outOfRange(field: "x")),
        (#"{\#(head),"kind":"pointer","action":"up","x":1e400,"y":1}"#, .outOfRange(field: "x")),
        (#"{\#(head),"kind":"presence","status":"away","duration":-0.001}"#, .outOfRange(field: "duration")),
        (#"{\#(head),"kind":"presence","status":"away","duration":86400.1}"#, .outOfRange(field: "duration")),
        (#"{\#(head),"kind":"presence","status":"away","duration":-1e400}"#, .outOfRange(field: "duration")),
        (#"{\#(head),"kind":"presence","status":"away","duration":"5"}"#, .wrongType(field: "duration", expected: .number)),
        (#"{\#(head),"kind":"pointer","action":"up","x":01,"y":1}"#, .outOfRange(field: "x")),
        (#"{"at":1795420800,"kind":"presence","status":"away"}"#, .wrongType(field: "at", expected: .text)),
        (#"{"at":"now","kind":"presence","status":"away"}"#, .badTime("now")),
        ("[]", .notAnObject), ("null", .notAnObject), ("7", .notAnObject), (#""text""#, .notAnObject),
    ])
    func `what is wrong with a line is said exactly`(line: String, reason: EventLineError) {
        #expect(throws: reason) { try parse(line) }
    }

    @Test func `what is not UTF-8 JSON is refused as that`() throws {
        let good = #"{\#(head),"kind":"presence","status":"away"}"#
        #expect(throws: EventLineError.notUTF8) { try EventLine.parse(Array(good.utf8) + [0xC3]) }
        #expect(throws: EventLineError.notUTF8) { try EventLine.parse([0xFF, 0xFE] + Array(good.utf8)) }
        let utf16 = good.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let marked = [0xEF, 0xBB, 0xBF] + Array(good.utf8)
        for line in [utf16, marked, [], Array("{".utf8), Array((good + "x").utf8), Array((good + good).utf8)] {
            let error = #expect(throws: EventLineError.self) { try EventLine.parse(line) }
            #expect(error?.word == "not-json")
        }
        #expect(try parse(" \t" + good + "\r\n").event.detail == .presence(.away))
    }

    /// Rows I02 and I03 of the faults: an error or a value, never a trap.
    @Test(arguments: [
        String(repeating: "[", count: 65_536), String(repeating: #"{"a":"#, count: 13_000),
        #"{"a":"# + String(repeating: "[", count: 500) + String(repeating: "]", count: 500) + "}",
        #"{\#(head),\#(head),"kind":"presence","kind":"key","status":"away"}"#,
        #"{\#(head),"kind":"presence","status":"away","duration":NaN}"#,
        #"{\#(head),"kind":"presence","status":"away","duration":"NaN"}"#,
        #"{\#(head),"kind":"presence","status":"away","duration":-0}"#,
        #"{\#(head),"kind":"presence","status":"away","duration":Infinity}"#,
        #"{\#(head),"kind":"key","action":"down","key":"\ud800"}"#, #"{\#(head),"kind":"key","action":"down","key":"\udc00\ud800"}"#,
        #"{\#(head),"kind":"key","action":"down","key":"\u0000"}"#, #"{\#(head),"kind":"key","action":"down","key":"\q"}"#,
        #"{\#(head),"\ud800":1,"kind":"presence","status":"away"}"#, #"{\#(head),"kind":"presence","status":"away",}"#,
        #"{\#(head),"kind":"pointer","action":"up","x":01,"y":+1}"#, #"{\#(head),"kind":"pointer","action":"up","x":-,"y":1.}"#,
        "{\"\u{0}\":1}", "{\(head),\"kind\":\"key\",\"action\":\"up\",\"key\":\"\u{1}\"}",
        #"{"at":"9999999999-01-01T00:00:00Z","kind":"presence","status":"away"}"#,
        #"{\#(head),"kind":"pointer","action":"up","x":1"# + String(repeating: "0", count: 60_000) + #","y":1}"#,
    ])
    func `hostile lines give an error or a value`(line: String) {
        do throws(EventLineError) {
            let parsed = try parse(line)
            #expect(throws: Never.self) { try EventLine.parse(EventLine.line(of: parsed.event)) }
        } catch {
            #expect(!error.description.isEmpty)
        }
    }

    @Test func `an error is one line without control characters`() {
        let error = EventLineError.unknownKind("\u{1B}[2J\r\n\u{202E}" + String(repeating: "k", count: 1_000))
        #expect(error.description.utf8.allSatisfy { 0x20..<0x7F ~= $0 || $0 >= 0x80 })
        #expect(error.description.count < 120)
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", Int64(0)), ("1970-01-01T00:00:00.000000001Z", 1), ("2000-02-29T23:59:59.9Z", 951_868_799_900_000_000),
        ("2024-02-29T12:00:00+00:00", 1_709_208_000_000_000_000), ("2026-11-23T08:00:00.094Z", 1_795_420_800_094_000_000),
        ("2026-11-23t08:00:00.123456789z", 1_795_420_800_123_456_789), ("2261-12-31T23:59:59.999999999Z", 9_214_646_399_999_999_999),
    ])
    func `times are exact to the nanosecond`(text: String, nanoseconds: Int64) throws {
        let time = try #require(WallTime(rfc3339: text))
        #expect(time.nanoseconds == nanoseconds)
        #expect(WallTime(rfc3339: time.rfc3339) == time)
    }

    @Test(arguments: [
        "", "2026-11-23", "2026-11-23T08:00Z", "2026-11-23T08:00:00", "2026-11-23 08:00:00Z", "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00.0000000000Z", "2026-11-23T08:00:00+01:00", "2026-11-23T08:00:00-00:00", "2026-11-23T24:00:00Z",
        "2026-11-23T23:60:00Z", "2016-12-31T23:59:60Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "1969-12-31T23:59:59.999Z", "2262-01-01T00:00:00Z",
        "+2026-11-23T08:00:00Z", "12026-11-23T08:00:00Z", "2026-11-23T08:00:00ZZ", "２０２６-11-23T08:00:00Z", "2026-11-23T08:00:00.-1Z",
    ])
    func `what is not a time in UTC from 1970 to 2261 is none`(text: String) {
        #expect(WallTime(rfc3339: text) == nil)
    }

    @Test func `times are written in the shortest of three forms`() {
        #expect(WallTime(nanoseconds: 1_795_420_800_000_000_000).rfc3339 == "2026-11-23T08:00:00.000Z")
        #expect(WallTime(nanoseconds: 1_795_420_800_000_001_000).rfc3339 == "2026-11-23T08:00:00.000001Z")
        #expect(WallTime(nanoseconds: 1_795_420_800_000_000_001).rfc3339 == "2026-11-23T08:00:00.000000001Z")
        #expect(WallTime.distantPast.rfc3339 == "1677-09-21T00:12:43.145224192Z")
        #expect(WallTime.distantFuture.rfc3339 == "2262-04-11T23:47:16.854775807Z")
    }

    @Test func `every day of three centuries is read as it is written`() {
        for day in Int64(0)..<106_650 {
            let time = WallTime(nanoseconds: day * 86_400_000_000_000)
            guard WallTime(rfc3339: time.rfc3339) != time else { continue }
            Issue.record("\(time.rfc3339)")
        }
    }

    @Test func `random events come back from their lines byte for byte`() throws {
        var events = RandomEvents(dice: .rolled(for: "lines"), unit: 1)
        for _ in 0..<100 {
            for event in events.batch(40) {
                let line = EventLine.line(of: event)
                let parsed = try EventLine.parse(line)
                guard parsed.event.isExactly(event), parsed.unknownFields == 0, !line.contains(10) else {
                    Issue.record("\(String(decoding: line, as: UTF8.self))")
                    return
                }
            }
        }
    }

    @Test func `mutated lines never trap, and what is accepted can be written again`() throws {
        var dice = Dice.rolled(for: "mutated lines")
        var events = RandomEvents(dice: dice, unit: 1)
        let lines = events.batch(100).map { EventLine.line(of: $0) } + events.batch(100).map { EventLine.line(of: $0) }
        var accepted = 0
        for _ in 0..<mutations {
            let line = mutated(lines.randomElement(using: &dice)!, with: lines.randomElement(using: &dice)!, &dice)
            guard let parsed = try? EventLine.parse(line) else { continue }
            accepted += 1
            let again = try EventLine.parse(EventLine.line(of: parsed.event))
            guard !again.event.isExactly(parsed.event) else { continue }
            Issue.record("\(String(decoding: line, as: UTF8.self))")
            return
        }
        print("mutated lines: \(accepted) of \(mutations) still were events")
    }

    @Test(.enabled(if: !Recordings.files.isEmpty, "no recordings: set SLUICE_DATA to their folder"), arguments: Recordings.files)
    func `a real recording comes back byte for byte`(file: URL) throws {
        let lines = Recordings.lines(file)
        #expect(!lines.isEmpty)
        for line in lines {
            let parsed = try EventLine.parse(line)
            guard EventLine.line(of: parsed.event) != Array(line) || parsed.unknownFields != 0 else { continue }
            Issue.record("\(String(decoding: line, as: UTF8.self))")
            return
        }
    }
}
