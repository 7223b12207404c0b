import Chassis
import Gate
import Identity
import Logging
import Messaging
import Wire

/// The joining process's own keys, and control's, as they are exchanged while it runs. Lives on the reactor's thread.
///
/// It follows no ledger: control says with each grant which keys count. A token names the key that there was when it was made, and is good for up to a day,
/// and a listening socket has one key for life: so while two keys count each has a door of its own, the older where machines have always come, the
/// newer beside it (`joinNext`). When the older is retired the newer has both, since tokens may name either.
final class JoinKeys {
    private let control: Link
    private let first: Binder
    /// Since the first exchange.
    private var second: Binder?
    private let openSecond: (CurveKeyPair) throws(MessagingError) -> Binder
    private let pins: PinnedKeys
    private let logger: Logger
    private let files: [FileWatch<CurveKeyPair>]
    /// The key that lies in the key's file: the one to connect with, if it counts.
    private var present: CurveKeyPair
    private let presentFile: FileWatch<CurveKeyPair>
    private var held: [CurveKey: CurveKeyPair] = [:]
    /// Of this process, the older first, as control has said; empty: it has not yet.
    private var counting: [CurveKey] = []
    private var controls: [CurveKey] = []
    private var notBefore = Instant(nanoseconds: 0)
    private var said = ""

    /// - Parameters:
    ///   - first: Where machines come in.
    ///   - openSecond: Listens at the second address.
    init(
        _ host: ServiceHost, present: CurveKeyPair, control: Link, first: Binder, pins: PinnedKeys,
        openSecond: @escaping (CurveKeyPair) throws(MessagingError) -> Binder
    ) {
        self.control = control
        self.first = first
        self.openSecond = openSecond
        self.pins = pins
        self.present = present
        logger = host.logger
        presentFile = FileWatch(host.home.takenUpKey(host.name)) { try KeyFile.load($0) }
        // The first of all stays where it was made.
        files = [host.home.key(host.name), host.home.keyBefore(host.name), host.home.nextKey(host.name)].map { path in FileWatch(path) { try KeyFile.load($0) } }
        held[present.publicKey] = present
        // It goes by a key that it was not made with: tokens may name the second address.
        if host.home.serviceKey(host.name) == host.home.takenUpKey(host.name) { open(present, at: Clock.now()) }
    }

    /// Control has said which keys count.
    func hear(_ keys: [WireServiceKey], at now: Instant) {
        func named(_ service: String) -> [CurveKey] { keys.filter { $0.service == service }.compactMap { CurveKey($0.key) } }
        let own = named("join")
        if !own.isEmpty { counting = own }
        let controls = named("control")
        guard !controls.isEmpty, controls != self.controls else { return }
        self.controls = controls
        control.accept(controls, at: now)
        pins.keep(controls)
    }

    /// What registry.json names may be newer than what is known, as long as control has not been met.
    func registered(_ key: CurveKey, at now: Instant) {
        guard controls.isEmpty, let known = try? pins.load(else: key) else { return }
        control.accept(known, at: now)
    }

    /// Call often: each time it asks a few files' watchers.
    func tick(at now: Instant) {
        if let pair = presentFile.take() {
            present = pair
            held[pair.publicKey] = pair
        }
        for file in files { if let pair = file.take() { held[pair.publicKey] = pair } }
        let mine = counting.compactMap { held[$0] }
        guard now >= notBefore, let older = mine.first, let newer = mine.last else { return }
        do throws(MessagingError) {
            if first.keys.publicKey != older.publicKey { try exchange(first, older) }
            if let second {
                if second.keys.publicKey != newer.publicKey { try exchange(second, newer) }
            }
        } catch {
            notBefore = now + .seconds(1)
            say("cannot listen with a key that counts: \(error); tried again")
        }
        if second == nil, mine.count > 1 { open(newer, at: now) }
        control.use(counting.contains(present.publicKey) ? present : newer, at: now)
    }

    private func open(_ pair: CurveKeyPair, at now: Instant) {
        do throws(MessagingError) {
            second = try openSecond(pair)
            logger.notice("the key \(pair.publicKey.z85) answers at the second address")
        } catch {
            notBefore = now + .seconds(1)
            say("cannot listen at the second address: \(error); tried again")
        }
    }

    private func exchange(_ door: Binder, _ pair: CurveKeyPair) throws(MessagingError) {
        try door.exchange(pair)
        logger.notice("the key \(pair.publicKey.z85) is taken up")
    }

    private func say(_ words: String) {
        guard said != words else { return }
        said = words
        logger.error("\(words)")
    }
}
