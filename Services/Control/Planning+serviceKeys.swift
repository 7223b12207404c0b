import Gate
import Identity
import Messaging
import Wire

extension Planning {
    /// A next key for a service. What the ledger cannot know, the registry that the suite began with does.
    func deeds(announcing key: [UInt8], for service: String, beside before: [UInt8]) throws(Refused) -> [Entry.Deed] {
        guard let registered = trusted?.nodes.first(where: { $0.name == service && $0.role == "service" }) else {
            throw Refused(.notFound, "there is no service '\(service)': registry.json names those that there are")
        }
        if planned.serviceKeys.current[service] == [before, key] { return [] }
        do throws(ServiceKeysRefused) {
            if planned.serviceKeys.current[service] == nil, CurveKey(z85: registered.key)?.bytes != before { throw .besideAnother }
            if let holder = trusted?.nodes.first(where: { $0.name != service && CurveKey(z85: $0.key)?.bytes == key }) { throw .keyInUse(by: holder.name) }
            try planned.check(announcing: key, for: service, beside: before)
        } catch { throw Refused(error, service) }
        return [.serviceKeyAnnounced(key, service: service, beside: before)]
    }

    func deeds(retiring key: [UInt8], of service: String) throws(Refused) -> [Entry.Deed] {
        var trial = planned.serviceKeys
        do throws(ServiceKeysRefused) { try trial.retire(key, of: service) } catch { throw Refused(error, service) }
        return [.serviceKeyRetired(key, service: service)]
    }

    /// Who goes by this key and is no agent: a service or a reader, by the ledger or the registry, also by a key that was retired; an operator's session.
    func holderBesideAgents(of key: [UInt8]) -> String? {
        if let service = planned.serviceKeys.holder(of: key) { return "'\(service)'" }
        if planned.serviceKeys.retired.contains(key) { return "a service" }
        if let node = trusted?.nodes.first(where: { CurveKey(z85: $0.key)?.bytes == key }) { return "'\(node.name)'" }
        return planned.operators.current.values.first { $0.session == key }.map { "'\($0.name)'" }
    }
}
