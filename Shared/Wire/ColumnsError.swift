/// Why a batch's columns were refused, whole. Indexes count from 0; of a batch that was made here, they name the event.
package enum ColumnsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// More than ``Limits/columnsBytesMax``.
    case tooLarge(bytes: Int, max: Int)
    /// Not a protobuf message with these fields.
    case notColumns
    case version(UInt32)
    /// Fields that version 1 does not have: they would be stored unseen.
    case unknownFields(bytes: Int)
    /// Not 1 to 4,096 events.
    case count(Int)
    case unit(UInt32)
    case length(Column, values: Int, expected: Int)
    case value(Column, index: Int, UInt64)
    /// Points behind the strings, or at none where there must be one.
    case string(Column, index: Int, UInt32)
    case stringTooLong(index: Int, bytes: Int)
    /// A string that no event points at: it would be stored unseen.
    case unusedString(index: Int)
    /// Begins or ends outside the header's times, or is longer than a day.
    case time(event: Int)
    /// The header's times are not those of the earliest start and the latest end.
    case extent

    /// A column that can be wrong, by its name in the contract.
    package enum Column: String, Hashable, Sendable, CaseIterable {
        case at, kind, duration, pointerAction = "pointer_action", x, y, button, dx, dy, keyAction = "key_action", key, window
        case presence, text
    }

    package var description: String {
        switch self {
        case .tooLarge(let bytes, let max): "the columns take \(bytes) bytes; at most \(max) are allowed"
        case .notColumns: "not a protobuf message of columns"
        case .version(let version): "columns of version \(version); this is version 1"
        case .unknownFields(let bytes): "\(bytes) bytes of fields that version 1 does not have"
        case .count(let count): "\(count) events; a batch has 1 to \(Limits.eventsPerBatchMax)"
        case .unit(let unit): "unit_ns is \(unit); it must be 1000000, 1000 or 1"
        case .length(let column, let values, let expected): "column \(column.rawValue) has \(values) values instead of \(expected)"
        case .value(let column, let index, let value): "column \(column.rawValue) has \(value) at \(index), which means nothing"
        case .string(let column, let index, let string): "column \(column.rawValue) has string \(string) at \(index), which is not there"
        case .stringTooLong(let index, let bytes): "string \(index + 1) has \(bytes) bytes; at most \(Limits.lineBytesMax) are allowed"
        case .unusedString(let index): "no event has string \(index + 1)"
        case .time(let event): "event \(event) is not within its bounds in time"
        case .extent: "the batch's first or last time is not that of its events"
        }
    }
}
