import Foundation

enum Entropy {
    /// Shannon's, in bits a byte.
    static func bits(_ bytes: UnsafeBufferPointer<UInt8>) -> Double {
        guard !bytes.isEmpty else { return 0 }
        var counts = [Int](repeating: 0, count: 256)
        for byte in bytes { counts[Int(byte)] += 1 }
        let total = Double(bytes.count)
        return counts.reduce(0) { sum, count in
            guard count > 0 else { return sum }
            let share = Double(count) / total
            return sum - share * log2(share)
        }
    }
}

enum JWTHeader {
    /// - Parameter token: The whole of it: what stands before the first dot is looked at.
    static func isOne(_ token: UnsafeBufferPointer<UInt8>) -> Bool {
        var head = String(decoding: token.prefix { $0 != 0x2E }, as: UTF8.self).replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        head += String(repeating: "=", count: (4 - head.utf8.count % 4) % 4)
        guard let data = Data(base64Encoded: head), let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else { return false }
        return object["alg"] is String || object["enc"] is String
    }
}

/// Whether what stands where a secret would, is one.
enum SecretLook {
    /// What people write in examples, in any case, anywhere in it.
    private static let examples = [
        "example", "changeme", "change_me", "change-me", "placeholder", "your_", "your-", "yourpass", "yoursecret", "yourkey", "yourtoken", "my_secret", "xxxx", "****", "....", "redacted",
        "dummy", "os.environ", "process.env", "getenv", "secrets.", "_here",
    ].map { Array($0.utf8) }
    /// The whole of it, or its beginning up to a dot: no secret, but where one comes from.
    private static let words: Set<String> = [
        "none", "null", "nil", "true", "false", "required", "optional", "password", "passwort", "passwd", "secret", "string", "undefined", "todo", "insert", "replace", "this", "self",
        "config", "settings", "params", "request", "options", "env", "vault", "input", "args", "data", "user", "props", "state", "value", "token", "apikey", "wrong", "correct",
        "incorrect", "expired", "invalid", "empty", "missing",
    ]

    static func isOne(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let first = bytes.first, let last = bytes.last else { return false }
        // ${PASSWORD}, <password>, {{ password }}, %PASSWORD%, [password]
        if first == 0x24 || first == 0x3C || first == 0x7B || first == 0x25 && last == 0x25 || first == 0x5B && last == 0x5D { return false }
        var seen: Set<UInt8> = []
        for byte in bytes { seen.insert(byte) }
        guard seen.count >= 4 else { return false }
        let lower = bytes.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
        let beginning = lower.prefix { $0 != 0x2E && $0 != 0x28 && $0 != 0x5B }
        guard !words.contains(String(decoding: beginning, as: UTF8.self)) else { return false }
        return !examples.contains { word in lower.count >= word.count && (0...(lower.count - word.count)).contains { lower[$0...].starts(with: word) } }
    }
}
