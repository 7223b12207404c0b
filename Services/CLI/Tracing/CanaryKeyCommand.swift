import ArgumentParser
import Chassis
import Foundation
import Tracing

struct CanaryKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "canary-key", abstract: "The key that the canaries of releases are derived from: make another.",
        discussion: """
            EXAMPLE
              sluice canary-key new          # on policy's machine; policy takes it up when it is started again

            The key before is kept beside it (keys/vault/policy.canary.N): files of releases of its time are told by it. Who has it can tell canaries and
            remove them, and can make a file that names another.
            """,
        subcommands: [New.self])

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a new key, and keep the one before.", discussion: "EXAMPLE\n  sluice canary-key new")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let home = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
            try home.makeFolder("keys/vault")
            let (path, files) = (home.canaryKey, FileManager.default)
            var number = 1
            while files.fileExists(atPath: "\(path).\(number)") { number += 1 }
            // Without one, an earlier attempt got as far as this.
            if files.fileExists(atPath: path), rename(path, "\(path).\(number)") != 0 { throw Complaint("cannot rename \(path): \(String(cString: strerror(errno)))") }
            let key = try CanaryKeyFile.loadOrMake(path)
            if json { return try Show.json(["key": key.id, "path": path]) }
            print("made \(path), canary key \(key.id)\nsluice-policy derives from it when it is started again")
        }
    }
}
