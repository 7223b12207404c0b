import Exposure
import Gate
import Rules
import Testing

/// Which document is taken for what led to an incident. Too late a one makes an exposure too small.
struct CauseTests {
    private static let review = DataClass("review")
    private static let people = (1...9).map { Person("E\($0)", site: "berlin", team: "search") }

    /// Reviews are for `readers`, activity for `others`, and no more than three may read reviews.
    private static func document(reviews readers: Set<String> = ["E1"], activity others: Set<String> = ["E2"], isOpen: Bool = false, limit: Int? = 3) -> PolicyDocument {
        PolicyDocument(
            classes: [.init("activity", retention: .seconds(60), audienceMax: nil), .init("review", retention: .seconds(60), audienceMax: limit)],
            purposes: [.init("cycle", basis: .legalObligation, classes: ["review", "activity"])],
            roles: [.init("reviewers", members: readers), .init("others", members: others)],
            grants: [
                .init("reviews", role: isOpen ? PolicyDocument.everyone : "reviewers", purpose: "cycle", classes: ["review"]),
                .init("activity", role: "others", purpose: "cycle", classes: ["activity"]),
            ])
    }

    /// Document 100 + n comes at n milliseconds; the incident at 1,500.
    private static func cause(_ documents: [PolicyDocument?], of classes: Set<DataClass> = [review], narrowing: Set<UInt64> = [], people: [Person] = people) -> Cause? {
        let versions = documents.enumerated().map { place, document in
            ExposureHistory.PolicyVersion(index: UInt64(100 + place), at: ms(place), document.map { .known($0) } ?? .unknown("of a later version"))
        }
        return Cause(of: classes, found: ms(1_500), in: [.init(index: 0, at: .distantPast, .known(.nothing))] + versions, widening: Set(versions.map(\.index)).subtracting(narrowing), people: people)
    }

    @Test func `the last that let somebody read more of the class, with how many could before and then`() {
        let found = CauseTests.cause([CauseTests.document(), CauseTests.document(isOpen: true)])
        #expect(found?.index == 101 && found?.at == ms(1) && found?.audience == .init(dataClass: CauseTests.review, before: 1, after: 9) && found?.earlier == [100])
    }

    @Test func `a document that lets somebody read more of another class is no cause, however near it stands`() {
        let open = CauseTests.document(isOpen: true)
        let later = CauseTests.document(activity: ["E2", "E3", "E4"], isOpen: true)
        #expect(CauseTests.cause([CauseTests.document(), open, later])?.index == 101)
        // The control: where all classes are in question it is the last.
        #expect(CauseTests.cause([CauseTests.document(limit: nil), CauseTests.document(isOpen: true, limit: nil), CauseTests.document(activity: ["E2", "E3"], isOpen: true, limit: nil)], of: [])?.index == 102)
    }

    @Test func `of a run in which more could read a class than its document allows, the first`() {
        let open = CauseTests.document(isOpen: true)
        let more = CauseTests.document(reviews: ["E1", "E77"], isOpen: true)
        // What one operator narrowed in between, and did not end it, changes nothing.
        let narrower = CauseTests.document(activity: [], isOpen: true)
        #expect(CauseTests.cause([CauseTests.document(), open, narrower, more], narrowing: [102])?.index == 101)
        // Ended and begun anew, it is the second beginning; the first is named.
        let again = CauseTests.cause([CauseTests.document(), open, CauseTests.document(), open], narrowing: [102])
        #expect(again?.index == 103 && again?.earlier == [101, 100])
    }

    @Test func `what is not known, or was before there was any, may be the cause`() {
        #expect(CauseTests.cause([CauseTests.document(), nil])?.index == 101)
        #expect(CauseTests.cause([CauseTests.document(), nil, CauseTests.document()])?.index == 102)
        #expect(CauseTests.cause([CauseTests.document(), nil])?.audience == nil)
    }

    @Test func `what came after somebody noticed, and what one operator could do alone, is no cause; of nothing there is none`() {
        let late = ExposureHistory.PolicyVersion(index: 7, at: ms(2_000), .known(CauseTests.document()))
        #expect(Cause(of: [], found: ms(1_500), in: [late], widening: [7], people: []) == nil)
        #expect(CauseTests.cause([CauseTests.document()], narrowing: [100]) == nil)
        #expect(CauseTests.cause([CauseTests.document(reviews: [])], people: []) == nil)
    }

    @Test func `a thousand documents are not all compared whole, and the newest are`() {
        var documents = (0..<1_000).map { CauseTests.document(reviews: ["E1"], activity: ["E\($0)"]) }
        documents[3] = CauseTests.document(isOpen: true, limit: nil)
        documents += [CauseTests.document(reviews: ["E1", "E2"])]
        let found = CauseTests.cause(documents)
        #expect(found?.index == 1_100 && found?.earlier.count == Cause.earlierMax)
    }
}
