import Chassis
import GRDB
import Ledger

extension LedgerFiles {
    /// A proof of an entry, from the files alone, under the newest checkpoint that the other service has cosigned.
    func proof(_ ledger: LedgerName, _ number: UInt64) throws -> EntryProof {
        let kept = try kept(ledger).filter { $0.note != nil && $0.checkpoint.size >= number }
        guard number > 0, let best = kept.max(by: { $0.checkpoint.size < $1.checkpoint.size }), let note = best.note else {
            throw Complaint("there is no entry \(number) that was cosigned: 'sluice status' says how many there are")
        }
        let (store, database) = try open(ledger)
        defer { try? database.close() }
        guard let entry = try store.entries(number - 1..<number).first?.entry else { throw Complaint("entry \(number) was erased: its leaf alone is left") }
        let hashes = try store.inclusionProof(of: number - 1, in: best.checkpoint.size)
        // What is largest is left out: a proof file has a bound.
        guard entry.body.count < 128 << 10 else { return try EntryProof(index: number - 1, hashes: hashes, note: note) }
        return try EntryProof(extra: entry.salt + entry.body, index: number - 1, hashes: hashes, note: note)
    }
}
