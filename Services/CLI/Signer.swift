import Chassis
import Foundation
import Gate
import Identity
import Messaging
import SwiftProtobuf
import Wire

/// Signs an operator's commands with the key in the home's `keys`.
struct Signer {
    private let key: OperatorKey
    let name: String
    /// Of control's ledger: what is signed for this suite counts in no other.
    let origin: String

    /// - Parameter passphraseFile: where the passphrase is read from; nil: asked for on the terminal, if the key needs one. It is never an argument.
    init(_ name: String, home: Home, passphraseFile: String?) throws {
        let path = home.signingKey(name)
        let trusted = try TrustedNodes(contentsOf: home.file("registry.json"))
        origin = String(trusted.anchors.control.prefix { $0 != "+" })
        self.name = name
        key = try Signer.load(path, passphraseFile: passphraseFile)
    }

    static func load(_ path: String, passphraseFile: String?) throws -> OperatorKey {
        do {
            return try OperatorKey(contentsOf: path, passphrase: nil)
        } catch OperatorKeyError.content(_, .passphraseNeeded) {
            do {
                return try OperatorKey(contentsOf: path, passphrase: try PassphraseSource.read(passphraseFile, prompt: "Passphrase of \(path): "))
            } catch let error as OperatorKeyError { throw Complaint("\(error)") }
        } catch {
            throw Complaint("\(error)")
        }
    }

    /// Of the key that it signs with.
    var keyID: Data { Data(key.publicKey.id.bytes) }

    /// How long a command counts: time for its way, and for a clock that is a little off.
    private static let validMilliseconds: UInt64 = 5 * 60 * 1_000

    /// - Parameter index: the newest entry that the author saw. 0 will do for what narrows: it counts at any.
    func sign(_ command: WireCommand, at index: UInt64) throws -> Signed {
        try sign(.command, [UInt8](command.serializedData()), at: index)
    }

    func sign(_ approved: ApprovedProposal, at index: UInt64) throws -> Signed { try sign(.approval, approved.bytes, at: index) }

    private func sign(_ purpose: Statement.Purpose, _ body: [UInt8], at index: UInt64) throws -> Signed {
        let now = UInt64(max(0, Clock.wall().microseconds / 1_000))
        do {
            let statement = try Statement(purpose, origin: origin, index: index, from: now, until: now + Signer.validMilliseconds, author: name, body: body)
            let signed = try SignedCommand(statement, by: key)
            var wire = WireSignedCommand()
            wire.statement = Data(signed.bytes)
            wire.signature = Data(signed.signature)
            wire.key = Data(signed.key.bytes)
            return Signed(wire: wire, id: Data(statement.nonce))
        } catch let error as OperatorKeyError {
            throw Complaint("\(error)")
        } catch {
            throw Complaint("this cannot be signed: it is longer than \(Statement.bytesMax) bytes, or '\(name)' is no name")
        }
    }
}

/// A command that is ready to be sent, and the id that its outcome will have.
struct Signed {
    let wire: WireSignedCommand
    let id: Data
}

/// Where passphrases come from: a file, standard input, or a person; never an argument, which anybody on the machine may read.
enum PassphraseSource {
    /// - Parameter file: `-` is standard input. Its first line counts.
    static func read(_ file: String?, prompt: String) throws -> Passphrase {
        var typed: [UInt8]
        switch file {
        case "-": typed = firstLine(of: FileHandle.standardInput.readData(ofLength: 4_096))
        case let file?:
            do { typed = try SecretFile.read(file).withCopy { firstLine(of: Data($0)) } } catch { throw Complaint("\(error)") }
        case nil: typed = try ask(prompt)
        }
        let passphrase = Passphrase(wiping: &typed)
        guard !passphrase.isEmpty else { throw Complaint("a passphrase is not empty") }
        return passphrase
    }

    private static func firstLine(of data: Data) -> [UInt8] { Array(data.prefix { $0 != 0x0a && $0 != 0x0d }) }

    private static func ask(_ prompt: String) throws -> [UInt8] {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { throw Complaint("the key has a passphrase and there is no terminal to ask for it: name a file with --passphrase-file") }
        defer { close(terminal) }
        var old = termios()
        tcgetattr(terminal, &old)
        var quiet = old
        quiet.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(terminal, TCSAFLUSH, &quiet)
        defer { tcsetattr(terminal, TCSAFLUSH, &old) }
        let text = Array(prompt.utf8)
        _ = write(terminal, text, text.count)
        var typed: [UInt8] = []
        var byte: UInt8 = 0
        while typed.count < 4_096, Foundation.read(terminal, &byte, 1) == 1, byte != 0x0a { typed.append(byte) }
        _ = write(terminal, "\n", 1)
        return typed
    }
}
