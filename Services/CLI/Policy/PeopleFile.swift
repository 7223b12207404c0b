import Chassis
import Foundation
import Rules

/// The directory as a file: CSV whose first line names `id`, `site` and `team` among its columns, or a JSON list of such objects.
///
/// `name`, `mail` and `locale` are taken where they are there, for whom notices go to.
enum PeopleFile {
    struct Entry {
        let person: Person
        var name = ""
        var mail = ""
        var locale = ""
    }

    static func read(_ path: String) throws -> [Person] { try entries(path).map(\.person) }

    static func entries(_ path: String) throws -> [Entry] {
        guard let data = FileManager.default.contents(atPath: path) else { throw Complaint("cannot read \(path)") }
        return path.hasSuffix(".json") ? try json(data, path) : try csv(data, path)
    }

    private static func json(_ data: Data, _ path: String) throws -> [Entry] {
        struct Row: Decodable {
            var id: String
            var site: String
            var team: String
            var name: String?
            var mail: String?
            var locale: String?
        }
        do {
            return try JSONDecoder().decode([Row].self, from: data).enumerated().map { number, row in
                try named(Entry(person: Person(row.id, site: row.site, team: row.team), name: row.name ?? "", mail: row.mail ?? "", locale: row.locale ?? ""), "entry \(number + 1)", path)
            }
        } catch let complaint as Complaint { throw complaint } catch {
            throw Complaint("\(path) is no list of objects with id, site and team")
        }
    }

    /// RFC 4180: a quoted field may hold commas, quotes that are doubled, and ends of lines.
    private static func csv(_ data: Data, _ path: String) throws -> [Entry] {
        var rows: [[String]] = []
        var row: [String] = []
        var field: [UInt8] = []
        var isQuoted = false
        var bytes = data.makeIterator()
        var pending: UInt8?
        func next() -> UInt8? {
            defer { pending = nil }
            return pending ?? bytes.next()
        }
        func endField() { row.append(String(decoding: field, as: UTF8.self)); field = [] }
        func endRow() {
            endField()
            if row != [""] { rows.append(row) }
            row = []
        }
        while let byte = next() {
            switch byte {
            case UInt8(ascii: "\"") where isQuoted:
                pending = bytes.next()
                if pending == UInt8(ascii: "\"") { field.append(byte); pending = nil } else { isQuoted = false }
            case UInt8(ascii: "\"") where field.isEmpty: isQuoted = true
            case UInt8(ascii: ",") where !isQuoted: endField()
            case UInt8(ascii: "\n") where !isQuoted: endRow()
            case UInt8(ascii: "\r") where !isQuoted: break
            default: field.append(byte)
            }
        }
        if !field.isEmpty || !row.isEmpty { endRow() }
        guard let head = rows.first, let id = head.firstIndex(of: "id") ?? head.firstIndex(of: "subject"), let site = head.firstIndex(of: "site"),
            let team = head.firstIndex(of: "team")
        else { throw Complaint("\(path):1:1: the first line names columns, and id, site and team are not all among them") }
        return try rows.enumerated().dropFirst().map { number, row in
            guard row.count == head.count else { throw Complaint("\(path): row \(number + 1) has \(row.count) fields, and the first \(head.count)") }
            func value(_ name: String) -> String { head.firstIndex(of: name).map { row[$0] } ?? "" }
            return try named(Entry(person: Person(row[id], site: row[site], team: row[team]), name: value("name"), mail: value("mail"), locale: value("locale")), "row \(number + 1)", path)
        }
    }

    /// Somebody without an id would be counted, and is nobody.
    private static func named(_ entry: Entry, _ place: String, _ path: String) throws -> Entry {
        guard !entry.person.id.isEmpty else { throw Complaint("\(path): \(place) names nobody: give it an id, or take it out") }
        return entry
    }
}
