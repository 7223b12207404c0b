import Foundation
import Gate
import Wire

/// What goes to people: colours where they help and are wanted, lines that are drawn over on a terminal only.
struct Terminal: Sendable {
    let isTerminal: Bool
    let hasColour: Bool

    /// Colour obeys `NO_COLOR` (no-color.org) and `TERM=dumb`, and is for terminals.
    init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        isTerminal = isatty(STDOUT_FILENO) == 1
        hasColour = isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    func bold(_ text: String) -> String { hasColour ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
    func red(_ text: String) -> String { hasColour ? "\u{1B}[31;1m\(text)\u{1B}[0m" : text }
    func green(_ text: String) -> String { hasColour ? "\u{1B}[32;1m\(text)\u{1B}[0m" : text }
    func yellow(_ text: String) -> String { hasColour ? "\u{1B}[33;1m\(text)\u{1B}[0m" : text }
    func dim(_ text: String) -> String { hasColour ? "\u{1B}[2m\(text)\u{1B}[0m" : text }

    func write(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// What others wrote, shown without the power to move the cursor, to change colours, or to turn the order of what stands beside it (UAX 9).
    static func safe(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control || $0.properties.isBidiControl ? "?" : $0 }))
    }
}

extension Terminal {
    /// The same for a text of several lines.
    static func safeLines(_ text: String) -> String { text.split(separator: "\n", omittingEmptySubsequences: false).map { safe(String($0)) }.joined(separator: "\n") }
}

enum Show {
    static func number(_ value: some BinaryInteger) -> String { Figures.number(Double(value), decimals: 0) }

    /// `12 ms`, `2.9 s`, `3 h`.
    static func span(microseconds: some BinaryInteger) -> String {
        let value = Double(microseconds)
        switch value {
        case ..<1_000: return "\(Int(value)) µs"
        case ..<1_000_000: return value < 10_000 ? String(format: "%.1f ms", value / 1e3) : "\(Int((value / 1e3).rounded())) ms"
        case ..<60_000_000: return String(format: "%.1f s", value / 1e6)
        case ..<3_570_000_000: return "\(Int((value / 60e6).rounded())) min"
        case ..<172_800_000_000: return "\(Int((value / 3_600e6).rounded())) h"
        default: return "\(Int((value / 86_400e6).rounded())) days"
        }
    }

    static func bytes(_ value: Int64) -> String {
        switch Double(value) {
        case ..<1_024: "\(value) B"
        case ..<(1_024 * 1_024): String(format: "%.0f KiB", Double(value) / 1_024)
        case ..<(1_024 * 1_024 * 1_024): String(format: "%.0f MiB", Double(value) / 1_048_576)
        default: String(format: "%.1f GiB", Double(value) / 1_073_741_824)
        }
    }

    static func count(_ value: Int64) -> String {
        value < 1_000_000 ? number(value) : String(format: "%.1f M", Double(value) / 1e6)
    }

    /// Local time of day, and the date where it is not today's.
    static func time(microseconds: Int64, milliseconds: Bool = false) -> String {
        var seconds = time_t(microseconds / 1_000_000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var now = Foundation.time(nil)
        var today = tm()
        localtime_r(&now, &today)
        var text = String(format: "%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec)
        if milliseconds { text += String(format: ".%03d", Int(microseconds / 1_000 % 1_000)) }
        if parts.tm_year != today.tm_year || parts.tm_yday != today.tm_yday {
            text = String(format: "%04d-%02d-%02d ", parts.tm_year + 1_900, parts.tm_mon + 1, parts.tm_mday) + text
        }
        return text
    }

    static func selector(_ closure: WireClosure) -> String {
        let selector = closure.selector
        var parts: [String] = []
        for (name, values) in [
            ("site", selector.sites), ("team", selector.teams), ("subject", selector.subjects), ("class", selector.classes),
            ("reader", selector.readers), ("purpose", selector.purposes),
        ] where !values.isEmpty { parts.append("\(name) \(values.map(Terminal.safe).joined(separator: ", "))") }
        let what =
            switch closure.direction {
            case .capture: "capture only, "
            case .read: "reads only, "
            default: ""
            }
        return what + (parts.isEmpty ? "everything" : parts.joined(separator: "; "))
    }

    static func json(_ message: some SwiftProtobufJSON) throws { line(try message.shownAsJSON()) }

    /// What comes from no message.
    static func json(_ object: [String: String]) throws {
        line(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }

    /// At once: to a pipe standard output is written by the block, and whoever follows a pause by its lines would hear of it when it is over.
    private static func line(_ text: String) {
        print(text)
        fflush(nil)
    }
}
