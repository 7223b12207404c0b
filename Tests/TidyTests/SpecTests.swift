import Foundation
import Testing

/// Holds the contract to what services say: a name that they count under stands in it.
struct SpecTests {
    private let text: String
    /// Up to what is filled in when the program runs.
    private let names: [String]

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        text = try String(contentsOf: root.appendingPathComponent("Shared/Wire/SPEC.md"), encoding: .utf8)
        names = try SourceTree(["Services", "Shared/Chassis"]).files.filter { !$0.path.hasPrefix("Services/CLI/") }.flatMap(\.lines).flatMap { line in
            ["counters[\"", "gauges[\""].flatMap { opening in
                line.components(separatedBy: opening).dropFirst().map { rest in String(rest.components(separatedBy: "\"")[0].components(separatedBy: "\\(")[0]) }
            }
        }
    }

    private func isNamed(_ name: String) -> Bool { text.contains(name.hasSuffix(".") ? "`\(name)" : "`\(name)`") }

    @Test func `every counter and gauge of a service's report stands in the contract`() {
        #expect(names.count > 60 && names.contains("handshakes.refused") && names.contains("unsealable."))
        #expect(names.filter { !isNamed($0) } == [])
    }

    /// The control.
    @Test func `a name that does not stand there is found`() {
        for name in ["handshakes", "batches.found", "unsealed."] { #expect(!isNamed(name)) }
    }

    @Test func `every deed of an entry has its row in the fold`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let proto = try String(contentsOf: root.appendingPathComponent("Shared/Wire/governance.proto"), encoding: .utf8)
        let deeds = try #require(proto.components(separatedBy: "message Entry {")[1].components(separatedBy: "oneof deed {")[1].components(separatedBy: "}").first)
            .split(separator: ";").compactMap { $0.split(separator: "=").first?.split(separator: " ").last.map(String.init) }.filter { $0 != "\n" }
        #expect(deeds.count >= 18)
        #expect(deeds.filter { !text.contains("| `\($0)` |") } == [])
    }
}
