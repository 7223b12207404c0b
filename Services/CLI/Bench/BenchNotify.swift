import ArgumentParser
import Chassis
import Foundation

#if os(Linux)
struct BenchNotify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify", abstract: "How fast everybody is told: personal notices by mail over TLS, events to webhooks; a plain loop beside each.",
        discussion: """
            EXAMPLE
              sluice bench notify
              sluice bench notify --mails 1000 --mails 10000 --mails 100000 --no-references --events 0
              sluice bench notify --quick --connections 8 --json

            Notices are rendered in this process, one for each person, and handed to a sluice-notify that keeps them in its outbox and sends them while more come. The time counts
            from the first page to the commit of the last answer. The server is aiosmtpd with STARTTLS, of Tests/Bench/smtp.py; --quick: one that does nothing but read. Beside it, in
            the same run and at the same server: smtplib with as many connections, the mails ready in memory; smtp-source (without TLS, which it does not know, one mail over and over) and
            swaks (a hundred mails) where they are on the path. Events go to receivers that check their number and order; beside it libcurl alone, which keeps nothing.
            """)

    @Option(help: "People who are told; may be repeated. 0: no mails.") var mails: [Int] = [10_000]
    @Option(help: "Connections to the server.") var connections = 4
    @Flag(help: "A server that reads to the dot and does nothing else.") var quick = false
    @Option(help: "Events to each receiver. 0: no webhooks.") var events = 10_000
    @Option(help: "Receivers at once; may be repeated.") var receivers: [Int] = [1, 8]
    @Option(help: ArgumentHelp("A Python with aiosmtpd.", valueName: "python")) var python: String?
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(inversion: .prefixedNo, help: "Measure the references, too.") var references = true
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard mails.allSatisfy({ (0...1_000_000).contains($0) }), (1...16).contains(connections), (0...1_000_000).contains(events), receivers.allSatisfy({ (1...32).contains($0) }) else {
            throw ValidationError("--mails and --events 0 to 1000000, --connections 1 to 16 and --receivers 1 to 32 are expected")
        }
    }

    struct MailRow: Encodable {
        var who: String
        var mails: Int
        /// Of each, on average.
        var octets: Int
        var seconds: Double
        var mailsPerSecond: Double
        /// Seconds of the processor.
        var rendering: Double?
        var sender: Double?
        var server: Double
        var connections: Int
        var peakBytes: Int?
    }

    struct HookRow: Encodable {
        var who: String
        var receivers: Int
        var events: Int
        var seconds: Double
        var perSecond: Double
        var sender: Double
        var receiver: Double
        var peakBytes: Int
    }

    private struct Report: Encodable {
        var mails: [MailRow]
        var webhooks: [HookRow]
    }

    func run() throws {
        progress("\(Machine.description); load \(Machine.load) before")
        var report = Report(mails: [], webhooks: [])
        for count in mails where count > 0 {
            let notices = try BenchNotices(count)
            report.mails.append(try measure(notices))
            if references { report.mails += try self.references(notices) }
        }
        for count in receivers where events > 0 {
            report.webhooks.append(try measure(receivers: count, plain: false))
            if references { report.webhooks.append(try measure(receivers: count, plain: true)) }
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            encoder.keyEncodingStrategy = .convertToSnakeCase
            return print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }
        if !report.mails.isEmpty {
            var table = FiguresTable("mails by", "mails", "octets each", "seconds", "mails/s", "rendering CPU", "sender CPU", "server CPU", "sender's peak memory")
            for row in report.mails {
                table.add(
                    row.who, Show.number(row.mails), Show.number(row.octets), Figures.number(row.seconds), Figures.number(row.mailsPerSecond, decimals: 0), seconds(row.rendering), seconds(row.sender),
                    seconds(row.server), row.peakBytes.map { Show.bytes(Int64($0)) } ?? "")
            }
            print(table.formatted())
        }
        guard !report.webhooks.isEmpty else { return }
        var table = FiguresTable("webhooks by", "receivers", "deliveries", "seconds", "deliveries/s", "sender CPU", "receivers' CPU", "sender's peak memory")
        for row in report.webhooks {
            table.add(
                row.who, "\(row.receivers)", Show.number(row.events), Figures.number(row.seconds), Figures.number(row.perSecond, decimals: 0), seconds(row.sender), seconds(row.receiver),
                Show.bytes(Int64(row.peakBytes)))
        }
        print(table.formatted())
    }

    private func seconds(_ value: Double?) -> String { value.map { "\(Figures.number($0)) s" } ?? "" }

    /// As `bench-delivery` tells it.
    private struct Delivered: Decodable {
        var seconds: Double
        var processor: Double
        var peakBytes: Int
        var delivered: Int
        var waiting: Int
        var givenUp: Int
        var error: String?

        init(_ data: Data) throws {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            guard let told = try? decoder.decode(Delivered.self, from: data) else { throw Complaint("sluice-notify did not tell what became of them") }
            self = told
        }

        /// - Throws: ``Complaint``: something was not delivered, and so nothing was measured.
        func check(_ count: Int) throws {
            guard delivered == count, waiting == 0, givenUp == 0, error == nil else {
                throw Complaint("of \(count) \(delivered) were delivered, \(waiting) wait, \(givenUp) were given up: \(error ?? "no reason")")
            }
        }
    }

    // MARK: Mails

    private func measure(_ notices: BenchNotices) throws -> MailRow {
        progress("\(notices.count) mails")
        let place = try Place(folder)
        let server = try MailServer(script: script(), python: try interpreter(), isQuick: quick, in: place)
        try place.settle(["mail": ["url": "smtp://127.0.0.1:\(server.port)", "from": "sluice@example.com", "operators": [String](), "ca": server.certificate, "connections": connections] as [String: Any]])
        let notify = Process()
        notify.executableURL = URL(fileURLWithPath: try Suite.binaries() + "/sluice-notify")
        notify.arguments = ["bench-delivery", "--folder", place.path, "--seconds", "3600"]
        let (input, output) = (Pipe(), Pipe())
        (notify.standardInput, notify.standardOutput) = (input, output)
        try notify.run()
        let (started, used) = (Stopwatch.now(), CPUTime(of: getpid())?.total ?? 0)
        var octets = 0
        for number in 0..<notices.count {
            // What Foundation makes on the way goes at once.
            let notice = try notices.notice(number)
            octets += notice.bytes.count
            try input.fileHandleForWriting.write(contentsOf: notice.frame)
        }
        try input.fileHandleForWriting.close()
        let rendering = (CPUTime(of: getpid())?.total ?? 0) - used
        let told = try Delivered(output.fileHandleForReading.readDataToEndOfFile())
        let took = Stopwatch.now() - started
        notify.waitUntilExit()
        try told.check(notices.count)
        let tally = try server.end()
        guard tally.mails == notices.count, tally.recipients == notices.count else { throw Complaint("the server has \(tally.mails) mails for \(tally.recipients) people, of \(notices.count)") }
        return MailRow(
            who: "sluice-notify", mails: notices.count, octets: octets / notices.count, seconds: took, mailsPerSecond: Double(notices.count) / took, rendering: rendering, sender: told.processor,
            server: tally.processor, connections: tally.connections, peakBytes: told.peakBytes)
    }

    /// Others, with the same mails at the same server.
    private func references(_ notices: BenchNotices) throws -> [MailRow] {
        let place = try Place(folder)
        let (python, script) = (try interpreter(), try script())
        let mails = place.path + "/mails"
        guard FileManager.default.createFile(atPath: mails, contents: nil), let file = FileHandle(forWritingAtPath: mails) else { throw Complaint("cannot write \(mails)") }
        var octets = 0
        for number in 0..<notices.count {
            let notice = try notices.notice(number)
            octets += notice.bytes.count
            try file.write(contentsOf: notice.frame)
        }
        try file.close()
        let first = place.path + "/first"
        try Data(notices.notice(0).bytes).write(to: URL(fileURLWithPath: first))
        var rows: [MailRow] = []
        func row(_ who: String, _ count: Int, _ octets: Int, _ run: (MailServer) throws -> (seconds: Double, processor: Double?)) throws {
            progress(who)
            let server = try MailServer(script: script, python: python, isQuick: quick, in: place)
            let (seconds, processor) = try run(server)
            let tally = try server.end()
            guard tally.mails == count else { throw Complaint("\(who) has brought \(tally.mails) mails, of \(count)") }
            rows.append(
                MailRow(
                    who: who, mails: count, octets: octets, seconds: seconds, mailsPerSecond: Double(count) / seconds, rendering: nil, sender: processor, server: tally.processor,
                    connections: tally.connections, peakBytes: nil))
        }
        struct Sent: Decodable {
            var seconds: Double
            var processor: Double
            var failures: [String]
        }
        try row("smtplib", notices.count, octets / notices.count) { server in
            let sender = Process()
            sender.executableURL = URL(fileURLWithPath: python)
            sender.arguments = [script, "send", "\(server.port)", server.certificate, "\(connections)"]
            sender.standardInput = FileHandle(forReadingAtPath: mails)
            let output = Pipe()
            sender.standardOutput = output
            try sender.run()
            let data = output.fileHandleForReading.readDataToEndOfFile()
            sender.waitUntilExit()
            guard let sent = try? JSONDecoder().decode(Sent.self, from: data) else { throw Complaint("smtplib did not tell what it sent") }
            guard sent.failures.isEmpty else { throw Complaint("smtplib: \(sent.failures[0])") }
            return (sent.seconds, sent.processor)
        }
        if let source = BenchNotify.onPath("smtp-source") {
            try row("smtp-source, no TLS", notices.count, notices.notice(0).bytes.count) { server in
                try timed([source, "-s", "\(connections)", "-m", "\(notices.count)", "-f", "sluice@example.com", "-t", "e0@example.org", "-F", first, "127.0.0.1:\(server.plainPort)"])
            }
        }
        if let swaks = BenchNotify.onPath("swaks") {
            let count = min(100, notices.count)
            try row("swaks, a process each", count, notices.notice(0).bytes.count) { server in
                var total = 0.0
                for number in 0..<count {
                    total += try timed([
                        swaks, "--server", "127.0.0.1", "--port", "\(server.port)", "--tls", "--from", "sluice@example.com", "--to", "e\(number)@example.org", "--data", "@\(first)", "--silent", "3",
                    ]).seconds
                }
                return (total, nil)
            }
        }
        return rows
    }

    private func timed(_ arguments: [String]) throws -> (seconds: Double, processor: Double?) {
        let started = Stopwatch.now()
        let process = try ChildProcess(arguments)
        var status: Int32 = 0
        waitpid(process.id, &status, 0)
        guard status == 0 else { throw Complaint("\(arguments[0]) failed") }
        return (Stopwatch.now() - started, nil)
    }

    private static func onPath(_ name: String) -> String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    private func interpreter() throws -> String {
        guard let found = python ?? BenchNotify.onPath("python3") else { throw Complaint("there is no python3 on the path: say --python") }
        return found
    }

    private func script() throws -> String {
        let script = "Tests/Bench/smtp.py"
        guard FileManager.default.fileExists(atPath: script) else { throw Complaint("\(script) is not here: run this in the source folder") }
        return script
    }

    // MARK: Webhooks

    private func measure(receivers count: Int, plain: Bool) throws -> HookRow {
        let who = plain ? "libcurl alone" : "sluice-notify"
        progress("\(events) events to \(count) receivers, by \(who)")
        let place = try Place(folder)
        let output = place.path + "/receiver"
        let receiver = try ChildProcess([Suite.binaries() + "/sluice", "bench-receiver", "--receivers", "\(count)"], output: output)
        let ports = try BenchNotify.ports(output, receiver)
        let secret = "whsec_" + Data(repeating: 7, count: 32).base64EncodedString()
        try place.settle([
            "hooks": ports.enumerated().map { ["name": "receiver-\($0.offset)", "url": "http://127.0.0.1:\($0.element)/", "secrets": [secret], "allow_private": true] as [String: Any] }
        ])
        let notify = Process()
        notify.executableURL = URL(fileURLWithPath: try Suite.binaries() + "/sluice-notify")
        notify.arguments = ["bench-delivery", "--folder", place.path, "--events", "\(events)", "--seconds", "3600"] + (plain ? ["--plain"] : [])
        let answer = Pipe()
        notify.standardOutput = answer
        notify.standardInput = FileHandle.nullDevice
        try notify.run()
        let told = try Delivered(answer.fileHandleForReading.readDataToEndOfFile())
        notify.waitUntilExit()
        let processor = CPUTime(of: receiver.id)?.total ?? 0
        try told.check(events * count)
        receiver.end(within: 5)
        let lines = String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self).split(separator: "\n")
        guard let last = lines.last, let tallies = try? JSONDecoder().decode([HookReceiver.Tally].self, from: Data(last.utf8)), tallies.count == count else {
            throw Complaint("the receivers did not tell what came")
        }
        guard tallies.allSatisfy({ $0.received == events && $0.distinct == events && $0.outOfOrder == 0 }) else { throw Complaint("\(events) events, once and in order, were expected at each receiver: \(last)") }
        return HookRow(
            who: who, receivers: count, events: told.delivered, seconds: told.seconds, perSecond: Double(told.delivered) / told.seconds, sender: told.processor, receiver: processor,
            peakBytes: told.peakBytes)
    }

    /// Of the first line that it prints.
    fileprivate static func ports(_ output: String, _ process: ChildProcess) throws -> [UInt16] {
        let deadline = Stopwatch.now() + 30
        while Stopwatch.now() < deadline, !process.checkEnded() {
            let text = String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self)
            if let end = text.firstIndex(of: "\n") { return text[..<end].split(separator: " ").compactMap { UInt16($0) } }
            usleep(10_000)
        }
        throw Complaint("\(String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self).suffix(300)): nothing listens")
    }
}

