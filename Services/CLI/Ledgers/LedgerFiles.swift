import Chassis
import Foundation
import GRDB
import Identity
import Ledger
import SwiftProtobuf
import Vault
import Wire

/// Which of the two ledgers.
enum LedgerName: String, CaseIterable, Sendable {
    /// Control's: what was decided.
    case governance
    /// Policy's: who read what.
    case reads
}

/// The ledgers as they lie in a home's databases, opened to be read alone: no service need run, and one that runs is not disturbed.
struct LedgerFiles {
    let home: Home
    let anchors: TrustedNodes.Anchors

    init(_ home: Home) throws {
        self.home = home
        anchors = try TrustedNodes(contentsOf: home.file("registry.json")).anchors
    }

    func path(_ name: LedgerName) -> String { home.file(name == .governance ? "control/ledger.sqlite" : "policy/vault.sqlite") }

    /// The ledger's own key, and that of the other service, which cosigns it.
    func keys(_ name: LedgerName) throws -> (ledger: VerifierKey, witness: VerifierKey) {
        switch name {
        case .governance: (try ServiceHost.verifier(anchors.control), try ServiceHost.verifier(anchors.policyWitness))
        case .reads: (try ServiceHost.verifier(anchors.policy), try ServiceHost.verifier(anchors.controlWitness))
        }
    }

    func open(_ name: LedgerName) throws -> (store: LedgerStore, database: DatabaseQueue) {
        let path = path(name)
        guard FileManager.default.fileExists(atPath: path) else { throw Complaint("there is no \(path): is this the suite's --home?") }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
            try db.execute(sql: "PRAGMA cell_size_check = ON")
        }
        let database = try SQLiteStore.naming(path) { try DatabaseQueue(path: path, configuration: configuration) }
        return (LedgerStore(in: database), database)
    }

    /// A checkpoint that one of the services has kept, and where.
    struct Kept {
        let place: String
        let checkpoint: Checkpoint
        /// With both signatures; nil: the witness's own memory, which nobody need sign.
        let note: SignedNote?
    }

    /// What is kept of a ledger, in its own database and in the other service's; each verified.
    ///
    /// - Throws: `Complaint` for one that is not signed as it must be.
    func kept(_ name: LedgerName) throws -> [Kept] {
        var all: [Kept] = []
        let inOwn = (name, name == .governance ? "SELECT cosigned FROM journal" : "SELECT cosigned FROM anchor")
        let inOther = name == .governance ? (LedgerName.reads, "SELECT seen FROM anchor") : (.governance, "SELECT witnessed FROM journal")
        for (place, sql) in [inOwn, inOther] where FileManager.default.fileExists(atPath: path(place)) {
            let (_, database) = try open(place)
            defer { try? database.close() }
            let bytes = try SQLiteStore.naming(path(place)) { try database.read { try Data.fetchOne($0, sql: sql) } }
            guard let bytes else { continue }
            all.append(try kept(name, [UInt8](bytes), in: path(place), isNote: !sql.contains("witnessed")))
        }
        return all
    }

    /// Keys that control's ledger has announced, ever, and those that it began with. Who announced them is the audit's to say.
    func announced() throws -> [VerifierKey] {
        let (store, database) = try open(.governance)
        defer { try? database.close() }
        var texts: [String] = []
        let size = try store.size()
        for start in stride(from: 0, to: size, by: 256) {
            for recorded in try store.entries(start..<min(size, start + 256)) {
                guard let body = recorded.entry?.body else { continue }
                switch try? WireEntry(serializedBytes: body).deed {
                case .began(let body)?: texts += [body.controlKey, body.policyKey, body.controlWitness, body.policyWitness]
                case .ledgerKeyAnnounced(let body)?: texts.append(body.key)
                default: break
                }
            }
        }
        return texts.compactMap { try? VerifierKey(parsing: $0) }
    }

    /// One of them, from its bytes.
    func kept(_ name: LedgerName, _ bytes: [UInt8], in place: String, isNote: Bool) throws -> Kept {
        let keys = try keys(name)
        do {
            let note = isNote ? try SignedNote(parsing: bytes) : nil
            if let note, (try? note.verify([], required: [keys.ledger, keys.witness])) == nil {
                // Signed before a key was exchanged, or after it, and registry.json names the other.
                let announced = try announced()
                _ = try note.verify(oneOfEach: [keys.ledger, keys.witness].map { known in [known] + announced.filter { $0.name == known.name } })
            }
            let checkpoint = try Checkpoint(parsing: note?.text ?? String(decoding: bytes, as: UTF8.self))
            guard checkpoint.origin == keys.ledger.name else { throw Complaint("it is of \(checkpoint.origin)") }
            return Kept(place: place, checkpoint: checkpoint, note: note)
        } catch {
            throw Complaint("the checkpoint of the \(name.rawValue) ledger that \(place) keeps is not to be believed: \(error)")
        }
    }
}
