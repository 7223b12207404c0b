import ArgumentParser
import Chassis
import Foundation
import Seal
import Wire

/// Exchanging the key that batches are sealed to. In two steps, because policy must have it before the first batch is sealed to it: it looks for the file
/// when the announcement is proposed.
struct VaultKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vault-key", abstract: "The key that agents seal batches to: make another, announce it.",
        discussion: """
            EXAMPLE
              sluice vault-key new          # on policy's machine
              sluice vault-key announce     # proposes it; another operator approves, and agents seal to it from then on

            Policy takes the new key up while it runs, as soon as it is proposed. If it cannot read the file, 'sluice status' says so, and what is sealed to the key waits at
            the agents.

            The key before is kept beside it (keys/vault/policy.vault.N): it opens what waits in spools. Take it away when no agent holds such a batch any more,
            and nobody opens what was recorded on its way.
            """,
        subcommands: [New.self, Announce.self])

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new key, and keep the one before.", discussion: "EXAMPLE\n  sluice vault-key new")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let home = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
            try home.gatherVaultKeys()
            try home.makeFolder("keys/vault")
            let path = home.vaultKey
            let files = FileManager.default
            var number = 1
            while files.fileExists(atPath: "\(path).\(number)") { number += 1 }
            // Without one, an earlier attempt got as far as this.
            if files.fileExists(atPath: path), rename(path, "\(path).\(number)") != 0 {
                throw Complaint("cannot rename \(path): \(String(cString: strerror(errno)))")
            }
            let key = try VaultKeyFile.loadOrMake(path).publicKey
            if json { return try Show.json(["key": "\(key.id)", "path": path]) }
            print("made \(path), vault key \(key.id)\nthen: sluice vault-key announce")
        }
    }

    struct Announce: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose that agents seal to the key that is in the home.",
            discussion: "EXAMPLE\n  sluice vault-key announce\n  sluice approve 7 --as ops-2")
        @OptionGroup var connection: Connection

        func run() throws {
            var body = WireAnnounceVaultKey()
            body.key = Data(try VaultKeyFile.load(connection.folder.vaultKey).publicKey.raw)
            try connection.propose(.announceVaultKey(body))
        }
    }
}
