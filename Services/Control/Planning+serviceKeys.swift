import Chassis
import Gate
import Identity
import Messaging
import Wire

extension Planning {
    /// A next key for a service. What the ledger cannot know, the registry that the suite began with does.
    func deeds(announcing key: [UInt8], for service: String, beside before: [UInt8]) throws(Refused) -> [Entry.Deed] {
        guard let registered = trusted?.nodes.first(where: { $0.name == service && $0.hasKeysOfItsOwn }) else {
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
        do throws(ServiceKeysRefused) { try trial.retire(key, of: service, at: index + 1) } catch { throw Refused(error, service) }
        return [.serviceKeyRetired(key, service: service)]
    }

    /// Who goes by this key and is no agent.
    func holderBesideAgents(of key: [UInt8]) -> String? {
        trusted.map { $0.holderBesideAgents(of: key, by: planned) } ?? planned.holderBesideAgents(of: key).map { "\($0)" }
    }

    /// One key is one peer's: also that by which an operator's tools connect.
    func checkSessions(of added: [Operator], removing removed: [String]) throws(Refused) {
        if let (name, holder) = planned.sharedSession(of: added, removing: removed) {
            throw Refused(.invalid, "\(name) would connect with the key of \(holder): 'sluice key new' makes one of their own")
        }
        for new in added where !new.session.isEmpty {
            // Of operators the ledger says who there is; the registry names those that it began with.
            guard let node = trusted?.nodes.first(where: { $0.role != "operator" && CurveKey(z85: $0.key)?.bytes == new.session }) else { continue }
            throw Refused(.invalid, "\(new.name) would connect with the key of '\(node.name)': 'sluice key new' makes one of their own")
        }
    }
}
