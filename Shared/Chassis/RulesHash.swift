import Crypto

/// The name of what an agent is given of a policy document: permits carry it.
package enum RulesHash {
    package static func of(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
}
