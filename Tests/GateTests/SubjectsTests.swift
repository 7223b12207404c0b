import Chance
import Gate
import Testing

/// The policy document, and what is on record of people, as governance keeps them and as they widen or narrow.
@Suite struct SubjectsTests {
    private func fold(_ deeds: [Entry.Deed], at times: [Int64]? = nil) -> Governance {
        var governance = Governance()
        for (number, deed) in deeds.enumerated() {
            governance.apply(Entry(index: UInt64(number + 1), at: wall(times?[number] ?? Int64(number + 1)), author: "ops", deed: deed))
        }
        return governance
    }

    private func given(_ subjects: [String], _ purpose: String = "training", _ kind: RecordKind = .consent) -> Entry.Deed {
        .recordsChanged(subjects, purpose: purpose, kind, given: true)
    }

    private func withdrawn(_ subjects: [String], _ purpose: String = "training", _ kind: RecordKind = .consent) -> Entry.Deed {
        .recordsChanged(subjects, purpose: purpose, kind, given: false)
    }

    /// Documents are their lengths: the longer allows more. `m` at the end moves events of review to content.
    private let longer = PolicyComparison { old, new in
        .init(gains: (new ?? []).count > (old ?? []).count ? ["it is longer"] : [], moves: new?.last == UInt8(ascii: "m") ? [.init(from: "review", to: "content")] : [])
    }

    private func consequence(_ before: [Entry.Deed], _ after: [Entry.Deed], comparing: PolicyComparison? = nil) -> Powers.Consequence {
        Powers(fold(before)).consequence(of: Powers(fold(before + after)), comparing: comparing ?? longer)
    }

    @Test func `records are kept by subject, kind and purpose, and nothing is left of who has none`() {
        let governance = fold([given(["a", "b"]), given(["a"], "support", .notice), withdrawn(["b"]), withdrawn(["c"])])
        #expect(governance.records["a"] == SubjectRecords(notices: ["support"], consents: ["training"]))
        #expect(governance.records.count == 1)
        #expect(fold([given(["a"]), withdrawn(["a"])]).records == BySubject())
    }

    @Test func `a consent that is recorded widens, and one that counts no more narrows`() {
        #expect(consequence([], [given(["b", "a"])]) == .widens([.records(.consent, purpose: "training", ["a", "b"])]))
        #expect(consequence([given(["a"])], [given(["a"])]) == .narrows, "the same again gains nothing")
        #expect(consequence([given(["a"])], [given(["a"], "training", .notice)]) == .widens([.records(.notice, purpose: "training", ["a"])]))
        #expect(consequence([given(["a"])], [withdrawn(["a"])]) == .narrows)
        #expect(consequence([given(["a"]), given(["a"], "support")], [withdrawn(["a"]), given(["c"], "support")]) == .widens([.records(.consent, purpose: "support", ["c"])]))
    }

    @Test func `whoever is erased has nothing on record, and comes back by two alone`() {
        let governance = fold([given(["a", "b"]), .erased(["a"])])
        #expect(governance.isErased("a") && governance.records["a"] == nil && governance.records["b"] != nil)
        #expect(consequence([given(["a"])], [.erased(["a"])]) == .narrows)
        #expect(consequence([.erased(["a", "b"])], [.readmitted(["b"])]) == .widens([.readmits(["b"])]))
        #expect(consequence([.erased(["a"]), .readmitted(["a"])], [.erased(["a"])]) == .narrows)
        #expect(!fold([.erased(["a"]), .readmitted(["a"])]).isErased("a"))
    }

    @Test func `a second erasure is a later one, also by a clock that was set back`() {
        let governance = fold([.erased(["a"]), .readmitted(["a"]), .erased(["a"]), .erased(["a"])], at: [100, 101, 50, 400])
        #expect(governance.erased["a"] == ErasedSubject(index: 3, at: wall(100) + .microseconds(1)), "and the same again is none")
    }

