import Foundation
import Gate
import Testing

@testable import sluice_notify

struct BounceBoxTests {
    let folder: Folder
    let outbox: Outbox
    let box: BounceBox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
        for part in ["new", "cur", "tmp"] { try FileManager.default.createDirectory(atPath: folder["mail/" + part], withIntermediateDirectories: true) }
        box = BounceBox(folder["mail"], outbox: outbox, key: .test)
        let notices: [Outbox.Notice] = [.test(1), .test(2)]
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: now)
        for number in 1...2 { try outbox.record([.init(id: "mail_9_E000\(number)", verdict: .delivered, at: now)]) }
    }

    static func report(of subject: Int = 1, action: String = "failed", original: String? = nil, id: String? = nil) -> String {
        """
        From: MAILER-DAEMON@example.com
        Content-Type: multipart/report; report-type=delivery-status; boundary="b"

        --b
        Content-Type: text/plain

        It was not delivered.
        --b
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mx.example.com

        Original-Recipient: rfc822;\(original ?? "e000\(subject)@example.com")
        Final-Recipient: rfc822;somebody@elsewhere.example
        Action: \(action)
        Status: 5.1.1
        Diagnostic-Code: smtp; 550 no such user
        --b
        Content-Type: text/rfc822-headers

        Message-ID: <\(id ?? "mail_9_E000\(subject)")@example.com>
        --b--
        """
    }
    func put(_ text: String, _ name: String, in part: String = "new") throws { try Data(text.utf8).write(to: URL(fileURLWithPath: folder["mail/\(part)/\(name)"])) }
    func names(_ part: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder["mail/" + part])) ?? []).sorted() }
    func unreached() throws -> [String] { try outbox.rounds(of: 7, limit: 9).flatMap { $0.unreached.map { "\($0.subject) \($0.why)" } } }

    @Test func `what comes back marks its person as unreachable, and is put aside`() throws {
        try put(BounceBoxTests.report(), "1")
        try put(BounceBoxTests.report(of: 2), "2:2,S", in: "cur")
        #expect(try box.look(at: now) == .init(noted: 2, handled: 2))
        #expect(try unreached() == ["E0001 it came back: 5.1.1 550 no such user", "E0002 it came back: 5.1.1 550 no such user"])
        #expect(names("new") + names("cur") == [] && names(".Sluice/cur") == ["1:2,", "2:2,S"])
        #expect(try box.look(at: now) == .init())
        // Killed before it was moved.
        try put(BounceBoxTests.report(), "1")
        #expect(try BounceBox(folder["mail"], outbox: outbox, key: .test).look(at: now) == .init(noted: 0, handled: 1))
        #expect(try Outbox(path: outbox.path).rounds(of: 7, limit: 0).map(\.unreachable) == [2])
    }

    @Test func `what cannot be put aside is noted all the same, and why it lies there is said until it can`() throws {
        // Whoever the tests run as: in a file nobody makes a folder.
        try put("", "../.Sluice")
        try put(BounceBoxTests.report(), "1")
        let why = "what is about our mails cannot be put aside in \(folder["mail"])/.Sluice: Not a directory"
        #expect(try box.look(at: now) == .init(noted: 1, left: 1, unmoved: why))
        #expect(try box.look(at: now) == .init(left: 1, unmoved: why) && unreached().count == 1 && names("new") == ["1"])
        try FileManager.default.removeItem(atPath: folder["mail/.Sluice"])
        try put(BounceBoxTests.report(of: 2), "2")
        #expect(try box.look(at: now) == .init(noted: 1, handled: 1, left: 1) && names(".Sluice/cur") == ["2:2,"])
    }

    @Test func `that a mail is late is no reason to mark anybody`() throws {
        try put(BounceBoxTests.report(action: "delayed"), "1")
        #expect(try box.look(at: now) == .init(noted: 0, handled: 1))
        #expect(try unreached() == [])
    }

    @Test func `whatever else lies there is left, counted once, and marks nobody`() throws {
        try put("Subject: I am away\n\nUntil Monday.", "away")
        try put(BounceBoxTests.report(id: "mail_of_somebody"), "foreign")
        try put(BounceBoxTests.report(original: "eve@example.com"), "forged")
        try put(BounceBoxTests.report(id: "msg_1"), "other")
        try put(String(repeating: "a", count: 1 << 20), "large")
        try FileManager.default.createDirectory(atPath: folder["mail/new/folder"], withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: folder["mail/new/link"], withDestinationPath: folder["outbox.sqlite"])
        for _ in 1...2 { #expect(try box.look(at: now) == .init(left: 7)) }
        try FileManager.default.moveItem(atPath: folder["mail/new/away"], toPath: folder["mail/cur/away:2,S"])
        #expect(try box.look(at: now) == .init(left: 7), "the same, read by somebody")
        #expect(names("new").count == 6 && names("cur").count == 1)
        #expect(try unreached() == [])
    }

    @Test func `a full mailbox is read in parts`() throws {
        let files = BounceBox.Bounds().files
        for number in 0..<files + 10 { try put("junk", "j\(number)") }
        let first = try box.look(at: now)
        #expect(first.hasMore && first.left == files)
        #expect(try box.look(at: now) == .init(left: files + 10))
    }

    /// Until there is no more to look at. Each look within its bounds.
    private func lookAll(_ box: BounceBox, _ bounds: BounceBox.Bounds, at time: WallTime? = nil) throws -> (last: BounceBox.Look, noted: Int) {
        var noted = 0
        for _ in 0..<200 {
            let before = box.filesOpened
            let look = try box.look(at: time ?? now)
            #expect(box.filesOpened - before <= bounds.files)
            noted += look.noted
            if !look.hasMore { return (look, noted) }
        }
        Issue.record("it goes round and round")
        return (.init(), noted)
    }

    @Test func `more left-over mails than are known by name are looked at once, and what comes after is reached`() throws {
        // Far more than come within a tick of the kernel's clock.
        let bounds = BounceBox.Bounds(files: 100, names: 300, found: 700, known: 600)
        let box = BounceBox(folder["mail"], outbox: outbox, key: .test, bounds)
        for number in 0..<2_000 { try put("junk", "j\(number)", in: number % 3 == 0 ? "cur" : "new") }
        #expect(try lookAll(box, bounds).last == .init(left: 2_000))
        #expect(box.filesOpened == 2_000, "each once")
        for _ in 1...3 { #expect(try lookAll(box, bounds).last == .init(left: 2_000)) }
        #expect(box.filesOpened == 2_000)
        try put(BounceBoxTests.report(), "a")
        try put(BounceBoxTests.report(of: 2), "z", in: "cur")
        #expect(try lookAll(box, bounds).noted == 2 && box.filesOpened == 2_002)
        for number in 2_000..<2_100 { try put("junk", "j\(number)") }
        #expect(try lookAll(box, bounds).last.left == 2_100 && box.filesOpened == 2_102)
    }

    @Test func `after a clock was put back all that is left is looked at again, and nothing is missed`() throws {
        let bounds = BounceBox.Bounds(files: 100, names: 300, found: 3_000, known: 600)
        let box = BounceBox(folder["mail"], outbox: outbox, key: .test, bounds)
        for number in 0..<1_500 { try put("junk", "j\(number)") }
        _ = try lookAll(box, bounds)
        try put(BounceBoxTests.report(), "a")
        #expect(try lookAll(box, bounds, at: WallTime(nanoseconds: 1_000_000_000_000_000_000)).noted == 1)
        #expect(box.filesOpened == 3_001)
    }

    @Test func `a mail that is moved between finding and reading is read where it is`() throws {
        let bounds = BounceBox.Bounds(files: 1, names: 70, found: 90, known: 40)
        let box = BounceBox(folder["mail"], outbox: outbox, key: .test, bounds)
        for name in ["1", "2"] { try put("junk", name) }
        try put(BounceBoxTests.report(), "3")
        #expect(try box.look(at: now).hasMore)
        try FileManager.default.moveItem(atPath: folder["mail/new/3"], toPath: folder["mail/cur/3:2,S"])
        _ = try lookAll(box, bounds)
        #expect(try unreached() == [], "the control: it was not there")
        _ = try lookAll(box, bounds)
        #expect(try unreached().count == 1)
    }

    @Test func `a folder that is gone is said, and no failure`() throws {
        try FileManager.default.removeItem(atPath: folder["mail"])
        #expect(try box.look(at: now).trouble == "\(folder["mail/new"]) cannot be read: No such file or directory")
    }
}
