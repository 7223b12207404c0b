import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Messaging
import Wire

/// Exchanging the key that a service goes by, without a stop: announced by two, taken up where it lies, and then the older retired by one.
struct ServiceKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service-key", abstract: "The keys that control, ingest, policy, notify, the joining process and the doors for reports go by: list, exchange.",
        discussion: """
            EXAMPLE
              sluice service-key new ingest        # makes the next key and proposes it; another operator approves
              sluice service-key use ingest        # on ingest's machine, when agents have heard: it takes the key up while it runs
              sluice service-key retire ingest     # the older counts no more

            Between the first step and the second is the time in which agents hear of the key: a machine that was off in all of it gets the file that
            'sluice service-key prove ingest' prints, as server.proof in its agent's folder, or joins anew.

            The key of the joining process (join) stands in tokens. From the first step on both answer, the newer at suite.json's joinNext (the port after join);
            tokens name the newer, and that address, from the second step on. Retire the older when no token waits that names it: they live a day at most.
            """,
        subcommands: [List.self, New.self, Announce.self, Use.self, Retire.self, Prove.self, Pin.self], defaultSubcommand: List.self)

    static func check(_ service: String) throws {
        guard SuiteHome.keyed.contains(service) else {
            throw ValidationError("there is no service '\(service)': \(SuiteHome.keyed.joined(separator: ", "))")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the keys that count, and which is used.", discussion: "EXAMPLE\n  sluice service-key list")
        @OptionGroup var connection: Connection

        func run() throws {
            let answer = try connection.client().query(.serviceKeys(WireServiceKeysQuery())).serviceKeys
            if connection.json {
                let keys: [[String: Any]] = answer.keys.map { ["service": $0.service, "key": CurveKey($0.key)?.z85 ?? "", "used": $0.used, "entry": $0.entry] }
                return print(String(decoding: try JSONSerialization.data(withJSONObject: ["keys": keys], options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
            }
            for key in answer.keys {
                let name = Terminal.safe(key.service).padding(toLength: 9, withPad: " ", startingAt: 0)
                print("\(name) \(CurveKey(key.key)?.z85 ?? "?")   \(key.used ? "used" : "not used")\(key.entry > 0 ? "   announced by entry \(key.entry)" : "")")
            }
        }
    }

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a service's next key, and propose that it counts.",
            discussion: "EXAMPLE\n  sluice service-key new ingest\n  sluice approve 7 --as ops-2\n\nOn the service's machine: the key lies in its folder, as key.next. Safe to repeat.")
        @OptionGroup var connection: Connection
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String
        @Flag(help: "Make it and print its public half; an operator announces it from another machine.") var onlyMake = false

        func validate() throws { try ServiceKeyCommand.check(service) }

        func run() throws {
            try connection.folder.makeFolder(service)
            let key = try KeyFile.loadOrMake(connection.folder.nextKey(service)).publicKey
            if onlyMake { return print(key.z85) }
            try Announce.propose(key, service, connection)
        }
    }

    struct Announce: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose that a key that was made elsewhere counts for a service.",
            discussion: "EXAMPLE\n  sluice service-key announce ingest --key 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'")
        @OptionGroup var connection: Connection
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String
        @Option(help: "Its public half, 40 characters of Z85, as 'sluice service-key new --only-make' printed it.") var key: String

        func validate() throws { try ServiceKeyCommand.check(service) }

        func run() throws {
            guard let key = CurveKey(z85: key) else { throw Complaint("--key is not 40 characters of Z85") }
            try Announce.propose(key, service, connection)
        }

        static func propose(_ key: CurveKey, _ service: String, _ connection: Connection) throws {
            let known = try connection.client().query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.keys.filter { $0.service == service }
            guard let before = known.first else { throw Complaint("control knows no service '\(service)'") }
            var body = WireAnnounceServiceKey()
            body.service = service
            body.key = Data(key.bytes)
            body.beside = before.key
            try connection.propose(.announceServiceKey(body))
        }
    }

    struct Use: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a service take up its next key. It does so while it runs, within a second.",
            discussion: """
                EXAMPLE
                  sluice service-key use ingest        # on ingest's machine

                The key before stays where it was, or beside it as key.before, and counts until it is retired. registry.json of this home names the new one from
                here on; on other machines the services know it from the ledger, and operators' tools by 'sluice service-key pin'.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String

        func validate() throws { try ServiceKeyCommand.check(service) }

        func run() throws {
            let home = connection.folder
            let (present, next) = (home.takenUpKey(service), home.nextKey(service))
            let files = FileManager.default
            guard files.fileExists(atPath: next) else { throw Complaint("\(next) is not there: 'sluice service-key new \(service)' makes it") }
            let key = try KeyFile.load(next).publicKey
            // The service looks into the ledger itself: on a machine without an operator's key this is left to it.
            if files.fileExists(atPath: home.key(connection.operatorName)) {
                let known = try connection.client().query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.keys
                guard known.contains(where: { $0.service == service && $0.key == Data(key.bytes) }) else {
                    throw Complaint("the next key of \(service) does not count yet: another operator must approve it ('sluice proposals')")
                }
            }
            if service == "control" { awaitFollowers(of: key, in: home) }
            // Whenever this ends, the service has a whole key to start with. The first of all stays in the keys folder.
            if files.fileExists(atPath: present) {
                let before = home.keyBefore(service)
                unlink(before)
                guard link(present, before) == 0 else { throw Complaint("cannot keep \(present): \(String(cString: strerror(errno)))") }
            }
            guard rename(next, present) == 0 else { throw Complaint("cannot exchange \(present): \(String(cString: strerror(errno)))") }
            try TrustedNodes.name(key, for: service, in: home)
            print("\(service) takes up \(key.z85) within a second; then: sluice service-key retire \(service)")
        }

        /// Of control's next key those who reach it hear from control, with a renewal: who has not heard when it is taken up cannot reach control any more, until it starts anew.
        private func awaitFollowers(of key: CurveKey, in home: Home) {
            let end = Clock.now() + Span.seconds(5)
            var waiting = ["ingest", "join", "hooks", "notify", "policy"].filter { FileManager.default.fileExists(atPath: home.file($0)) }
            while true {
                waiting.removeAll { PinnedKeys(home.file($0)).holds(key) }
                guard !waiting.isEmpty, Clock.now() < end else { break }
                usleep(50_000)
            }
            guard !waiting.isEmpty else { return }
            FileHandle.standardError.write(Data("sluice: \(waiting.joined(separator: ", ")) \(waiting.count == 1 ? "has" : "have") not heard of control's next key: what runs and does not come back has to be started anew\n".utf8))
        }
    }

    struct Retire: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a service's older key count no more, at once, alone. It never comes back.",
            discussion: """
                EXAMPLE
                  sluice service-key retire ingest

                The newer, if it is never to be used: --key KEY. The one that the service goes by, if it was stolen: --key KEY --yes. Then the service is nobody
                until it goes by the other, and who has met it under this key alone does not come back by itself.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String
        @Option(help: "Which of the two, 40 characters of Z85. Default: the older, if the service goes by the other.") var key: String?
        @Flag(help: "Also the key that the service goes by.") var yes = false

        func validate() throws {
            try ServiceKeyCommand.check(service)
            if let key, CurveKey(z85: key) == nil { throw ValidationError("--key is not 40 characters of Z85") }
        }

        func run() throws {
            let client = try connection.client()
            let known = try client.query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.keys.filter { $0.service == service }
            guard known.count > 1 else { throw Complaint("\(service) has one key, and no other to go by: 'sluice service-key new \(service)' makes another") }
            let asked = key.flatMap { CurveKey(z85: $0) }.map { Data($0.bytes) }
            if asked == nil {
                guard known[1].used else {
                    throw Complaint("\(service) does not go by its newer key yet: 'sluice service-key use \(service)' on its machine; or say with --key which of the two is retired")
                }
            }
            if let asked, !yes, known.contains(where: { $0.key == asked && $0.used }) {
                let strands =
                    switch service {
                    case "ingest": "agents that have met it stay away until they have the proof of its next key ('sluice service-key prove ingest', as server.proof in each agent's folder)"
                    case "control": "every lease ends, and services and tools that know no other key of it stay away until registry.json names one ('sluice service-key pin control')"
                    case SuiteHome.joining: "no token admits anybody that was made since"
                    default: "what it does ends until it goes by the other"
                    }
                throw Complaint(
                    "\(service) goes by this key: nobody takes it for \(service) from then on, and \(strands). If it is not stolen, 'sluice service-key use \(service)' first, and retire the other; else say --yes")
            }
            var body = WireRetireServiceKey()
            body.service = service
            body.key = asked ?? known[0].key
            let outcome = try client.command(.retireServiceKey(body), by: connection.signer())
            if connection.json { try Show.json(outcome) } else { print("retired \(CurveKey(body.key)?.z85 ?? ""): nobody takes it for \(service) any more") }
            // Of the next key as well: it would be proposed again, and never count.
            for path in [connection.folder.keyBefore(service), connection.folder.nextKey(service)] {
                if let pair = try? KeyFile.load(path), Data(pair.publicKey.bytes) == body.key { unlink(path) }
            }
        }
    }

    struct Prove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the proof that a service's newest key was announced, as a file for who was not there.",
            discussion: "EXAMPLE\n  sluice service-key prove ingest > server.proof     # into the agent's folder, beside agent.json\n\nNo secret: whoever hands it on cannot change it.")
        @OptionGroup var connection: Connection
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String

        func validate() throws { try ServiceKeyCommand.check(service) }

        func run() throws {
            let client = try connection.client()
            let entry = try client.query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.keys.last { $0.service == service }?.entry ?? 0
            guard entry > 0 else { throw Complaint("no key of \(service) was announced: the one that the suite began with counts") }
            var asked = WireProofQuery()
            asked.index = entry
            guard let file = try client.query(.proof(asked)).proof.file else { throw Complaint("control's answer is no proof") }
            FileHandle.standardOutput.write(file)
        }
    }

    struct Pin: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have this home's registry.json name a service's newest key, by its proof.",
            discussion: "EXAMPLE\n  sluice service-key pin control control.proof\n\nFor homes on other machines; 'sluice service-key use' does it where the service is.")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Argument(help: "control, ingest, policy, notify, join or hooks.") var service: String
        @Argument(help: "The file, as 'sluice service-key prove' printed it.") var file: String
        @Flag(help: "Print JSON.") var json = false

        func validate() throws { try ServiceKeyCommand.check(service) }

        func run() throws {
            let folder = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
            let trusted = try TrustedNodes(contentsOf: folder.file("registry.json"))
            guard let data = FileManager.default.contents(atPath: file), let proof = WireEntryProof(file: data) else { throw Complaint("\(file) is no proof with its entry") }
            let announced: ServiceKeyAnnouncement
            do {
                announced = try ServiceKeyAnnouncement.check(proof, of: service, ledger: PinnedLedgerKeys.known(in: folder, else: ServiceHost.verifier(trusted.anchors.control)), accepted: nil)
            } catch let error as ServiceKeyNotProven { throw Complaint("\(file) names no key of \(service): \(error)") }
            try TrustedNodes.name(announced.key, for: service, in: folder)
            if json { return try Show.json(["service": service, "key": announced.key.z85]) }
            print("registry.json names \(announced.key.z85) for \(service), announced by entry \(announced.index)")
        }
    }
}

extension TrustedNodes {
    func write(to path: String) throws(Complaint) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do { try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
            throw Complaint("cannot write \(path): \(TrustedNodes.reason(error))")
        }
    }

    fileprivate static func name(_ key: CurveKey, for service: String, in home: Home) throws {
        let path = home.file("registry.json")
        var trusted = try TrustedNodes(contentsOf: path)
        for place in trusted.nodes.indices where trusted.nodes[place].name == service { trusted.nodes[place].key = key.z85 }
        try trusted.write(to: path)
    }
}
