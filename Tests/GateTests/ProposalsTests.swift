import Gate
import Testing

@Suite struct ProposalsTests {
    let one = ops("ops-1", key: 1)
    let two = ops("ops-2", key: 2)
    let three = ops("ops-3", key: 3)
    let day = Span.seconds(24 * 3_600)

    private func hash(_ byte: UInt8) throws -> ProposalHash { try #require(ProposalHash(Array(repeating: byte, count: 32))) }

    private func proposed(_ byte: UInt8 = 7, needed: Int = 2, by team: Operators) throws -> Proposals {
        var proposals = Proposals()
        _ = try proposals.propose(hash(byte), by: "ops-1", of: team, needed: needed, at: wall(0), until: wall(0) + day)
        return proposals
    }

    @Test func `a second person's approval applies it, once`() throws {
        let team = operators(one, two, three)
        var proposals = try proposed(by: team)
        #expect(proposals.open.map(\.number) == [1])
        #expect(try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(5)) == 0)
        #expect(proposals.all[1]?.state == .applied(by: [two], at: wall(5)))
        #expect(throws: ApprovalRefused.alreadyApplied(at: wall(5))) { try proposals.approve(1, hash(7), by: "ops-3", of: team, at: wall(6)) }
        #expect(throws: ProposalRefused.alreadyProposed(number: 1)) {
            try proposals.propose(hash(7), by: "ops-1", of: team, at: wall(7), until: wall(8))
        }
    }

    @Test func `its proposer does not approve it, with whatever key`() throws {
        let team = operators(one, two, ops("ops-1b", person: one.person, key: 9))
        var proposals = try proposed(by: team)
        #expect(throws: ApprovalRefused.ownProposal) { try proposals.approve(1, hash(7), by: "ops-1", of: team, at: wall(1)) }
        #expect(throws: ApprovalRefused.samePerson(as: "ops-1")) { try proposals.approve(1, hash(7), by: "ops-1b", of: team, at: wall(1)) }
        #expect(proposals.open.count == 1)
    }

    @Test func `an approval of something else than was proposed is refused`() throws {
        let team = operators(one, two)
        var proposals = try proposed(by: team)
        #expect(throws: ApprovalRefused.changed(number: 1)) { try proposals.approve(1, hash(8), by: "ops-2", of: team, at: wall(1)) }
        #expect(throws: ApprovalRefused.unknownProposal(number: 2)) { try proposals.approve(2, hash(7), by: "ops-2", of: team, at: wall(1)) }
        #expect(throws: ApprovalRefused.unknownOperator("eve")) { try proposals.approve(1, hash(7), by: "eve", of: team, at: wall(1)) }
    }

    @Test func `an expired proposal stays expired, also when the clock is set back`() throws {
        let team = operators(one, two)
        var proposals = try proposed(by: team)
        let until = wall(0) + day
        #expect(throws: ApprovalRefused.expired(until)) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: until) }
        #expect(throws: ApprovalRefused.expired(until)) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(1)) }
    }

    @Test func `nobody approves for who was removed or has another key`() throws {
        var team = operators(one, two, three)
        var proposals = try proposed(by: team)
        try team.change(removing: ["ops-1"], adding: [])
        #expect(throws: ApprovalRefused.proposerRemoved("ops-1")) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(1)) }
        try team.change(removing: [], adding: [ops("ops-1", key: 8)])
        #expect(throws: ApprovalRefused.proposerRemoved("ops-1")) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(1)) }
    }

    @Test func `an approver who is removed before it is complete counts no more`() throws {
        let four = ops("ops-4", key: 4)
        var team = operators(one, two, three, four)
        var proposals = try proposed(needed: 3, by: team)
        #expect(try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(1)) == 1)
        #expect(throws: ApprovalRefused.alreadyApproved) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(2)) }
        try team.change(removing: ["ops-2"], adding: [])
        #expect(throws: ApprovalRefused.unknownOperator("ops-2")) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(2)) }
        #expect(try proposals.approve(1, hash(7), by: "ops-3", of: team, at: wall(3)) == 1)
        #expect(try proposals.approve(1, hash(7), by: "ops-4", of: team, at: wall(4)) == 0)
        #expect(proposals.all[1]?.state == .applied(by: [three, four], at: wall(4)))
    }

    @Test func `two keys of one approver are one approval`() throws {
        let team = operators(one, two, ops("ops-2b", person: two.person, key: 9), three)
        var proposals = try proposed(needed: 3, by: team)
        #expect(try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(1)) == 1)
        #expect(throws: ApprovalRefused.samePerson(as: "ops-2")) { try proposals.approve(1, hash(7), by: "ops-2b", of: team, at: wall(1)) }
    }

    @Test func `one person never suffices, whatever is asked for`() throws {
        let team = operators(one, two)
        for needed in [-1, 0, 1, 2] {
            let proposals = try proposed(needed: needed, by: team)
            #expect(proposals.all[1]?.needed == 2)
            #expect(proposals.all[1]?.isOpen == true)
        }
    }

    @Test func `any operator takes a proposal off the table`() throws {
        let team = operators(one, two)
        var proposals = try proposed(by: team)
        #expect(throws: ApprovalRefused.unknownOperator("eve")) { try proposals.withdraw(1, by: "eve", of: team, at: wall(1)) }
        try proposals.withdraw(1, by: "ops-2", of: team, at: wall(1))
        #expect(throws: ApprovalRefused.withdrawn(by: "ops-2")) { try proposals.approve(1, hash(7), by: "ops-2", of: team, at: wall(2)) }
    }

    @Test func `proposals are bounded in number and in time`() throws {
        let team = operators(one, two)
        var proposals = Proposals()
        func propose(_ byte: UInt8, until: WallTime) throws { _ = try proposals.propose(hash(byte), by: "ops-1", of: team, at: wall(0), until: until) }
        #expect(throws: ProposalRefused.badExpiry(wall(0))) { try propose(1, until: wall(0)) }
        let late = wall(0) + Proposals.validityMax + .milliseconds(1)
        #expect(throws: ProposalRefused.badExpiry(late)) { try propose(1, until: late) }
        #expect(throws: ProposalRefused.unknownOperator("eve")) { try proposals.propose(hash(1), by: "eve", of: team, at: wall(0), until: wall(1)) }
        for byte in 0..<UInt8(Proposals.openMax) { try propose(byte, until: wall(10)) }
        #expect(throws: ProposalRefused.tooManyOpen(max: Proposals.openMax)) { try propose(200, until: wall(10)) }
        proposals.expire(at: wall(10))
        #expect(proposals.open.isEmpty)
        #expect(proposals.nextNumber == UInt64(Proposals.openMax) + 1, "no number is used twice")
    }

    @Test func `finished proposals are forgotten at last`() throws {
        let team = operators(one, two)
        var proposals = Proposals()
        for number in 0..<1_200 {
            let bytes = (0..<32).map { UInt8(truncatingIfNeeded: $0 == 0 ? number : number >> 8) }
            _ = try proposals.propose(#require(ProposalHash(bytes)), by: "ops-1", of: team, at: wall(Int64(number * 2)), until: wall(Int64(number * 2 + 1)))
        }
        #expect(proposals.all.count <= Proposals.finishedMax + 1)
    }
}
