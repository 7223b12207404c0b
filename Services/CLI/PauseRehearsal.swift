import Foundation
import Wire

/// What a pause would stop, as control and policy say: `sluice pause --dry-run`.
struct PauseRehearsal {
    private let answer: WireRehearsal
    /// Why it is not known who is reading; nil: it is.
    private let readsUnknown: String?
    private let connection: Connection

    /// Asks control as whoever would sign it; and policy, without which what would stop is known all the same.
    init(_ pause: WirePause, _ connection: Connection) throws {
        var asked = WirePauseQuery()
        asked.pause = pause
        asked.key = try connection.signer().keyID
        var answer = try connection.client().query(.pause(asked)).rehearsal
        var trouble: String?
        do {
            let reads = try connection.client("policy").query(.pause(asked)).rehearsal
            (answer.readsAll, answer.reads) = (reads.readsAll, reads.reads)
        } catch {
            trouble = "\(error)"
        }
        self.answer = answer
        readsUnknown = trouble
        self.connection = connection
    }

    func show() throws {
        if connection.json { return try json() }
        for line in lines { print(Terminal.safe(line)) }
    }

    private func json() throws {
        var object = try JSONSerialization.jsonObject(with: Data(answer.shownAsJSON().utf8)) as? [String: Any] ?? [:]
        if let readsUnknown {
            object["reads_unknown"] = readsUnknown
            (object["reads"], object["reads_all"]) = (nil, nil)
        }
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }

    private var lines: [String] {
        func row(_ name: String, _ text: String) -> String { name.padding(toLength: 13, withPad: " ", startingAt: 0) + text }
        func names(_ listed: [String], of all: UInt32) -> String {
            let shown = listed.prefix(10)
            let rest = Int(all) - shown.count
            return shown.isEmpty ? "" : "   \(shown.joined(separator: ", "))\(rest > 0 ? " and \(Show.number(rest)) more" : "")"
        }
        let closure = answer.closure
        var lines = [row("would stop", "\(Show.selector(closure))   as epoch \(closure.epoch), incident \(closure.incident)")]
        lines.append(row("services", "\(answer.services.joined(separator: ", "))\(answer.idle.isEmpty ? "" : "   without a lease: \(answer.idle.joined(separator: ", "))")"))
        lines.append(row("agents", answer.agents == 0 ? "none: capture goes on" : "\(Show.number(answer.agents)), \(Show.number(answer.agentsCurrent)) with a lease\(names(answer.agentNames, of: answer.agents))"))
        lines.append(row("subjects", "\(Show.number(answer.subjects))\(names(answer.subjectNames, of: answer.subjects))"))
        lines.append(row("classes", answer.classes.isEmpty ? "all" : answer.classes.joined(separator: ", ")))
        lines += reads.enumerated().map { row($0.offset == 0 ? "reads" : "", $0.element) }
        if !answer.coveredBy.isEmpty { lines.append(row("closed", "already, by epoch \(answer.coveredBy.map { "\($0)" }.joined(separator: ", "))")) }
        lines.append("NOTHING WAS STOPPED: a dry run")
        return lines
    }

    private var reads: [String] {
        if let readsUnknown { return ["not known: \(readsUnknown)"] }
        if answer.closure.direction == .capture { return ["none: reading goes on"] }
        if answer.readsAll == 0 { return ["none under way"] }
        let shown = answer.reads.prefix(10).map { "release \($0.release)   \($0.reader)   \($0.classes.joined(separator: ", "))   \($0.purpose)   \($0.atOnce ? "at once" : "at the first chunk that it concerns")" }
        return shown + (Int(answer.readsAll) > shown.count ? ["and \(Show.number(Int(answer.readsAll) - shown.count)) more"] : [])
    }
}
