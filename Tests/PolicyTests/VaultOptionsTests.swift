import Gate
import Rules
import Testing
import Vault

@testable import sluice_policy

struct VaultOptionsTests {
    @Test func `what stays at most is said of the classes of the document, and a name that it does not have is told`() throws {
        let retention = try VaultOptions.retention(["telemetry=5", "activity=7"])
        let expected: [DataClass: Span] = [DataClass("telemetry"): .seconds(5 * 86_400), .activity: .seconds(7 * 86_400)]
        #expect(retention.spans == expected)
        let document = PolicyDocument(classes: [.init("telemetry", retention: .seconds(90 * 86_400), audienceMax: nil), .init("other", retention: .seconds(86_400), audienceMax: nil)])
        #expect(Retention(document, atMost: retention).spans[DataClass("telemetry")] == .seconds(5 * 86_400))
        #expect(VaultOptions.unknown(retention, to: document) == [])
        #expect(VaultOptions.unknown(retention, to: nil) == ["telemetry"])
        for text in ["=5", "telemetry=0", "telemetry", String(repeating: "x", count: 300) + "=5"] {
            #expect(throws: (any Error).self) { _ = try VaultOptions.retention([text]) }
        }
    }
}
