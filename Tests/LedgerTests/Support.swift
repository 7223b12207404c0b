import Crypto
import Foundation
import GRDB
import Ledger
import Testing

/// RFC 6962 as its section 2.1 defines it, recursively and over all leaves: what the module is compared with. For one array of leaves.
final class Naive {
    /// Each range is hashed once; without that the definition takes 20 s for 130 leaves.
    private var roots: [Range<Int>: [UInt8]] = [:]

    func root(_ leaves: ArraySlice<[UInt8]>) -> [UInt8] {
        if let root = roots[leaves.indices] { return root }
        let root = define(leaves)
        roots[leaves.indices] = root
        return root
    }

    private func define(_ leaves: ArraySlice<[UInt8]>) -> [UInt8] {
        if leaves.isEmpty { return sha256([]) }
        if leaves.count == 1 { return sha256([0] + leaves[leaves.startIndex]) }
        let middle = leaves.startIndex + split(leaves.count)
        return sha256([1] + root(leaves[..<middle]) + root(leaves[middle...]))
    }

    func path(_ m: Int, _ leaves: ArraySlice<[UInt8]>) -> [[UInt8]] {
        if leaves.count == 1 { return [] }
        let k = split(leaves.count)
        let middle = leaves.startIndex + k
        return m < k ? path(m, leaves[..<middle]) + [root(leaves[middle...])] : path(m - k, leaves[middle...]) + [root(leaves[..<middle])]
    }

    func proof(_ m: Int, _ leaves: ArraySlice<[UInt8]>, whole: Bool = true) -> [[UInt8]] {
        if m == leaves.count { return whole ? [] : [root(leaves)] }
        let k = split(leaves.count)
        let middle = leaves.startIndex + k
        return m <= k
            ? proof(m, leaves[..<middle], whole: whole) + [root(leaves[middle...])]
            : proof(m - k, leaves[middle...], whole: false) + [root(leaves[..<middle])]
    }

    private func split(_ count: Int) -> Int {
        var k = 1
        while k * 2 < count { k *= 2 }
        return k
    }

    private func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
}

/// Subtrees in memory; asked for one that is not complete, it fails.
struct Memory {
    struct Absent: Error { let subtree: Subtree }

    var hashes: [Subtree: TreeHash] = [:]
    var frontier = MerkleFrontier()

    mutating func append(_ leaf: [UInt8]) {
        for (subtree, hash) in frontier.append(TreeHash(leaf: leaf)) {
            #expect(hashes.updateValue(hash, forKey: subtree) == nil, "a stored hash never changes")
        }
    }

    func hash(_ subtree: Subtree) throws(Absent) -> TreeHash {
        guard let hash = hashes[subtree] else { throw Absent(subtree: subtree) }
        return hash
    }
}

func leaves(_ count: Int) -> [[UInt8]] { (0..<count).map { Array("leaf \($0)".utf8) } }

func memory(_ count: Int) -> Memory {
    var memory = Memory()
    for leaf in leaves(count) { memory.append(leaf) }
    return memory
}

func name(_ text: String) throws -> KeyName { try #require(KeyName(text)) }

func key(_ byte: UInt8) throws -> Curve25519.Signing.PrivateKey { try Curve25519.Signing.PrivateKey(rawRepresentation: [UInt8](repeating: byte, count: 32)) }

func signer(_ text: String, _ byte: UInt8, _ algorithm: NoteAlgorithm = .note) throws -> NoteSigner {
    try NoteSigner(name: name(text), algorithm: algorithm, key: key(byte))
}

func entry(_ number: Int) throws -> LedgerEntry {
    try #require(LedgerEntry(salt: Array(SHA256.hash(data: Array("salt \(number)".utf8))), body: Array("body \(number)".utf8)))
}

/// A ledger in a folder of its own, that goes with the test.
final class Scene {
    let folder: URL
    let store: LedgerStore
    let origin: KeyName

    init(_ count: Int = 0) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "ledger-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        store = try LedgerStore(path: folder.appending(path: "ledger.sqlite").path)
        origin = try name("sluice.example/governance")
        if count > 0 { _ = try store.append((0..<count).map(entry)) }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var path: String { folder.appending(path: "ledger.sqlite").path }

    /// As somebody with the file in their hands would.
    func tamper(_ sql: String) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.write { try $0.execute(sql: sql) }
        try queue.close()
    }

    func checkpoint(at size: UInt64) throws -> Checkpoint { Checkpoint(origin: origin, size: size, root: try store.root(at: size)) }
}