/// A folder of one measurement, gone with it.
private final class Place {
    let path: String

    init(_ parent: String) throws {
        path = parent + "/sluice-bench-notify-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes `notify.json`.
    func settle(_ settings: [String: Any]) throws {
        let data = try JSONSerialization.data(withJSONObject: settings)
        guard FileManager.default.createFile(atPath: path + "/notify.json", contents: data, attributes: [.posixPermissions: 0o600]) else { throw Complaint("cannot write \(path)/notify.json") }
    }
}

/// `Tests/Bench/smtp.py serve`.
private final class MailServer {
    let port: UInt16
    /// Without TLS.
    let plainPort: UInt16
    let certificate: String
    private let process: ChildProcess
    private let output: String

    struct Tally: Decodable {
        var mails: Int
        var octets: Int
        var recipients: Int
        var connections: Int
        var processor: Double
    }

    init(script: String, python: String, isQuick: Bool, in place: Place) throws {
        output = place.path + "/server"
        certificate = place.path + "/cert.pem"
        try? FileManager.default.removeItem(atPath: output)
        process = try ChildProcess([python, script, "serve", place.path] + (isQuick ? ["--quick"] : []), output: output)
        let ports = try BenchNotify.ports(output, process)
        guard ports.count == 2 else { throw Complaint("\(script) names no ports: has \(python) aiosmtpd?") }
        (port, plainPort) = (ports[0], ports[1])
    }

    func end() throws -> Tally {
        process.end(within: 5)
        let lines = String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self).split(separator: "\n")
        guard let last = lines.last, let tally = try? JSONDecoder().decode(Tally.self, from: Data(last.utf8)) else { throw Complaint("the server did not tell what came") }
        return tally
    }
}
#endif
