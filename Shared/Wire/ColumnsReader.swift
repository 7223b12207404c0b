import Gate
import Rules

/// Builds events from columns that a ``ColumnsScan`` has accepted. Its arithmetic leans on that: it checks nothing again.
struct ColumnsReader {
    private let columns: WireColumns
    private let unit: Int64
    // The columns of every batch, taken out once: the message keeps them in a class, and each look into that costs.
    private let strings: [String]
    private let at: [Int64]
    private let kinds: [UInt32]
    private let durations: [UInt64]
    private let actions: [UInt32]
    private let xs: [Int32]
    private let ys: [Int32]
    private let buttons: [UInt32]
    private var time: Int64
    private var x: Int32 = 0
    private var y: Int32 = 0
    // How many of each kind have been read.
    private var pointers = 0
    private var scrolls = 0
    private var keys = 0
    private var windows = 0
    private var presences = 0
    private var texts = 0

    init(_ columns: WireColumns, extent: BatchExtent) {
        self.columns = columns
        unit = Int64(columns.unitNs)
        strings = columns.strings
        at = columns.at
        kinds = columns.kind
        durations = columns.duration
        actions = columns.pointerAction
        xs = columns.x
        ys = columns.y
        buttons = columns.button
        time = extent.first.nanoseconds
    }

    /// - Parameter index: 0, then each time one more.
    mutating func event(_ index: Int) -> Event {
        time += at[index] * unit
        var duration: Span?
        if !durations.isEmpty, durations[index] > 0 { duration = Span(nanoseconds: Int64(durations[index] - 1) * unit) }
        return Event(at: WallTime(nanoseconds: time), duration: duration, detail: detail(kinds[kinds.count == 1 ? 0 : index]))
    }

    private mutating func detail(_ kind: UInt32) -> Event.Detail {
        switch Event.Kind(rawValue: UInt8(kind))! {
        case .pointer:
            return .pointer(pointer())
        case .key:
            defer { keys += 1 }
            return .key(Event.Key(Event.Key.Action(rawValue: UInt8(columns.keyAction[keys]))!, string(columns.key[keys])!))
        case .window:
            defer { windows += 3 }
            let column = columns.window
            return .window(
                Event.Window(app: string(column[windows])!, title: string(column[windows + 1])!, url: string(column[windows + 2])))
        case .presence:
            defer { presences += 1 }
            return .presence(Event.Presence(rawValue: UInt8(columns.presence[presences]))!)
        case .text:
            defer { texts += 4 }
            let column = columns.text
            return .text(
                Event.Text(
                    string(column[texts])!, source: Event.Text.Source(rawValue: UInt8(column[texts + 1]))!,
                    app: string(column[texts + 2]), label: string(column[texts + 3])))
        }
    }

    private mutating func pointer() -> Event.Pointer {
        defer { pointers += 1 }
        // Differences are modulo 2³²: two positions may be further apart than one number reaches.
        x &+= xs[pointers]
        y &+= ys[pointers]
        let action: Event.Pointer.Action
        switch actions[pointers] {
        case 1: action = .move
        case 2: action = .drag
        case 3: action = .down
        case 4: action = .up
        default:
            action = .scroll(dx: optional(columns.dx, scrolls), dy: optional(columns.dy, scrolls))
            scrolls += 1
        }
        return Event.Pointer(action, x: x, y: y, button: buttons.isEmpty ? nil : string(buttons[pointers]))
    }

    private func string(_ index: UInt32) -> String? { index == 0 ? nil : strings[Int(index) - 1] }

    private func optional(_ column: [UInt64], _ index: Int) -> Int32? {
        guard !column.isEmpty, column[index] > 0 else { return nil }
        let zigzag = UInt32(column[index] - 1)
        return Int32(bitPattern: zigzag >> 1) ^ -Int32(bitPattern: zigzag & 1)
    }
}
