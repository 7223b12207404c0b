import ArgumentParser
import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Messaging
import SwiftProtobuf
import Wire

extension LedgerName: ExpressibleByArgument {}

struct LedgerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger", abstract: "The two records, what was decided and who read what: check, prove, show, restore.",
        discussion: """
            EXAMPLE
              sluice ledger verify                          # every entry, signature and root, from the files alone
              sluice ledger prove 12 > 12.tlog-proof        # for anybody, to check without us
              sluice ledger show 1..20 --ledger reads
            """,
        subcommands: [Verify.self, Prove.self, ShowEntries.self, Restore.self], defaultSubcommand: Verify.self)

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check both ledgers: every entry, every signature, every root, and what the other service has cosigned.",
            discussion: """
                EXAMPLE
                  sluice ledger verify
                  sluice ledger verify --ledger reads --json

                Reads the databases below --home; nothing need run. Exit code 1 when anything is not as it was recorded.
                """)
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Option(help: "governance or reads. Default: both.") var ledger: LedgerName?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let files = try LedgerFiles(Home.resolve(home, environment: ProcessInfo.processInfo.environment))
            let terminal = Terminal()
            let shows = isatty(STDERR_FILENO) == 1 && !json
            var isWhole = true
            for name in ledger.map({ [$0] }) ?? LedgerName.allCases {
                let started = Clock.now()
                var hasShown = false
                let report = LedgerAudit(files: files, name: name) { count in
                    guard shows, Clock.now() - started > .seconds(1) else { return }
                    hasShown = true
                    FileHandle.standardError.write(Data("\r\(name.rawValue): \(Show.number(count)) entries".utf8))
                }.run()
                if hasShown { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
                isWhole = isWhole && report.fault == nil
                print(try json ? report.json() : report.line(terminal))
            }
            if !isWhole { throw ExitCode(1) }
        }
    }

    struct Prove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a proof that an entry is in the ledger: a C2SP tlog-proof, which anybody can check.",
            discussion: """
                EXAMPLE
                  sluice ledger prove 12 > 12.tlog-proof
                  sluice ledger prove 3 --ledger reads > read-3.tlog-proof

                Its 'extra' line holds what the leaf is made of: 32 bytes of salt, then the entry's own bytes. Without it the proof says that something
                was recorded there, and nothing of what.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "The entry's number, from 1.") var number: UInt64
        @Option(help: "governance or reads.") var ledger = LedgerName.governance

        func run() throws {
            let proof: EntryProof
            do throws(ClientError) { proof = try ledger == .governance ? asked() : read() } catch {
                // Control does not run: its files say the same.
                guard case .silent = error else { throw error }
                proof = try read()
            }
            guard !connection.json else { return print("{\"index\":\(proof.index),\"proof\":\"\(Data(proof.bytes).base64EncodedString())\"}") }
            FileHandle.standardOutput.write(Data(proof.bytes))
        }

        private func asked() throws(ClientError) -> EntryProof {
            do {
                var query = WireProofQuery()
                query.index = number
                let answer = try connection.client().query(.proof(query)).proof
                return try withEntry(EntryProof(parsing: [UInt8](answer.proof)), [UInt8](answer.entry.salt), [UInt8](answer.entry.body))
            } catch let error as ClientError { throw error } catch { throw .refused(nil, "\(error)") }
        }

        private func read() throws(ClientError) -> EntryProof {
            do {
                return try LedgerFiles(connection.folder).proof(ledger, number)
            } catch let error as ClientError { throw error } catch { throw .refused(nil, "\(error)") }
        }

        /// What is largest is left out: a proof file has a bound.
        private func withEntry(_ proof: EntryProof, _ salt: [UInt8], _ body: [UInt8]) throws -> EntryProof {
            guard body.count < 128 << 10 else { return proof }
            return try EntryProof(extra: salt + body, index: proof.index, hashes: proof.hashes, note: proof.note)
        }
    }

    struct ShowEntries: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Print entries in words, from the files of the home.", discussion: "EXAMPLE\n  sluice ledger show 10..20\n  sluice ledger show --ledger reads")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Argument(help: ArgumentHelp("The entries: 7, or 10..20, or 10.. to the end. Default: the last 20.", valueName: "entries")) var range: String?
        @Option(help: "governance or reads.") var ledger = LedgerName.governance
        @Flag(help: "Print JSON, an entry a line.") var json = false

        func run() throws {
            let files = try LedgerFiles(Home.resolve(home, environment: ProcessInfo.processInfo.environment))
            let (store, database) = try files.open(ledger)
            defer { try? database.close() }
            let size = try store.size()
            let (first, last) = try bounds(size)
            guard first <= last else { return print(size == 0 ? "the ledger is empty" : "the ledger has \(size) entries") }
            for start in stride(from: first, through: last, by: 256) {
                let page = start - 1..<min(last, start + 255)
                for (offset, recorded) in try store.entries(page).enumerated() {
                    let number = start + UInt64(offset)
                    guard let entry = recorded.entry else {
                        print(json ? "{\"index\":\(number),\"erased\":true}" : "\(number)   erased: the leaf alone is left")
                        continue
                    }
                    try show(number, entry.body)
                }
            }
        }

        private func show(_ number: UInt64, _ body: [UInt8]) throws {
            switch ledger {
            case .governance:
                let wire = try WireEntry(serializedBytes: body)
                if json { try Show.json(wire) } else { print("\(number)   \(EntryWords.line(wire))") }
            case .reads:
                let wire = try WireReadEntry(serializedBytes: body)
                if json { try Show.json(wire) } else { print("\(number)   \(EntryWords.line(wire))") }
            }
        }

        private func bounds(_ size: UInt64) throws -> (UInt64, UInt64) {
            guard let range else { return (size > 20 ? size - 19 : 1, size) }
            let parts = range.components(separatedBy: "..")
            guard let first = UInt64(parts[0]), first > 0, parts.count <= 2, let last = parts.count == 1 ? first : parts[1].isEmpty ? size : UInt64(parts[1])
            else { throw Complaint("'\(range)' is no range of entries: 7, 10..20 or 10..") }
            return (first, min(last, size))
        }
    }

    struct Restore: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "After a backup was put back: propose to believe the ledger that is there now. Another operator approves.",
            discussion: """
                EXAMPLE
                  sluice ledger restore reads --reason "disk failed, vault of 3 May restored"
                  sluice approve 7 --as ops-2

                What was recorded in between is lost: that is why it takes two, and why the checkpoint that is given up stands in the ledger for good.
                governance is the same as 'sluice resume --unseal'.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "governance or reads.") var ledger: LedgerName
        @Option(help: "Why: for the record.") var reason: String

        func run() throws {
            guard ledger == .reads else {
                var body = WireResume()
                body.reason = reason
                try body.giveUp(what: connection.client().query(.status(WireStatusQuery())).status)
                return try connection.propose(.resume(body))
            }
            let status = try connection.client().query(.status(WireStatusQuery())).status
            guard let reads = status.ledgers.first(where: { !$0.abandons.isEmpty && !$0.adopts.isEmpty }) else {
                throw Complaint("the reads ledger is not in trouble that a restoration ends: 'sluice status' shows it")
            }
            var body = WireRestoreReads()
            body.abandons = reads.abandons
            body.adopts = reads.adopts
            body.reason = reason
            try connection.propose(.restoreReads(body))
        }
    }
}

extension LedgerAudit.Report {
    func line(_ terminal: Terminal) -> String {
        let head = name.rawValue.padding(toLength: 12, withPad: " ", startingAt: 0)
        if let fault { return "\(head)\(terminal.red("NOT WHOLE"))   \(Terminal.safe(fault))" }
        var parts = ["\(Show.number(entries)) entries"]
        if name == .governance { parts.append("\(Show.number(signatures)) signatures") }
        if erased > 0 { parts.append("\(Show.number(erased)) erased") }
        parts.append("\(Show.number(cosigned)) cosigned")
        parts.append(Show.span(microseconds: Int64(seconds * 1e6)))
        return "\(head)\(terminal.green("whole"))   \(parts.joined(separator: "   "))   root \(root)"
    }

    func json() throws -> String {
        var object: [String: Any] = ["ledger": name.rawValue, "whole": fault == nil, "entries": entries, "erased": erased, "signatures": signatures, "cosigned": cosigned, "root": root, "seconds": seconds]
        if let fault { (object["fault"], object["entry"]) = (fault, entry) }
        return String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
    }
}
