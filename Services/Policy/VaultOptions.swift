import ArgumentParser
import Chassis
import Gate
import Rules
import Vault
import Wire

/// How the vault is opened, and what is kept in it for how long.
struct VaultOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Delete this class after so many days, if the policy document keeps it for longer; may be repeated. Default: what that says.", valueName: "class=days"))
    var retention: [String] = []

    @Option(
        help: ArgumentHelp(
            "A program, with its arguments, that prints the master key as 64 hexadecimal digits: a key management service. Default: keys/vault/policy.master.",
            valueName: "command"))
    var masterKeyCommand: String?

    @Option(help: "Seconds that the program may take.") var masterKeySeconds = 10

    @Option(
        help: ArgumentHelp(
            "Take a policy/keys.sqlite of this state although the vault has seen a later one: there is no newer replica. Keys that were destroyed since are in it again, until who is erased is erased again. Once.",
            valueName: "state"))
    var olderKeys: Int64?

    func retained() throws -> Retention { try VaultOptions.retention(retention) }

    static func retention(_ texts: [String]) throws -> Retention {
        var spans: [DataClass: Span] = [:]
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let days = Int64(parts[1]), (1...36_500).contains(days) else {
                throw ValidationError("--retention is '\(text)': a class and 1 to 36500 days are expected, for example activity=90")
            }
            let dataClass = DataClass(String(parts[0]))
            // Which classes there are the policy document says, and it has not come yet: see `unknown(_:to:)`.
            guard (1...Limits.nameBytesMax).contains(dataClass.name.utf8.count) else { throw ValidationError("--retention is '\(text)': a class has a name of 1 to \(Limits.nameBytesMax) bytes") }
            guard spans.updateValue(Span.seconds(days * 86_400), forKey: dataClass) == nil else {
                throw ValidationError("--retention names '\(parts[0])' twice")
            }
        }
        return Retention(spans)
    }

    /// Names that are no class: what was meant is kept for as long as the document says.
    ///
    /// - Parameter document: Nil: none is in force.
    static func unknown(_ retention: Retention, to document: PolicyDocument?) -> [String] {
        let known = Set(Classification.standard.stored).union(document?.classes.map(\.dataClass) ?? [])
        return retention.spans.keys.filter { !known.contains($0) }.map(\.name).sorted()
    }

    /// What the vault may be encrypted under: the present key, and the next while they are being exchanged.
    func masters(_ home: Home) throws -> [MasterKey] {
        guard let masterKeyCommand else { return try MasterKeyFile.loadAll(home.masterKey) }
        return [try MasterKeyFile.ask(masterKeyCommand, seconds: masterKeySeconds)]
    }
}
