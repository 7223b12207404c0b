import ArgumentParser
import Chassis
import Crypto
import Exposure
import Foundation
import Gate
import Messaging
import Wire

extension IncidentCommand {
    struct Report: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A draft of what GDPR Article 33(3) asks for, as Markdown, with the numbers filled in.",
            discussion: "EXAMPLE\n  sluice incident report 7 > art33.md\n\nThe numbers are those of 'sluice exposure'. What only people know is left open, and marked.")
        @OptionGroup var options: ExposureOptions

        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let text = IncidentReport(try options.files()).text
            if json { return try Show.json(["incident": "\(options.incident)", "markdown": text]) }
            print(Terminal.safeLines(text))
        }
    }
}

extension IncidentCommand {
    struct Assess: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compute who could read what and who did, and put it on record: signed, by its digest.",
            discussion: "EXAMPLE\n  sluice incident assess 7 --summary \"three readers, 41 subjects\"\n\nWhoever has the ledgers computes the same bytes: 'sluice exposure 7 --json | sha256sum' with the same --since, --until, --class and --people.")
        @OptionGroup var connection: Connection
        @Argument(help: "Its number.") var incident: UInt64
        @OptionGroup var scope: ExposureScope
        @Option(help: "What it comes to, in a sentence; default: the numbers.") var summary: String?

        func run() throws {
            let files = try scope.files(incident, in: connection.folder)
            let bytes = files.assessment.lines.flatMap { $0 + [UInt8(ascii: "\n")] }
            let totals = files.assessment.totals
            let words = summary ?? "\(totals.subjects) subjects, \(totals.events) events; \(totals.people) people could read, \(totals.readers) readers did, \(files.assessment.gaps.count) gaps"
            let outcome = try connection.client().command(.assessIncident(WireIncidentAssessment(incident, Array(SHA256.hash(data: bytes)), words)), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("incident \(incident) is assessed: \(words)   entry \(outcome.entry)")
        }
    }
}

/// The draft for the authority.
struct IncidentReport {
    private let files: ExposureFiles

    init(_ files: ExposureFiles) { self.files = files }

    private func stamp(_ time: WallTime) -> String { time.stamp }

    var text: String {
        let (incident, assessment) = (files.incident, files.assessment)
        let (totals, period) = (assessment.totals, assessment.question.period)
        let classes = Set(assessment.exposed.map(\.dataClass)).sorted()
        let kinds = classes.map { name in
            let rows = assessment.exposed.filter { $0.dataClass == name && $0.could != nil }
            return "| \(name.name) | \(Show.number(rows.count)) | \(Show.number(rows.compactMap(\.events).reduce(0, +))) |"
        }
        let readers = Dictionary(grouping: assessment.releases, by: \.release.reader).sorted { $0.key < $1.key }.map { reader, releases in
            let least = releases.reduce(Int64(0)) { $0 + $1.events.lowerBound }
            let most = releases.reduce(Int64(0)) { $0 + $1.events.upperBound }
            return "| \(IncidentReport.cell(reader)) | \(Show.number(releases.count)) | \(ExposureView.range(least...most)) |"
        }
        let steps = (files.record.timeline[incident.number] ?? []).map { "| \(stamp($0.at)) | \(IncidentReport.cell($0.author)) | \(IncidentReport.cell($0.words)) | \($0.index) |" }
        let cause = files.cause.map { cause in
            let by = files.record.applied.first { $0.index == cause.index }?.by.joined(separator: " and ") ?? "?"
            return "The policy document of entry \(cause.index), applied at \(stamp(cause.at)) by \(IncidentReport.cell(by)), let more people read them\(cause.growth.map { ": \($0)" } ?? "").\(cause.earlierWords.map { " Whether it is the cause has to be checked: \($0)." } ?? "")"
        } ?? "_To be filled in: what led to it._"
        return """
            # Notification of a personal data breach (GDPR Article 33), draft

            Incident \(incident.number): \(IncidentReport.cell(incident.title)). Found \(stamp(incident.opened)); the 72 hours end \(stamp(incident.opened + .seconds(72 * 3_600))). State: \(incident.state.rawValue).

            ## Nature of the breach (33(3)(a))

            Between \(stamp(period.from)) and \(stamp(period.until)) personal data could be read by \(ExposureView.people(totals.people)), \(Show.number(totals.keys)) of them with a key. \(cause)

            | class | data subjects | events |
            | --- | --- | --- |
            \(kinds.joined(separator: "\n"))

            Data subjects in all: \(Show.number(totals.subjects)). Events: \(Show.number(totals.events))\(totals.eventsUnknown == 0 ? "" : ", and in \(totals.eventsUnknown) cases nobody knows any more").

            Who did read, by the ledger of reads: \(ExposureView.count(totals.readers...totals.readers, "reader")), of \(ExposureView.count(totals.readSubjects, "data subject")), \(ExposureView.count(totals.readEvents, "event")).

            | reader | releases | events |
            | --- | --- | --- |
            \(readers.joined(separator: "\n"))

            What these numbers cannot say:

            \((assessment.gaps.map(\.words) + [assessment.plantedWords].compactMap { $0 } + ["what left is outside: no record here says what became of it"]).map { "- \(IncidentReport.cell($0))" }.joined(separator: "\n"))

            ## Contact (33(3)(b))

            _To be filled in: name and contact details of the data protection officer._

            ## Likely consequences (33(3)(c))

            _To be filled in._

            ## Measures taken (33(3)(d))

            | when | by | what | entry |
            | --- | --- | --- | --- |
            \(steps.joined(separator: "\n"))

            _To be filled in: what is proposed, and what the persons concerned can do._

            Computed from the ledgers of \(files.record.governance.beginning?.origin ?? "?"); `sluice exposure \(incident.number) --json` gives the same numbers to whoever has them.
            """
    }

    /// Within a table of Markdown.
    private static func cell(_ text: String) -> String { text.replacingOccurrences(of: "|", with: "\\|").replacingOccurrences(of: "\n", with: " ").replacingOccurrences(of: "<", with: "&lt;") }
}
