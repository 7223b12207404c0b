import Gate
import Identity
import Testing

/// Control's clock in these tests, in milliseconds since 1970.
private let noon: UInt64 = 1_764_000_000_000

private func wall(_ milliseconds: UInt64) -> WallTime { WallTime(microseconds: Int64(milliseconds) * 1_000) }

private let origin = "sluice.example/governance"

@Suite struct SignedCommandTests {
    let one: OperatorKey
    let two: OperatorKey
    let known: KnownOperators
    let ledger = VerifiedCommand.Ledger(origin: origin, current: 40...48)

    init() throws {
        one = try operatorKey(1)
        two = try operatorKey(2)
        let gone = try operatorKey(3)
        var team = Operators()
        try team.change(
            removing: [],
            adding: [
                Operator(name: "ops-1", person: "p1", key: one.publicKey.raw), Operator(name: "ops-2", person: "p2", key: two.publicKey.raw),
                Operator(name: "ops-3", person: "p3", key: gone.publicKey.raw),
            ])
        try team.change(removing: ["ops-3"], adding: [])
        known = KnownOperators(team)
    }

    private func statement(
        _ purpose: Statement.Purpose = .command, origin: String = origin, index: UInt64 = 48, from: UInt64 = noon, until: UInt64 = noon + 300_000,
        nonce: UInt8 = 1, author: String = "ops-1", body: [UInt8] = [0, 255, 10, 10]
    ) throws -> Statement {
        try Statement(
            purpose, origin: origin, index: index, from: from, until: until, nonce: Array(repeating: nonce, count: 16), author: author, body: body)
    }

    private func verified(_ statement: Statement) throws -> VerifiedCommand {
        try SignedCommand(statement, by: one).verified(as: statement.purpose, by: known)
    }

    private func admit(_ statement: Statement, at now: UInt64 = noon, seen: SeenNonces = SeenNonces(), narrows: Bool = false) throws {
        try verified(statement).admit(to: ledger, at: wall(now), seen: seen, narrows: narrows)
    }

    // MARK: Bytes

    @Test func `a statement is written in one way, and read back`() throws {
        let statement = try statement(body: Array("BODY".utf8))
        let text = """
            sluice command v1
            origin sluice.example/governance
            index 48
            from 1764000000000
            until 1764000300000
            nonce 01010101010101010101010101010101
            author ops-1

            BODY
            """
        #expect(String(decoding: statement.bytes, as: UTF8.self) == text)
        #expect(try Statement(parsing: statement.bytes) == statement)
        #expect(try Statement(parsing: self.statement(body: []).bytes).body == [])
    }

    @Test func `whatever else is no statement`() throws {
        let text = String(decoding: try statement(body: Array("BODY".utf8)).bytes, as: UTF8.self)
        let variants = [
            ("index 48", "index 048"), ("index 48", "index +48"), ("index 48", "index -1"), ("index 48", "index 4_8"), ("index 48", "index 48 "),
            ("index 48", "index 18446744073709551616"), ("index 48\n", "index 48\r\n"), ("index 48\n", "index 48\nindex 48\n"), ("index 48\n", ""),
            ("nonce 01", "nonce 1"), ("nonce 0101", "nonce +1+1"), ("author ops-1", "author "), ("author ops-1", "author ops\u{0}1"), ("author ops-1", "author ops\u{85}1"),
            ("author ops-1\n\n", "author ops-1\n"), ("author ops-1\n\n", "author ops-1\nmore x\n\n"), ("from 17", "until 17"), ("until 1764000300000", "until 1"),
            ("until 1764000300000", "until 9223372036855"), ("command v1", "command v2"), ("sluice", " sluice"), ("sluice command v1", "SLUICE COMMAND V1"),
            ("origin sluice.example/governance", "origin " + String(repeating: "a", count: 201)), ("nonce 01", "nonce 0A"),
        ]
        for (old, new) in variants {
            let changed = text.replacing(old, with: new, maxReplacements: 1)
            guard changed != text else { Issue.record("\(old) is not there"); continue }
            #expect(throws: Statement.Malformed.self, "\(new)") { try Statement(parsing: Array(changed.utf8)) }
        }
        let upper = text.replacing("nonce 01010101", with: "nonce 0101010A", maxReplacements: 1)
        #expect(throws: Statement.Malformed.self, "one way to write a nonce") { try Statement(parsing: Array(upper.utf8)) }
        for length in 0..<(text.utf8.count - 4) {
            #expect(throws: Statement.Malformed.self) { try Statement(parsing: Array(text.utf8.prefix(length))) }
        }
        #expect(throws: Statement.Malformed.self) { try Statement(parsing: [0xff, 0xfe] + Array(text.utf8)) }
        #expect(throws: Statement.Malformed.self) { try Statement(parsing: [UInt8](repeating: 10, count: Statement.bytesMax + 1)) }
        #expect(throws: Statement.Malformed.self) { try statement(origin: "a\nindex 1") }
    }

