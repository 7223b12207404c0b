import ArgumentParser
import Chassis
import Foundation
import Vault

struct MasterKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "master-key", abstract: "The key that wraps the vault's data keys: exchange it.",
        discussion: """
            EXAMPLE
              sluice master-key new                # on policy's machine, while sluice-policy is stopped
              sluice master-key new --to-command "kms-get sluice-2027"

            All data keys are wrapped anew in one transaction; whenever it is interrupted, either key opens the vault, and the command may be given again.
            The key before is kept beside the new one (keys/vault/policy.master.N): it opens replicas of keys.sqlite from before. Destroy it when there are none.
            """,
        subcommands: [New.self])

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Wrap all data keys under a new master key.", discussion: "EXAMPLE\n  sluice master-key new")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Option(help: ArgumentHelp("The present key is what this program prints. Default: keys/vault/policy.master.", valueName: "command")) var fromCommand: String?
        @Option(help: ArgumentHelp("The new key is what this program prints. Default: one is made.", valueName: "command")) var toCommand: String?
        @Option(help: "Seconds that such a program may take.") var seconds = 10
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let home = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
            FaultPoint.arm(ProcessInfo.processInfo.environment["SLUICE_FAULT"])
            try home.makeFolder("policy")
            try home.lock("policy/lock")
            try home.gatherVaultKeys()
            let (path, vault, files) = (home.masterKey, home.file("policy/vault.sqlite"), FileManager.default)
            let hasKeys = files.fileExists(atPath: SQLiteVault.keysPath(vault))
            guard hasKeys || !files.fileExists(atPath: vault) else {
                throw Complaint("\(SQLiteVault.keysPath(vault)) is missing: start sluice-policy once, which takes an older vault over, or put back a replica of it")
            }
            let old = try fromCommand.map { try MasterKeyFile.ask($0, seconds: seconds) } ?? MasterKeyFile.load(path)
            // On disk before anything is wrapped under it. One that is there was made by an attempt that was interrupted.
            let new = try toCommand.map { try MasterKeyFile.ask($0, seconds: seconds) } ?? MasterKeyFile.loadOrMake(MasterKeyFile.next(path))
            let count = hasKeys ? try SQLiteVault.rewrap(vault, from: old, to: new, pass: { FaultPoint.pass($0) }) : 0
            guard toCommand == nil else {
                if json { return try Show.json(["wrapped": "\(count)"]) }
                return print("wrapped \(count) data keys anew; start sluice-policy with --master-key-command")
            }
            if fromCommand == nil { try keep(path) }
            guard rename(MasterKeyFile.next(path), path) == 0 else { throw Complaint("cannot rename \(MasterKeyFile.next(path)): \(String(cString: strerror(errno)))") }
            if json { return try Show.json(["wrapped": "\(count)", "path": path]) }
            print("wrapped \(count) data keys anew, under \(path)")
        }

        /// Under the first number that is free; once, however often this is tried.
        private func keep(_ path: String) throws {
            let files = FileManager.default
            var number = 1
            while files.fileExists(atPath: "\(path).\(number)") {
                if files.contentsEqual(atPath: path, andPath: "\(path).\(number)") { return }
                number += 1
            }
            guard link(path, "\(path).\(number)") == 0 else { throw Complaint("cannot keep \(path) as \(path).\(number): \(String(cString: strerror(errno)))") }
        }
    }
}
