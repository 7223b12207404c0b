import Chassis
import Detection
import Foundation
import Rules
import Wire
import YAML

/// A policy's files, as a person names them.
enum PolicyFiles {
    /// The types of content that a policy may name.
    static func detections() throws -> Set<String> {
        do { return Set(try RuleBook(parsing: RuleBook.ownText).types.map(\.word)) } catch { throw Complaint("the rules of detection cannot be read: \(error)") }
    }

    /// Reads no more than may be in it: of a file that is too large, a byte past the limit.
    static func bytes(_ path: String) throws -> [UInt8] {
        let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path)
        guard let handle else { throw Complaint("cannot read \(path)") }
        var bytes: [UInt8] = []
        // A pipe gives what it has; a folder gives an error.
        while bytes.count <= Tree.bytesMax {
            let more: Data?
            do { more = try handle.read(upToCount: Tree.bytesMax + 1 - bytes.count) } catch { throw Complaint("cannot read \(path): it is no file") }
            guard let more, !more.isEmpty else { break }
            bytes += more
        }
        if bytes.count > Tree.bytesMax { throw Complaint("\(path):1:1: more than \(Tree.bytesMax) bytes: no policy is so long") }
        return bytes
    }

    /// YAML, or JSON where the name says so.
    private static func tree(_ path: String, _ bytes: [UInt8]) throws(Mistakes) -> (tree: Tree, mistakes: [Mistake]) {
        path.hasSuffix(".json") ? (try Tree(json: bytes), []) : try YAMLText.read(bytes)
    }

    /// - Throws: `PolicyMistakes`, all that there are; of a document that has none, why control would not take it all the same.
    static func document(_ path: String) throws -> PolicyDocument {
        let (bytes, detections) = (try bytes(path), try detections())
        return try told(path) { () throws(Mistakes) in
            let (tree, mistakes) = try tree(path, bytes)
            let document = try PolicyReader(detections: detections).read(tree, besides: mistakes)
            _ = try document.applied(bytesMax: Limits.policyBytesMax)
            return document
        }
    }

    /// What a ledger holds.
    static func document(canonical bytes: [UInt8]) throws -> PolicyDocument {
        do { return try PolicyReader().read(canonical: bytes) } catch { throw Complaint("this is no policy document in its canonical form: \(error.all.first.map { "\($0.fault)" } ?? "")") }
    }

    static func cases(_ path: String) throws -> PolicyCases {
        let (bytes, detections) = (try bytes(path), try detections())
        return try told(path) { () throws(Mistakes) in
            let (tree, mistakes) = try tree(path, bytes)
            return try PolicyCases(tree, besides: mistakes, detections: detections)
        }
    }

    /// Mistakes with the file's name.
    static func told<Value>(_ path: String, _ deed: () throws(Mistakes) -> Value) throws -> Value {
        do { return try deed() } catch { throw PolicyMistakes(path: path, mistakes: error.all) }
    }
}

/// A file that cannot stand. Each of its mistakes is a line of its own.
struct PolicyMistakes: Error {
    let path: String
    let mistakes: [Mistake]

    var lines: [String] { mistakes.map { $0.line(in: path) } }

    var json: [[String: Any]] { mistakes.map { ["file": path, "line": $0.place.line, "column": $0.place.column, "problem": "\($0.fault)"] } }
}
