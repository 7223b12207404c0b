package import Rules

/// A batch that has been checked, and whose events are built when somebody asks for them.
package struct OpenColumns {
    package let scan: ColumnsScan
    let columns: WireColumns
    let extent: BatchExtent

    /// In the batch's order.
    package func events() -> [Event] {
        var reader = ColumnsReader(columns, extent: extent)
        return (0..<extent.count).map { reader.event($0) }
    }

    /// Bytes of text that its events have, each its own: of one string that many of them share as often as they do. It is what looking at each event costs, and what a
    /// batch of some kilobytes may make gigabytes.
    package var textBytes: Int {
        let lengths = [0] + columns.strings.map(\.utf8.count)
        var sum = columns.key.reduce(0) { $0 + lengths[Int($1)] } + columns.window.reduce(0) { $0 + lengths[Int($1)] }
        for (place, index) in columns.text.enumerated() where place % 4 != 1 { sum += lengths[Int(index)] }
        return sum
    }

    /// What rules on classes look at of texts and windows, each once, without what detection would find in it.
    package func traits(of shape: EventShape) -> [EventTraits] {
        func string(_ index: UInt32) -> String? { index == 0 ? nil : columns.strings[Int(index) - 1] }
        switch shape.kind {
        case .pointer, .key, .presence: return []
        case .window:
            let each = stride(from: 0, to: columns.window.count, by: 3).map { Array(columns.window[$0..<$0 + 3]) }
            return Set(each).map { EventTraits(shape, application: string($0[0]), title: string($0[1]), url: string($0[2])) }
        case .text:
            let source = shape.source.map { UInt32($0.rawValue) }
            let each = stride(from: 0, to: columns.text.count, by: 4).filter { columns.text[$0 + 1] == source }.map { Array(columns.text[$0 + 2..<$0 + 4]) }
            return Set(each).map { EventTraits(shape, application: string($0[0]), label: string($0[1])) }
        }
    }

    /// Whether nothing but time and kind is left of all events of a kind: `Minimisation.timing` would change nothing.
    package func isTimed(_ kind: Event.Kind) -> Bool {
        func isEmpty(_ index: UInt32) -> Bool { columns.strings[Int(index) - 1].isEmpty }
        switch kind {
        case .pointer: return [columns.x, columns.y].allSatisfy { $0.allSatisfy { $0 == 0 } } && columns.button.allSatisfy { $0 == 0 } && [columns.dx, columns.dy].allSatisfy { $0.allSatisfy { $0 == 0 } }
        case .key: return columns.key.allSatisfy(isEmpty)
        case .window: return columns.window.indices.allSatisfy { $0 % 3 == 2 ? columns.window[$0] == 0 : isEmpty(columns.window[$0]) }
        case .presence: return true
        case .text: return columns.text.indices.allSatisfy { $0 % 4 == 1 || ($0 % 4 == 0 ? isEmpty(columns.text[$0]) : columns.text[$0] == 0) }
        }
    }

    /// Every text of events of these kinds, one behind the other, for one look at all of them. Once, however often it stands there: a batch of some kilobytes could
    /// make hundreds of megabytes otherwise.
    ///
    /// - Parameter ends: Where each text ends; the next begins there.
    /// - Returns: which of the batch's strings each text is: ``areTouched(by:)`` goes by them.
    package func gather(_ kinds: Set<Event.Kind>, into bytes: inout [UInt8], ends: inout [Int]) -> [UInt32] {
        let strings = columns.strings
        var isThere = [Bool](repeating: false, count: strings.count + 1)
        var gathered: [UInt32] = []
        func add(_ index: UInt32) {
            guard index != 0, !isThere[Int(index)] else { return }
            isThere[Int(index)] = true
            bytes.append(contentsOf: strings[Int(index) - 1].utf8)
            ends.append(bytes.count)
            gathered.append(index)
        }
        if kinds.contains(.window) { for index in columns.window { add(index) } }
        if kinds.contains(.text) { for (place, index) in columns.text.enumerated() where place % 4 != 1 { add(index) } }
        return gathered
    }

    /// Of each text and window, whether one of these strings stands in it; of every other event that none does. In the batch's order.
    package func areTouched(by touching: Set<UInt32>) -> [Bool] {
        let (kinds, window, text) = (columns.kind, columns.window, columns.text)
        var (windows, texts) = (0, 0)
        return (0..<extent.count).map { index in
            switch Event.Kind(rawValue: UInt8(kinds[kinds.count == 1 ? 0 : index])) {
            case .window:
                defer { windows += 3 }
                return window[windows..<windows + 3].contains { touching.contains($0) }
            case .text:
                defer { texts += 4 }
                // The second is the source.
                return touching.contains(text[texts]) || touching.contains(text[texts + 2]) || touching.contains(text[texts + 3])
            case .pointer, .key, .presence, nil: return false
            }
        }
    }
}
