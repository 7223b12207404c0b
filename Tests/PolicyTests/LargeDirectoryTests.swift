import Foundation
import Gate
import Identity
import Messaging
import Rules
import Testing
import Vault

@testable import sluice_policy

/// What a directory of 100,000 people costs whoever decides: figures for people, and of them alone that they are printed. With SLUICE_LONG=1.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_LONG"] != nil)) struct LargeDirectoryTests {
    private static let people = 100_000
    private static let stored = 2_000

    private static var rules: ReadRules {
        var rules = ReadRules()
        rules.policy = Policy(
            PolicyDocument(
                classes: [.init("activity", retention: .seconds(3_600), audienceMax: people - 1)], purposes: [.init("test", basis: .legalObligation, classes: ["activity"])],
                roles: [.init("few", members: ["ops-1"])],
                grants: [.init("few", role: "few", purpose: "test", classes: ["activity"]), .init("all", role: PolicyDocument.everyone, purpose: "test", classes: ["activity"])],
                leaks: [.init(.canary, close: .read, of: .everything, planted: ["E7"])]))
        return rules
    }

    @Test(.timeLimit(.minutes(10))) func `how long the first count, a count after a change, a canary and an outsider take`() throws {
        var clock = Clock.now()
        func lap(_ what: String) {
            let now = Clock.now()
            print("large directory: \(what): \((now - clock).microseconds) µs")
            clock = Clock.now()
        }
        let scene = try WriterScene(prepare: { vault, _ in
            for first in stride(from: 0, to: Self.people, by: 500) { try vault.put((first..<first + 500).map { DirectoryEntry(subject: "E\($0)", team: "team-\($0 % 100)", site: "site-\($0 % 10)") }, at: november) }
        })
        lap("making the directory")
        scene.writer.start()
        for number in 0..<Self.stored { scene.writer.take(.write(try WriterScene.prepared(UInt64(number + 1), of: "E\(number)", at: [november]))) }
        _ = try scene.answer(of: UInt64(Self.stored))
        lap("storing a segment each of \(Self.stored) people")
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        func next() -> ReleaseDecider.News {
            var seen: [ReleaseDecider.News] = []
            while seen.isEmpty {
                seen = mailbox.take()
                if seen.isEmpty { usleep(50) }
            }
            return seen.removeFirst()
        }
        func job(_ subjects: [String], as user: String) throws -> ReleaseJob {
            let job = WriterScene.job(subjects, rules: Self.rules)
            return ReleaseJob(id: job.id, route: job.route, user: try #require(User(user)), reader: user.hasPrefix("probe") ? Reader("probe", person: Person("probe", site: "", team: "")) : Reader("ops-1"), record: job.record, credit: 1, rules: Self.rules, registered: [:])
        }
        decider.start()
        defer { decider.stop() }
        decider.count(.init(rules: Self.rules, keys: [], moved: []))
        guard case .counted(_, let first) = next() else { throw Unexpected() }
        #expect(first.map(\.people) == [Self.people + 1], "everybody, and who is named")
        lap("the first count")
        decider.count(.init(rules: Self.rules, keys: [], moved: [("X1", Person("X1", site: "site-1", team: "team-1"))]))
        guard case .counted(_, let more) = next() else { throw Unexpected() }
        #expect(more.map(\.people) == [Self.people + 2])
        lap("a count after a change")
        for round in 0..<3 {
            decider.decide(try job(["E7"], as: "operator/ops-1"))
            guard case .foundPlanted = next() else { throw Unexpected() }
            lap("a canary who is named, \(round)")
        }
        for round in 0..<2 {
            decider.decide(try job([], as: "operator/ops-1"))
            guard case .foundPlanted = next() else { throw Unexpected() }
            lap("a canary among all who are stored, \(round)")
        }
        for round in 0..<2 {
            decider.decide(try job([], as: "probe/sluice-outsider"))
            guard case .openToAll = next() else { throw Unexpected() }
            lap("the outsider, \(round)")
        }
        for _ in 0..<3 { _ = try scene.vault.peopleCount() }
        lap("counting the rows of the directory, three times")
    }

    private struct Unexpected: Error {}
}
