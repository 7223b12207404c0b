extension RuleBook {
    /// `Detection.rules`, as it was when this was built: in the program itself, so that it is wherever the program is.
    package static var ownText: String { String(decoding: PackageResources.Detection_rules, as: UTF8.self) }
}
