package import Gate
import Rules

/// Every bound that two processes depend on, with its unit and its reason. ``check()`` holds them to each other.
package enum Limits {
    /// The version in every header, and in `Hello`.
    package static let version: UInt8 = 1

    /// How long a node may go on without word. Shorter makes control's availability capture's; longer makes a pause slower.
    package static let lease = Span.seconds(3)
    /// Two renewals may be lost before a lease ends.
    package static let renewalsPerLease: Int64 = 3
    /// A pause promises to be complete within a lease and this.
    package static let certificateSlack = Span.seconds(1)

    /// After so long whoever waits for control's disk is told that it has not answered; they are patient for longer.
    package static let durableWithin = Span.seconds(4)
    package static let commandPatience = Span.seconds(10)

    /// One line of NDJSON.
    package static let lineBytesMax = 64 * 1024
    package static let eventsPerBatchMax = 4_096
    package static let batchAge = Span.seconds(1)
    /// `Columns`, uncompressed. 4,096 events of ordinary size are 30 KiB; texts are what makes it more.
    package static let columnsBytesMax = 4 * 1024 * 1024
    /// Text that the events of a batch may have, each its own, for policy to look into. An agent closes a batch long before: it counts each event's texts towards
    /// ``columnsBytesMax``. What is stored may have a little more than came, where redaction put a longer word.
    package static let reviewedBytesMax = 2 * columnsBytesMax
    /// The payload frame of a batch: zstd never makes more than the input and a little, and sealing adds 65 bytes.
    package static let payloadBytesMax = columnsBytesMax + 64 * 1024
    /// Header and body of a message: the largest is the certificate of 100,000 agents.
    package static let bodyBytesMax = 16 * 1024 * 1024
    package static let framesMax = 4
    /// CURVE adds as much to a frame.
    package static let curveBytes = 33

    /// What an agent is given of a policy document, before compression: the document without roles and grants, in which each class and each rule may have some words more.
    package static let rulesBytesMax = 2 * policyBytesMax

    /// Batches that an agent may have unanswered in a stream.
    package static let window = 8
    /// Batches that ingest may have unanswered at policy; a full one answers `Busy`.
    package static let relayedMax = 8_192
    package static let relayedBytesMax = 96 * 1024 * 1024
    /// Batches that wait in policy for the writer.
    package static let pendingMax = 8_192
    package static let pendingBytesMax = 96 * 1024 * 1024
    /// Batches of one agent that policy could not open, since policy's start or the agent's registration: after so many it takes nothing from that
    /// agent any more. A disk's flipped bit costs one batch, and the agent notices that itself before it sends.
    package static let unsealableMax = 8
    /// What one commit takes at most.
    package static let commitBatchesMax = 512

    /// An entry of control's ledger. What is larger may not fit into a frame with what goes along, would be sent again and again, and no follower
    /// would ever come past it. No command makes one: a statement has little more than a policy document. The certificate of a pause of everybody may, so that what
    /// is bounded is who is registered: a pause is refused to nobody.
    package static let entryBytesMax = bodyBytesMax / 2
    /// Of that, what the agents of a certificate may take: the rest is its closure, a thousand names, and what is unconfirmed.
    package static let certifiedBytesMax = entryBytesMax - 1024 * 1024
    /// What an agent takes in a certificate beside its name: three fields with tags and lengths, and how long it took.
    package static let certifiedAgentBytes = 16
    /// Nodes in one entry.
    package static let nodesPerEntryMax = 1_000
    package static let entriesPerPageMax = 64
    /// Of a reason, a name, a title: characters that a person can read.
    package static let reasonBytesMax = 2_000
    package static let nameBytesMax = 200
    /// Of one drill: each is a row in its entry.
    package static let drillSitesMax = 200
    /// Of agents, subjects and reads each, that an answer about what a pause would stop lists by name; all are counted.
    package static let rehearsedNamesMax = 100
    package static let selectorValuesMax = 1_000
    /// A policy document in its canonical form: a thousand grants are a third of it. Control reads it, and compares it with the one before, on the thread that pauses.
    package static let policyBytesMax = 1024 * 1024
    /// People whom one command names: at their longest names four fifths of a statement.
    package static let subjectsPerCommandMax = 4_000
    /// Entries of the directory in a message: each is a few hundred bytes, and a commit holds the writer up for as long.
    package static let peoplePerMessageMax = 1_000

    /// One person's notice with its attachments, whose mail is a third larger.
    package static let noticeBytesMax = 1024 * 1024
    /// A batch is one commit of notify's, and what an interruption sends a second time.
    package static let noticesPerBatchMax = 1_000
    package static let noticeBatchBytesMax = 4 * 1024 * 1024
    /// Of those who were not reached, in one answer: each with its reason.
    package static let unreachedPerAnswerMax = 1_000

    /// Chunks of a release that may be under way: what a pause cannot call back any more.
    package static let releaseCreditMax = 16

    /// The largest message of a stranger: a secret, and a few words about its software.
    package static let joinBytesMax = 1_024
    package static let joinSecretBytes = 32
    /// The answer: the vault's key with its proof is the largest part.
    package static let joinedBytesMax = 64 * 1024
    /// Changes of the keys that sign control's ledger that are told to who may have slept through them: eight exchanges, in about 25 kB.
    package static let ledgerKeyProofsMax = 16
    /// Attempts from one address, and from all. Nobody guesses 256 bits at any rate: this is what the port may cost, and a site that sets up
    /// two hundred machines behind one address is through in two minutes.
    package static let joinsEach = Rate(burst: 20, every: .milliseconds(500))
    package static let joinsTotal = Rate(burst: 100, every: .milliseconds(20))
    package static let joinAddressesMax = 4_096

    /// File descriptors: one for each peer of a binder, four times as many in reserve for a storm of reconnections.
    package static let socketsMax = 65_536

    package static func check() {
        precondition(renewalsPerLease >= 3, "a lease is at least three renewals")
        precondition(durableWithin < commandPatience, "who waits hears that the disk is slow, and does not take control for dead")
        precondition(batchAge < lease, "a batch is closed before the lease under which it was begun can end twice")
        precondition(payloadBytesMax > columnsBytesMax)
        precondition(lineBytesMax < columnsBytesMax)
        precondition(reviewedBytesMax > columnsBytesMax, "policy looks into whatever an agent may send")
        precondition(commitBatchesMax <= pendingMax)
        precondition(subjectsPerCommandMax * (nameBytesMax + 3) < 1024 * 1024 - 64 * 1024, "a command that names as many fits into a statement, of more than 1 MiB")
        precondition(4 * policyBytesMax < entryBytesMax, "an entry may hold a document that was signed and the document itself")
        precondition(PlantedEvents.countMax <= selectorValuesMax, "a finding of all that is planted can be told")
        precondition(rulesBytesMax < payloadBytesMax, "the rules of an agent fit into a message, whatever they compress to")
        precondition(noticeBytesMax <= noticeBatchBytesMax && noticeBatchBytesMax + 64 * 1024 < bodyBytesMax, "each notice fits into a batch, and a batch into a frame")
        precondition(selectorValuesMax * (nameBytesMax + 3) + reasonBytesMax < (entryBytesMax - certifiedBytesMax) / 2, "a certificate's closure has its room")
    }
}
