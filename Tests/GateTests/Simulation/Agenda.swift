/// What happens next: a binary heap by time, then by the order in which it was put in.
struct Agenda {
    struct Item {
        var time: Int64
        var order: UInt64
        var work: () -> Void

        static func < (left: Item, right: Item) -> Bool { left.time != right.time ? left.time < right.time : left.order < right.order }
    }

    private var items: [Item] = []
    private var order: UInt64 = 0

    mutating func add(at time: Int64, _ work: @escaping () -> Void) {
        order += 1
        items.append(Item(time: time, order: order, work: work))
        var child = items.count - 1
        while child > 0, items[child] < items[(child - 1) / 2] {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> Item? {
        guard let first = items.first else { return nil }
        let last = items.removeLast()
        guard !items.isEmpty else { return first }
        items[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child] < items[least] { least = child }
            if least == parent { return first }
            items.swapAt(parent, least)
            parent = least
        }
    }
}
