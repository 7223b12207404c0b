import Foundation
import Gate
import SwiftProtobuf
import Testing
import Wire

/// FAULTS I01: bytes of any kind, as the body of every message that there is.
@Suite struct MessageFuzzTests {
    private struct Subject: Sendable {
        let name: String
        /// Whether the bytes are one. What is read must say the same when it is written and read again.
        let read: @Sendable ([UInt8]) -> Bool
    }

    private static func of<Body: SwiftProtobuf.Message & Equatable & Sendable>(_ type: Body.Type) -> Subject {
        Subject(name: "\(type)") { bytes in
            guard let body = try? Body(serializedBytes: bytes) else { return false }
            translate(body)
            guard let written: [UInt8] = try? body.serializedBytes(), let again = try? Body(serializedBytes: written) else {
                Issue.record("\(type) was read and cannot be written: \(bytes)")
                return true
            }
            // Not a number is equal to nothing: none of ours has a field that could be one.
            #expect(again == body)
            return true
        }
    }

    /// What the gate takes of it. Whether it is anything is not asked: no bytes may end the process.
    private static func translate(_ body: some SwiftProtobuf.Message) {
        switch body {
        case let body as WireSelector: _ = body.value
        case let body as WireClosure: _ = body.value
        case let body as WireGateState: _ = body.value
        case let body as WirePermit: _ = body.value
        case let body as WireNode: _ = body.value
        case let body as WireCertificate: _ = body.value
        case let body as WireEntry: _ = body.value
        case let body as WireOperator: _ = body.value
        case let body as WireBegan: _ = body.value
        case let body as WireEnrolmentOpened: _ = body.value
        case let body as WireCommand: _ = body.value
        case let body as WireSignedCommand: _ = body.command?.value
        default: break
        }
    }

