import Identity
import Foundation

/// A fault that ends a program, in one line: what, where, and what to do about it.
package struct Complaint: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// The folder that holds everything of one suite: settings, keys, databases, logs.
///
/// | path | what |
/// | --- | --- |
/// | `suite.json` | ``SuiteSettings`` |
/// | `registry.json` | ``TrustedNodes`` |
/// | `hooks.yaml` | ``HookRules``: what is closed for what other systems report |
/// | `notices.json` | `NoticeSettings`: who writes to those who were exposed, whom they can ask |
/// | `notices/N.checkpoint` | of the ledger of reads: the proof files of incident N's notices are under it |
/// | `hooks/alertmanager.tokens`, `hooks/standard.secrets` | who may report, 0600 |
/// | `keys/NAME.secret` | CURVE keys, 0600 |
/// | `SERVICE/key.secret` | the same, of a service that has taken up another key since; `key.next` is to be taken up, `key.before` was before |
/// | `keys/NAME.key`, `NAME.pub` | operators' keys: PKCS#8, 0600; and the public key's line |
/// | `keys/SERVICE.ledger`, `SERVICE.witness` | what control and policy sign their ledger and the other's with: PKCS#8, 0600 |
/// | `SERVICE/ledger.key`, `SERVICE/witness.key` | the same, of a service that has taken up another since; `.next`, `.before` likewise |
/// | `keys/vault/policy.vault` | what opens batches (`policy.vault.N`: what opened them before): PKCS#8, 0600 |
/// | `keys/vault/policy.master` | wraps the vault's data keys: 64 hexadecimal digits, 0600 (`.next`: while it is exchanged; `.N`: what it was before) |
/// | `keys/vault/policy.canary` | what canaries are derived from (`.N`: what they were before): 64 hexadecimal digits, 0600 |
/// | `control/journal.sqlite`, `policy/vault.sqlite`, `notify/outbox.sqlite`, `hooks/reports.sqlite` | databases |
/// | `notify.json`, `notify/mail/` | where messages go, 0600; mails, where no server is named: a Maildir |
/// | `SERVICE/control.keys` | ``PinnedKeys`` |
/// | `policy/keys.sqlite` | the vault's data keys, wrapped: replicated, never archived |
/// | `agents/NAME/` | an agent's key, settings, spool |
/// | `logs/` | what the services print |
package struct Home: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// `--home`, else `$SLUICE_HOME`, else `$XDG_DATA_HOME/sluice`, else `~/.local/share/sluice`.
    package static func resolve(_ option: String?, environment: [String: String]) -> Home {
        if let option, !option.isEmpty { return Home(option) }
        if let home = environment["SLUICE_HOME"], !home.isEmpty { return Home(home) }
        if let data = environment["XDG_DATA_HOME"], !data.isEmpty { return Home(data + "/sluice") }
        return Home((environment["HOME"] ?? ".") + "/.local/share/sluice")
    }

    package func file(_ name: String) -> String { path + "/" + name }
    /// CURVE secret key.
    package func key(_ name: String) -> String { file("keys/\(name).secret") }
    /// The key that a service goes by: in its own folder since it took up another. The other services are kept out of that folder as it is, whatever
    /// comes into it; a file beside theirs they could read until they are started again.
    package func serviceKey(_ service: String) -> String {
        let taken = takenUpKey(service)
        return FileManager.default.fileExists(atPath: taken) ? taken : key(service)
    }
    package func takenUpKey(_ service: String) -> String { file("\(service)/key.secret") }
    package func nextKey(_ service: String) -> String { file("\(service)/key.next") }
    package func keyBefore(_ service: String) -> String { file("\(service)/key.before") }
    /// An operator's, PKCS#8.
    package func signingKey(_ name: String) -> String { file("keys/\(name).key") }
    package func ledgerKey(_ service: String) -> String { ledgerKey(service, "ledger") }
    package func witnessKey(_ service: String) -> String { ledgerKey(service, "witness") }
    /// - Parameter what: `ledger` or `witness`. In the service's own folder since it took up another, as its ``serviceKey(_:)``.
    package func ledgerKey(_ service: String, _ what: String) -> String {
        let taken = takenUpLedgerKey(service, what)
        return FileManager.default.fileExists(atPath: taken) ? taken : firstLedgerKey(service, what)
    }
    package func firstLedgerKey(_ service: String, _ what: String) -> String { file("keys/\(service).\(what)") }
    package func takenUpLedgerKey(_ service: String, _ what: String) -> String { file("\(service)/\(what).key") }
    package func nextLedgerKey(_ service: String, _ what: String) -> String { file("\(service)/\(what).next") }
    package func ledgerKeyBefore(_ service: String, _ what: String) -> String { file("\(service)/\(what).before") }
    package var vaultKey: String { vaultFile("policy.vault") }
    package var masterKey: String { vaultFile("policy.master") }
    package var canaryKey: String { file("keys/vault/policy.canary") }

    /// In a folder of its own: the other services are kept out of it as it is, whatever is renamed or made in it. In an older home beside the other keys.
    private func vaultFile(_ name: String) -> String {
        let (own, older) = (file("keys/vault/\(name)"), file("keys/\(name)"))
        return !FileManager.default.fileExists(atPath: own) && FileManager.default.fileExists(atPath: older) ? older : own
    }

    /// Takes the vault's keys of an older home into their folder: before one of them is exchanged at the latest.
    ///
    /// Wherever this is interrupted, all of them are in one of the two places, and it goes on when it is called again.
    package func gatherVaultKeys() throws(Complaint) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: file("keys"))) ?? []
        for name in ["policy.vault", "policy.master"] {
            // The present one last: where it is, there all are looked for.
            let found = names.filter { $0.hasPrefix(name + ".") }.sorted() + names.filter { $0 == name }
            if !found.isEmpty { try makeFolder("keys/vault") }
            for one in found {
                let (older, own) = (file("keys/\(one)"), file("keys/vault/\(one)"))
                if link(older, own) == 0 { continue }
                let why = errno
                guard why == EEXIST, FileManager.default.contentsEqual(atPath: older, andPath: own) else {
                    throw Complaint("cannot take \(older) to \(own): \(why == EEXIST ? "another key is there; take one of them away" : String(cString: strerror(why)))")
                }
            }
            for one in found { unlink(file("keys/\(one)")) }
        }
    }

    package func makeFolder(_ name: String = "") throws(Complaint) {
        let folder = name.isEmpty ? path : file(name)
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Complaint("cannot make the folder \(folder): \(TrustedNodes.reason(error)); choose another with --home")
        }
        guard access(folder, R_OK | W_OK | X_OK) == 0 else {
            throw Complaint("cannot use the folder \(folder): \(String(cString: strerror(errno))); choose another with --home")
        }
    }

    /// Room for what a first start makes: keys, settings, empty databases. Without it something would be left half made, and not be made again.
    ///
    /// Call before anything is written.
    package func checkRoom() throws(Complaint) {
        var space = statvfs()
        guard statvfs(path, &space) == 0, UInt64(space.f_bavail) * UInt64(space.f_frsize) < UInt64(Home.roomMin) else { return }
        throw Complaint("the disk of \(path) is full; make room ('df \(path)' shows the disk), then start again, or choose another with --home")
    }

    private static let roomMin = 256 << 10

    /// Makes sure that nobody else runs on this folder. Held until the process ends, however it ends.
    package func lock(_ name: String) throws(Complaint) {
        let path = file(name)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Complaint("cannot make \(path): \(String(cString: strerror(errno)))") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw Complaint("\(path) is held: another one runs on this folder already; stop it first, or choose another with --home")
        }
    }
}

