import Testing
import Wire

/// A frame around one raw block of 4 bytes, made by hand. `descriptor` is the frame header's first byte.
private func frame(descriptor: UInt8, header: [UInt8]) -> [UInt8] {
    [0x28, 0xB5, 0x2F, 0xFD, descriptor] + header + [(4 << 3) | 1, 0, 0] + Array("abcd".utf8)
}

@Suite struct ZstdTests {
    @Test(arguments: [ZstdCompressor.Level.fast, .dense], [0, 1, 5, 1_000, 100_000])
    func `what is compressed comes back`(level: ZstdCompressor.Level, count: Int) throws {
        var compressor = try ZstdCompressor()
        var decompressor = try ZstdDecompressor()
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }
        for _ in 0..<2 {
            let packed = try compressor.compress(bytes, level: level)
            #expect(try decompressor.decompress(packed, expected: count, max: count) == bytes)
        }
    }

    @Test func `a bomb is refused by its header`() throws {
        var compressor = try ZstdCompressor()
        var decompressor = try ZstdDecompressor()
        let bomb = try compressor.compress([UInt8](repeating: 0, count: 64 << 20))
        #expect(bomb.count < 8_192)
        #expect(throws: ZstdError.tooLarge(bytes: 64 << 20, max: 4 << 20)) { try decompressor.decompress(bomb, max: 4 << 20) }
        // 2⁶⁴ − 3 bytes, in a single segment: a size that fits in no memory.
        let vast = frame(descriptor: 0xE0, header: [0xFD] + [UInt8](repeating: 0xFF, count: 7))
        #expect(throws: ZstdError.tooLarge(bytes: .max - 2, max: .max)) { try decompressor.decompress(vast, max: .max) }
    }

    @Test func `a frame that lies about its size is refused`() throws {
        var decompressor = try ZstdDecompressor()
        #expect(try decompressor.decompress(frame(descriptor: 0x20, header: [4]), max: 100) == Array("abcd".utf8))
        for claimed: UInt8 in [0, 3, 5, 100] {
            #expect(throws: ZstdError.self) { try decompressor.decompress(frame(descriptor: 0x20, header: [claimed]), max: 100) }
        }
        #expect(throws: ZstdError.sizeDiffers(bytes: 4, expected: 5)) {
            try decompressor.decompress(frame(descriptor: 0x20, header: [4]), expected: 5, max: 100)
        }
        #expect(throws: ZstdError.sizeDiffers(bytes: 4, expected: 0)) {
            try decompressor.decompress(frame(descriptor: 0x20, header: [4]), expected: -1, max: 100)
        }
    }

    @Test func `a frame without its content's size is refused`() throws {
        var decompressor = try ZstdDecompressor()
        #expect(throws: ZstdError.noContentSize) { try decompressor.decompress(frame(descriptor: 0, header: [0x58]), max: 100) }
    }

    @Test func `what is not one frame is refused`() throws {
        var compressor = try ZstdCompressor()
        var decompressor = try ZstdDecompressor()
        let good = try compressor.compress(Array("Sluice, Sluice, Sluice, Sluice".utf8))
        for more in [[0], good] {
            let error = ZstdError.notOneFrame(bytes: good.count + more.count, frame: good.count)
            #expect(throws: error) { try decompressor.decompress(good + more, max: 100) }
        }
        for count in good.indices { #expect(throws: ZstdError.self) { try decompressor.decompress(Array(good[..<count]), max: 100) } }
        let skippable: [UInt8] = [0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 7]
        for other in [[], [0x28], Array("not a frame".utf8), skippable, skippable + good, [0x27, 0xB5, 0x2F, 0xFD, 1, 2, 3, 4]] {
            #expect(throws: ZstdError.notAFrame) { try decompressor.decompress(other, max: 100) }
        }
        // It still works after all that.
        #expect(try decompressor.decompress(good, max: 100).count == 30)
    }

    @Test func `mutated frames never trap, and never give more than the caller allows`() throws {
        var dice = Dice.rolled(for: "mutated frames")
        var compressor = try ZstdCompressor()
        var decompressor = try ZstdDecompressor()
        let bytes = (0..<3_000).map { UInt8(truncatingIfNeeded: $0 * $0 / 900) }
        let frames = try [compressor.compress(bytes), compressor.compress(bytes, level: .dense), compressor.compress(Array(bytes[..<40]))]
        for _ in 0..<mutations {
            let frame = mutated(frames.randomElement(using: &dice)!, with: frames.randomElement(using: &dice)!, &dice)
            guard let content = try? decompressor.decompress(frame, max: 4_096) else { continue }
            #expect(content.count <= 4_096)
        }
    }
}
