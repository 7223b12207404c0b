import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

struct DirectoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "directory", abstract: "Whom subjects' ids stand for: name, mail, team, site, locale. Kept encrypted, by policy alone.",
        discussion: """
            EXAMPLE
              sluice directory import people.csv        # subject,name,mail,team,site,locale
              sluice directory remove E1042             # the entry alone; 'forget' takes it along

            Nobody reads it but policy: an export shows one person's entry to that person.
            """,
        subcommands: [Import.self, Remove.self])

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take entries from a CSV or JSON file. Each replaces the one of the same subject.",
            discussion: "EXAMPLE\n  sluice directory import people.csv\n\nThe whole file is checked before anything is sent.")
        @OptionGroup var connection: Connection
        @Argument(help: "The file; '-': standard input.") var file: String

        func run() throws {
            let people = try DirectoryFile.read(file)
            guard !people.isEmpty else { throw Complaint("\(file) names nobody") }
            let client = try connection.client("policy")
            var sum = WireDirectoryStored()
            for start in stride(from: 0, to: people.count, by: Limits.peoplePerMessageMax) {
                var body = WireDirectory()
                body.people = Array(people[start..<min(people.count, start + Limits.peoplePerMessageMax)])
                let stored = try DirectoryCommand.send(body, client)
                sum.stored += stored.stored
                sum.erased += stored.erased
            }
            if connection.json { return print("{\"stored\":\(sum.stored),\"erased\":\(sum.erased)}") }
            print("\(sum.stored) people in the directory\(sum.erased > 0 ? "   \(sum.erased) left out: they are erased" : "")")
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove the entries of these subjects. What was captured of them stays.", discussion: "EXAMPLE\n  sluice directory remove E1042")
        @OptionGroup var connection: Connection
        @Argument var subject: [String]

        func run() throws {
            var body = WireDirectory()
            body.removed = subject
            let stored = try DirectoryCommand.send(body, connection.client("policy"))
            print(connection.json ? "{\"removed\":\(stored.removed)}" : "removed \(stored.removed)")
        }
    }

    private static func send(_ body: WireDirectory, _ client: Client) throws -> WireDirectoryStored {
        var body = body
        body.id = Nonce.random().bytes
        return try client.ask(.directory, body, silence: .seconds(10)) { message in
            guard message.kind == .directoryStored else { return nil }
            let stored = try message.body(WireDirectoryStored.self)
            return stored.id == body.id ? stored : nil
        }
    }
}
