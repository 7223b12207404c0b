import Foundation
import Testing

/// Finds `[0]` on a slice: its first index is its place in the whole, and 0 lies outside of it, or is another's byte.
struct SliceTests {
    private static let slicing = #"\.(?:prefix|suffix|dropFirst|dropLast)\([^{}]*\)"#
    /// For how many lines a name is followed.
    private static let reach = 25

    /// `line: code` of each number in brackets behind what makes a slice, in one line or by a name that was given to it.
    private func places(in code: [String]) -> [String] {
        var found: [String] = []
        for (number, line) in code.enumerated() {
            if line.range(of: Self.slicing + #"\s*\[\d"#, options: .regularExpression) != nil { found.append("\(number + 1): \(line.trimmingCharacters(in: .whitespaces))") }
            // Nothing behind it makes an array of it again.
            guard line.range(of: #"(?:let|var) \w+ = (?:try )?(?:[\w.]+"# + Self.slicing + #"|\w+\[[^\]]*\.\.[.<][^\]]*\])\s*$"#, options: .regularExpression) != nil,
                line.range(of: #"\)\.(?:split|map|filter|compactMap|sorted|components)\("#, options: .regularExpression) == nil,
                let name = line.components(separatedBy: " = ")[0].split(separator: " ").last
            else { continue }
            for later in code.indices.dropFirst(number + 1).prefix(Self.reach) where code[later].range(of: #"\b\#(name)\[\d"#, options: .regularExpression) != nil {
                found.append("\(later + 1): \(code[later].trimmingCharacters(in: .whitespaces))")
            }
        }
        return found
    }

    @Test func `no slice is asked for its element number 0`() throws {
        let files = try SourceTree(["Shared", "Services"]).files
        #expect(files.count > 60)
        #expect(files.flatMap { file in places(in: file.code).map { "\(file.path):\($0)" } } == [])
    }

    /// The control.
    @Test(arguments: [
        ["let head = bytes.prefix(4)", "guard head[0] == 1 else { return }"],
        ["var rest = data.dropFirst(2)", "use(rest)", "rest[1] = 0"],
        ["let part = bytes[4..<8]", "return part[0]"],
        ["return bytes.dropFirst(3)[0]"],
    ])
    func `a number in a slice's brackets is found`(_ code: [String]) {
        #expect(places(in: code).count == 1)
    }

    @Test(arguments: [
        ["let head = Array(bytes.prefix(4))", "return head[0]"],
        ["let parts = text.dropFirst(2).split(separator: \":\")", "return parts[1]"],
        ["let head = bytes.prefix(4)", "return head[head.startIndex]", "return ahead[0]"],
        ["let all = bytes.map { $0 }", "return all[0]"],
    ])
    func `an array, or an index of the slice's own, is not`(_ code: [String]) {
        #expect(places(in: code) == [])
    }
}