/// What all services of a suite must agree on: `suite.json`.
package struct SuiteSettings: Codable, Sendable {
    /// The lease, milliseconds. Default 3,000; at least 300.
    package var leaseMilliseconds: Int = 3_000
    /// Where each service listens: `tcp://host:port`.
    package var control = "tcp://127.0.0.1:7703"
    package var ingest = "tcp://127.0.0.1:7701"
    package var policy = "tcp://127.0.0.1:7702"
    package var notify = "tcp://127.0.0.1:7704"
    package var join = "tcp://127.0.0.1:7705"
    /// Where the newer of two keys of the joining process answers: tokens name it that are made while one is exchanged. Default: the port after `join`.
    package var joinNext = "tcp://127.0.0.1:7706"
    /// Where reports of leaks come in: `http://host:port`. Default: this machine alone, on the port after `joinNext`.
    package var hooks = "http://127.0.0.1:7707"

    package init() {}

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        leaseMilliseconds = try values.decode(Int.self, forKey: .leaseMilliseconds)
        control = try values.decode(String.self, forKey: .control)
        ingest = try values.decode(String.self, forKey: .ingest)
        policy = try values.decode(String.self, forKey: .policy)
        notify = try values.decode(String.self, forKey: .notify)
        // A suite that is older than joining: where it would have put it.
        join = try values.decodeIfPresent(String.self, forKey: .join) ?? SuiteSettings.beside(ingest, 4) ?? SuiteSettings().join
        joinNext = try values.decodeIfPresent(String.self, forKey: .joinNext) ?? SuiteSettings.beside(join, 1) ?? SuiteSettings().joinNext
        hooks = try values.decodeIfPresent(String.self, forKey: .hooks) ?? SuiteSettings.port(of: ingest, and: 6).map { "http://127.0.0.1:\($0)" } ?? SuiteSettings().hooks
    }

    /// So many ports further.
    private static func beside(_ endpoint: String, _ distance: UInt16) -> String? {
        guard let colon = endpoint.lastIndex(of: ":"), let port = port(of: endpoint, and: distance) else { return nil }
        return "\(endpoint[...colon])\(port)"
    }

    private static func port(of endpoint: String, and distance: UInt16) -> UInt16? {
        guard let colon = endpoint.lastIndex(of: ":"), let port = UInt16(endpoint[endpoint.index(after: colon)...]), port <= .max - distance else { return nil }
        return port + distance
    }

    /// All that services of this suite listen at.
    package var ports: Set<UInt16> { Set([control, ingest, policy, notify, join, joinNext, hooks].compactMap { SuiteSettings.port(of: $0, and: 0) }) }

    package init(portBase: Int) {
        control = "tcp://127.0.0.1:\(portBase + 3)"
        ingest = "tcp://127.0.0.1:\(portBase + 1)"
        policy = "tcp://127.0.0.1:\(portBase + 2)"
        notify = "tcp://127.0.0.1:\(portBase + 4)"
        join = "tcp://127.0.0.1:\(portBase + 5)"
        joinNext = "tcp://127.0.0.1:\(portBase + 6)"
        hooks = "http://127.0.0.1:\(portBase + 7)"
    }

    package init(from home: Home) throws(Complaint) {
        let path = home.file("suite.json")
        do {
            self = try JSONDecoder().decode(SuiteSettings.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw Complaint("cannot read \(path): \(TrustedNodes.reason(error)); 'sluice up' makes it")
        }
        guard leaseMilliseconds >= 300, leaseMilliseconds <= 600_000 else {
            throw Complaint("\(path): leaseMilliseconds is \(leaseMilliseconds): 300 to 600,000 is expected")
        }
    }

    package func write(to home: Home) throws(Complaint) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(self).write(to: URL(fileURLWithPath: home.file("suite.json")), options: .atomic)
        } catch {
            throw Complaint("cannot write \(home.file("suite.json")): \(TrustedNodes.reason(error))")
        }
    }
}