    private static let subjects: [Subject] = [
        of(WireAgentReport.self), of(WireAgentStatus.self), of(WireAgents.self), of(WireAgentsQuery.self), of(WireAnchor.self),
        of(WireAnnounceLedgerKey.self), of(WireAnnounceServiceKey.self), of(WireAnnounceVaultKey.self), of(WireAnswer.self), of(WireApproved.self),
        of(WireBatch.self), of(WireBatchHeader.self), of(WireBegan.self), of(WireBusy.self), of(WireCertificate.self),
        of(WireChangeOperators.self), of(WireChunk.self), of(WireCloseIncident.self), of(WireClosure.self), of(WireClosures.self),
        of(WireClosuresQuery.self), of(WireColumns.self), of(WireCommand.self), of(WireCredit.self), of(WireDeliveries.self),
        of(WireDeliveriesQuery.self), of(WireDelivery.self), of(WireDirectory.self), of(WireDirectoryMoved.self), of(WireDirectoryPlace.self),
        of(WireDrillBegan.self), of(WireDrillBounds.self), of(WireDrillEnded.self), of(WireDrillRecord.self), of(WireDrills.self),
        of(WireDrillsQuery.self), of(WirePauseQuery.self), of(WireRehearsal.self), of(WireRunningRead.self), of(WireStartDrill.self),
        of(WireDirectoryStored.self), of(WireEnrol.self), of(WireEnrolmentOpened.self), of(WireEntries.self), of(WireEntry.self),
        of(WireEntryProof.self), of(WireErasure.self), of(WireErasures.self), of(WireFinding.self), of(WireFound.self),
        of(WireGateState.self), of(WireGoodbye.self), of(WireGrant.self), of(WireHello.self), of(WireHold.self),
        of(WireHolds.self), of(WireHoldsQuery.self), of(WireIncident.self), of(WireIncidentAssessment.self), of(WireIncidentMoved.self),
        of(WireIncidentNote.self), of(WireIncidentOpened.self), of(WireIncidentStep.self), of(WireIncidents.self), of(WireIncidentsQuery.self),
        of(WireJoin.self), of(WireJoinRequest.self), of(WireJoined.self), of(WireJournalQuery.self), of(WireLeakReport.self),
        of(WireLedgerKey.self), of(WireLedgerKeyAnnounced.self), of(WireLedgerKeyRetired.self), of(WireLedgerStatus.self), of(WireLeftOut.self),
        of(WireNarrow.self), of(WireNode.self), of(WireNodeStop.self), of(WireNodesRegistered.self), of(WireNodesRemoved.self),
        of(WireNudge.self), of(WireOperator.self), of(WireOperators.self), of(WireOperatorsChanged.self), of(WireOperatorsQuery.self),
        of(WireOutcome.self), of(WirePause.self), of(WirePermit.self), of(WirePerson.self), of(WirePolicyApplied.self),
        of(WirePolicyInForce.self), of(WirePolicyQuery.self), of(WireProgress.self), of(WireProofQuery.self), of(WireProposal.self),
        of(WireProposals.self), of(WireProposalsQuery.self), of(WireProposed.self), of(WireQuery.self), of(WireReadDenied.self),
        of(WireReadEnded.self), of(WireReadEntry.self), of(WireReadGiven.self), of(WireReadOpened.self), of(WireReadUse.self),
        of(WireReadsRestored.self), of(WireRecordedEntry.self), of(WireRecords.self), of(WireRecordsChanged.self), of(WireRefused.self),
        of(WireRegister.self), of(WireRelay.self), of(WireRelease.self), of(WireReleaseEnded.self), of(WireReleaseRequest.self),
        of(WireRemove.self), of(WireRenew.self), of(WireRestoreReads.self), of(WireResume.self), of(WireResumed.self),
        of(WireRetireLedgerKey.self), of(WireRetireServiceKey.self), of(WireRules.self), of(WireSelector.self), of(WireServerKey.self),
        of(WireServiceKey.self), of(WireServiceKeyAnnounced.self), of(WireServiceKeyRetired.self), of(WireServiceKeys.self), of(WireServiceKeysQuery.self),
        of(WireServiceReport.self), of(WireServiceStatus.self), of(WireSignedCommand.self), of(WireSilence.self), of(WireStatus.self),
        of(WireStatusQuery.self), of(WireStopped.self), of(WireStored.self), of(WireStoredGroup.self), of(WireSubjectRecords.self),
        of(WireSubjects.self), of(WireUnsealed.self), of(WireVaultKey.self), of(WireVaultKeyAnnounced.self), of(WireVaultKeyQuery.self),
        of(WireWelcome.self), of(WireWithdraw.self), of(WireWithdrawn.self),
        of(WireIncidentNotified.self), of(WireNotice.self), of(WireNoticeAttachment.self), of(WireNoticeAttempt.self), of(WireNoticeBatch.self),
        of(WireNoticeRound.self), of(WireNoticesDecided.self), of(WireNoticesHeld.self), of(WireNoticesQuery.self), of(WireNoticesStanding.self),
        of(WireSentNotice.self), of(WireUnreachedSubject.self),
    ]

    /// Protobuf's grammar, without the schema: small field numbers, every wire type, nested to a depth, and now and then not quite.
    private struct Grammar {
        var dice: Dice

        private static let texts = ["", "a", "berlin", "ops-1", "\u{202E}", "e\u{301}", "\u{0}", String(repeating: "x", count: 300)]
        private static let numbers: [UInt64] = [0, 1, 2, 127, 128, 1 << 31, 1 << 32, 1 << 62, 1 << 63, .max]

        mutating func message(depth: Int = 0) -> [UInt8] {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &dice) { bytes += field(depth) }
            return bytes
        }

        private mutating func varint() -> [UInt8] {
            var number = dice.chance(0.5) ? UInt64.random(in: 0...300, using: &dice) : Grammar.numbers.randomElement(using: &dice)!
            var bytes: [UInt8] = []
            while number > 127 {
                bytes.append(UInt8(number & 127) | 128)
                number >>= 7
            }
            return bytes + [UInt8(number)]
        }