    @Test func `random bytes are read to the end or refused, and never both`() throws {
        var random = SystemRandomNumberGenerator()
        let bytes = try statement().bytes
        for _ in 0..<20_000 {
            var changed = bytes
            for _ in 0...2 { changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            if let read = try? Statement(parsing: changed) { #expect(read.bytes == changed) }
        }
    }

    @Test func `an approval names a proposal in one way`() throws {
        let hash = try #require(SignedCommand(statement(), by: one).hash)
        let approved = ApprovedProposal(number: 12, hash: hash)
        #expect(try ApprovedProposal(parsing: approved.bytes) == approved)
        for changed in [approved.bytes + [10], approved.bytes.dropLast() + [32], Array(" ".utf8) + approved.bytes, [], Array("proposal 12\nsha256 00\n".utf8)] {
            #expect(throws: Statement.Malformed.self) { try ApprovedProposal(parsing: Array(changed)) }
        }
    }

    // MARK: Who signed

    @Test func `a good command is taken`() throws {
        let command = try verified(statement())
        #expect(command.author.person == "p1")
        #expect(command.statement.body == [0, 255, 10, 10])
        try command.admit(to: ledger, at: wall(noon), seen: SeenNonces(), narrows: false)
    }

    @Test func `a key that is not known, and one that was revoked, are told apart`() throws {
        let stranger = try operatorKey(9)
        #expect(throws: CommandRefused.unknownKey(stranger.publicKey.id)) {
            try SignedCommand(statement(), by: stranger).verified(as: .command, by: known)
        }
        #expect(throws: CommandRefused.revokedKey(of: "ops-3")) {
            try SignedCommand(statement(author: "ops-3"), by: operatorKey(3)).verified(as: .command, by: known)
        }
    }

