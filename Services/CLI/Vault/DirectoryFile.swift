import Chassis
import Foundation
import Wire

/// A file of people: CSV with a line of names on top, or JSON, an array of objects. The names are subject, name, mail, team, site, locale.
enum DirectoryFile {
    private static var keys: [String: WritableKeyPath<WirePerson, String>] {
        ["subject": \.subject, "name": \.name, "mail": \.mail, "team": \.team, "site": \.site, "locale": \.locale]
    }

    static func read(_ path: String) throws -> [WirePerson] {
        let data: Data
        do { data = path == "-" ? FileHandle.standardInput.readDataToEndOfFile() : try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            throw Complaint("cannot read \(path): \(error.localizedDescription)")
        }
        let people = try parse(data, named: path)
        var seen: Set<String> = []
        for person in people {
            guard !person.subject.isEmpty else { throw Complaint("\(path): somebody has no subject") }
            guard seen.insert(person.subject).inserted else { throw Complaint("\(path): \(person.subject) is there twice") }
            for key in keys.values where person[keyPath: key].utf8.count > Limits.nameBytesMax {
                throw Complaint("\(path): a value of \(person.subject) is longer than \(Limits.nameBytesMax) bytes")
            }
        }
        return people
    }

    static func parse(_ data: Data, named path: String) throws -> [WirePerson] {
        guard let text = String(validating: data.starts(with: [0xEF, 0xBB, 0xBF]) ? data.dropFirst(3) : data[...], as: UTF8.self) else {
            throw Complaint("\(path) is not UTF-8")
        }
        if text.drop(while: \.isWhitespace).first == "[" { return try json(Data(text.utf8), path) }
        let rows = try records(text, path)
        guard let names = rows.first?.values else { throw Complaint("\(path) is empty") }
        let keys = keys
        let columns = try names.map { name in
            guard let key = keys[name.trimmingCharacters(in: .whitespaces).lowercased()] else {
                throw Complaint("\(path):1: there is no '\(name)'; there are \(keys.keys.sorted().joined(separator: ", "))")
            }
            return key
        }
        guard Set(columns).count == columns.count else { throw Complaint("\(path):1: a column is there twice") }
        guard columns.contains(\.subject) else { throw Complaint("\(path):1: the column 'subject' is missing") }
        return try rows.dropFirst().map { row in
            guard row.values.count == columns.count else { throw Complaint("\(path):\(row.line): \(row.values.count) values; there are \(columns.count) columns") }
            var person = WirePerson()
            for (column, value) in zip(columns, row.values) { person[keyPath: column] = value.trimmingCharacters(in: .whitespaces) }
            return person
        }
    }

    private static func json(_ data: Data, _ path: String) throws -> [WirePerson] {
        guard let objects = try? JSONSerialization.jsonObject(with: data) as? [[String: Any]] else { throw Complaint("\(path) is no JSON array of objects") }
        return try objects.enumerated().map { number, object in
            var person = WirePerson()
            for (name, value) in object {
                guard let key = keys[name] else { throw Complaint("\(path), person \(number + 1): there is no '\(name)'; there are \(keys.keys.sorted().joined(separator: ", "))") }
                guard let value = value as? String else { throw Complaint("\(path), person \(number + 1): '\(name)' is no text") }
                person[keyPath: key] = value
            }
            return person
        }
    }

    /// RFC 4180: values in quotes may hold commas, line ends and doubled quotes. Empty lines are left out.
    private static func records(_ text: String, _ path: String) throws -> [(line: Int, values: [String])] {
        var records: [(line: Int, values: [String])] = []
        var (values, value) = ([String](), String.UnicodeScalarView())
        var (line, begun) = (1, 1)
        var (isQuoted, wasQuoted) = (false, false)
        func isBlank() -> Bool { values.isEmpty && value.isEmpty && !wasQuoted }
        func endValue() {
            values.append(String(value))
            value = String.UnicodeScalarView()
            wasQuoted = false
        }
        let scalars = Array(text.unicodeScalars)
        var place = 0
        while place < scalars.count {
            let scalar = scalars[place]
            place += 1
            if scalar == "\n" { line += 1 }
            if isQuoted {
                if scalar != "\"" { value.append(scalar) } else if place < scalars.count, scalars[place] == "\"" {
                    value.append(scalar)
                    place += 1
                } else { isQuoted = false }
                continue
            }
            switch scalar {
            case "\"":
                guard value.isEmpty, !wasQuoted else { throw Complaint("\(path):\(line): a quote in the middle of a value") }
                (isQuoted, wasQuoted) = (true, true)
            case ",": endValue()
            case "\r" where place < scalars.count && scalars[place] == "\n": break
            case "\n":
                if !isBlank() {
                    endValue()
                    records.append((begun, values))
                    values = []
                }
                begun = line
            default:
                guard !wasQuoted else { throw Complaint("\(path):\(line): something follows a quoted value") }
                value.append(scalar)
            }
        }
        guard !isQuoted else { throw Complaint("\(path):\(begun): a quote is not closed") }
        if !isBlank() {
            endValue()
            records.append((begun, values))
        }
        return records
    }
}
