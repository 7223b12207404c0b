import Foundation
import Ledger
import Wire

/// What policy and control say to each other of their ledgers, seen from policy: what to send with the next renewal, and what the writer is to make.
///
/// One offer at a time: the next begins where control says that it has cosigned, so that a proof never has a beginning that control does not know.
/// Holds nothing but what was made elsewhere; costs nothing when nothing has changed.
struct Anchors {
    private var offer: ReadLedger.Offer
    /// Entries in policy's own ledger.
    private var size: UInt64
    /// Segments that the vault has ever stored.
    private(set) var stored: UInt64
    /// Of these, as control has last said: so many it will ask for, also when the vault was put back.
    private(set) var vaultWitnessed: UInt64 = 0
    /// Of it, as control has last said.
    private var witnessed: UInt64?
    private var isAsked = false
    /// Signed with a key that is not signed with any more.
    private var isStale = false
    /// Why control does not believe policy's ledger; empty: it does.
    private(set) var controlsTrouble = ""
    private var seen: (size: UInt64, note: Data)
    private var kept: UInt64

    /// - Parameters:
    ///   - seen: what policy has cosigned of control's ledger.
    ///   - kept: the size of its own whose cosignature it has on disk.
    init(offer: ReadLedger.Offer, seen: SignedNote?, kept: UInt64) {
        self.offer = offer
        size = offer.size
        stored = offer.stored
        self.seen = (seen.flatMap { try? Checkpoint(parsing: $0.text).size } ?? 0, seen.map { Data($0.bytes) } ?? Data())
        self.kept = kept
    }

    /// With the next renewal.
    func renewal(trouble: String?) -> WireAnchor {
        var body = WireAnchor()
        body.checkpoint = offer.note
        body.proof = offer.proof
        body.from = offer.from
        body.seen = seen.size
        body.cosigned = seen.note
        body.trouble = trouble ?? ""
        return body
    }

    /// What there is to do on the writer's thread, if anything.
    struct Errand {
        var offerFrom: UInt64?
        /// Control's cosignature of ours, not on disk yet.
        var keep: Data?
    }

    mutating func hear(_ answer: WireAnchor) -> Errand {
        controlsTrouble = answer.trouble
        witnessed = answer.seen
        vaultWitnessed = answer.vault
        var errand = Errand(offerFrom: next())
        if answer.seen > kept, !answer.cosigned.isEmpty {
            kept = answer.seen
            errand.keep = answer.cosigned
        }
        return errand
    }

    /// The ledger has grown.
    mutating func grew(to size: UInt64) -> UInt64? {
        self.size = size
        return next()
    }

    /// The vault has grown. Told with the next offer, one for each renewal at most: what is stored in between is not anchored yet.
    mutating func grew(vault segments: UInt64) -> UInt64? {
        stored = segments
        return next()
    }

    mutating func made(_ offer: ReadLedger.Offer) -> UInt64? {
        self.offer = offer
        isAsked = false
        return next()
    }

    /// Another key signs: what is offered is made once more.
    mutating func signAgain() -> UInt64? {
        isStale = true
        return next()
    }

    mutating func cosigned(_ size: UInt64, _ note: Data) { seen = (size, note) }

    private mutating func next() -> UInt64? {
        guard !isAsked, let witnessed else { return nil }
        if isStale {
            isStale = false
            isAsked = true
            return witnessed
        }
        let isAnswered = witnessed == offer.size && vaultWitnessed == offer.stored
        guard isAnswered ? size > offer.size || stored > offer.stored : witnessed != offer.from && witnessed != offer.size else { return nil }
        isAsked = true
        return witnessed
    }
}
