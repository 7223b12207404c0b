import ArgumentParser
import Chassis
import Foundation
import Gate
import Ledger
import Messaging
import Rules
import SwiftProtobuf
import Wire

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Everything held on a person, for that person: a zip file on standard output.",
        discussion: """
            EXAMPLE
              sluice export E1042 > mine.zip

            It is a read like any other: on the record before the first byte, and refused or cut off while reading is paused. Exit code 1 then, and the zip
            file is not whole: no program opens it.

            It ends once control has cosigned the record of each read that it lists, itself among them, so that of each there is a proof in it; after ten
            seconds it goes on without, and says in the file and on standard error of how many reads there is none.
            """)

    /// Under which it stands in the read ledger.
    static let purpose = "subject-access"

    @OptionGroup var connection: Connection
    @Argument(help: "The person's id.") var subject: String
    @Option(help: "Why. Recorded.") var why = "the person's own data, for the person"

    func run() throws {
        guard isatty(STDOUT_FILENO) == 0 else { throw Complaint("a zip file is no text: sluice export \(subject) > mine.zip") }
        let files = try LedgerFiles(connection.folder)
        let control = try connection.client()
        let stored = try classes(control)
        // Before anything is asked of policy: without it the file would not be whole.
        let records = try control.query(.records(WireSubjects([subject]))).records.records.first { $0.subject == subject } ?? WireSubjectRecords()
        let client = try connection.client("policy")
        var request = WireReleaseRequest()
        request.id = Nonce.random().bytes
        request.purpose = Export.purpose
        request.justification = why
        request.classes = stored
        request.subjects = [subject]
        request.credit = UInt32(Limits.releaseCreditMax)
        request.directory = true
        let now = Clock.wall()
        var zip = ZipWriter(date: now.microseconds / 1_000_000) { try FileHandle.standardOutput.write(contentsOf: $0) }
        var decompressor = try ZstdDecompressor()
        var release: WireRelease?
        var counts: [(name: String, events: Int)] = []
        let ended = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> WireReleaseEnded? in
            switch message.kind {
            case .release:
                let body = try message.body(WireRelease.self)
                guard body.id == request.id else { return nil }
                release = body
                if body.hasPerson {
                    try zip.begin("directory.json")
                    try zip.add(Data((body.person.jsonString() + "\n").utf8))
                }
            case .chunk:
                var message = message
                let chunk = try message.body(WireChunk.self)
                guard let payload = message.takePayload(), chunk.release == release?.release else { return nil }
                // A class after another.
                if counts.last?.name != chunk.class {
                    counts.append((chunk.class, 0))
                    try zip.begin("\(chunk.class).ndjson")
                }
                counts[counts.count - 1].events += Int(chunk.count)
                let columns = try decompressor.decompress(payload.array(), expected: Int(chunk.columnsBytes), max: Limits.columnsBytesMax)
                let extent = BatchExtent(first: WallTime(nanoseconds: chunk.firstNs), last: WallTime(nanoseconds: chunk.lastNs), count: Int(chunk.count))
                var lines = Data()
                for event in try ColumnsCodec.decode(columns, extent: extent) { lines.append(contentsOf: EventLine.line(of: event) + [UInt8(ascii: "\n")]) }
                try zip.add(lines)
                var credit = WireCredit()
                credit.release = chunk.release
                credit.chunks = 1
                client.send(.credit, credit)
            case .releaseEnded:
                let body = try message.body(WireReleaseEnded.self)
                return body.release == release?.release ? body : nil
            default: break
            }
            return nil
        }
        guard ended.code == 0 else { throw Complaint("cut off after \(ended.events) events: \(ended.text)") }
        try zip.begin("records.json")
        try zip.add(Data((records.jsonString() + "\n").utf8))
        let (reads, denied) = try ReadsOfPerson(subject, in: files).allAndDenied()
        try zip.begin("reads.ndjson")
        for read in reads { try zip.add(read.json() + Data("\n".utf8)) }
        try zip.begin("denied.ndjson")
        for read in denied { try zip.add(read.json() + Data("\n".utf8)) }
        // An entry may name others whom the read was of as well: of it there is the leaf alone.
        let proofs = leafProofs(of: reads, files)
        let unproven = reads.map(\.entry).filter { proofs[$0] == nil }
        for (entry, proof) in proofs.sorted(by: { $0.key < $1.key }) {
            try zip.begin("proofs/\(ReadProofs.fileName(entry))")
            try zip.add(proof)
        }
        try zip.begin("README.txt")
        let left = try ReadsOfPerson(subject, in: files).stored().filter { !stored.contains($0.name) }
        try zip.add(Data(text(now, release, counts, records, (reads.count, denied.count), proofs.count, unproven, left).utf8))
        try zip.finish()
        if !unproven.isEmpty { say("of \(Export.some(unproven)) there is no proof: 'sluice ledger verify' says whether something is wrong with the record of the reads") }
        say("release \(release?.release ?? 0)   \(ended.events) events   \(reads.count) reads on record   complete")
    }

    /// Those of the policy that is in force: a class that it does not have nobody may read.
    private func classes(_ control: Client) throws -> [String] {
        let document = try control.query(.policy(WirePolicyQuery())).policy.document
        guard !document.isEmpty else { return Classification.standard.stored.map(\.name) }
        return try PolicyFiles.document(canonical: [UInt8](document)).classes.filter { $0.retention != nil }.map(\.name)
    }

    /// What is held on a person is theirs also where the ledger can prove nothing: then there are none, and the file says of which.
    private func leafProofs(of reads: [ReadOfPerson], _ files: LedgerFiles) -> [UInt64: Data] {
        let entries = reads.suffix(Export.proofsMax).map(\.entry)
        guard let last = entries.max() else { return [:] }
        do {
            // The last is the read that this is, of a moment ago.
            let cosigned = try files.cosigned(.reads, covering: last, within: ReadProofs.patience) {
                say("waiting until control has cosigned the record of the reads up to entry \(last), at most 10 s")
            }
            guard let cosigned else { return [:] }
            return try files.leafProofs(entries, under: cosigned.note)
        } catch { return [:] }
    }

    private func say(_ line: String) { FileHandle.standardError.write(Data((Terminal.safe(line) + "\n").utf8)) }

    /// Of the newest reads: each is a file of a kilobyte.
    private static let proofsMax = 10_000

    private static func some(_ entries: [UInt64]) -> String {
        let more = entries.count > 10 ? " and \(Show.number(entries.count - 10)) more" : ""
        return "\(entries.count == 1 ? "entry" : "entries") \(entries.prefix(10).map(String.init).joined(separator: ", "))\(more)"
    }

    private func text(
        _ now: WallTime, _ release: WireRelease?, _ counts: [(name: String, events: Int)], _ records: WireSubjectRecords, _ reads: (held: Int, denied: Int), _ proven: Int, _ unproven: [UInt64],
        _ left: [(name: String, events: Int64)]
    ) -> String {
        // What is not in the file is said in it.
        let gap = left.map { "\(Show.number(UInt64(max(0, $0.events)))) events of the class '\($0.name)'" }.joined(separator: ", ")
        // Of somebody who was captured in two places the policy may allow one alone.
        let denied = (release?.leftOut ?? []).map(\.why).sorted().joined(separator: ", ")
        let without = unproven.isEmpty ? "" : "Of \(Export.some(unproven)) there is none: control has not cosigned it yet, or not so, or it is older than the newest \(Show.number(Export.proofsMax))"
        return """
        What is held on \(subject), as of \(Show.time(microseconds: now.microseconds)) UTC.

        directory.json   who you are to this system: \(release?.hasPerson == true ? "name, mail, team, site, language" : "nothing is held, and there is no such file")
        \(counts.map { "\($0.name).ndjson   \(Show.number(UInt64($0.events))) events of the class '\($0.name)', one a line, in UTC" }.joined(separator: "\n"))
        records.json     what you agreed to (\(Show.number(UInt64(records.consents.count)))) and were told of (\(Show.number(UInt64(records.notices.count)))), and the incidents for which what there is of you is kept (\(Show.number(UInt64(records.holds.count))))
        reads.ndjson     \(Show.number(UInt64(reads.held))) reads that held, or may have held, something of you; the last is the one that made this file
        denied.ndjson    \(Show.number(UInt64(reads.denied))) reads that were asked for and denied, and that would have held, or might have held, something of you
        proofs/          \(Show.number(UInt64(proven))) proofs that these reads are in the ledger, as anybody can check (c2sp.org/tlog-proof): read-N is of entry N. Their 'extra' line is the
                         entry's leaf, which shows that there is one and nothing of whom else it is of; whoever keeps the ledger can show the entry that it was made of. \(without)

        \(denied.isEmpty ? "" : "MISSING: a part of what is stored of you, which the policy in force does not let this reader have (\(denied)).\n")\(gap.isEmpty ? denied.isEmpty ? "Nothing that is stored of you is missing." : "" : "MISSING: \(gap). The policy in force has no such class, so nobody may read it, and this file could not either.")
        This was recorded as release \(release?.release ?? 0) before it was made.

        """
    }
}
