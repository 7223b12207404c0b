import Crypto
import Foundation
import Gate

extension PolicyText {
    /// What a document is known by, as `sluice policy check` prints it.
    static func hash(_ document: [UInt8]) -> String { SHA256.hash(data: document).map { String(format: "%02x", $0) }.joined() }
}
