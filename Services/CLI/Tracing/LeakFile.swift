import CZlib
import CZstd
import Chassis
import Foundation

/// A file that was found, plain, gzip or zstd, read once from its beginning.
final class LeakFile {
    private enum Source {
        case plain(Int32)
        case gzip(gzFile)
        case zstd(Int32, OpaquePointer)
    }

    private let path: String
    private let source: Source
    /// Of the file as it lies there; 0: unknown.
    let size: Int
    /// Of it, taken so far.
    private(set) var position = 0
    /// As it reads.
    private(set) var bytes = 0
    private var packed: [UInt8] = []
    private var packedRange = 0..<0
    /// 0: a zstd frame has just ended, and the file may as well.
    private var hint = 0

    /// - Parameter path: '-' is standard input, plain or gzip.
    init(_ path: String) throws {
        self.path = path
        if path == "-" {
            guard let file = gzdopen(dup(STDIN_FILENO), "rb") else { throw Complaint("standard input cannot be read") }
            (source, size) = (.gzip(file), 0)
            return
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Complaint("cannot read \(path): \(String(cString: strerror(errno)))") }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT != S_IFDIR else {
            close(descriptor)
            throw Complaint("\(path) is a folder: name the file")
        }
        size = Int(facts.st_size)
        var magic = [UInt8](repeating: 0, count: 4)
        let count = facts.st_mode & S_IFMT == S_IFREG ? pread(descriptor, &magic, 4, 0) : 0
        if count == 4, magic == [0x28, 0xB5, 0x2F, 0xFD] {
            guard let stream = ZSTD_createDStream() else { throw Complaint("no memory to open \(path)") }
            source = .zstd(descriptor, stream)
            packed = [UInt8](repeating: 0, count: 1 << 18)
        } else if count >= 2, magic[0] == 0x1F, magic[1] == 0x8B {
            guard let file = gzdopen(descriptor, "rb") else { throw Complaint("no memory to open \(path)") }
            gzbuffer(file, 1 << 18)
            source = .gzip(file)
        } else {
            source = .plain(descriptor)
        }
    }

    deinit {
        switch source {
        case .plain(let descriptor): close(descriptor)
        case .gzip(let file): gzclose(file)
        case .zstd(let descriptor, let stream):
            close(descriptor)
            ZSTD_freeDStream(stream)
        }
    }

    /// - Returns: bytes that were put there; 0: the file has ended.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count: Int
        switch source {
        case .plain(let descriptor):
            count = try read(descriptor, buffer)
            position += count
        case .gzip(let file):
            let got = gzread(file, buffer.baseAddress, UInt32(min(buffer.count, 1 << 30)))
            guard got >= 0 else { throw Complaint("\(path) is damaged: gzip ends in the middle, or is none") }
            var code: Int32 = 0
            _ = gzerror(file, &code)
            guard code >= 0 else { throw Complaint("\(path) is cut off: what there is of it was not searched; unpack it, then try again") }
            count = Int(got)
            position = Int(gzoffset(file))
        case .zstd(let descriptor, let stream): count = try read(descriptor, stream, buffer)
        }
        bytes += count
        return count
    }

    private func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Complaint("cannot read \(path): \(String(cString: strerror(errno)))") }
            return count
        }
    }

    private func read(_ descriptor: Int32, _ stream: OpaquePointer, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        while output.pos == 0 {
            if packedRange.isEmpty {
                let count = try packed.withUnsafeMutableBytes { try read(descriptor, $0) }
                position += count
                if count == 0 {
                    guard hint == 0 else { throw Complaint("\(path) is cut off: unpack what there is of it, then try again") }
                    return 0
                }
                packedRange = 0..<count
            }
            let result = packed.withUnsafeBytes { bytes in
                var input = ZSTD_inBuffer(src: bytes.baseAddress, size: packedRange.upperBound, pos: packedRange.lowerBound)
                let result = ZSTD_decompressStream(stream, &output, &input)
                packedRange = input.pos..<packedRange.upperBound
                return result
            }
            guard ZSTD_isError(result) == 0 else { throw Complaint("\(path) is damaged: \(String(cString: ZSTD_getErrorName(result)))") }
            hint = result
        }
        return output.pos
    }
}
