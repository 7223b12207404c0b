/// What a template can name: a text, a yes or no that a section asks, or a list of things that a section goes through.
///
/// The names are the contract of templates, and an operator's own ones are held to them at start: ``NoticeFacts/values`` makes all of them, whatever is true.
enum NoticeValue: Hashable, Sendable {
    typealias Fields = [String: NoticeValue]

    case text(String)
    case flag(Bool)
    case list([Fields])

    /// As the template engine takes it.
    static func plain(_ fields: Fields) -> [String: Any] {
        fields.mapValues { value -> Any in
            switch value {
            case .text(let text): text
            case .flag(let flag): flag
            case .list(let items): items.map(plain)
            }
        }
    }
}
