package import SwiftProtobuf

/// The first frame of every message: header, then body. A payload, opaque, is the second.
///
/// `'S' 'L' version kind` and the protobuf body share one frame: each frame costs CURVE a box of its own on both sides.
package enum Frame {
    package static let headerBytes = 4

    /// What was wrong with a frame, and what to answer.
    package struct Malformed: Error, Hashable, Sendable {
        package var refusal: Refusal
        package var kind: UInt8

        package init(refusal: Refusal, kind: UInt8) {
            self.refusal = refusal
            self.kind = kind
        }
    }

    /// Parses the header.
    package static func kind(of frame: UnsafeRawBufferPointer) throws(Malformed) -> Kind {
        guard frame.count >= headerBytes, frame[0] == UInt8(ascii: "S"), frame[1] == UInt8(ascii: "L") else {
            throw Malformed(refusal: .malformed, kind: 0)
        }
        guard frame[2] == Limits.version else { throw Malformed(refusal: .unsupportedVersion, kind: frame[3]) }
        guard let kind = Kind(rawValue: frame[3]) else { throw Malformed(refusal: .unknownKind, kind: frame[3]) }
        return kind
    }

    /// Parses the body behind a header that was accepted.
    package static func body<Body: SwiftProtobuf.Message>(
        _ type: Body.Type, of frame: UnsafeRawBufferPointer
    ) throws(Malformed) -> Body {
        do {
            return try Body(serializedBytes: frame.bytes.extracting(droppingFirst: headerBytes))
        } catch {
            throw Malformed(refusal: .malformed, kind: frame[3])
        }
    }

    package static func bytes(_ kind: Kind, _ body: some SwiftProtobuf.Message) -> HeadedBytes {
        // Serialising fails only for required fields (proto2) and for bodies over 2 GiB; ours have neither.
        var bytes: HeadedBytes = (try? body.serializedBytes()) ?? HeadedBytes(repeating: 0, count: 0)
        bytes.setHeader(kind)
        return bytes
    }
}

/// A body with room for its header in front, so that serialising needs no second copy.
package struct HeadedBytes: SwiftProtobufContiguousBytes, Sendable {
    package private(set) var all: [UInt8]

    package init(repeating value: UInt8, count: Int) {
        all = [UInt8](repeating: value, count: count + Frame.headerBytes)
    }

    package init<S: Sequence>(_ sequence: S) where S.Element == UInt8 {
        all = [0, 0, 0, 0]
        all.append(contentsOf: sequence)
    }

    package var count: Int { all.count - Frame.headerBytes }

    package func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try all.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[Frame.headerBytes...])) }
    }

    package mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try all.withUnsafeMutableBytes { try body(UnsafeMutableRawBufferPointer(rebasing: $0[Frame.headerBytes...])) }
    }

    /// Appends fields to the body.
    package mutating func append(_ fields: [UInt8]) { all.append(contentsOf: fields) }

    mutating func setHeader(_ kind: Kind) {
        all[0] = UInt8(ascii: "S")
        all[1] = UInt8(ascii: "L")
        all[2] = Limits.version
        all[3] = kind.rawValue
    }
}
