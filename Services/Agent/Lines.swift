import Foundation
import Rules
import Wire

/// Cuts a stream of bytes into lines, and never holds more than one line's limit: what is longer is skipped to its end.
struct Lines {
    enum Line {
        case whole(ArraySlice<UInt8>)
        case tooLong(bytes: Int)
    }

    private var buffer: [UInt8] = []
    private var skipped = 0
    private let max: Int

    init(max: Int = Limits.lineBytesMax) { self.max = max }

    mutating func feed(_ bytes: UnsafeRawBufferPointer, _ each: (Line) -> Void) {
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            finish(rest[..<end], each)
            rest = rest[(end + 1)...]
        }
        keep(rest)
    }

    /// The end of the stream: what is left is a line, too.
    mutating func end(_ each: (Line) -> Void) {
        if !buffer.isEmpty || skipped > 0 { finish([], each) }
    }

    private mutating func finish(_ tail: some Collection<UInt8>, _ each: (Line) -> Void) {
        keep(tail)
        defer {
            buffer.removeAll(keepingCapacity: true)
            skipped = 0
        }
        guard skipped == 0 else { return each(.tooLong(bytes: skipped + buffer.count)) }
        if buffer.last == UInt8(ascii: "\r") { buffer.removeLast() }
        each(.whole(buffer[...]))
    }

    private mutating func keep(_ bytes: some Collection<UInt8>) {
        // One byte more than the limit shows that it was passed.
        let room = max + 1 - buffer.count
        if skipped > 0 || bytes.count > room {
            skipped += bytes.count
        } else {
            buffer.append(contentsOf: bytes)
        }
    }
}

/// Where events come in: parses each line, hands it to the recorder, and says what was wrong with which line.
final class Intake {
    private let recorder: Recorder
    private let source: String
    private var number = 0
    private var shown: [String: Int] = [:]
    private var lines = Lines()

    /// Of each reason so many are shown line by line; the rest is counted, so that a flood does not fill a disk.
    static let shownMax = 100

    init(recorder: Recorder, source: String) {
        self.recorder = recorder
        self.source = source
    }

    func feed(_ bytes: UnsafeRawBufferPointer) { lines.feed(bytes) { take($0) } }
    func end() { lines.end { take($0) } }

    private func take(_ line: Lines.Line) {
        number += 1
        switch line {
        case .tooLong(let bytes):
            recorder.refuse("too-long")
            complain("too-long", "the line has \(bytes) bytes, at most \(Limits.lineBytesMax) are read")
        case .whole(let bytes):
            guard bytes.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }) else { return }
            do throws(EventLineError) {
                // What the policy document leaves nothing of is nobody's mistake: it is counted.
                if let reason = recorder.take(try EventLine.parse(bytes)), !Policy.CaptureReason.words.contains(reason) { complain(reason, "refused: \(reason)") }
            } catch {
                recorder.refuse(error.word)
                complain(error.word, "\(error)")
            }
        }
    }

    private func complain(_ reason: String, _ text: String) {
        shown[reason, default: 0] += 1
        guard shown[reason]! <= Intake.shownMax else { return }
        let more = shown[reason]! == Intake.shownMax ? " (further lines of this kind are only counted)" : ""
        FileHandle.standardError.write(Data("\(source) line \(number): \(text)\(more)\n".utf8))
    }
}
