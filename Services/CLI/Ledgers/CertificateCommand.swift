import ArgumentParser
import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import SwiftProtobuf
import Wire

struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificate", abstract: "The proof of a stop: show it, keep it as a file, check such a file.",
        discussion: """
            EXAMPLE
              sluice certificate 42
              sluice certificate 42 --file > pause-42.certificate
              sluice certificate verify pause-42.certificate --key 'sluice/5c2d…/governance+…'
            """,
        subcommands: [ShowCertificate.self, Verify.self], defaultSubcommand: ShowCertificate.self)

    struct ShowCertificate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Show the proof of a stop: every node, and how it is known to have stopped.",
            discussion: "EXAMPLE\n  sluice certificate 42\n  sluice certificate 42 --file > pause-42.certificate\n\nExit code 1 when it is not complete.")
        @OptionGroup var connection: Connection
        @Argument(help: "The epoch of the pause.") var epoch: UInt64
        @Flag(help: "Print it as a file that control has signed, for 'sluice certificate verify' or any tool that knows C2SP signed notes.") var file = false

        func run() throws {
            let client = try connection.client()
            if file {
                // In the ledger, and so complete.
                FileHandle.standardOutput.write(try client.query(.certificateFile(epoch)).certificateFile)
                return
            }
            let certificate = try client.query(.certificate(epoch)).certificate
            if connection.json { try Show.json(certificate) } else { show(certificate) }
            if !certificate.complete { throw ExitCode(1) }
        }

        private func show(_ certificate: WireCertificate) {
            let closure = certificate.closure
            let terminal = Terminal()
            print("certificate \(certificate.epoch)   \(certificate.complete ? terminal.green("complete") : terminal.red("NOT COMPLETE"))   issued \(Show.time(microseconds: certificate.issuedUs, milliseconds: true))")
            print("  scope      \(Show.selector(closure))")
            print("  reason     \"\(Terminal.safe(closure.reason))\" by \(Terminal.safe(closure.author)), \(Show.time(microseconds: closure.fromUs, milliseconds: true))   incident \(closure.incident)")
            print("  complete   \(Show.span(microseconds: certificate.completeAfterUs)) after the command")
            if closure.direction != .capture { print("  reading    stopped after \(Show.span(microseconds: certificate.readingAfterUs))") }
            print("  recorded   \(certificate.durableIn.isEmpty ? "nowhere" : certificate.durableIn.joined(separator: ", "))")
            if certificate.unrecorded { print("  ledger     \(terminal.yellow("not in it yet"))") }
            for stop in certificate.services { print("  service    \(name(stop))") }
            let held = certificate.agents.filter { $0.how != .noLease }
            for stop in held { print("  agent      \(name(stop))") }
            if certificate.agents.count > held.count { print("  agents     \(certificate.agents.count - held.count) held no lease when the command arrived") }
            for line in certificate.unconfirmed { print("  missing    \(Terminal.safe(line))") }
        }

        private func name(_ stop: WireNodeStop) -> String {
            let how =
                switch stop.how {
                case .acknowledged: "acknowledged after \(Show.span(microseconds: stop.afterUs))"
                case .noLease: "held no lease when the command arrived"
                default: "silent; its lease ended by \(Show.span(microseconds: stop.afterUs))"
                }
            return Terminal.safe(stop.node).padding(toLength: max(24, stop.node.count), withPad: " ", startingAt: 0) + "  " + how
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a certificate's file with control's public key alone.",
            discussion: """
                EXAMPLE
                  sluice certificate verify pause-42.certificate --key 'sluice/5c2d…/governance+1c2d3e4f+AS…'

                Asks nobody and needs no suite: the key is that of control's ledger, which registry.json names under anchors. Exit code 1 when one letter of it is not as it
                was signed, or it is not complete.

                After that key was exchanged, what the one before had signed is good with --key and that one, or without --key where the ledger's files are: it must be
                there, word for word. 'sluice certificate 42 --file' has it signed anew.
                """)
        @Argument(help: ArgumentHelp("The certificate ('-': standard input).", valueName: "file")) var path: String
        @Option(help: ArgumentHelp("Control's verifier key. Default: what the home's registry.json names.", valueName: "vkey")) var key: String?
        @Option(help: "The folder of the suite, for the key. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let text = try key ?? TrustedNodes(contentsOf: Home.resolve(home, environment: ProcessInfo.processInfo.environment).file("registry.json")).anchors.control
            let verifier: VerifierKey
            do { verifier = try VerifierKey(parsing: text) } catch { throw Complaint("'\(text)' is no verifier key: name+8 digits+base64") }
            let data = path == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: path)
            guard let data else { throw Complaint("cannot read \(path)") }
            let lines: [String]
            do throws(StopCertificateRefused) { lines = try StopCertificate.verify([UInt8](data), by: verifier) } catch {
                // Signed before the key was exchanged, perhaps.
                guard key == nil, case .note(.unsigned) = error, let found = try? recorded([UInt8](data), verifier) else { throw Complaint("\(path) is not believed: \(error)") }
                lines = found
            }
            func value(_ word: String) -> String { lines.first { $0.hasPrefix(word + " ") }.map { String($0.dropFirst(word.count + 1)) } ?? "" }
            func number(_ word: String) -> Int64 { Int64(value(word)) ?? 0 }
            let counts = (lines.count { $0.hasPrefix("service ") }, lines.count { $0.hasPrefix("agent ") })
            if json {
                let object: [String: Any] = ["verified": true, "epoch": number("epoch"), "entry": number("entry"), "origin": value("origin"), "lines": lines]
                return print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
            }
            print("\(Terminal().green("verified"))   certificate \(number("epoch")) of \(Terminal.safe(value("origin"))), entry \(number("entry"))")
            print("  paused     \(WallTime(microseconds: number("from")).rfc3339) by \(Terminal.safe(value("author")))   \"\(Terminal.safe(value("reason")))\"")
            print("  complete   \(Show.span(microseconds: number("complete-after"))) after the command: \(counts.0) services, \(counts.1) agents")
        }

        /// Its lines, if a key of the ledger that was exchanged since has signed it, and the ledger that lies here holds the very same: a key that was retired may have been
        /// stolen, and what it says alone is nothing.
        private func recorded(_ bytes: [UInt8], _ present: VerifierKey) throws -> [String]? {
            let files = try LedgerFiles(Home.resolve(home, environment: ProcessInfo.processInfo.environment))
            for earlier in try files.announced() where earlier.name == present.name && earlier != present {
                guard let lines = try? StopCertificate.verify(bytes, by: earlier), let entry = lines.first(where: { $0.hasPrefix("entry ") }).flatMap({ UInt64($0.dropFirst(6)) }),
                    entry > 0
                else { continue }
                let (store, database) = try files.open(.governance)
                defer { try? database.close() }
                guard let body = try store.entries(entry - 1..<entry).first?.entry?.body, case .certified(let made)? = try WireEntry(serializedBytes: body).deed,
                    case let known = StopCertificate(origin: present.name, entry: entry, certificate: made.value), known.text == lines.map({ $0 + "\n" }).joined()
                else { return nil }
                return lines
            }
            return nil
        }
    }
}
