import Detection
import Gate
import Rules
import Testing

/// Keys, and which of them leave.
struct TypingTests {
    /// What leaves, as a reader of the events would see it: the names of keys that went down.
    private struct Desk {
        var typing: Typing
        var names: [Int: Event.Key] = [:]
        var id = 0
        var now = Instant(nanoseconds: 0)
        var outcomes: [Typing.Outcome] = []

        init(_ limits: Typing.Limits = Typing.Limits()) throws { typing = Typing(Shared.detector, scanner: try scanner(), limits: limits) }

        mutating func event(_ detail: Event.Detail) {
            if case .key(let key) = detail { names[id] = key }
            outcomes += typing.take(Event(at: WallTime(nanoseconds: now.nanoseconds), detail: detail), id: id, at: now)
            id += 1
            now = now + .milliseconds(60)
        }

        mutating func press(_ keys: [String]) {
            for key in keys {
                event(.key(Event.Key(.down, key)))
                event(.key(Event.Key(.up, key)))
            }
        }

        /// `⌫` takes back, `←` and `→` move, `⏎` ends a line.
        mutating func type(_ text: String) {
            let names: [Character: String] = ["⌫": "Backspace", "←": "ArrowLeft", "→": "ArrowRight", "⏎": "Enter", "⌦": "Delete", "⇱": "Home", "⇲": "End"]
            press(text.map { names[$0] ?? String($0) })
        }

        mutating func wait(_ span: Span) {
            now = now + span
            outcomes += typing.tick(at: now)
        }

        mutating func finish() { outcomes += typing.finish() }

        func left(_ action: Event.Key.Action = .down) -> [String] {
            outcomes.compactMap { if case .release(let id) = $0, names[id]?.action == action { names[id]?.key } else { nil } }
        }

        var digits: [String] { (left(.down) + left(.up)).filter { $0.count == 1 && $0.first?.isNumber == true } }
        var types: Set<String> { Set(outcomes.compactMap { if case .redact(_, let type) = $0 { type.word } else { nil } }) }
    }

    @Test func `a card number typed with two corrections across two batches leaves no digit`() throws {
        var desk = try Desk()
        desk.type("pay with 4532 0157⌫1 12")
        // The agent's batch ends here.
        let first = desk.digits
        desk.wait(.seconds(2))
        desk.type("83 037⌫66 please, and thank you so much for that⏎")
        desk.finish()
        #expect(first == [])
        #expect(desk.digits == [])
        #expect(desk.types == ["card"])
        #expect(desk.left().joined() == "pay with BackspaceBackspace please, and thank you so much for thatEnter")
    }

    @Test func `a card number typed in full-width digits, with a correction, leaves no digit`() throws {
        var desk = try Desk()
        desk.type("card ４５３２　０１５７⌫１　１２８３　０３６６ please, and thank you so much for that⏎")
        desk.finish()
        #expect(desk.digits == [])
        #expect(desk.types == ["card"])
        // The control: digits of that width leave where they are no card's.
        var other = try Desk()
        other.type("line ４５ please, and thank you so much for that⏎")
        other.finish()
        #expect(other.digits.filter { "４５".contains($0) } == ["４", "５", "４", "５"])
    }

    @Test func `without waiting the first digits of that number have left`() throws {
        // The control of the test above: what it looks at can fail.
        var limits = Typing.Limits()
        limits.wait = .zero
        var desk = try Desk(limits)
        desk.type("pay 4532 ")
        #expect(!desk.digits.isEmpty)
    }

    @Test func `ordinary words leave as they were typed, in order, each key once`() throws {
        var desk = try Desk()
        desk.type("Hello there,⏎see you at 9 tomorrow; it is 12:30 now, bring 2 or 3 of them⏎")
        desk.finish()
        #expect(desk.types == [])
        #expect(desk.left().joined() == "Hello there,Entersee you at 9 tomorrow; it is 12:30 now, bring 2 or 3 of themEnter")
        #expect(desk.left(.up) == desk.left())
    }

    @Test func `a number that was whole for a moment is redacted, whatever was taken away of it`() throws {
        var desk = try Desk()
        desk.type("4532015112830366⌫⌫⏎and so on⏎")
        desk.finish()
        #expect(desk.digits == [])
    }

    @Test func `a number that was typed and taken away again is redacted`() throws {
        var desk = try Desk()
        desk.type("see 4532015112830366" + String(repeating: "⌫", count: 16) + "nothing of that⏎")
        desk.finish()
        #expect(desk.digits == [])
        #expect(desk.left().contains("Backspace"))
    }

    @Test func `digits put into the middle with arrows belong to the number`() throws {
        var desk = try Desk()
        desk.type("card 4532015283036←←←←←←11⇲6 ok, that is it, is it not, or is it⏎")
        desk.finish()
        #expect(desk.digits == [])
    }

    @Test func `a selection that is typed over is gone, and does not leave`() throws {
        var desk = try Desk()
        desk.type("4532 0151 1283 99")
        desk.event(.key(Event.Key(.down, "Shift")))
        desk.type("←←")
        desk.event(.key(Event.Key(.up, "Shift")))
        desk.type("0366 and more words that follow⏎")
        desk.finish()
        #expect(desk.digits == [])
    }

