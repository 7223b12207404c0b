package import Gate
package import Ledger
import Identity

/// Why a file is not believed to be a stop certificate.
package enum StopCertificateRefused: Error, Hashable, Sendable, CustomStringConvertible {
    case note(NoteRefused)
    /// Its first line is another.
    case otherText
    case otherOrigin(String)
    case notComplete
    /// The key's name is no ledger's.
    case key

    package var description: String {
        switch self {
        case .note(.unsigned(let name, _)), .note(.signatureFails(let name, _)): "it is not signed by \(name), or was changed after it was"
        case .note(let why): "it is no signed note, or was changed: \(why)"
        case .otherText: "what is signed is no stop certificate"
        case .otherOrigin(let found): "it is of another suite (\(found))"
        case .notComplete: "it is not complete: it proves no stop"
        case .key: "this is no key of a ledger: registry.json names it under anchors, control"
        }
    }
}

/// A stop certificate as a file that anybody can check with control's public key alone: a C2SP signed note.
///
/// The text is canonical: these lines, in this order, each once unless it says otherwise; times are microseconds. A value ends with its line; a byte below U+0020, U+007F
/// and `%` are written `%XX`, in names of nodes a space as well. Signed under ``name(of:)``, so that nothing that is signed as a checkpoint is a certificate, or the other way round.
///
/// ```
/// sluice stop certificate v1
/// origin sluice/5c2d…/governance
/// entry 48112                    in control's ledger
/// epoch 42
/// complete yes
/// closes both                    capture, read or both
/// site berlin                    site, team, subject, class, reader, purpose: each value of the selector; none: everything
/// reason reviews visible company-wide
/// author ops-1
/// incident 7
/// from 1764000000000000          microseconds since 1970
/// issued 1764000001450000
/// lease 3000000
/// complete-after 412000
/// reading-after 1800             if reading was closed
/// durable journal                each store that held the record
/// service policy acknowledged 1800
/// agent desk-1 lease-ended 3000000
/// agent desk-2 no-lease
/// unconfirmed …                  each thing that stands in the way; none: complete
/// ```
package struct StopCertificate: Hashable, Sendable {
    package static let firstLine = "sluice stop certificate v1"
    /// 100,000 agents with long names.
    package static let bytesMax = 64 << 20

    package let origin: KeyName
    package let entry: UInt64
    package let certificate: Certificate

    package init(origin: KeyName, entry: UInt64, certificate: Certificate) {
        self.origin = origin
        self.entry = entry
        self.certificate = certificate
    }

    /// Under which control's key signs certificates.
    package static func name(of origin: KeyName) -> KeyName? { KeyName("\(origin)/certificates") }

    package var text: String {
        let closure = certificate.closure
        var lines = [
            StopCertificate.firstLine, "origin \(origin)", "entry \(entry)", "epoch \(certificate.epoch.number)", "complete \(certificate.isComplete ? "yes" : "no")",
            "closes \(closure.direction)",
        ]
        let selector = closure.selector
        for (word, values) in [
            ("site", selector.sites), ("team", selector.teams), ("subject", selector.subjects), ("class", Set(selector.classes.map(\.name))),
            ("reader", selector.readers), ("purpose", selector.purposes),
        ] {
            lines += values.sorted().map { "\(word) \(Self.quoted($0))" }
        }
        lines += [
            "reason \(Self.quoted(closure.reason))", "author \(Self.quoted(closure.author))", "incident \(closure.incident)", "from \(closure.from.microseconds)",
            "issued \(certificate.issued.microseconds)", "lease \(certificate.lease.microseconds)", "complete-after \(certificate.completeAfter.microseconds)",
        ]
        if let reading = certificate.readingAfter { lines.append("reading-after \(reading.microseconds)") }
        lines += certificate.durableIn.map(\.rawValue).sorted().map { "durable \($0)" }
        for (word, stops) in [("service", certificate.services), ("agent", certificate.agents)] {
            lines += stops.sorted { $0.key < $1.key }.map { name, stop in "\(word) \(Self.quoted(name, spaces: true)) \(Self.words(stop))" }
        }
        lines += certificate.unconfirmed.map { "unconfirmed \(Self.quoted($0))" }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func words(_ stop: Stop) -> String {
        switch stop {
        case .acknowledged(let after): "acknowledged \(after.microseconds)"
        case .leaseEnded(let by): "lease-ended \(by.microseconds)"
        case .noLease: "no-lease"
        }
    }

    private static func quoted(_ text: String, spaces: Bool = false) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            guard byte < 0x20 || byte == 0x7f || byte == UInt8(ascii: "%") || (spaces && byte == 0x20) else {
                bytes.append(byte)
                continue
            }
            let digits = Array("0123456789ABCDEF".utf8)
            bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// - Parameter ledger: All that sign the checkpoints of the ledger that holds it: two while one is exchanged for the other.
    package func signed(by ledger: [NoteSigner]) throws -> [UInt8] {
        let text = text
        let signatures = try ledger.map { signer in
            guard let name = StopCertificate.name(of: signer.verifier.name) else { throw StopCertificateRefused.key }
            return try signer.named(name).sign(text, at: 0, bytesMax: StopCertificate.bytesMax)
        }
        return try SignedNote(text: text, signatures: signatures, bytesMax: StopCertificate.bytesMax).bytes
    }

    /// Checks a file with a public key and nothing else.
    ///
    /// - Parameter key: Of the ledger, or under the name that certificates are signed with.
    /// - Returns: its lines.
    package static func verify(_ bytes: [UInt8], by key: VerifierKey) throws(StopCertificateRefused) -> [String] {
        let suffix = "/certificates"
        let text = key.name.description
        let origin = text.hasSuffix(suffix) ? String(text.dropLast(suffix.count)) : text
        guard let name = KeyName(origin + suffix), key.algorithm == .note, let signer = try? VerifierKey(name: name, algorithm: .note, publicKey: key.publicKey) else { throw .key }
        let note: SignedNote
        do throws(NoteRefused) {
            note = try SignedNote(parsing: bytes, bytesMax: bytesMax)
            _ = try note.verify([], required: [signer])
        } catch { throw .note(error) }
        let lines = note.text.split(separator: "\n").map(String.init)
        guard lines.count > 4, lines[0] == firstLine else { throw .otherText }
        guard lines[1] == "origin \(origin)" else { throw .otherOrigin(lines[1]) }
        guard lines[4] == "complete yes", !lines.contains(where: { $0.hasPrefix("unconfirmed ") }) else { throw .notComplete }
        return lines
    }
}
