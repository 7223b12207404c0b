/// A page that an ordinary employee must not get: tried by policy with such a one's rights, as the document's `leaks` say.
package struct WebProbe: Hashable, Sendable {
    package var url: String
    /// What stands in an answer that nobody should get; nil: any answer is one.
    package var marker: String?
    /// Of what there is of them there: what a finding names.
    package var classes: Set<String>
    /// Hosts that may be at private addresses, by name. Every other that leads to one is not asked: a redirect must not make policy a way into the company.
    package var privateHosts: Set<String>
    /// What an answer is that does not say whether anybody gets the page.
    package var undecided: Undecided

    package enum Undecided: String, Hashable, Sendable, CaseIterable {
        /// In `sluice status`, and counted.
        case shown
        /// As if somebody had got it: for a page that never fails by itself.
        case finding
    }

    package init(url: String, marker: String? = nil, classes: Set<String> = [], privateHosts: Set<String> = [], undecided: Undecided = .shown) {
        self.url = url
        self.marker = marker
        self.classes = classes
        self.privateHosts = privateHosts
        self.undecided = undecided
    }

    package static let countMax = 20
    package static let urlBytesMax = 500
    package static let markerBytesMax = 200

    /// `http` or `https`, a host, visible ASCII, and no user or password: what is more is libcurl's to refuse.
    package static func isURL(_ text: String) -> Bool {
        guard text.utf8.count <= urlBytesMax, text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }), let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else { return false }
        let authority = text.dropFirst(scheme.count).prefix { !"/?#".contains($0) }
        return !authority.isEmpty && !authority.contains("@") && !authority.hasPrefix(":")
    }
}
