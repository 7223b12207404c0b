import Foundation
import Gate
import Rules
import YAML

@testable import sluice_hooks

/// A folder of its own, gone when the test is.
final class Folder: Sendable {
    let path = NSTemporaryDirectory() + "hooks-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(_ name: String) -> String { path + "/" + name }

    func write(_ text: String, to name: String, mode: Int = 0o600) throws -> String {
        _ = FileManager.default.createFile(atPath: self[name], contents: Data(text.utf8), attributes: [.posixPermissions: mode])
        return self[name]
    }
}

func rules(_ text: String) throws(Mistakes) -> HookRules { try HookRules(reading: try YAMLText.tree(text.utf8)) }

func rule(_ name: String = "reviews", match: [String: Set<Glob>] = [:], direction: Direction = .both, classes: Set<String> = ["review"]) -> HookRules.Rule {
    .init(name: name, match: match, direction: direction, selector: Selector(classes: Set(classes.map { DataClass($0) })), reason: "reviews are visible")
}

func alert(_ name: String, started: String = "2026-11-26T10:00:00Z", status: String = "firing", more: String = "") -> String {
    #"{"status":"\#(status)","labels":{"alertname":"\#(name)","severity":"critical"\#(more)},"annotations":{},"startsAt":"\#(started)","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"00"}"#
}

func group(_ alerts: String..., key: String = "{}:{}", version: String = "4") -> Data {
    Data(#"{"version":"\#(version)","groupKey":"\#(key)","truncatedAlerts":0,"status":"firing","receiver":"sluice","groupLabels":{},"alerts":[\#(alerts.joined(separator: ","))]}"#.utf8)
}

func wall(_ seconds: Int64) -> WallTime { WallTime(microseconds: 1_800_000_000_000_000 + seconds * 1_000_000) }
