/// The version of the gate. Grows with every pause and every resume; never goes back, on any node, across restarts (G3).
package struct Epoch: Hashable, Comparable, Sendable {
    package var number: UInt64

    package init(_ number: UInt64) { self.number = number }

    package static let none = Epoch(0)
    package var next: Epoch { Epoch(number + 1) }
    package static func < (left: Epoch, right: Epoch) -> Bool { left.number < right.number }
}

/// A class of data, by its name in the policy document: `activity`, `content`, `conversation`, `review`, …
package struct DataClass: Hashable, Comparable, Sendable {
    package var name: String

    package init(_ name: String) { self.name = name }
    package static func < (left: DataClass, right: DataClass) -> Bool { left.name < right.name }
}

/// Which way a closure stops data.
package enum Direction: Hashable, Sendable {
    case capture, read, both

    package var stopsCapture: Bool { self != .read }
    package var stopsReading: Bool { self != .capture }
}

/// Whom a closure concerns. Each list that is not empty must hold the value in question; with no list, everything.
package struct Selector: Hashable, Sendable {
    package var sites: Set<String>
    package var teams: Set<String>
    package var subjects: Set<String>
    package var classes: Set<DataClass>
    package var readers: Set<String>
    package var purposes: Set<String>

    package init(
        sites: Set<String> = [], teams: Set<String> = [], subjects: Set<String> = [], classes: Set<DataClass> = [],
        readers: Set<String> = [], purposes: Set<String> = []
    ) {
        self.sites = sites
        self.teams = teams
        self.subjects = subjects
        self.classes = classes
        self.readers = readers
        self.purposes = purposes
    }

    package static let everything = Selector()

    /// A closure for certain readers or purposes leaves capture alone: nobody captures for a reader.
    package var concernsCapture: Bool { readers.isEmpty && purposes.isEmpty }

    /// It looks at no site, team or subject: whoever it is, it matches.
    package var concernsEveryone: Bool { sites.isEmpty && teams.isEmpty && subjects.isEmpty }

    package func matches(_ scope: Scope) -> Bool {
        (sites.isEmpty || sites.contains(scope.site)) && (teams.isEmpty || teams.contains(scope.team))
            && (subjects.isEmpty || subjects.contains(scope.subject))
    }

    package func matches(_ scope: Scope, _ dataClass: DataClass) -> Bool {
        matches(scope) && (classes.isEmpty || classes.contains(dataClass))
    }

    package func matches(_ reading: Reading) -> Bool {
        matches(reading.scope, reading.dataClass) && (readers.isEmpty || readers.contains(reading.reader))
            && (purposes.isEmpty || purposes.contains(reading.purpose))
    }
}

/// Where in the company an agent, or a segment of data, belongs.
package struct Scope: Hashable, Sendable {
    package var subject: String
    package var site: String
    package var team: String

    package init(subject: String, site: String, team: String) {
        self.subject = subject
        self.site = site
        self.team = team
    }
}

/// One wish to read: whose data of which class, by whom and what for.
package struct Reading: Hashable, Sendable {
    package var scope: Scope
    package var dataClass: DataClass
    package var reader: String
    package var purpose: String

    package init(scope: Scope, dataClass: DataClass, reader: String, purpose: String) {
        self.scope = scope
        self.dataClass = dataClass
        self.reader = reader
        self.purpose = purpose
    }
}

/// A part of the flow that is stopped, from one epoch until a resume.
package struct Closure: Hashable, Sendable {
    /// The epoch that it began. Identifies it.
    package var epoch: Epoch
    package var direction: Direction
    package var selector: Selector
    package var reason: String
    package var author: String
    package var incident: UInt64
    /// Control's wall clock when the command arrived.
    package var from: WallTime
    /// Control's wall clock at the resume; nil while in force.
    package var until: WallTime?

    package init(
        epoch: Epoch, direction: Direction, selector: Selector, reason: String, author: String, incident: UInt64,
        from: WallTime, until: WallTime? = nil
    ) {
        self.epoch = epoch
        self.direction = direction
        self.selector = selector
        self.reason = reason
        self.author = author
        self.incident = incident
        self.from = from
        self.until = until
    }

    package var stopsCapture: Bool { direction.stopsCapture && selector.concernsCapture }
    package var stopsReading: Bool { direction.stopsReading }
}
