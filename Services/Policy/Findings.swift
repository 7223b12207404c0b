import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Rules
import SwiftProtobuf
import Wire

/// What policy's detectors have found, from the moment when reading is closed for it here until control's closure for it is in force.
///
/// Lives on the reactor's thread. Reading closes in process, at once, and waits neither for a disk nor for control: if control cannot be reached it stays closed.
/// Beside that each finding is a file, so that a policy that is killed in between closes again when it starts.
final class Findings {
    private let fence: SharedFence
    private let files: FindingFiles
    private let logger: Logger
    /// Not taken by control yet, by id.
    private var open: [[UInt8]: Finding] = [:]
    private var sentAt: Instant?
    /// Control has said that it has them for good, in an entry or among those that it only counts.
    private var answered: Set<[UInt8]> = []
    /// What was found already of what is closed: once is enough.
    private var known: Set<Cause> = []
    /// Further findings of a cause that is closed already.
    private(set) var repeated: UInt64 = 0
    private(set) var counts: [String: UInt64] = [:]

    private struct Cause: Hashable {
        let detector: String
        let direction: Direction
        let selector: Selector
    }

    /// Until an answer comes.
    private static let sendEvery = Span.milliseconds(500)

    init(_ files: FindingFiles, fence: SharedFence, logger: Logger) {
        self.files = files
        self.fence = fence
        self.logger = logger
        for finding in files.found {
            open[finding.id] = finding
            fence.change { $0.close(for: finding) }
            logger.critical("FINDING of an earlier run, which control has not taken yet: reads stay closed: \(finding.sentence)")
        }
    }

    var waiting: Int { open.count }

    /// Names in it may be of any letters: what is longer in bytes control would refuse for ever.
    private static func cut(_ sentence: String) -> String {
        let left = String(sentence.prefix(500))
        return left.utf8.count <= Limits.reasonBytesMax ? left : String(decoding: left.utf8.prefix(Limits.reasonBytesMax - 3), as: UTF8.self)
    }

    /// - Parameter known: The gate as it is in force: what it stops already is found once more only by another detector.
    /// - Returns: false: it was found already, and is closed.
    func take(_ detector: LeakDetector, _ reaction: PolicyDocument.LeakReaction, _ sentence: String, _ names: Selector, gate: GateState) -> Bool {
        let noticed = Clock.now()
        var finding = Finding(
            id: [UInt8].random(Finding.idBytes), detector: detector.rawValue, sentence: Findings.cut(sentence), direction: reaction.close, selector: names.narrowed(to: reaction.of), at: Clock.wall())
        let cause = Cause(detector: finding.detector, direction: finding.direction, selector: finding.selector)
        let closure = finding.closure(.none, incident: 0, from: finding.at)
        counts[finding.detector, default: 0] += 1
        let isOpen = open.values.contains { $0.detector == finding.detector && $0.selector == finding.selector && $0.direction == finding.direction }
        let isClosed = gate.closures.contains { $0.covers(closure) }
        // After a start what control has closed for it is all that is known.
        if gate.closures.contains(where: { $0.author == finding.author && $0.selector == finding.selector && $0.direction == finding.direction }) { known.insert(cause) }
        if !isClosed { known.remove(cause) }
        guard !isOpen, known.insert(cause).inserted else {
            repeated += 1
            return false
        }
        fence.change { $0.close(for: finding) }
        // Rounded up: what is said to have been closed by then was.
        finding.closedAfter = .microseconds((Clock.now() - noticed).microseconds + 1)
        open[finding.id] = finding
        sentAt = nil
        files.keep(finding)
        logger.critical("FINDING \(finding.detector): \(finding.sentence); reads closed in policy (\(finding.selector.words))")
        return true
    }

    /// Finds what a drill is about, as if a detector had: closed here at once, kept, and told. Nothing of it is known from before, or remembered.
    func take(_ drill: Drill) {
        guard !open.values.contains(where: { $0.detector == Drill.detector }) else { return }
        let noticed = Clock.now()
        var finding = drill.finding(id: [UInt8].random(Finding.idBytes), at: Clock.wall())
        fence.change { $0.close(for: finding) }
        finding.closedAfter = .microseconds((Clock.now() - noticed).microseconds + 1)
        counts[finding.detector, default: 0] += 1
        open[finding.id] = finding
        sentAt = nil
        files.keep(finding)
        logger.notice("\(finding.sentence); reads closed in policy (\(finding.selector.words))")
    }

    /// What to tell control now.
    func due(at now: Instant) -> [Finding] {
        guard !open.isEmpty, sentAt.map({ now - $0 >= Findings.sendEvery }) ?? true else { return [] }
        sentAt = now
        return open.values.sorted { $0.at < $1.at }
    }

    func answered(_ id: [UInt8]) { if open[id] != nil { answered.insert(id) } }