    @Test func `whoever is erased while an incident holds them waits for its last hold`() {
        var deeds: [Entry.Deed] = [.held(incident: 1, ["a", "b"]), .held(incident: 2, ["a"]), .erased(["a", "c"])]
        #expect(fold(deeds).erased["a"]?.isWaiting == true && fold(deeds).erased["c"]?.isWaiting == false)
        deeds.append(.holdLifted(incident: 1, ["a", "b"]))
        #expect(fold(deeds).erased["a"]?.isWaiting == true && fold(deeds).holds == [2: ["a"]])
        deeds.append(.holdLifted(incident: 2, ["a"]))
        #expect(fold(deeds).erased["a"]?.isWaiting == false && fold(deeds).holds.isEmpty)
        // Held only after they were erased: nothing is there to wait.
        #expect(fold([.erased(["a"]), .held(incident: 1, ["a"])]).erased["a"]?.isWaiting == false)
    }

    @Test func `a hold keeps for longer and widens, and its end narrows`() {
        #expect(consequence([.held(incident: 3, ["a"])], [.held(incident: 3, ["a", "b"])]) == .widens([.holds(incident: 3, ["b"])]))
        #expect(consequence([.held(incident: 3, ["a"])], [.holdLifted(incident: 3, ["a"])]) == .narrows)
    }

    // MARK: Policy

    private func policy(_ text: String, over: [String] = []) -> Entry.Deed { .policyApplied(Array(text.utf8), over: over) }

    @Test func `the document in force is the last, with its entry`() {
        let governance = fold([policy("abc"), policy("ab", over: ["review"])])
        #expect(governance.policy == PolicyText(Array("ab".utf8), over: ["review"], index: 2))
    }

    @Test func `a document is on the side that the comparison says, and without one it widens`() {
        #expect(consequence([policy("abc")], [policy("ab")]) == .narrows)
        #expect(consequence([policy("abc")], [policy("abcd")]) == .widens([.loosens("it is longer")]))
        #expect(consequence([], [policy("a")]) == .widens([.loosens("it is longer")]))
        #expect(consequence([policy("abc")], [policy("abc")], comparing: PolicyComparison.none) == .narrows, "the same is no other")
        #expect(!consequence([policy("abc")], [policy("ab")], comparing: PolicyComparison.none).narrows)
    }

    @Test func `an audience over its limit takes a name, and the name is a gain`() {
        #expect(consequence([policy("abc")], [policy("ab", over: ["review"])]) == .widens([.exceedsAudience("review")]))
        #expect(consequence([policy("abc", over: ["review"])], [policy("ab", over: ["review"])]) == .narrows)
        #expect(consequence([policy("abc", over: ["review"])], [policy("ab")]) == .narrows)
    }

    @Test func `what is closed by its class does not flow under another`() {
        let review = Entry.Deed.paused(closure(7, .both, Selector(classes: [DataClass("review")])))
        let both = Entry.Deed.paused(closure(7, .both, Selector(classes: [DataClass("review"), content])))
        #expect(consequence([policy("abc")], [policy("am")]) == .narrows, "nothing is closed")
        #expect(!consequence([policy("abc"), review], [policy("am")]).narrows)
        #expect(consequence([policy("abc"), both], [policy("am")]) == .narrows, "the other class is closed as well")
        #expect(consequence([policy("abc"), .paused(closure(7))], [policy("am")]) == .narrows, "everything is closed")
        #expect(consequence([policy("abc"), review], [policy("ab")]) == .narrows, "nothing moves")
    }

    // MARK: The table

    @Test func `a table of people is what a dictionary of them would be`() {
        var random = SplitMix64(seed: 17)
        var (table, plain) = (BySubject<Int>(), [String: Int]())
        var earlier = [(table, plain)]
        for _ in 0..<4_000 {
            let (subject, value) = ("E\(random.below(300))", random.chance(30) ? nil : random.below(3))
            table[subject] = value
            plain[subject] = value
            if random.chance(1) { earlier.append((table, plain)) }
        }
        #expect(Dictionary(uniqueKeysWithValues: table.all.map { ($0.subject, $0.value) }) == plain && table.count == plain.count)
        #expect(table == BySubject(plain) && table.hashValue == BySubject(plain).hashValue)
        for (before, was) in earlier {
            let differing = Dictionary(uniqueKeysWithValues: table.differing(from: before).map { ($0.subject, $0.value) })
            #expect(differing == plain.filter { was[$0.key] != $0.value })
        }
        for subject in plain.keys { table[subject] = nil }
        #expect(table == BySubject() && table.isEmpty && table.hashValue == BySubject<Int>().hashValue)
    }
}
