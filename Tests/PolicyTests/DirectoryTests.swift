import Foundation
import Ledger
import Messaging
import Rules
import SwiftProtobuf
import Testing
import Vault
import Wire

@testable import sluice_policy

/// What one operator may change is on the record before it counts.
struct DirectoryTests {
    private func send(_ scene: WriterScene, _ people: [DirectoryEntry] = [], removed: [String] = []) throws {
        let before = scene.places { if case .directory = $0 { true } else { false } }.count
        scene.writer.take(.directory(DirectoryJob(id: Data(count: 16), route: Route(number: 1), author: "ops-1", people: people, removed: removed)))
        // It goes through everything that came.
        var seen = 0
        try scene.until { item in
            if case .directory = item { seen += 1 }
            return seen > before
        }
    }

    private func moves(_ scene: WriterScene) throws -> [WireDirectoryMoved] {
        let store = LedgerStore(in: scene.vault.inner.database)
        return try store.entries(0..<store.size()).compactMap { recorded in
            let body = try #require(recorded.entry?.body)
            // Nobody reads in the ledger where somebody is.
            #expect(Data(body).range(of: Data("search".utf8)) == nil && Data(body).range(of: Data("Ann".utf8)) == nil)
            if case .moved(let moved) = try WireReadEntry(serializedBytes: body).what { return moved }
            return nil
        }
    }

    @Test func `where the directory says that somebody is, is on the record by a salted hash before it counts, and what does not change is not`() throws {
        let scene = try WriterScene()
        scene.writer.start()
        let people = (0..<150).map { DirectoryEntry(subject: "E\($0)", name: "Ann", team: "search", site: "berlin") }
        try send(scene, people)
        let first = try moves(scene)
        #expect(first.map(\.places.count) == [100, 50] && first.allSatisfy { $0.author == "ops-1" })
        #expect(Set(first.flatMap { $0.places.map(\.place) }).count == 150, "of those in one place as well no two are the same")
        // Other words of the same person are nobody's affair.
        try send(scene, people.map { DirectoryEntry(subject: $0.subject, name: "Bea", team: $0.team, site: $0.site) })
        #expect(try moves(scene).count == 2)
        try send(scene, [DirectoryEntry(subject: "E7", name: "Ann", team: "works-council", site: "berlin")])
        try send(scene, removed: ["E8", "nobody"])
        let all = try moves(scene)
        try #require(all.dropFirst(2).map { $0.places.map(\.subject) } == [["E7"], ["E8"]])
        #expect(all[3].places[0].place.isEmpty)
        // With the entry, which can be erased, the hashes say where.
        let entry = try #require(try scene.vault.person("E7"))
        let places = try #require(entry.places)
        try #require(places.map(\.team) == ["search", "works-council"] && places[0].at <= places[1].at)
        #expect(places.map { $0.recorded(of: "E7") } == [first[0].places[7], all[2].places[0]])
        var another = places[1]
        another.team = "search"
        #expect(another.recorded(of: "E7") != all[2].places[0], "the control")
    }

    @Test func `whoever is refused after some of it was stored has moved those`() throws {
        let scene = try WriterScene()
        scene.vault.watch { if $0 == "put 50" { throw StoreError.damaged(path: "vault.sqlite", "a page") } }
        scene.writer.start()
        scene.writer.take(.directory(DirectoryJob(id: Data(count: 16), route: Route(number: 1), author: "ops-1", people: (0..<150).map { DirectoryEntry(subject: "E\($0)", team: "search", site: "berlin") }, removed: [])))
        let refused = try scene.until { if case .directoryRefused = $0 { true } else { false } }
        guard case .directoryRefused(let job, _, _) = refused else { return }
        #expect(job.moved.map(\.subject) == (0..<100).map { "E\($0)" } && job.moved.allSatisfy { $0.person?.team == "search" })
        #expect(try scene.vault.peopleCount() == 100, "they are in the vault")
    }
}