    @Test func `every flipped bit is a bad signature, and is never read`() throws {
        let signed = try SignedCommand(statement(), by: one)
        for place in 0..<signed.bytes.count * 8 {
            var changed = signed
            changed.bytes[place / 8] ^= 1 << (place % 8)
            #expect(throws: CommandRefused.badSignature) { try changed.verified(as: .command, by: known) }
        }
        var other = signed
        other.key = two.publicKey.id
        #expect(throws: CommandRefused.badSignature) { try other.verified(as: .command, by: known) }
        for bytes in [signed.bytes + [0], Array(signed.bytes.dropLast()), []] {
            #expect(throws: CommandRefused.badSignature) {
                try SignedCommand(bytes: bytes, signature: signed.signature, key: signed.key).verified(as: .command, by: known)
            }
        }
        let large = SignedCommand(bytes: [UInt8](repeating: 0, count: Statement.bytesMax + 1), signature: signed.signature, key: signed.key)
        #expect(throws: CommandRefused.tooLarge(bytes: Statement.bytesMax + 1)) { try large.verified(as: .command, by: known) }
    }

    @Test func `what is signed for one end counts for no other`() throws {
        let approval = try SignedCommand(statement(.approval), by: one)
        #expect(throws: CommandRefused.otherPurpose(.approval)) { try approval.verified(as: .command, by: known) }
        let command = try SignedCommand(statement(), by: one)
        #expect(throws: CommandRefused.otherPurpose(.command)) { try command.verified(as: .approval, by: known) }
        let note = Array("sluice.example/governance\n48\nAAAA\n".utf8)
        let checkpoint = try SignedCommand(bytes: note, signature: one.sign(note), key: one.publicKey.id)
        #expect(throws: CommandRefused.malformed) { try checkpoint.verified(as: .command, by: known) }
    }

    @Test func `nobody signs in another's name`() throws {
        #expect(throws: CommandRefused.notTheAuthor(said: "ops-2", signed: "ops-1")) { try verified(statement(author: "ops-2")) }
    }

    @Test func `an operator whose key is no fit point can sign nothing`() throws {
        var team = Operators()
        let low: [UInt8] = [1] + Array(repeating: 0, count: 31)
        try team.change(removing: [], adding: [Operator(name: "ops-1", person: "p1", key: low)])
        let signed = SignedCommand(bytes: try statement().bytes, signature: low + Array(repeating: 0, count: 32), key: one.publicKey.id)
        #expect(throws: CommandRefused.unknownKey(one.publicKey.id)) { try signed.verified(as: .command, by: KnownOperators(team)) }
    }

    // MARK: Whether it counts

    @Test func `a command counts from its beginning to its end, by control's clock`() throws {
        try admit(statement(), at: noon + 299_999)
        #expect(throws: CommandRefused.expired(until: wall(noon + 300_000), now: wall(noon + 300_000))) { try admit(statement(), at: noon + 300_000) }
        try admit(statement(), at: noon - 60_000)
        #expect(throws: CommandRefused.notYetValid(from: wall(noon), now: wall(noon - 60_001))) { try admit(statement(), at: noon - 60_001) }
        #expect(throws: CommandRefused.validTooLong(.seconds(900) + .milliseconds(1))) { try admit(statement(until: noon + 900_001)) }
        #expect(throws: CommandRefused.expired(until: wall(noon + 300_000), now: wall(noon + 300_000)), "a narrowing one too: its author signs again") {
            try admit(statement(), at: noon + 300_000, narrows: true)
        }
    }

    @Test func `a command for another ledger is refused`() throws {
        #expect(throws: CommandRefused.otherLedger(origin: "other.example/governance")) { try admit(statement(origin: "other.example/governance"), narrows: true) }
    }

    @Test func `what widens names a state that is still so; what narrows counts at any index`() throws {
        for index in [40, 44, 48] as [UInt64] { try admit(statement(index: index)) }
        #expect(throws: CommandRefused.staleIndex(written: 39, oldest: 40)) { try admit(statement(index: 39)) }
        #expect(throws: CommandRefused.indexAhead(written: 49, newest: 48)) { try admit(statement(index: 49)) }
        for index in [0, 39, 49, .max] as [UInt64] { try admit(statement(index: index), narrows: true) }
    }

    @Test func `a command is taken once`() throws {
        var seen = SeenNonces()
        let command = try verified(statement())
        try command.admit(to: ledger, at: wall(noon), seen: seen, narrows: false)
        seen.remember(command, at: wall(noon))
        for narrows in [true, false] {
            #expect(throws: CommandRefused.replayed) { try command.admit(to: ledger, at: wall(noon), seen: seen, narrows: narrows) }
        }
        try admit(statement(nonce: 2), seen: seen)
        // Another operator may draw the same number.
        let other = try SignedCommand(statement(author: "ops-2"), by: two).verified(as: .command, by: known)
        try other.admit(to: ledger, at: wall(noon), seen: seen, narrows: false)
    }

    @Test func `a nonce that was forgotten does not come back with the clock`() throws {
        var seen = SeenNonces()
        let command = try verified(statement())
        seen.remember(command, at: wall(noon))
        seen.forget(at: wall(noon + 299_999))
        #expect(seen.count == 1)
        seen.forget(at: wall(noon + 300_000))
        #expect(seen.count == 0)
        #expect(throws: CommandRefused.expired(until: wall(noon + 300_000), now: wall(noon))) {
            try command.admit(to: ledger, at: wall(noon), seen: seen, narrows: false)
        }
    }

    @Test func `a flood of commands does not hold up a pause`() throws {
        var seen = SeenNonces(countMax: 3)
        for nonce in 1...3 as ClosedRange<UInt8> { seen.remember(try verified(statement(nonce: nonce)), at: wall(noon)) }
        #expect(seen.isFull(at: wall(noon)) && !seen.isFull(at: wall(noon + 300_000)))
        #expect(throws: CommandRefused.tooMany) { try admit(statement(nonce: 4), seen: seen) }
        try admit(statement(nonce: 4), seen: seen, narrows: true)
        seen.remember(try verified(statement(nonce: 4)), at: wall(noon))
        #expect(seen.count == 3)
    }

    @Test func `a nonce whose command has ended counts no more, whether it was forgotten or not`() throws {
        var (kept, forgotten) = (SeenNonces(), SeenNonces())
        let first = try verified(statement())
        kept.remember(first, at: wall(noon))
        forgotten.remember(first, at: wall(noon))
        forgotten.forget(at: wall(noon + 300_000))
        let again = try verified(statement(from: noon + 300_000, until: noon + 600_000))
        for seen in [kept, forgotten] {
            #expect(!seen.contains(again, at: wall(noon + 300_000)))
            try again.admit(to: ledger, at: wall(noon + 300_000), seen: seen, narrows: true)
        }
        #expect(kept.contains(again, at: wall(noon + 299_999)), "the control: before its end it counts")
    }
}
