import Crypto
import Foundation
import Gate
import Identity
import Ledger
import Mail

/// Names the mails of notices, and what comes back of them, so that nobody can who has the ledgers alone: a report of non-delivery or a receipt is believed for the id or the code in it.
///
/// The same for the same person and decision, whoever hands it over, and however often.
struct NoticeKey: Sendable {
    private let key: SymmetricKey

    init(_ secret: SecretBytes) { key = secret.withCopy { SymmetricKey(data: $0) } }

    /// What stands before the `@` of its `Message-ID`.
    func id(of subject: String, _ decision: Outbox.Decision) -> String { NoticeKey.prefix + NoticeKey.hex(derived("message-id", subject, decision).prefix(20)) }

    /// What its link says. It begins as the id does, so that it is looked up by it, and goes on with what the id does not tell.
    func code(of subject: String, _ decision: Outbox.Decision) -> ReceiptCode? {
        ReceiptCode(digits: NoticeKey.hex(derived("message-id", subject, decision).prefix(8) + derived("receipt", subject, decision).prefix(12)))
    }

    /// How the ids of mails begin that have this code.
    static func beginning(of code: ReceiptCode) -> String { prefix + code.digits.prefix(16) }

    private static let prefix = "mail_"

    /// HMAC-SHA256 of what for, which decision, and of whom: the subject alone has no fixed length, and comes last.
    private func derived(_ purpose: String, _ subject: String, _ decision: Outbox.Decision) -> [UInt8] {
        var all = Array("sluice/notice/v1/\(purpose)\0".utf8)
        withUnsafeBytes(of: decision.number.bigEndian) { all += $0 }
        all += decision.root.bytes
        all += subject.utf8
        return Array(HMAC<SHA256>.authenticationCode(for: all, using: key))
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String { bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined() }
}
