import Gate
import Messaging
import Rules
import Testing
import Vault

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
        func again(_ number: Int64, _ version: UInt64) {
            var rules = ReadRules()
            rules.version = version
            let release = OpenedRelease(number: number, entry: 1, decided: DecidedRelease(reader: Reader("ops-1"), subjects: 0, events: 0), allowed: nil)
            decider.reconsider(WriterScene.job(["E1"]), release, Reader("ops-1"), by: rules)
        }
        // A directory of many people comes in many messages.
        for version in UInt64(1)...1_000 { for number in Int64(1)...2 { again(number, version) } }
        again(3, 7)
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
        again(1, 1_001)
        while seen.count == 3 {
            for case .reconsidered(let number, let version, _, _, nil) in mailbox.take() { seen.append((number, version)) }
        }
        #expect(seen[3] == (1, 1_001))
    }

    private struct Unexpected: Error {}
}