        private mutating func raw(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &dice) } }

        private mutating func field(_ depth: Int) -> [UInt8] {
            let number = dice.chance(0.9) ? UInt64.random(in: 1...26, using: &dice) : UInt64.random(in: 0...70_000, using: &dice)
            func tag(_ type: UInt64) -> [UInt8] {
                let value = number << 3 | type
                return value < 128 ? [UInt8(value)] : value < 16_384 ? [UInt8(value & 127) | 128, UInt8(value >> 7)] : [UInt8(value & 127) | 128, UInt8(value >> 7 & 127) | 128, UInt8(value >> 14)]
            }
            switch Int.random(in: 0..<20, using: &dice) {
            case 0..<6: return tag(0) + varint()
            case 6: return tag(1) + raw(8)
            case 7: return tag(5) + raw(4)
            case 8: return tag(UInt64.random(in: 3...7, using: &dice))
            case 9..<14 where depth < 5: return delimited(tag(2), message(depth: depth + 1))
            case 14: return delimited(tag(2), raw(32))
            case 15: return delimited(tag(2), raw(Int.random(in: 0...20, using: &dice)))
            default: return delimited(tag(2), [UInt8](Grammar.texts.randomElement(using: &dice)!.utf8))
            }
        }

        private mutating func delimited(_ tag: [UInt8], _ content: [UInt8]) -> [UInt8] {
            let length = dice.chance(0.02) ? Int.random(in: 0...20_000, using: &dice) : content.count
            return tag + (length < 128 ? [UInt8(length)] : [UInt8(length & 127) | 128, UInt8(length >> 7 & 127) | (length < 16_384 ? 0 : 128)] + (length < 16_384 ? [] : [UInt8(length >> 14)])) + content
        }

        mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            for _ in 0..<Int.random(in: 0...3, using: &dice) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &dice)
                switch Int.random(in: 0..<4, using: &dice) {
                case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
                case 1: bytes[place] = .random(in: 0...255, using: &dice)
                case 2: bytes.removeLast(bytes.count - place)
                default: bytes.insert(.random(in: 0...255, using: &dice), at: place)
                }
            }
            return bytes
        }
    }

    private static func residentBytes() -> Int {
        let words = ((try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? "").split(separator: " ")
        return words.count > 1 ? (Int(words[1]) ?? 0) * 4_096 : 0
    }

    @Test("no bytes end the process, whatever message they are taken for; what is read is the same when it is written")
    func anyBytesAsAnyMessage() {
        var grammar = Grammar(dice: Dice.rolled(for: "messages"))
        var read: [String: Int] = [:]
        var before = 0
        for number in 0..<mutations {
            // After the first tenth everything that is made once has been made.
            if number == mutations / 10 { before = MessageFuzzTests.residentBytes() }
            let message = grammar.message()
            let bytes = grammar.mutated(message)
            let subject = MessageFuzzTests.subjects[number % MessageFuzzTests.subjects.count]
            if subject.read(bytes) { read[subject.name, default: 0] += 1 }
            bytes.withUnsafeBytes { _ = try? Frame.kind(of: $0) }
        }
        // Or the generator made nothing but rubbish, and nothing was tried.
        for subject in MessageFuzzTests.subjects { #expect(read[subject.name, default: 0] > 0, "\(subject.name) was never read") }
        let grown = MessageFuzzTests.residentBytes() - before
        if mutations >= 1_000_000 { #expect(grown < 64 << 20, "grew by \(grown >> 20) MiB") }
    }

    @Test("every message of the contract is among those that are tried")
    func nothingIsLeftOut() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Shared/Wire/Generated").standardizedFileURL
        var declared: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where line.hasPrefix("package") && line.contains(" struct Wire") {
                if let name = line.split(whereSeparator: { " :{".contains($0) }).first(where: { $0.hasPrefix("Wire") }) { declared.insert(String(name)) }
            }
        }
        #expect(declared.count > 100)
        #expect(declared.subtracting(MessageFuzzTests.subjects.map(\.name)) == [])
    }
}
