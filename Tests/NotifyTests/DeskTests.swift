import Gate
import Testing

@testable import sluice_notify

/// What the desk decides, without its sessions: whether control's ledger may be gone by.
struct ComparisonTests {
    /// An earlier run has taken 40.
    private func begun(read: UInt64 = 0) -> Comparison {
        var comparison = Comparison(taken: 40)
        comparison.compared(to: read)
        return comparison
    }
    private let putBack = "control's ledger has 30 entries, and 40 were delivered: it was put back; nothing new is told until two operators give the other history up: 'sluice ledger restore governance'"

    @Test func `what has not been compared is neither believed nor complained of`() {
        var comparison = begun()
        #expect(comparison.judge(held: 30) == nil, "there is more to read")
        #expect(comparison.trouble.isEmpty && comparison.refusals == 0)
        #expect(!comparison.isBelieved(held: 30) && comparison.isUndoubted)
        comparison.compared(to: 50)
        #expect(comparison.judge(held: 50) == nil && comparison.isBelieved(held: 50))
        #expect(!comparison.isBelieved(held: 51), "one has come that was not compared yet")
    }

    @Test func `a decision counts when it and all that was taken before are compared, and nothing forks`() {
        #expect(!begun().isCompared(30), "it has just begun")
        #expect(!begun(read: 35).isCompared(30), "it is compared, and a later one may be another")
        #expect(begun(read: 40).isCompared(30))
        #expect(!begun(read: 44).isCompared(45) && begun(read: 45).isCompared(45), "it is new, and not taken yet")
        for fork in [UInt64(29), 35] {
            var other = begun(read: 50)
            other.forked(after: fork, taken: 40)
            #expect(!other.isCompared(30))
        }
        var first = Comparison(taken: 0)
        first.compared(to: 1)
        #expect(first.isCompared(1), "the first run")
    }

    @Test func `a ledger with fewer entries than were delivered was put back: said once, and nothing is gone by until it has them again`() {
        var comparison = begun(read: 30)
        #expect(comparison.judge(held: 30) == .refused(putBack))
        #expect(comparison.judge(held: 30) == nil && comparison.refusals == 1, "once")
        #expect(!comparison.isUndoubted && !comparison.isBelieved(held: 30) && !comparison.isCompared(20))
        comparison.compared(to: 31)
        #expect(comparison.judge(held: 31) == nil && !comparison.trouble.isEmpty, "one more is no other trouble to anybody")
        comparison.compared(to: 41)
        #expect(comparison.judge(held: 41) == .followedAgain)
        #expect(comparison.judge(held: 41) == nil && comparison.isBelieved(held: 41) && comparison.isCompared(41))
    }

    @Test func `another history is refused from where it begins, until two operators have given the other up`() {
        var comparison = begun(read: 45)
        comparison.forked(after: 35, taken: 40)
        guard case .refused(let why)? = comparison.judge(held: 45) else { Issue.record("it is believed"); return }
        #expect(why.hasPrefix("control's ledger is another than the one that was delivered, from entry 36 on (40 were taken)"))
        #expect(!comparison.isBelieved(held: 45) && !comparison.isCompared(10))
        comparison.restored()
        #expect(!comparison.isBelieved(held: 45), "until it is judged again")
        #expect(comparison.judge(held: 45) == .followedAgain && comparison.isBelieved(held: 45) && comparison.refusals == 1)
        // And a second time.
        comparison.forked(after: 44, taken: 45)
        guard case .refused? = comparison.judge(held: 45) else { Issue.record("it is believed"); return }
        #expect(comparison.refusals == 2)
    }
}

/// What stands in the log of what comes back.
struct ReturnedTests {
    @Test func `what stays as it is is said once, and what is new is`() {
        var returned = Returned()
        #expect(returned.last == nil)
        #expect(returned.take(.init(noted: 2, handled: 2)) == [])
        let left = Returned.Line.notice("3 mails where bounces are read from are no reports about mails of Sluice's: they are left there")
        #expect(returned.take(.init(left: 3)) == [left] && returned.take(.init(left: 4)) == [])
        #expect(returned.take(.init(left: 4, trouble: "it is away")) == [.error("it is away: of what comes back nothing is heard")])
        #expect(returned.take(.init(left: 4, trouble: "it is away")) == [])
        #expect(returned.take(.init(noted: 1, left: 4, trouble: "it may not be read")) == [.error("it may not be read: of what comes back nothing is heard")])
        #expect(returned.take(.init(left: 4)) == [.notice("what comes back is read again")])
        #expect(returned.noted == 3 && returned.last == .init(left: 4))
    }

    @Test func `what is ours and cannot be moved is said to be that, and not to be somebody's`() {
        var returned = Returned()
        let look = BounceBox.Look(noted: 1, left: 1, unmoved: "it cannot be put aside in /mail/.Sluice: Read-only file system")
        guard case .error(let why)? = returned.take(look).first else { Issue.record("nothing is said"); return }
        #expect(why.hasPrefix("it cannot be put aside in /mail/.Sluice: Read-only file system: it is noted, and lies where it is.") && why.contains("ReadWritePaths"))
        #expect(returned.take(look) == [])
    }
}
