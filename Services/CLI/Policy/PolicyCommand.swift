import ArgumentParser
import Chassis
import Crypto
import Foundation
import Rules

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "The policy document: check it, test it, see what it would change, apply it.",
        discussion: """
            EXAMPLE
              sluice policy check policy.yaml
              sluice policy test policy.yaml
              sluice policy diff policy.yaml --people people.csv
              sluice policy apply policy.yaml
              sluice policy show --yaml

            deploy/policy has an example with its cases, and a JSON Schema for editors.
            """,
        subcommands: [Check.self, Test.self, Diff.self, Apply.self, InForce.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every mistake in a policy, with its place and what was probably meant.",
            discussion: """
                EXAMPLE
                  sluice policy check policy.yaml
                  sluice policy check policy.yaml --canonical | sha256sum

                Exit code 1 when there is a mistake. Without one, prints the hash of the canonical form, which is what the document is known by.
                """)
        @Argument(help: ArgumentHelp("The policy ('-': standard input).", valueName: "file")) var file: String
        @Flag(help: "Print the canonical form: JSON, one line, that 'sluice policy' reads as well.") var canonical = false
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let document: PolicyDocument
            do { document = try PolicyFiles.document(file) } catch let mistakes as PolicyMistakes {
                if json { try PolicyCommand.print(["ok": false, "mistakes": mistakes.json]) } else { PolicyCommand.tell(mistakes) }
                throw ExitCode(1)
            }
            let bytes = document.canonical
            if canonical { return FileHandle.standardOutput.write(Data(bytes)) }
            let hash = SHA256.hash(data: bytes).map { String(format: "%02x", $0) }.joined()
            let counts = [
                ("classes", document.classes.count), ("rules", document.assignments.count), ("capture", document.capture.count), ("purposes", document.purposes.count),
                ("roles", document.roles.count), ("grants", document.grants.count), ("leaks", document.leaks.count),
            ]
            if json {
                var object: [String: Any] = ["ok": true, "sha256": hash, "mistakes": [Any]()]
                for (name, count) in counts { object[name] = count }
                return try PolicyCommand.print(object)
            }
            Swift.print("\(Terminal().green("sound"))   \(counts.map { "\($1) \($0)" }.joined(separator: "   "))")
            if document.drills != .none { Swift.print("drills  \(document.drills.words)") }
            if document.notices != .none { Swift.print("notices  \(document.notices.words)") }
            Swift.print("sha256  \(hash)")
        }
    }

    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run a policy's cases: given this event or this read, expect that.",
            discussion: """
                EXAMPLE
                  sluice policy test                       policy.yaml here, and its cases
                  sluice policy test deploy/policy/policy.yaml

                Cases stand beside the policy, in NAME.tests.yaml or in *.yaml of a folder 'tests', or where --cases says. Exit code 1 when one fails, when a file has a mistake,
                or when there are none.
                """)
        @Argument(help: "The policy.") var file = "policy.yaml"
        @Option(help: ArgumentHelp("A file of cases; may be repeated. Default: those beside the policy.", valueName: "file")) var cases: [String] = []
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            var failed = false
            var mistakes: [PolicyMistakes] = []
            var failures: [(path: String, failure: PolicyCases.Failure)] = []
            var count = 0
            let paths = try cases.isEmpty ? beside() : cases
            guard !paths.isEmpty else { throw Complaint("there are no cases beside \(file): write some in \(stem).tests.yaml") }
            do {
                let policy = Policy(try PolicyFiles.document(file))
                for path in paths {
                    do {
                        let cases = try PolicyFiles.cases(path)
                        count += cases.cases.count
                        failures += cases.failures(of: policy).map { (path, $0) }
                    } catch let error as PolicyMistakes { mistakes.append(error) }
                }
            } catch let error as PolicyMistakes { mistakes.append(error) }
            failed = !failures.isEmpty || !mistakes.isEmpty
            if json {
                try PolicyCommand.print([
                    "ok": !failed, "cases": count, "mistakes": mistakes.flatMap(\.json),
                    "failures": failures.map { path, one -> [String: Any] in
                        ["file": path, "line": one.place.line, "column": one.place.column, "case": one.name, "expected": one.expected, "found": one.found]
                    },
                ])
            } else {
                for one in mistakes { PolicyCommand.tell(one) }
                for (path, failure) in failures { Swift.print(Terminal.safe(failure.line(in: path))) }
                let terminal = Terminal()
                let sum = "\(count - failures.count) of \(count) cases hold"
                Swift.print(failed ? terminal.red(sum) : terminal.green(sum))
            }
            if failed { throw ExitCode(1) }
        }

        private var stem: String { (file as NSString).deletingPathExtension }

        private func beside() throws -> [String] {
            var paths = [stem + ".tests.yaml"].filter { FileManager.default.fileExists(atPath: $0) }
            let folder = ((file as NSString).deletingLastPathComponent as NSString).appendingPathComponent("tests")
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            paths += names.filter { $0.hasSuffix(".yaml") }.sorted().map { (folder as NSString).appendingPathComponent($0) }
            return paths
        }
    }

    static func tell(_ mistakes: PolicyMistakes) {
        for line in mistakes.lines { FileHandle.standardError.write(Data((Terminal.safe(line) + "\n").utf8)) }
    }

    static func print(_ object: Any) throws {
        Swift.print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}
