import Foundation
import Gate
import Mail
import Testing

@testable import sluice_notify

struct RemindersTests {
    func hours(_ span: Int64) -> Span { .seconds(span * 3_600) }
    func open(isLeak: Bool = true) -> Cases {
        var cases = Cases()
        cases.open(7, isLeak: isLeak)
        return cases
    }

    @Test func `operators are reminded at 24, 48 and 66 of the 72 hours, once each`() {
        let cases = open()
        var reminders = Reminders()
        var (minutes, heard): ([Int64], [Int64]) = ([], [])
        for minute in Int64(0)...(80 * 60) {
            for reminder in reminders.next(cases.incidents, at: Cases.start + .seconds(minute * 60)) { (minutes, heard) = (minutes + [minute], heard + [reminder.hours]) }
        }
        #expect(minutes == [1_440, 2_880, 3_960])
        #expect(heard == Reminders.hours)
        #expect(reminders.next(cases.incidents, at: Cases.start + hours(24)) == [], "a clock that is set back")
    }

    @Test func `the moment before nothing is due`() {
        let cases = open()
        for at in Reminders.hours {
            let before = Cases.start + hours(at) - Span(nanoseconds: 1)
            #expect(Reminders.due(cases.incidents[0], at: before).map(\.hours) == Reminders.hours.filter { $0 < at })
            #expect(Reminders.due(cases.incidents[0], at: before + Span(nanoseconds: 1)).map(\.hours) == Reminders.hours.filter { $0 <= at })
        }
    }

    @Test func `a clock that is set forward says each that was missed once, and one that is set back none twice`() throws {
        let (cases, folder) = (open(), try Folder())
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        var reminders = Reminders()
        func tell(at hour: Int64) throws -> [Int64] {
            let time = Cases.start + hours(hour)
            let next = reminders.next(cases.incidents, at: time)
            let new = try outbox.put(next.map(Bodies.message(for:)), channels: ["oncall"], at: time)
            return Array(next.map(\.hours).suffix(new))
        }
        #expect(try tell(at: 1) == [])
        #expect(try tell(at: 50) == [24, 48])
        #expect(try tell(at: 50) == [])
        #expect(try tell(at: 10) == [], "set back")
        #expect(try tell(at: 50) == [], "and forward again")
        #expect(try tell(at: 1_000) == [66])
        // By mail too, to each operator, under an id of its own for good.
        var settings = try MailSettings.folder()
        settings.operators.append(try MailAddress("dpo@example.com"))
        let mails = OperatorMails(settings)
        let due = Reminders.due(cases.incidents[0], at: Cases.start + hours(1_000))
        #expect(try outbox.put(mails: mails.mails(for: due), at: Cases.start) == 6)
        #expect(try outbox.put(mails: mails.mails(for: due), at: Cases.start) == 0)
        // Another run knows nothing of it but the outbox.
        reminders = Reminders()
        #expect(try tell(at: 1_000) == [])
        #expect(try outbox.counts().waiting == 9)
    }

    @Test(arguments: [IncidentState.notified, .closed]) func `nobody is reminded of what was told or is over`(state: IncidentState) {
        var cases = open()
        cases.move(7, to: .assessed, after: hours(1))
        #expect(Reminders.due(cases.incidents[0], at: Cases.start + hours(100)).count == 3, "the control: assessing tells nobody")
        cases.move(7, to: state, after: hours(2))
        #expect(Reminders.due(cases.incidents[0], at: Cases.start + hours(100)) == [])
    }

    @Test func `what is no leak has no clock`() { #expect(Reminders.due(open(isLeak: false).incidents[0], at: Cases.start + hours(100)) == []) }

    @Test func `a reminder has one id for good, and no other incident has it`() throws {
        let due = Reminders.due(open().incidents[0], at: Cases.start + hours(100))
        #expect(Set(due.map(\.id)).count == 3)
        #expect(due.map(\.id) == Reminders.due(open().incidents[0], at: Cases.start + hours(500)).map(\.id))
        var other = Cases()
        other.open(7, after: .microseconds(1))
        #expect(Set(Reminders.due(other.incidents[0], at: Cases.start + hours(100)).map(\.id)).isDisjoint(with: due.map(\.id)), "the number given out again")
        let message = Bodies.message(for: due[0])
        #expect(String(decoding: message.body, as: UTF8.self) == #"{"data":{"data_class":"review","found":"2027-01-15T08:00:00.000Z","hours":24,"hours_left":48,"incident":7,"#
            + #""report_until":"2027-01-18T08:00:00.000Z","title":"reviews on the wiki"},"timestamp":"2027-01-16T08:00:00.000Z","type":"incident.reminder"}"#)
        #expect(message == Bodies.message(for: due[0]))
    }
}
