/// The text of one field, as keys make it: which characters stand where, and which keys are to blame for each.
///
/// What it cannot see, it says: after a click, a paste or an arrow that changes the line, the caret is taken to be at the end, and ``Unit/isAfterGap`` is set on
/// what follows.
package struct KeyText: Sendable {
    /// A character, with all keys that belong to it: its own, and those of what was typed behind it and taken away.
    package struct Unit: Hashable, Sendable {
        package var text: String
        package var keys: [Int]
        package var ghosts: [Ghost] = []
        /// It was part of a finding once. Taking a digit of a card number away again does not unsay the rest.
        package var found: DetectedType?
        /// Before it, something happened that is not known.
        package var isAfterGap = false
        /// Its keys have been told on already.
        package var isDecided = false
    }

    /// A character that is there no more, or the key that took it away.
    package struct Ghost: Hashable, Sendable {
        package let key: Int
        package let isDigit: Bool
        package let found: DetectedType?
    }

    /// The first is no character: it has the ghosts of what was deleted at the very beginning.
    package private(set) var units = [Unit(text: "", keys: [], isDecided: true)]
    /// The unit behind which the next character goes.
    package private(set) var caret = 0
    private var anchor: Int?
    private var held: Set<Modifier> = []
    private var isGap = false

    private enum Modifier: Hashable { case shift, control, alt, command, altGraph }

    package init() {}

    /// What a key did to the text.
    package enum Deed: Hashable, Sendable {
        /// It typed: its key must not leave if the character must not.
        case typed
        /// It moved, took away, or did nothing.
        case moved
        /// It made the text other than what is known of it.
        case lost
    }

    /// - Parameter key: The caller's number for this key event.
    package mutating func down(_ name: String, key: Int) -> Deed {
        if let modifier = Self.modifier(name) {
            held.insert(modifier)
            return .moved
        }
        let isShortcut = !held.isDisjoint(with: [.control, .command]) && !held.contains(.altGraph)
        switch name {
        case "Backspace": return delete(from: isShortcut ? wordStart() : caret - 1, to: caret)
        case "Delete", "Del": return delete(from: caret, to: isShortcut ? wordEnd() : caret + 1)
        case "ArrowLeft", "Left": return move(to: isShortcut ? wordStart() : caret - 1)
        case "ArrowRight", "Right": return move(to: isShortcut ? wordEnd() : caret + 1)
        case "Home": return move(to: lineStart())
        case "End": return move(to: lineEnd())
        case "ArrowUp", "ArrowDown", "Up", "Down", "PageUp", "PageDown", "Prior", "Next", "Undo", "Redo", "Paste", "Cut": return lose()
        case "Enter", "Return", "KP_Enter": return type("\n", key)
        case "Tab": return type("\t", key)
        case "Space", "Spacebar": return type(" ", key)
        default: break
        }
        // A dead key is an accent; the character comes composed with the next.
        if name.hasPrefix("Dead") || name.hasPrefix("dead_") { return .moved }
        guard let text = Self.text(name) else { return .moved }
        if isShortcut {
            switch text.lowercased() {
            case "a":
                anchor = 0
                caret = units.count - 1
                return .moved
            case "c", "s", "f": return .moved
            default: return lose()
            }
        }
        return type(text, key)
    }

    package mutating func up(_ name: String) {
        if let modifier = Self.modifier(name) { held.remove(modifier) }
    }

    /// The caret may be anywhere now.
    @discardableResult package mutating func lose() -> Deed {
        caret = units.count - 1
        anchor = nil
        isGap = true
        return .lost
    }

    /// Every key is up: what happens elsewhere is not seen here.
    package mutating func leave() {
        held = []
        lose()
    }

    package mutating func mark(_ range: Range<Int>) { for index in range.clamped(to: units.indices) { units[index].isDecided = true } }

    package mutating func mark(_ range: Range<Int>, found type: DetectedType) {
        for index in range.clamped(to: units.indices) { units[index].found = type }
    }

    package mutating func layGhosts(of index: Int) { units[index].ghosts = [] }

    /// Forgets what is decided, but for so many units, which are what comes before.
    package mutating func forget(but kept: Int) {
        let decided = units.dropFirst().prefix { $0.isDecided }.count
        let extra = min(decided - kept, caret)
        guard extra > 0 else { return }
        units.removeSubrange(1...extra)
        caret = max(0, caret - extra)
        anchor = anchor.map { max(0, $0 - extra) }
    }

    // MARK: Deeds

    private mutating func type(_ text: String, _ key: Int) -> Deed {
        if let selected = selection() { take(selected) }
        units.insert(Unit(text: text, keys: [key], isAfterGap: isGap), at: caret + 1)
        caret += 1
        anchor = nil
        isGap = false
        return .typed
    }

    private mutating func delete(from: Int, to: Int) -> Deed {
        let range = selection() ?? max(0, from)..<max(max(0, from), min(to, units.count - 1))
        take(range)
        anchor = nil
        return .moved
    }

    /// Takes the units behind `range`'s places away; what still waits of them goes to the one before.
    private mutating func take(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let gone = (range.lowerBound + 1)..<(range.upperBound + 1)
        let ghosts = units[gone].flatMap { unit in
            let isDigit = unit.text.unicodeScalars.contains { $0.properties.numericType == .decimal }
            return (unit.isDecided ? [] : unit.keys.map { Ghost(key: $0, isDigit: isDigit, found: unit.found) }) + unit.ghosts
        }
        units.removeSubrange(gone)
        units[range.lowerBound].ghosts.append(contentsOf: ghosts)
        caret = range.lowerBound
    }

    private mutating func move(to place: Int) -> Deed {
        if held.contains(.shift) { anchor = anchor ?? caret } else { anchor = nil }
        caret = min(max(0, place), units.count - 1)
        return .moved
    }

    private func selection() -> Range<Int>? {
        guard let anchor, anchor != caret, anchor < units.count else { return nil }
        return min(anchor, caret)..<max(anchor, caret)
    }

    private func isSpace(_ index: Int) -> Bool { [" ", "\t", "\n"].contains(units[index].text) }

    private func wordStart() -> Int {
        var place = caret
        while place > 0, isSpace(place) { place -= 1 }
        while place > 0, !isSpace(place) { place -= 1 }
        return place
    }

    private func wordEnd() -> Int {
        var place = caret
        while place < units.count - 1, isSpace(place + 1) { place += 1 }
        while place < units.count - 1, !isSpace(place + 1) { place += 1 }
        return place
    }

    private func lineStart() -> Int {
        var place = caret
        while place > 0, units[place].text != "\n" { place -= 1 }
        return place
    }

    private func lineEnd() -> Int {
        var place = caret
        while place < units.count - 1, units[place + 1].text != "\n" { place += 1 }
        return place
    }

    private static func modifier(_ name: String) -> Modifier? {
        switch name {
        case "Shift", "Shift_L", "Shift_R": .shift
        case "Control", "Ctrl", "Control_L", "Control_R": .control
        case "Alt", "Option", "Alt_L": .alt
        case "AltGraph", "AltGr", "Alt_R", "ISO_Level3_Shift": .altGraph
        case "Meta", "Super", "Command", "Cmd", "Super_L", "Super_R", "Meta_L", "OS", "Win": .command
        default: nil
        }
    }

    /// What a key types: its name is what it types, unless it is the name of a key in ASCII.
    private static func text(_ name: String) -> String? {
        if name.hasPrefix("KP_") || name.hasPrefix("Numpad") {
            let rest = name.drop { !$0.isNumber }
            if rest.count == 1 { return String(rest) }
        }
        if name.unicodeScalars.count == 1 { return name }
        // No key types more than a character of several scalars: what is longer is no key, and would be put together with all others.
        return name.utf8.count <= 64 && name.utf8.contains { $0 >= 0x80 } ? name : nil
    }
}
