import Chassis
import Foundation
import GRDB
import Gate
import Ledger
import Messaging

extension LedgerFiles {
    /// The newest checkpoint that the other service has cosigned; nil: none is kept.
    func cosigned(_ ledger: LedgerName) throws -> (note: SignedNote, checkpoint: Checkpoint)? {
        let newest = try kept(ledger).filter { $0.note != nil }.max { $0.checkpoint.size < $1.checkpoint.size }
        return newest.flatMap { kept in kept.note.map { ($0, kept.checkpoint) } }
    }

    /// The same, once it covers so many entries, or after the patience what there is: who wrote an entry keeps its checkpoint up to two seconds after the other service has cosigned it.
    ///
    /// - Parameters:
    ///   - size: in entries.
    ///   - saying: called once, after a second.
    func cosigned(_ ledger: LedgerName, covering size: UInt64, within patience: Span, saying: () -> Void = {}) throws -> (note: SignedNote, checkpoint: Checkpoint)? {
        let start = Clock.now()
        var hasSaid = false
        while true {
            let newest = try cosigned(ledger)
            let waited = Clock.now() - start
            if newest.map({ $0.checkpoint.size >= size }) ?? false || waited >= patience { return newest }
            if waited >= .seconds(1), !hasSaid {
                saying()
                hasSaid = true
            }
            usleep(200_000)
        }
    }

    /// A proof of an entry, from the files alone, under the newest checkpoint that the other service has cosigned.
    func proof(_ ledger: LedgerName, _ number: UInt64) throws -> EntryProof {
        guard number > 0, let best = try cosigned(ledger), best.checkpoint.size >= number else {
            throw Complaint("there is no entry \(number) that was cosigned: 'sluice status' says how many there are")
        }
        let (store, database) = try open(ledger)
        defer { try? database.close() }
        guard let entry = try store.entries(number - 1..<number).first?.entry else { throw Complaint("entry \(number) was erased: its leaf alone is left") }
        let hashes = try store.inclusionProof(of: number - 1, in: best.checkpoint.size)
        // What is largest is left out: a proof file has a bound.
        guard entry.body.count < 128 << 10 else { return try EntryProof(index: number - 1, hashes: hashes, note: best.note) }
        return try EntryProof(extra: entry.salt + entry.body, index: number - 1, hashes: hashes, note: best.note)
    }

    /// Proof files of entries of the ledger of reads for people whose they are, with the leaf alone in `extra`: an entry names others too.
    ///
    /// - Returns: by entry. Of what the checkpoint does not reach yet, and of what is not as it was cosigned, there is none.
    func leafProofs(_ entries: some Sequence<UInt64>, under note: SignedNote) throws -> [UInt64: Data] {
        let checkpoint = try Checkpoint(parsing: note.text)
        let (store, database) = try open(.reads)
        defer { try? database.close() }
        var files: [UInt64: Data] = [:]
        for entry in entries where entry > 0 && entry <= checkpoint.size {
            // Of what was changed since nothing is proven: better no file than one that nobody believes, or one that says of a read what was not recorded.
            guard let recorded = try store.entries(entry - 1..<entry).first, recorded.entry.map({ $0.leaf == recorded.leaf }) ?? true,
                let hashes = try? store.inclusionProof(of: entry - 1, in: checkpoint.size),
                (try? MerkleProof.checkInclusion(of: recorded.leaf.hash, at: entry - 1, in: checkpoint.size, root: checkpoint.root, proof: hashes)) != nil
            else { continue }
            files[entry] = Data(try EntryProof(extra: recorded.leaf.bytes, index: entry - 1, hashes: hashes, note: note).bytes)
        }
        return files
    }
}