    @Test func `half a number that nobody finishes is redacted when its time is over`() throws {
        var desk = try Desk()
        desk.type("the card is 4532 0151 12")
        #expect(desk.digits == [])
        desk.wait(.seconds(19))
        #expect(desk.digits == [])
        desk.wait(.seconds(2))
        #expect(desk.typing.count == 0)
        #expect(desk.digits == [])
        #expect(desk.types == ["unfinished"])
    }

    @Test func `a word that nobody finishes leaves when its time is over`() throws {
        var desk = try Desk()
        desk.type("hello the")
        desk.wait(.seconds(21))
        #expect(desk.typing.count == 0)
        #expect(desk.left().joined() == "hello the")
    }

    @Test func `half a secret behind a word for one is redacted when its time is over`() throws {
        var desk = try Desk()
        desk.type("password: hun")
        desk.wait(.seconds(21))
        #expect(desk.left().joined() == "password: ")
    }

    @Test func `a number that goes on after a look into another window is one number`() throws {
        var desk = try Desk()
        desk.event(.window(Event.Window(app: "shop", title: "pay")))
        desk.type("4532 0151 ")
        desk.event(.window(Event.Window(app: "wallet", title: "cards")))
        desk.type("ok ")
        desk.event(.window(Event.Window(app: "shop", title: "pay")))
        desk.type("1283 0366⏎")
        desk.finish()
        #expect(desk.digits == [])
    }

    @Test func `where a click makes the caret unknown, a row of digits does not leave`() throws {
        var desk = try Desk()
        desk.type("4532 0151 12")
        desk.event(.pointer(Event.Pointer(.down, x: 1, y: 1)))
        desk.type("83 0366 is it, and that is all there is⏎")
        desk.finish()
        #expect(desk.digits == [])
    }

    @Test func `an order number leaves when words have followed it`() throws {
        var desk = try Desk()
        desk.type("order 12345678 is late, and I would like to know when it comes⏎")
        #expect(desk.digits.count == 16)
    }

    @Test func `a key that comes up under another name goes with what was typed`() throws {
        var desk = try Desk()
        desk.type("4532 0151 1283 036")
        desk.event(.key(Event.Key(.down, "6")))
        // Another layout between the two: its name has changed.
        desk.event(.key(Event.Key(.up, "&")))
        desk.type(" and then some words follow it⏎")
        desk.finish()
        #expect(!desk.left(.up).contains("&"))
    }

    @Test func `no more keys wait than there may`() throws {
        var limits = Typing.Limits()
        limits.keys = 64
        var desk = try Desk(limits)
        for _ in 0..<500 {
            desk.type("7")
            #expect(desk.typing.count <= 64)
        }
        desk.finish()
        #expect(desk.outcomes.count == 1_000)
    }

    @Test func `whatever is pressed, each key comes out once, in order, and none stays`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        let keys = ["1", "4", "5", "3", " ", "a", "é", "字", "👍", "Backspace", "Delete", "ArrowLeft", "ArrowRight", "ArrowUp", "Home", "End", "Enter", "Tab", "Shift", "Control", "Alt", "Dead", "F5", "", "KP_7", "a", "v", "z"]
        for round in 0..<60 {
            var desk = try Desk()
            var count: [Int] = []
            for _ in 0..<200 {
                switch Int.random(in: 0..<20, using: &random) {
                case 0: desk.event(.window(Event.Window(app: ["a", "b", "c", "d", "e", "f"].randomElement(using: &random) ?? "", title: "")))
                case 1: desk.event(.pointer(Event.Pointer(.down, x: 0, y: 0)))
                case 2: desk.wait(.seconds(Int64.random(in: 0...30, using: &random)))
                default:
                    count.append(desk.id)
                    desk.event(.key(Event.Key(Bool.random(using: &random) ? .down : .up, keys.randomElement(using: &random) ?? "")))
                }
            }
            desk.finish()
            let came = desk.outcomes.map { outcome in switch outcome { case .release(let id): id; case .redact(let id, _): id } }
            #expect(came == count, "seed \(seed), round \(round)")
            #expect(desk.typing.count == 0, "seed \(seed), round \(round)")
        }
    }

    @Test func `random card numbers, typed with random slips and pauses, leave no four digits in a row`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        for round in 0..<60 {
            var digits = [4] + (0..<14).map { _ in Int.random(in: 0...9, using: &random) }
            let sum = digits.reversed().enumerated().reduce(0) { sum, item in
                let value = item.offset.isMultiple(of: 2) ? item.element * 2 : item.element
                return sum + (value > 9 ? value - 9 : value)
            }
            digits.append((10 - sum % 10) % 10)
            var desk = try Desk()
            desk.type("card ")
            for (index, digit) in digits.enumerated() {
                if index > 0, index.isMultiple(of: 4) { desk.type([" ", "-", ""].randomElement(using: &random) ?? "") }
                if Int.random(in: 0..<8, using: &random) == 0 { desk.type("\((digit + 1) % 10)⌫") }
                if Int.random(in: 0..<8, using: &random) == 0 { desk.wait(.seconds(3)) }
                desk.type("\(digit)")
            }
            desk.type(" and some words behind it, so that it ends⏎")
            desk.finish()
            #expect(desk.digits.count < 8, "seed \(seed), round \(round): \(desk.left())")
        }
    }
}
