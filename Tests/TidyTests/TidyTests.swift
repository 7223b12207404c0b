import Foundation
import Testing

/// Holds the source to STYLE.md.
struct TidyTests {
    let tree: SourceTree
    let everything: SourceTree

    init() throws {
        tree = try SourceTree(["Shared", "Services"])
        everything = try SourceTree(["Shared", "Services", "Tests"])
    }

    @Test func `the tree that is looked at is the project's`() {
        #expect(tree.files.count > 60)
        #expect(tree.files.contains { $0.path == "Shared/Messaging/Socket.swift" })
        #expect(tree.files.contains { $0.path == "Services/Control/Authority.swift" })
    }

    @Test(arguments: ["try!", "fatalError(", "as!"])
    func `nothing outside tests gives up by crashing`(_ banned: String) {
        #expect(tree.places { line in
            guard let range = line.range(of: banned) else { return false }
            // `as!` is a word; `has!=` is none.
            return range.lowerBound == line.startIndex || !line[line.index(before: range.lowerBound)].isLetter
        } == [])
    }

    @Test func `what the compiler is told to believe says why it is true`() {
        var unexplained: [String] = []
        for file in tree.files {
            for (number, line) in file.code.enumerated() where line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") {
                let isOnLine = file.lines[number].contains("//")
                // The comment directly above, with attributes and other declarations of the same group between.
                let above = file.lines[max(0, number - 1)..<number].contains { $0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }
                if !isOnLine, !above { unexplained.append("\(file.path):\(number + 1)") }
            }
        }
        #expect(unexplained == [])
    }

    @Test func `nothing is left to do`() {
        var left: [String] = []
        for file in everything.files where !file.path.hasPrefix("Tests/TidyTests/") {
            for (number, line) in file.lines.enumerated() where line.contains("TODO") || line.contains("FIXME") {
                left.append("\(file.path):\(number + 1)")
            }
        }
        #expect(left == [])
    }

    /// One word per idea; each with the word that is ours.
    static let banned = [
        "Manager": "the noun for what it does", "Helper": "an extension of the type served", "Utils": "an extension of the type served",
        "Common": "a folder with one reason to exist", "freeze": "pause", "Freeze": "Pause", "unlock": "resume", "Unlock": "Resume",
        "ticket": "release", "Ticket": "Release", "unfreeze": "resume",
    ]

    @Test(arguments: banned.sorted { $0.key < $1.key }.map { [$0.key, $0.value] })
    func `an idea has one word`(_ words: [String]) {
        let (banned, ours) = (words[0], words[1])
        let found = tree.places { line in
            // What others named stays: FileManager, withUnlock.
            line.replacingOccurrences(of: "FileManager", with: "").replacingOccurrences(of: "Commons", with: "").contains(banned)
                && !line.contains("CommonCrypto")
        }
        #expect(found == [], "write '\(ours)'")
    }

    // MARK: Which way the arrows run

    private func imports(_ folder: String) -> Set<String> { Set(tree.files(in: folder).flatMap(\.imports)) }

    @Test func `nothing shared imports a service, and no service another`() {
        let services = ["sluice", "sluice_agent", "sluice_control", "sluice_ingest", "sluice_policy", "sluice_notify", "sluice_console"]
        #expect(imports("Shared").intersection(services) == [])
        #expect(imports("Services").intersection(services) == [])
    }

    @Test func `the ground floor knows no socket, clock, disk or protobuf`() {
        #expect(imports("Shared/Gate") == [])
        #expect(imports("Shared/Rules").subtracting(["Gate"]) == [])
        #expect(imports("Shared/Exposure").subtracting(["Gate", "Rules"]) == [])
    }

    @Test func `YAML is parsed in one place, and never on a workstation`() {
        #expect(tree.files.filter { $0.imports.contains("Yams") }.map(\.path).filter { !$0.hasPrefix("Shared/YAML/") } == [])
        #expect(imports("Services/Agent").isDisjoint(with: ["YAML", "Yams"]))
    }

    @Test func `libzmq is called by Messaging alone`() {
        // Chassis needs the shim's prctl; the bench compares with bare libzmq.
        let callers = tree.files.filter { $0.imports.contains("CZMQ") }.map(\.path)
        #expect(callers.filter { !$0.hasPrefix("Shared/Messaging/") && !$0.hasPrefix("Shared/Chassis/") && !$0.hasPrefix("Services/CLI/Bench/") } == [])
    }

    // MARK: The looking itself

    @Test func `a word in a comment or a text is not code`() {
        let file = SourceTree.File(path: "x", lines: [#"let a = "try! // b" // try!"#, #"let b = """"#, "try!", #"    """"#, "c"])
        #expect(file.code == ["let a =  ", "", "", "", "c"])
    }

    @Test func `an import is found whatever its access is`() {
        let file = SourceTree.File(path: "x", lines: ["package import Wire", "import Glibc.stat", "@testable import sluice_control", "let important = 1"])
        #expect(file.imports == ["Wire", "Glibc", "sluice_control"])
    }
}
