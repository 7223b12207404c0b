import CZstd

/// Why bytes were not compressed, or not decompressed.
package enum ZstdError: Error, Hashable, Sendable, CustomStringConvertible {
    case outOfMemory
    /// Not a zstd frame: another format, a skippable frame, a legacy one, or less than a header.
    case notAFrame
    /// The frame does not say how large its content is, so nothing can be reserved for it.
    case noContentSize
    /// The frame says that its content is larger than the caller allows. Nothing was reserved.
    case tooLarge(bytes: UInt64, max: Int)
    /// The content is not as large as the frame, or the caller, says.
    case sizeDiffers(bytes: UInt64, expected: UInt64)
    /// There is something behind the frame, or the frame is cut off (`frame` is 0).
    case notOneFrame(bytes: Int, frame: Int)
    /// The library's own reason, a `ZSTD_ErrorCode`.
    case failed(code: UInt32)

    package var description: String {
        switch self {
        case .outOfMemory: "no memory for a zstd context"
        case .notAFrame: "not a zstd frame"
        case .noContentSize: "the zstd frame does not state its content's size"
        case .tooLarge(let bytes, let max): "the zstd frame holds \(bytes) bytes; at most \(max) are allowed"
        case .sizeDiffers(let bytes, let expected): "the zstd frame holds \(bytes) bytes instead of \(expected)"
        case .notOneFrame(let bytes, 0): "the zstd frame of \(bytes) bytes is cut off or damaged"
        case .notOneFrame(let bytes, let frame): "\(bytes - frame) bytes follow the zstd frame"
        case .failed(let code): "zstd refuses the frame (error \(code))"
        }
    }
}

/// Compresses. One for each thread: the context (about 1 MB) is reused, and is not Sendable.
package struct ZstdCompressor: ~Copyable {
    /// How hard to try.
    package enum Level: Int32, Sendable {
        /// For what is on its way: the agent's batches, and what policy packs again.
        case fast = 1
        /// For what stays.
        case dense = 3
    }

    private let context: OpaquePointer

    /// - Throws: `outOfMemory`.
    package init() throws(ZstdError) {
        guard let context = ZSTD_createCCtx() else { throw .outOfMemory }
        self.context = context
    }

    deinit { ZSTD_freeCCtx(context) }

    /// One frame that states its content's size; no checksum, since what seals it has a better one.
    ///
    /// - Throws: `failed`, which for any input that fits in memory means that memory ran out.
    package mutating func compress(_ bytes: UnsafeRawBufferPointer, level: Level = .fast) throws(ZstdError) -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        guard ZSTD_isError(bound) == 0 else { throw ZstdError(result: bound) }
        var result = 0
        let output = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            result = ZSTD_compressCCtx(context, buffer.baseAddress, buffer.count, bytes.baseAddress, bytes.count, level.rawValue)
            count = ZSTD_isError(result) == 0 ? result : 0
        }
        guard ZSTD_isError(result) == 0 else { throw ZstdError(result: result) }
        return output
    }

    package mutating func compress(_ bytes: [UInt8], level: Level = .fast) throws(ZstdError) -> [UInt8] {
        try bytes.withUnsafeBufferPointer { (bytes) throws(ZstdError) in
            try compress(UnsafeRawBufferPointer(bytes), level: level)
        }
    }
}

/// Decompresses what strangers sent. One for each thread: the context (about 160 kB) is reused, and is not Sendable.
package struct ZstdDecompressor: ~Copyable {
    private let context: OpaquePointer

    /// - Throws: `outOfMemory`.
    package init() throws(ZstdError) {
        guard let context = ZSTD_createDCtx() else { throw .outOfMemory }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// The content of exactly one frame.
    ///
    /// The size is checked before anything is reserved, and decompression never writes past what was reserved: a bomb
    /// costs as much as its header. No window is allocated either, whatever the frame asks for: the output is the window.
    ///
    /// - Parameters:
    ///   - expected: the size that a header promised, in bytes; nil: whatever the frame says.
    ///   - max: the largest size that the caller will hold, in bytes.
    /// - Throws: everything in ``ZstdError`` but `outOfMemory`.
    package mutating func decompress(
        _ bytes: UnsafeRawBufferPointer, expected: Int? = nil, max: Int
    ) throws(ZstdError) -> [UInt8] {
        let size = try ZstdDecompressor.contentSize(bytes)
        guard size <= UInt64(clamping: max) else { throw .tooLarge(bytes: size, max: max) }
        if let expected, size != UInt64(clamping: expected) { throw .sizeDiffers(bytes: size, expected: UInt64(clamping: expected)) }
        let frame = ZSTD_findFrameCompressedSize(bytes.baseAddress, bytes.count)
        guard ZSTD_isError(frame) == 0 else { throw .notOneFrame(bytes: bytes.count, frame: 0) }
        guard frame == bytes.count else { throw .notOneFrame(bytes: bytes.count, frame: frame) }
        var result = 0
        let output = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            result = ZSTD_decompressDCtx(context, buffer.baseAddress, Int(size), bytes.baseAddress, bytes.count)
            count = ZSTD_isError(result) == 0 ? result : 0
        }
        guard ZSTD_isError(result) == 0 else { throw ZstdError(result: result) }
        guard UInt64(result) == size else { throw .sizeDiffers(bytes: UInt64(result), expected: size) }
        return output
    }

    package mutating func decompress(_ bytes: [UInt8], expected: Int? = nil, max: Int) throws(ZstdError) -> [UInt8] {
        try bytes.withUnsafeBufferPointer { (bytes) throws(ZstdError) in
            try decompress(UnsafeRawBufferPointer(bytes), expected: expected, max: max)
        }
    }

    /// What the frame says of its content, in bytes.
    private static func contentSize(_ bytes: UnsafeRawBufferPointer) throws(ZstdError) -> UInt64 {
        // The library takes a skippable frame for an empty one, and, where built so, legacy formats: only the magic
        // number of RFC 8878 is let through.
        guard bytes.count >= 4, bytes.loadUnaligned(as: UInt32.self).littleEndian == 0xFD2F_B528 else { throw .notAFrame }
        // ZSTD_CONTENTSIZE_UNKNOWN and _ERROR: macros that Swift does not see.
        switch ZSTD_getFrameContentSize(bytes.baseAddress, bytes.count) {
        case .max: throw .noContentSize
        case .max - 1: throw .notAFrame
        case let size: return size
        }
    }
}

extension ZstdError {
    fileprivate init(result: Int) { self = .failed(code: ZSTD_getErrorCode(result).rawValue) }
}
