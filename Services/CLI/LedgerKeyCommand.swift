import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Wire

/// Exchanging a key that a ledger is signed or cosigned with, without a stop: announced by two, taken up where it lies, and then the older retired by one.
struct LedgerKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger-key", abstract: "The keys that the ledgers are signed and cosigned with: list, exchange.",
        discussion: """
            EXAMPLE
              sluice ledger-key new policy.ledger        # on policy's machine: makes the next key and proposes it; another operator approves
              sluice ledger-key use policy.ledger        # there: policy signs with it while it runs
              sluice ledger-key retire policy.ledger     # what the older signs from now on counts no more

            policy.ledger signs the record of reads, control.witness cosigns it; control.ledger signs what was decided, and certificates; policy.witness cosigns it. What was
            signed before stays good.

            From 'use control.ledger' on control signs with both keys, and agents and services hear of the newer by the older's own word, also those that were away
            meanwhile (up to eight exchanges; after that an agent joins anew). Retire the older when nobody is left who knows it alone and cannot hear.
            """,
        subcommands: [List.self, New.self, Announce.self, Use.self, Retire.self], defaultSubcommand: List.self)

    /// Which key: the service that has it, and what for.
    enum Which: String, CaseIterable, ExpressibleByArgument {
        case controlLedger = "control.ledger"
        case policyLedger = "policy.ledger"
        case policyWitness = "policy.witness"
        case controlWitness = "control.witness"

        var service: String { String(rawValue.prefix { $0 != "." }) }
        var what: String { String(rawValue.drop { $0 != "." }.dropFirst()) }

        /// As registry.json names it.
        var anchor: WritableKeyPath<TrustedNodes.Anchors, String> {
            switch self {
            case .controlLedger: \.control
            case .policyLedger: \.policy
            case .policyWitness: \.policyWitness
            case .controlWitness: \.controlWitness
            }
        }

        /// Those that count, the older first.
        func counting(_ connection: Connection) throws -> [WireLedgerKey] {
            let registry = try TrustedNodes(contentsOf: connection.folder.file("registry.json")).anchors[keyPath: anchor]
            let known = try connection.client().query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.ledgers
            return known.filter { LedgerKeys.name(of: $0.key) == LedgerKeys.name(of: registry) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the keys that count, and which signs.", discussion: "EXAMPLE\n  sluice ledger-key list")
        @OptionGroup var connection: Connection

        func run() throws {
            let keys = try connection.client().query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.ledgers
            if connection.json {
                let shown: [[String: Any]] = keys.map { ["key": $0.key, "used": $0.used] }
                return print(String(decoding: try JSONSerialization.data(withJSONObject: ["keys": shown], options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
            }
            for key in keys { print("\(Terminal.safe(key.key))   \(key.used ? "used" : "not used")") }
        }
    }

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the next key, and propose that it counts.",
            discussion: "EXAMPLE\n  sluice ledger-key new policy.ledger\n  sluice approve 7 --as ops-2\n\nOn the service's machine: the key lies in its folder, as ledger.next or witness.next. Safe to repeat.")
        @OptionGroup var connection: Connection
        @Argument(help: "policy.ledger, policy.witness or control.witness.") var which: Which
        @Flag(help: "Make it and print its verifier key; an operator announces it from another machine.") var onlyMake = false

        func run() throws {
            let registry = try ServiceHost.verifier(TrustedNodes(contentsOf: connection.folder.file("registry.json")).anchors[keyPath: which.anchor])
            try connection.folder.makeFolder(which.service)
            let path = connection.folder.nextLedgerKey(which.service, which.what)
            let key = try LedgerKey.loadOrMake(path, name: registry.name.description, registry.algorithm).verifier
            if onlyMake { return print(key) }
            try Announce.propose("\(key)", which, connection)
        }
    }

    struct Announce: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose that a key that was made elsewhere counts.", discussion: "EXAMPLE\n  sluice ledger-key announce policy.ledger --key 'sluice/5c2d…/reads+1c2d3e4f+AS…'")
        @OptionGroup var connection: Connection
        @Argument(help: "policy.ledger, policy.witness or control.witness.") var which: Which
        @Option(help: "Its verifier key, as 'sluice ledger-key new --only-make' printed it.") var key: String

        func run() throws { try Announce.propose(key, which, connection) }

        static func propose(_ key: String, _ which: Which, _ connection: Connection) throws {
            guard let before = try which.counting(connection).first else { throw Complaint("control names no key of \(which.rawValue)") }
            var body = WireAnnounceLedgerKey()
            body.key = key
            body.beside = before.key
            try connection.propose(.announceLedgerKey(body))
        }
    }

    struct Use: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the service sign with its next key. It does so while it runs, within a second.",
            discussion: """
                EXAMPLE
                  sluice ledger-key use policy.ledger        # on policy's machine

                The key before stays where it was, or beside it as ledger.before or witness.before, and counts until it is retired. registry.json of this home names the
                new one from here on.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "policy.ledger, policy.witness or control.witness.") var which: Which

        func run() throws {
            let home = connection.folder
            let (present, next) = (home.takenUpLedgerKey(which.service, which.what), home.nextLedgerKey(which.service, which.what))
            let files = FileManager.default
            guard files.fileExists(atPath: next) else { throw Complaint("\(next) is not there: 'sluice ledger-key new \(which.rawValue)' makes it") }
            let path = home.file("registry.json")
            var trusted = try TrustedNodes(contentsOf: path)
            let registry = try ServiceHost.verifier(trusted.anchors[keyPath: which.anchor])
            let key = "\(try LedgerKey.load(next, name: registry.name, registry.algorithm).verifier)"
            // The service looks into the ledger itself: on a machine without an operator's key this is left to it.
            var counting: [String]?
            if files.fileExists(atPath: home.key(connection.operatorName)) {
                counting = try which.counting(connection).map(\.key)
                guard counting?.contains(key) ?? true else {
                    throw Complaint("the next key of \(which.rawValue) does not count yet: another operator must approve it ('sluice proposals')")
                }
            }
            // Whenever this ends, the service has a whole key to start with. The first of all stays in the keys folder.
            // One that was given up before it took another's place is not kept in its stead.
            let isGivenUp = counting.map { known in (try? LedgerKey.load(present, name: registry.name, registry.algorithm)).map { !known.contains("\($0.verifier)") } ?? false } ?? false
            if files.fileExists(atPath: present), !isGivenUp {
                let before = home.ledgerKeyBefore(which.service, which.what)
                unlink(before)
                guard link(present, before) == 0 else { throw Complaint("cannot keep \(present): \(String(cString: strerror(errno)))") }
            }
            guard rename(next, present) == 0 else { throw Complaint("cannot exchange \(present): \(String(cString: strerror(errno)))") }
            trusted.anchors[keyPath: which.anchor] = key
            try trusted.write(to: path)
            print("\(which.service) signs with \(key)\(which == .controlLedger ? " too" : "") within a second; then: sluice ledger-key retire \(which.rawValue)")
        }
    }

    struct Retire: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have what an older key signs from now on count no more, at once, alone. It never comes back.",
            discussion: "EXAMPLE\n  sluice ledger-key retire policy.ledger\n\nThe newer, if it is never to be used: --key KEY. The one that is signed with, if it was stolen: --key KEY --yes; its service has no lease until it signs with the other.")
        @OptionGroup var connection: Connection
        @Argument(help: "policy.ledger, policy.witness or control.witness.") var which: Which
        @Option(help: "Which of the two. Default: the older, if the other is signed with.") var key: String?
        @Flag(help: "Also the key that is signed with.") var yes = false

        func run() throws {
            let known = try which.counting(connection)
            guard known.count > 1 else { throw Complaint("\(which.rawValue) has one key, and no other to go by: 'sluice ledger-key new \(which.rawValue)' makes another") }
            if key == nil, !known[1].used {
                throw Complaint("nothing was signed with the newer key of \(which.rawValue) yet: 'sluice ledger-key use \(which.rawValue)' on its machine; or say with --key which of the two is retired")
            }
            if let key, !yes, known.contains(where: { $0.key == key && $0.used }), !known.contains(where: { $0.key != key && $0.used }) {
                throw Complaint("\(which.service) signs with this key: nothing that it signs is believed from then on. If it is not stolen, 'sluice ledger-key use \(which.rawValue)' first, and retire the other; else say --yes")
            }
            var body = WireRetireLedgerKey()
            body.key = key ?? known[0].key
            let outcome = try connection.client().command(.retireLedgerKey(body), by: connection.signer())
            if connection.json { try Show.json(outcome) } else { print("retired \(body.key): what it signs counts no more") }
            // It would be proposed again, and never count.
            let next = connection.folder.nextLedgerKey(which.service, which.what)
            if let verifier = try? VerifierKey(parsing: body.key), let signer = try? LedgerKey.load(next, name: verifier.name, verifier.algorithm), signer.verifier == verifier {
                unlink(next)
            }
            if which == .controlLedger, let left = known.first(where: { $0.key != body.key })?.key { try LedgerKeyCommand.goBack(from: body.key, to: left, connection.folder) }
        }
    }

    /// Control signed with both: if the newer was given up, the one before is what its file and registry.json name.
    private static func goBack(from gone: String, to left: String, _ home: Home) throws {
        var trusted = try TrustedNodes(contentsOf: home.file("registry.json"))
        guard trusted.anchors.control == gone, let key = try? VerifierKey(parsing: left) else { return }
        let (present, before) = (home.takenUpLedgerKey("control", "ledger"), home.ledgerKeyBefore("control", "ledger"))
        func holds(_ path: String, _ text: String) -> Bool { (try? LedgerKey.load(path, name: key.name, key.algorithm)).map { "\($0.verifier)" == text } ?? false }
        if holds(present, gone) {
            if holds(before, left) { rename(before, present) } else if holds(home.firstLedgerKey("control", "ledger"), left) { unlink(present) }
        }
        trusted.anchors.control = left
        try trusted.write(to: home.file("registry.json"))
    }
}
