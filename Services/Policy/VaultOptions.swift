import ArgumentParser
import Chassis
import Gate
import Rules
import Vault

/// How the vault is opened, and what is kept in it for how long.
struct VaultOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Delete this class after so many days; may be repeated. Default: everything is kept.", valueName: "class=days"))
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

    func retained() throws -> Retention {
        var spans: [DataClass: Span] = [:]
        for text in retention {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let days = Int64(parts[1]), (1...36_500).contains(days) else {
                throw ValidationError("--retention is '\(text)': a class and 1 to 36500 days are expected, for example activity=90")
            }
            let dataClass = DataClass(String(parts[0]))
            guard Classification.standard.stored.contains(dataClass) else {
                throw ValidationError("--retention: there is no class '\(parts[0])'; there are \(Classification.standard.stored.map(\.name).joined(separator: ", "))")
            }
            guard spans.updateValue(Span.seconds(days * 86_400), forKey: dataClass) == nil else {
                throw ValidationError("--retention names '\(parts[0])' twice")
            }
        }
        return Retention(spans)
    }

    /// What the vault may be encrypted under: the present key, and the next while they are being exchanged.
    func masters(_ home: Home) throws -> [MasterKey] {
        guard let masterKeyCommand else { return try MasterKeyFile.loadAll(home.masterKey) }
        return [try MasterKeyFile.ask(masterKeyCommand, seconds: masterKeySeconds)]
    }
}
