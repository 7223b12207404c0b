import Gate
import Identity
import Messaging
import Rules
import Testing
import Vault
import Wire

@testable import sluice_policy

struct ReleaseDeciderTests {
    @Test func `half of a place is none`() {
        #expect(Reader("a", key: Scope(subject: "E1", site: "berlin", team: "search")).person == Person("E1", site: "berlin", team: "search"))
        for half in [Scope(subject: "E1", site: "berlin", team: ""), Scope(subject: "E1", site: "", team: "search")] {
            #expect(Reader("a", key: half).person == Person("E1"), "or whom a role excepts by the other would have it")
        }
    }

    @Test func `of what is to be looked at again for one release the newest alone is`() throws {
        let scene = try WriterScene()
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        func again(_ number: Int64, _ version: UInt64) throws {
            var rules = WriterScene.rules
            rules.version = version
            let release = try WriterScene.opened(number, of: ["E1"], events: 0)
            decider.reconsider(WriterScene.job(["E1"]), release, Reader("ops-1"), by: rules)
        }
        // A directory of many people comes in many messages.
        for version in UInt64(1)...1_000 { for number in Int64(1)...2 { try again(number, version) } }
        try again(3, 7)
        decider.start()
        defer { decider.stop() }
        var seen: [(Int64, UInt64)] = []
        while seen.last?.0 != 3 {
            for item in mailbox.take() {
                guard case .reconsidered(let number, let version, _, _, nil) = item else { throw Unexpected() }
                seen.append((number, version))
            }
        }
        #expect(seen.map(\.0) == [1, 2, 3] && seen.map(\.1) == [1_000, 1_000, 7])
        // And what comes later is looked at as well.
        try again(1, 1_001)
        while seen.count == 3 {
            for case .reconsidered(let number, let version, _, _, nil) in mailbox.take() { seen.append((number, version)) }
        }
        #expect(seen[3] == (1, 1_001))
    }

    @Test func `without a document nobody reads, whoever asks, and what runs ends`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for segment in try WriterScene.prepared(1, of: "E1", at: [november]).segments { try transaction.insert(segment) }
                return true
            }
        })
        scene.writer.start()
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        decider.start()
        defer { decider.stop() }
        func next() -> ReleaseDecider.News {
            while true { if let first = mailbox.take().first { return first } }
        }
        let asked = WriterScene.job(["E1"], rules: ReadRules())
        for name in ["operator/ops-1", "reader/job", "probe/outsider"] {
            let user = try #require(User(name))
            decider.decide(ReleaseJob(id: asked.id, route: asked.route, user: user, reader: Reader(user.name), record: asked.record, credit: 1, rules: ReadRules(), registered: [:]))
            guard case .denied(_, let refusal, let reader) = next() else { throw Unexpected() }
            #expect(refusal.refusal == .denied && refusal.word == "no-document" && reader.name == user.name)
            #expect(refusal.text(reader.name, "test").hasPrefix("no policy document is in force: nobody may read; 'sluice policy apply FILE'"))
        }
        decider.reconsider(asked, try WriterScene.opened(1, of: ["E1"], events: 1), Reader("ops-1"), by: ReadRules())
        guard case .reconsidered(1, _, _, _, let why) = next() else { throw Unexpected() }
        #expect(why?.word == "no-document")
        // The control: under one that grants it.
        decider.decide(WriterScene.job(["E1"]))
        try scene.until { if case .released = $0 { true } else { false } }
    }

    @Test func `who could read is counted from the whole directory, before what is decided next, and again from what has moved`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            for first in stride(from: 0, to: 2_500, by: 500) { try vault.put((first..<first + 500).map { DirectoryEntry(subject: "E\($0)", team: "search", site: "berlin") }, at: november) }
        })
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        var rules = ReadRules()
        rules.policy = Policy(
            PolicyDocument(
                classes: [.init("review", retention: .seconds(3_600), audienceMax: 2_500)], purposes: [.init("test", basis: .legalObligation, classes: ["review"])],
                grants: [.init("all", role: PolicyDocument.everyone, purpose: "test", classes: ["review"])]))
        func count(_ moved: (subject: String, person: Person?)...) { decider.count(.init(rules: rules, keys: [], moved: moved)) }
        var seen: [ReleaseDecider.News] = []
        func next() -> ReleaseDecider.News {
            while seen.isEmpty { seen += mailbox.take() }
            return seen.removeFirst()
        }
        count()
        decider.decide(WriterScene.job(["E1"], rules: rules))
        decider.start()
        defer { decider.stop() }
        guard case .counted(_, let none) = next(), case .denied = next() else { throw Unexpected() }
        #expect(none.isEmpty, "as many as may")
        count(("E1", nil), ("X1", Person("X1", site: "berlin", team: "search")), ("E7", Person("E7", site: "berlin", team: "ads")))
        guard case .counted(_, let same) = next() else { throw Unexpected() }
        #expect(same.isEmpty, "one has gone, one has come, one is elsewhere")
        count(("X2", Person("X2", site: "berlin", team: "search")))
        guard case .counted(_, let more) = next() else { throw Unexpected() }
        #expect(more.map(\.people) == [2_501] && more.first?.sentence.contains("went 2500 → 2501") == true)
        #expect(try scene.vault.people(after: "E2", atMost: 2).map(\.subject) == ["E20", "E200"])
    }

    @Test func `a directory that is damaged is left out of the count, and what was asked meanwhile is decided`() throws {
        let scene = try WriterScene(prepare: { vault, _ in try vault.put([DirectoryEntry(subject: "E9", team: "search", site: "berlin")], at: november) })
        scene.vault.watch { if $0 == "people" { throw StoreError.damaged(path: "vault.sqlite", "a page") } }
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        var rules = ReadRules()
        rules.policy = Policy(
            PolicyDocument(
                classes: [.init("review", retention: .seconds(3_600), audienceMax: 1)], purposes: [.init("test", basis: .legalObligation, classes: ["review"])],
                roles: [.init("few", members: ["job", "E1"])],
                grants: [.init("few", role: "few", purpose: "test", classes: ["review"]), .init("all", role: PolicyDocument.everyone, purpose: "test", classes: ["review"])]))
        var seen: [ReleaseDecider.News] = []
        func next() -> ReleaseDecider.News {
            while seen.isEmpty { seen += mailbox.take() }
            return seen.removeFirst()
        }
        decider.count(.init(rules: rules, keys: [], moved: []))
        decider.decide(WriterScene.job(["E1"], rules: rules))
        decider.start()
        defer { decider.stop() }
        guard case .uncounted = next(), case .counted(_, let named) = next(), case .denied = next() else { throw Unexpected() }
        #expect(named.map(\.people) == [2], "whom the document names")
        scene.vault.watch { _ in }
        decider.count(.init(rules: rules, keys: [], moved: []))
        guard case .counted(_, let all) = next() else { throw Unexpected() }
        #expect(all.map(\.people) == [3], "read again, it is whole")
    }

    private struct Unexpected: Error {}
}
