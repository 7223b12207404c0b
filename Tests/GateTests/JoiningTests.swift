import Gate
import Testing

@Suite struct JoiningTests {
    private func bytes(_ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: 32) }

    private func entry(_ index: UInt64, _ deed: Entry.Deed, at moment: Int64 = 0) -> Entry {
        Entry(index: index, at: wall(moment), author: "ops", deed: deed)
    }

    private func enrolment(_ number: UInt64, name: String = "", token: UInt8, until: Int64 = 1_000) -> Enrolment {
        Enrolment(number: number, name: name, scope: ada, token: bytes(token), until: wall(until))
    }

    private func fold(_ entries: [Entry]) -> Governance {
        var governance = Governance()
        for entry in entries { governance.apply(entry) }
        return governance
    }

    private func node(_ name: String, _ ordinal: UInt32, key: UInt8) -> Node {
        Node(name: name, ordinal: ordinal, key: bytes(key), role: .agent, scope: ada)
    }

    private func refusal(_ governance: Governance, token: UInt8, key: UInt8, own: String = "own", at moment: Int64 = 0) -> JoinRefused? {
        do {
            _ = try governance.admit(token: bytes(token), key: bytes(key), ownName: own, at: wall(moment))
            return nil
        } catch {
            return error
        }
    }

    /// The decision, carried out as control does.
    private func joined(_ governance: Governance, _ index: UInt64, token: UInt8, key: UInt8, own: String = "own", at moment: Int64 = 0) throws -> Governance {
        guard case .register(let name, let opened) = try governance.admit(token: bytes(token), key: bytes(key), ownName: own, at: wall(moment)) else {
            Issue.record("it was known")
            return governance
        }
        var next = governance
        next.apply(entry(index, .registered([node(name, governance.nextOrdinal, key: key)], enrolment: opened.number), at: moment))
        return next
    }

    @Test func `a token admits one machine, once, under the name that two operators gave it`() throws {
        let opened = fold([entry(1, .enrolmentOpened(enrolment(1, name: "desk-7", token: 1)))])
        let after = try joined(opened, 2, token: 1, key: 9)
        #expect(after.node(named: "desk-7") == node("desk-7", 1, key: 9))
        #expect(after.enrolments.isEmpty)
        #expect(refusal(after, token: 1, key: 8) == .usedToken)
    }

    @Test func `without a name the machine is named by its key`() throws {
        let after = try joined(fold([entry(1, .enrolmentOpened(enrolment(1, token: 1)))]), 2, token: 1, key: 9, own: "5f3c")
        #expect(after.node(named: "5f3c")?.scope == ada)
    }

    @Test func `the same machine with the same token hears the same again, also when the token has expired`() throws {
        let after = try joined(fold([entry(1, .enrolmentOpened(enrolment(1, token: 1)))]), 2, token: 1, key: 9)
        for moment: Int64 in [0, 999, 5_000] {
            #expect(try after.admit(token: bytes(1), key: bytes(9), ownName: "own", at: wall(moment)) == .known(node("own", 1, key: 9)))
        }
    }

    @Test func `a guess is unknown, and so is a token that was never approved`() {
        let opened = fold([entry(1, .enrolmentOpened(enrolment(1, token: 1)))])
        #expect(refusal(opened, token: 2, key: 9) == .unknownToken)
        #expect(refusal(Governance(), token: 1, key: 9) == .unknownToken)
    }

    @Test func `a token counts before its end, and not at it`() {
        let opened = fold([entry(1, .enrolmentOpened(enrolment(1, token: 1, until: 1_000)))])
        #expect(refusal(opened, token: 1, key: 9, at: 999) == nil)
        #expect(refusal(opened, token: 1, key: 9, at: 1_000) == .expiredToken(wall(1_000)))
        // Also after it was cleared away.
        var later = opened
        later.apply(entry(2, .enrolmentOpened(enrolment(2, token: 2, until: 9_000)), at: 5_000))
        #expect(later.enrolments.keys.sorted() == [2])
        #expect(refusal(later, token: 1, key: 9, at: 5_000) == .expiredToken(wall(1_000)))
        #expect(refusal(later, token: 1, key: 9, at: 0) == .expiredToken(wall(1_000)), "a clock that goes back brings none back")
    }

    @Test func `a second machine of the same person is a second agent`() throws {
        var governance = fold([entry(1, .enrolmentOpened(enrolment(1, token: 1))), entry(2, .enrolmentOpened(enrolment(2, token: 2)))])
        governance = try joined(governance, 3, token: 1, key: 8, own: "first")
        governance = try joined(governance, 4, token: 2, key: 9, own: "second")
        #expect(Set(governance.nodes.values.map(\.name)) == ["first", "second"])
        #expect(governance.revokedKeys.isEmpty)
    }

    @Test func `a machine set up anew takes its old name, and the key it had never comes back`() throws {
        var governance = fold([
            entry(1, .enrolmentOpened(enrolment(1, name: "desk-7", token: 1))), entry(2, .enrolmentOpened(enrolment(2, name: "desk-7", token: 2))),
            entry(3, .enrolmentOpened(enrolment(3, name: "desk-8", token: 3))),
        ])
        governance = try joined(governance, 4, token: 1, key: 8)
        governance = try joined(governance, 5, token: 2, key: 9)
        #expect(governance.nodes.values.map(\.key) == [bytes(9)])
        #expect(governance.node(named: "desk-7")?.ordinal == 2)
        #expect(refusal(governance, token: 3, key: 8) == .revokedKey)
        #expect(refusal(governance, token: 1, key: 8) == .revokedKey, "nor with the token that it came with")
        #expect(refusal(governance, token: 3, key: 7) == nil, "the control: another key takes that token")
    }

    @Test func `a revoked machine's key is refused, with its own token and with a new one`() throws {
        var governance = fold([entry(1, .enrolmentOpened(enrolment(1, token: 1))), entry(2, .enrolmentOpened(enrolment(2, token: 2)))])
        governance = try joined(governance, 3, token: 1, key: 9)
        governance.apply(entry(4, .removed([1])))
        #expect(refusal(governance, token: 1, key: 9) == .revokedKey)
        #expect(refusal(governance, token: 2, key: 9) == .revokedKey)
        #expect(governance.enrolments.keys.sorted() == [2], "and the token stays good for another machine")
    }

    @Test func `one key is one agent`() throws {
        var governance = fold([entry(1, .enrolmentOpened(enrolment(1, name: "a", token: 1))), entry(2, .enrolmentOpened(enrolment(2, name: "b", token: 2)))])
        governance = try joined(governance, 3, token: 1, key: 9)
        #expect(refusal(governance, token: 2, key: 9) == .keyInUse(by: "a"))
    }

    @Test func `a key takes nobody's name`() throws {
        let governance = fold([
            entry(1, .registered([node("abcd", 1, key: 1)], enrolment: nil)), entry(2, .enrolmentOpened(enrolment(1, token: 1))),
        ])
        #expect(refusal(governance, token: 1, key: 9, own: "abcd") == .nameInUse("abcd"))
        #expect(refusal(governance, token: 1, key: 1, own: "abcd") == nil, "the control: its own it may")
    }

    @Test func `what is remembered of spent tokens is bounded, the newest first`() {
        var governance = Governance()
        let count = UInt64(SpentToken.max) + 10
        func token(_ number: UInt64) -> [UInt8] { (0..<32).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 % 8))) } }
        for number in 1...count {
            var opened = enrolment(number, token: 0)
            opened.token = token(number)
            governance.apply(entry(2 * number, .enrolmentOpened(opened)))
            governance.apply(entry(2 * number + 1, .registered([node("n\(number)", UInt32(number), key: 1)], enrolment: number)))
        }
        #expect(governance.spentTokens.count == SpentToken.max)
        func refusal(_ number: UInt64) -> JoinRefused? {
            do { _ = try governance.admit(token: token(number), key: bytes(2), ownName: "x", at: wall(0)) } catch { return error }
            return nil
        }
        #expect(refusal(count) == .usedToken)
        #expect(refusal(1) == .unknownToken)
    }

    @Test func `an unequal length is unequal, and so is any one bit`() {
        let some = bytes(0xa5)
        #expect(isSame(some, some))
        #expect(!isSame(some, Array(some.dropLast())))
        for place in 0..<256 {
            var other = some
            other[place / 8] ^= 1 << (place % 8)
            #expect(!isSame(some, other))
        }
    }

    // MARK: Names

    @Test func `a name, or four characters that are the beginning of one name alone, mean an agent`() throws {
        let names = ["5f3c0011aabbccdd", "5f3c0022aabbccdd", "desk", "desk-7", "abc"]
        #expect(try NamePrefix.resolve("desk", among: names) == "desk", "a whole name means itself")
        #expect(try NamePrefix.resolve("desk-", among: names) == "desk-7")
        #expect(try NamePrefix.resolve("abc", among: names) == "abc")
        #expect(try NamePrefix.resolve("5f3c001", among: names) == "5f3c0011aabbccdd")
        func unclear(_ text: String) -> NameUnclear? {
            do { _ = try NamePrefix.resolve(text, among: names) } catch { return error }
            return nil
        }
        #expect(unclear("5f3c") == .ambiguous(["5f3c0011aabbccdd", "5f3c0022aabbccdd"]))
        #expect(unclear("des") == .short)
        #expect(unclear("zzzz") == .unknown)
        #expect(unclear("") == .unknown)
    }
}
