import CZlib
import Chassis
import Foundation

/// A zip file, written from front to back: deflate, sizes behind each file. What is read by every unzip since 1993 and no more: files below 4 GiB, 65,535 of them.
///
/// Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4.
struct ZipWriter: ~Copyable {
    private struct Entry {
        var name: [UInt8]
        var offset: UInt32
        var sum: UInt32 = 0
        var packed: UInt64 = 0
        var plain: UInt64 = 0
    }

    private let write: (Data) throws -> Void
    private let date: (time: UInt16, day: UInt16)
    private var entries: [Entry] = []
    private var isOpen = false
    private var offset: UInt64 = 0
    private var stream = z_stream()

    /// - Parameter date: Of all files, seconds since 1970, shown in UTC.
    init(date: Int64, _ write: @escaping (Data) throws -> Void) {
        self.write = write
        var time = time_t(date)
        var parts = tm()
        gmtime_r(&time, &parts)
        self.date = (
            UInt16(parts.tm_hour << 11 | parts.tm_min << 5 | parts.tm_sec / 2), UInt16(max(0, parts.tm_year - 80) << 9 | (parts.tm_mon + 1) << 5 | parts.tm_mday)
        )
    }

    deinit {
        var stream = stream
        if isOpen { deflateEnd(&stream) }
    }

    mutating func begin(_ name: String) throws {
        if isOpen { try end() }
        guard entries.count < 65_535, offset <= UInt64(UInt32.max) else { throw Complaint("this is too much for a zip file: 4 GiB") }
        let entry = Entry(name: Array(name.utf8), offset: UInt32(offset))
        entries.append(entry)
        try put(ZipWriter.bytes(0x0403_4B50, head(entry), [UInt8](repeating: 0, count: 12), UInt16(entry.name.count), UInt16(0), entry.name))
        stream = z_stream()
        guard deflateInit2_(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw Complaint("zlib cannot begin")
        }
        isOpen = true
    }

    mutating func add(_ data: Data) throws {
        let place = entries.count - 1
        entries[place].plain += UInt64(data.count)
        guard entries[place].plain <= UInt64(UInt32.max) else { throw Complaint("this is too much for a zip file: 4 GiB") }
        entries[place].sum = UInt32(truncatingIfNeeded: data.withUnsafeBytes { crc32_z(UInt(entries[place].sum), $0.bindMemory(to: UInt8.self).baseAddress, $0.count) })
        try deflate(data, Z_NO_FLUSH)
    }

    mutating func finish() throws {
        if isOpen { try end() }
        let start = offset
        for entry in entries {
            try put(
                ZipWriter.bytes(
                    0x0201_4B50, UInt16(20), head(entry), entry.sum, UInt32(entry.packed), UInt32(entry.plain), UInt16(entry.name.count),
                    [UInt8](repeating: 0, count: 12), entry.offset, entry.name))
        }
        guard offset <= UInt64(UInt32.max) else { throw Complaint("this is too much for a zip file: 4 GiB") }
        let count = UInt16(entries.count)
        try put(ZipWriter.bytes(0x0605_4B50, UInt32(0), count, count, UInt32(offset - start), UInt32(start), UInt16(0)))
    }

    private mutating func end() throws {
        try deflate(Data(), Z_FINISH)
        deflateEnd(&stream)
        isOpen = false
        let entry = entries[entries.count - 1]
        try put(ZipWriter.bytes(0x0807_4B50, entry.sum, UInt32(entry.packed), UInt32(entry.plain)))
    }

    private mutating func deflate(_ data: Data, _ flush: Int32) throws {
        var input = [UInt8](data)
        var output = [UInt8](repeating: 0, count: 1 << 16)
        var produced: [Data] = []
        var state = Z_OK
        input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            repeat {
                let left = output.withUnsafeMutableBufferPointer { output -> Int in
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    state = CZlib.deflate(&stream, flush)
                    return Int(stream.avail_out)
                }
                produced.append(Data(output[..<(output.count - left)]))
                if left > 0 { break }
            } while state == Z_OK
            stream.next_in = nil
        }
        guard state == Z_OK || state == Z_STREAM_END || state == Z_BUF_ERROR else { throw Complaint("zlib says \(state)") }
        for data in produced where !data.isEmpty {
            entries[entries.count - 1].packed += UInt64(data.count)
            try put(data)
        }
    }

    /// Version needed 2.0, sizes follow and names are UTF-8, deflate, date.
    private func head(_ entry: Entry) -> [UInt8] { [UInt8](ZipWriter.bytes(UInt16(20), UInt16(0x0808), UInt16(8), date.time, date.day)) }

    private mutating func put(_ data: Data) throws {
        offset += UInt64(data.count)
        try write(data)
    }

    /// Numbers little-endian, in the order given.
    private static func bytes(_ parts: any Sendable...) -> Data {
        var data = Data()
        for part in parts {
            switch part {
            case let number as UInt16: withUnsafeBytes(of: number.littleEndian) { data.append(contentsOf: $0) }
            case let number as UInt32: withUnsafeBytes(of: number.littleEndian) { data.append(contentsOf: $0) }
            case let number as Int: withUnsafeBytes(of: UInt32(number).littleEndian) { data.append(contentsOf: $0) }
            case let bytes as [UInt8]: data.append(contentsOf: bytes)
            default: preconditionFailure("no part of a zip file")
            }
        }
        return data
    }
}
