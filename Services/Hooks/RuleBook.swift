import Crypto
import Foundation
import Rules
import YAML

/// The rules in force, and which ones they are: what none of them matched is looked at again by others.
struct RuleBook: Sendable {
    let rules: HookRules
    /// SHA-256 of the file. Another order of the same words is another book: that costs one look more.
    let digest: Data

    static let none = RuleBook(.none, digest: Data(SHA256.hash(data: Data())))

    init(_ rules: HookRules, digest: Data) {
        self.rules = rules
        self.digest = digest
    }

    /// - Throws: All that is wrong with it.
    init(reading bytes: Data) throws(Mistakes) {
        self.init(try HookRules(reading: try YAMLText.tree([UInt8](bytes))), digest: Data(SHA256.hash(data: bytes)))
    }
}
