import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

/// A vault in a folder of its own, gone when the test is.
final class Scene {
    let folder = NSTemporaryDirectory() + "vault-" + UUID().uuidString
    var path: String { folder + "/vault.sqlite" }

    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func vault(_ byte: UInt8 = 7) throws -> SQLiteVault { try SQLiteVault(path: path, masters: [try master(byte)], now: { november }) }

    var keys: String { folder + "/keys.sqlite" }

    /// As somebody does who gets at the file.
    func edit(_ sql: String, _ arguments: StatementArguments = StatementArguments(), in file: String? = nil) throws {
        let queue = try DatabaseQueue(path: file ?? path)
        try queue.write { db in try db.execute(sql: sql, arguments: arguments) }
        try queue.close()
    }

    func ask(_ sql: String, in file: String? = nil) throws -> [Row] {
        let queue = try DatabaseQueue(path: file ?? path)
        defer { try? queue.close() }
        return try queue.read { db in try Row.fetchAll(db, sql: sql) }
    }

    /// A database put back as it was found by `bytes()`, with its log, and without that of today.
    func restore(_ name: String, _ files: [String: Data]) throws {
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasPrefix(name) {
            try FileManager.default.removeItem(atPath: folder + "/" + file)
        }
        for (file, data) in files where file.hasPrefix(name) && !file.hasSuffix("-shm") { try data.write(to: URL(fileURLWithPath: folder + "/" + file)) }
    }

    /// Everything that lies in the folder.
    func bytes() throws -> [String: Data] {
        var found: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            found[name] = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))
        }
        return found
    }
}

func master(_ byte: UInt8) throws -> MasterKey { try #require(MasterKey(secret: Array(repeating: byte, count: 32))) }

let november = WallTime(nanoseconds: 1_795_420_800_000_000_000)
let month = Span.seconds(31 * 86_400)

func segment(_ sequence: UInt64, of subject: String = "E1", at first: WallTime = november, blob: String = "the blob of a batch") -> Segment {
    Segment(
        scope: Scope(subject: subject, site: "berlin", team: "search"), dataClass: DataClass("activity"), agent: 3, stream: 0x8877_6655_4433_2211,
        sequence: sequence, first: first, last: first + .seconds(2), count: 4, epoch: 7, columnsBytes: 81, hash: Data(repeating: 9, count: 16),
        blob: Data(blob.utf8))
}

extension SQLiteVault {
    func store(_ segments: [Segment], commits: Bool = true) throws {
        try transaction { transaction in
            for segment in segments { try transaction.insert(segment) }
            return commits
        }
    }

    /// Everything, of whatever class.
    func all(_ classes: [String] = ["activity"]) throws -> [Result<Segment, SegmentUnreadable>] {
        let selection = Selection(
            classes: classes.map { DataClass($0) }, subjects: [], teams: [], from: WallTime(nanoseconds: .min), until: WallTime(nanoseconds: .max))
        return try segments(selection, after: SegmentCursor(), limit: 100).segments
    }
}

func refusal(_ result: Result<Segment, SegmentUnreadable>) -> SegmentUnreadable? {
    guard case .failure(let why) = result else { return nil }
    return why
}