    /// Control's ledger holds these, and what it says is closed is closed here: the gate decides from now on.
    func handOver(_ governance: Governance, gate: GateState) {
        guard !open.isEmpty else { return }
        // A gate from before the finding was recorded would open what is closed.
        let inForce = Set(gate.closures.map(\.epoch))
        guard governance.gate.closures.allSatisfy({ inForce.contains($0.epoch) }) else { return }
        for (id, finding) in open {
            let closure = finding.closure(.none, incident: 0, from: finding.at)
            // A drill that is over has no more to close.
            let isOver = finding.detector == Drill.detector && governance.drillUnderWay == nil
            guard isOver || governance.found[id] != nil || answered.contains(id) && gate.closures.contains(where: { $0.covers(closure) }) else { continue }
            open[id] = nil
            answered.remove(id)
            files.drop(id)
            fence.change { $0.handOver(id) }
        }
    }
}

extension Selector {
    /// As much of it as the reaction is for. What the finding does not name, it cannot narrow.
    fileprivate func narrowed(to extent: Extent) -> Selector {
        switch extent {
        case .everything: .everything
        case .class: Selector(classes: classes)
        case .reader: Selector(readers: readers)
        case .purpose: Selector(purposes: purposes)
        case .subject: Selector(subjects: subjects)
        }
    }

    fileprivate var words: String {
        let parts = [
            ("class", classes.map(\.name)), ("reader", Array(readers)), ("purpose", Array(purposes)), ("subject", Array(subjects)),
        ].filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1.sorted().prefix(5).joined(separator: ", "))" }
        return parts.isEmpty ? "everything" : parts.joined(separator: ", ")
    }
}

/// Findings on their way to control, a file each, written beside everything else.
final class FindingFiles: Sendable {
    private enum Work: Sendable {
        case keep(Finding)
        case drop([UInt8])
        case stop
    }

    private let folder: String
    private let work = Queue<Work>()
    private let logger: Logger
    /// As the last run left them. One that cannot be read closes everything.
    let found: [Finding]
    /// Their files.
    private let names: [[UInt8]: String]

    init(_ folder: String, logger: Logger) throws {
        self.folder = folder
        self.logger = logger
        do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]) } catch {
            throw Complaint("cannot make \(folder): \(error.localizedDescription)")
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".finding") }.sorted()
        var files: [[UInt8]: String] = [:]
        found = names.map { name in
            let path = folder + "/" + name
            if let data = FileManager.default.contents(atPath: path), let finding = (try? WireFinding(serializedBytes: data))?.value, FindingFiles.name(finding.id) == name {
                files[finding.id] = name
                return finding
            }
            logger.critical("\(path) is a finding that cannot be read: everything is closed for it. Control takes it as such; remove the file only when you know what it was")
            let id = FindingFiles.id(name) ?? [UInt8].random(Finding.idBytes)
            files[id] = name
            return Finding(
                id: id, detector: LeakDetector.report.rawValue, sentence: "a finding of an earlier run cannot be read (\(name))", direction: .both, selector: .everything, at: Clock.wall())
        }
        self.names = files
    }

    func start() { startThread("findings") { [self] in run() } }
    func stop() { work.put(.stop) }
    func keep(_ finding: Finding) { work.put(.keep(finding)) }
    func drop(_ id: [UInt8]) { work.put(.drop(id)) }

    private static func name(_ id: [UInt8]) -> String { id.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + ".finding" }

    private static func id(_ name: String) -> [UInt8]? {
        let hex = Array(name.utf8.dropLast(".finding".utf8.count))
        guard hex.count == Finding.idBytes * 2 else { return nil }
        let bytes = stride(from: 0, to: hex.count, by: 2).compactMap { UInt8(String(decoding: hex[$0..<$0 + 2], as: UTF8.self), radix: 16) }
        return bytes.count == Finding.idBytes ? bytes : nil
    }

    private func run() {
        while true {
            for item in work.takeAll() {
                switch item {
                case .keep(let finding):
                    // Whoever is killed before this and told control nothing has closed nothing for good; its detector finds it again.
                    do throws(SecretFileError) {
                        var bytes = [UInt8]((try? WireFinding(finding).serializedData()) ?? Data())
                        try SecretFile.write(SecretBytes(wiping: &bytes), to: folder + "/" + FindingFiles.name(finding.id))
                        FaultPoint.pass("after-finding-kept")
                    } catch { logger.error("a finding is not on the disk until control has it: \(error)") }
                case .drop(let id):
                    let path = folder + "/" + (names[id] ?? FindingFiles.name(id))
                    if unlink(path) != 0, errno != ENOENT { logger.error("cannot remove \(path) (\(String(cString: strerror(errno)))): the next start closes for it again") }
                case .stop: return
                }
            }
        }
    }
}
