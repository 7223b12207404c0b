import ArgumentParser
import Chassis
import Detection
import Foundation

struct Detect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What detection finds in a text, and why.",
        discussion: """
            EXAMPLE
              sluice detect notes.txt
              pbpaste | sluice detect - --redacted
              sluice detect --rules

            Asks nobody and needs no suite: the rules are in the program. What is found is named, and not printed. Columns count characters (Unicode code points),
            from 1; bytes from 0, the last not included.
            """)

    @Argument(help: ArgumentHelp("A text, in UTF-8 or nearly ('-': standard input).", valueName: "file")) var path: String?
    @Flag(help: "Print the text, a marker such as [card] in each finding's place.") var redacted = false
    @Flag(help: "List the rules.") var rules = false
    @Flag(help: "Print JSON, one object a line.") var json = false

    /// A text is in memory once as it is and once normalised, and Vectorscan counts in 32 bits.
    private static let bytesMax = 1 << 30

    func validate() throws {
        guard rules != (path != nil) else { throw ValidationError("a file is expected, or '-', or --rules") }
    }

    private struct Line: Encodable {
        var type: String
        var rule: String
        var line: Int
        var column: Int
        var bytes: [Int]
        var certainty: String
        var validatedBy: String?
        var words: [String]
        var entropy: Double?
        var undecided: Bool?
    }

    func run() throws {
        let detector: Detector
        do { detector = try Detector() } catch { throw Complaint("detection does not start: \(error)") }
        if rules { return list(detector) }

        let text = try read()
        let findings: [Finding]
        do { findings = try detector.makeScanner().findings(in: text) } catch { throw Complaint("detection does not start: \(error)") }
        if redacted { return FileHandle.standardOutput.write(Data(Redaction.redact(text, findings))) }

        var place = TextPlace()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        for finding in findings {
            place.move(to: finding.range.lowerBound, in: text)
            let line = Line(
                type: finding.type.word, rule: detector.rules[finding.rule].id, line: place.line, column: place.column, bytes: [finding.range.lowerBound, finding.range.upperBound],
                certainty: finding.certainty.word, validatedBy: finding.grounds.check?.rawValue, words: detector.wordLists(finding.grounds.context),
                entropy: finding.grounds.entropy, undecided: finding.grounds.isUndecided ? true : nil)
            if json { print(String(decoding: try encoder.encode(line), as: UTF8.self)) } else { print(Self.words(line)) }
        }
        if !json {
            let summary = Dictionary(grouping: findings, by: \.type).map { "\($0.value.count) \($0.key)" }.sorted().joined(separator: ", ")
            print(findings.isEmpty ? "nothing found by \(detector.rules.count) rules" : "\(findings.count) found: \(summary)")
        }
    }

    private static func words(_ line: Line) -> String {
        var why: [String] = []
        if let check = line.validatedBy { why.append("checked by \(check)") }
        if let entropy = line.entropy { why.append("\(Figures.number(entropy, decimals: 1)) bits a character") }
        if !line.words.isEmpty { why.append("beside words for \(line.words.joined(separator: ", "))") }
        if line.undecided == true { why.append("not decided within the steps that a match may take") }
        if why.isEmpty { why.append("its form") }
        func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
        return padded("\(line.line):\(line.column)", 8) + "  " + padded("bytes \(line.bytes[0])–\(line.bytes[1])", 18) + "  " + padded(line.type, 16) + "  "
            + padded(line.rule, 22) + "  " + padded(line.certainty, 7) + "  " + why.joined(separator: "; ")
    }

    private func list(_ detector: Detector) {
        var table = FiguresTable("rule", "type", "certainty", "checked by", "words")
        for rule in detector.rules { table.add(rule.id, rule.type.word, rule.certainty.word, rule.check?.rawValue ?? "", detector.wordLists(rule.context).joined(separator: " ")) }
        print(table.formatted())
        print("\(detector.rules.count) rules, \(detector.book.types.count) types")
    }

    private func read() throws -> [UInt8] {
        guard let path else { return [] }
        do {
            let file = path == "-" ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            let data = try file.read(upToCount: Self.bytesMax + 1) ?? Data()
            guard data.count <= Self.bytesMax else { throw Complaint("\(path) is longer than \(Show.bytes(Int64(Self.bytesMax))): give it in parts") }
            return [UInt8](data)
        } catch let error as Complaint {
            throw error
        } catch {
            throw Complaint("cannot read \(path): \(error.localizedDescription)")
        }
    }
}

/// A place in a text as people count it, found by going forward.
private struct TextPlace {
    private(set) var line = 1
    private(set) var column = 1
    private var at = 0

    mutating func move(to place: Int, in text: [UInt8]) {
        while at < place {
            let byte = text[at]
            if byte == 0x0A {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
            at += 1
        }
    }
}
