"""Governance as the fold of its entries: section 19 of SPEC.md, and nothing else."""

import ledger
import wire

OPEN, APPLIED, EXPIRED, WITHDRAWN = "open", "applied", "expired", "withdrawn"
KEEPS_POWERS = {"proposed", "approved", "withdrawn", "incident_opened", "incident_moved", "incident_noted", "incident_assessed", "notices_decided", "incident_notified", "certified", "drill_began"}


class Fold:
    def __init__(self):
        self.index = self.powers = self.epoch = 0
        self.next_ordinal = self.next_proposal = self.next_enrolment = 1
        self.beginning = None
        self.operators, self.revoked_operators = {}, set()
        self.vault_key, self.vault_entry = b"", 0
        self.service_keys, self.retired, self.ledger_keys = {}, set(), {}
        self.proposals, self.asked = {}, {}
        self.enrolments, self.spent = {}, []
        self.nodes, self.names, self.lines, self.revoked = {}, {}, {}, set()
        self.closures, self.lifted = {}, []
        self.incidents, self.certified, self.found = {}, {}, {}
        self.drills, self.notices = {}, {}
        self.dropped, self.abandoned, self.restored = set(), set(), {}
        self.policy, self.told, self.agreed, self.erased, self.holds = None, {}, {}, {}, {}

    def take(self, recorded):
        entry = wire.governance.Entry.FromString(recorded.body)
        assert entry.index == self.index + 1, "a gap"
        now, deed = entry.at_us, entry.WhichOneof("deed")
        for number, proposal in self.proposals.items():
            if proposal["state"] == OPEN and proposal["until"] <= now:
                proposal["state"] = EXPIRED
        self.asked = {n: c for n, c in self.asked.items() if self.proposals[n]["state"] in (OPEN, APPLIED)}
        if entry.proposal:
            asked = self.asked.get(entry.proposal)
            if deed == "unsealed" and asked is not None and asked.resume.closures:
                asked.resume.unseal = False
            else:
                self.asked.pop(entry.proposal, None)
        if deed not in KEEPS_POWERS and not (deed == "registered" and entry.registered.enrolment):
            self.powers = entry.index
        getattr(self, deed + "_")(entry, getattr(entry, deed), now)
        self.index = entry.index

    # One for each row of the table.

    def began_(self, entry, deed, now):
        self.beginning = deed
        self.ledger_keys = {key.split("+")[0]: [key] for key in (deed.control_key, deed.policy_key, deed.control_witness, deed.policy_witness)}
        self.operators = {o.name: o for o in deed.operators}

    def operators_changed_(self, entry, deed, now):
        for name in deed.removed:
            self.revoked_operators.add(self.operators.pop(name).key)
        self.operators.update({o.name: o for o in deed.added})
        assert len({o.person for o in self.operators.values()}) >= 2

    def vault_key_announced_(self, entry, deed, now):
        self.vault_key, self.vault_entry = deed.key, entry.index

    def service_key_announced_(self, entry, deed, now):
        self.service_keys[deed.service] = [deed.beside, deed.key]

    def service_key_retired_(self, entry, deed, now):
        self.service_keys[deed.service].remove(deed.key)
        self.retired.add(deed.key)

    def ledger_key_announced_(self, entry, deed, now):
        self.ledger_keys[deed.key.split("+")[0]] = [deed.beside, deed.key]

    def ledger_key_retired_(self, entry, deed, now):
        self.ledger_keys[deed.key.split("+")[0]].remove(deed.key)

    def proposed_(self, entry, deed, now):
        assert deed.proposal == self.next_proposal
        self.next_proposal += 1
        self.proposals[deed.proposal] = {
            "state": OPEN, "until": deed.until_us, "hash": deed.hash, "proposer": self.operators[entry.author], "approvals": []}
        statement = entry.signed.statement
        assert ledger.sha256(statement) == deed.hash
        self.asked[deed.proposal] = wire.governance.Command.FromString(statement.split(b"\n\n", 1)[1])

    def approved_(self, entry, deed, now):
        proposal = self.proposals[deed.proposal]
        standing = [o for o in proposal["approvals"] if self.operators.get(o.name) == o]
        proposal["approvals"] = [*standing, self.operators[entry.author]]
        if 1 + len(proposal["approvals"]) >= 2:
            proposal["state"] = APPLIED

    def withdrawn_(self, entry, deed, now):
        self.proposals[deed.proposal]["state"] = WITHDRAWN

    def enrolment_opened_(self, entry, deed, now):
        for number in sorted(n for n, e in self.enrolments.items() if e.until_us <= now):
            self.spent.append((self.enrolments.pop(number).token, "expired"))
        self.enrolments[deed.enrolment] = deed
        self.next_enrolment = max(self.next_enrolment, deed.enrolment + 1)

    def registered_(self, entry, deed, now):
        if deed.enrolment and deed.enrolment in self.enrolments:
            self.spent.append((self.enrolments.pop(deed.enrolment).token, deed.nodes[0].key))
        for node in deed.nodes:
            before = self.names.get(node.name)
            if before is not None and before != node.ordinal:
                old = self.nodes.pop(before, None)
                if old is not None and old.key != node.key:
                    self.revoked.add(old.key)
                self.lines[node.ordinal] = self.lines.get(before, before)
            self.nodes[node.ordinal], self.names[node.name] = node, node.ordinal
            self.next_ordinal = max(self.next_ordinal, node.ordinal + 1)

    def removed_(self, entry, deed, now):
        for ordinal in deed.ordinals:
            if (node := self.nodes.pop(ordinal, None)) is not None:
                self.revoked.add(node.key)
                if self.names.get(node.name) == ordinal:
                    del self.names[node.name]

    def paused_(self, entry, deed, now):
        if deed.epoch not in self.closures:
            self.closures[deed.epoch], self.epoch = deed, deed.epoch

    def resumed_(self, entry, deed, now):
        for epoch in deed.closures:
            if (closure := self.closures.pop(epoch, None)) is not None:
                closure.until_us = now
                self.lifted.append(closure)
        self.epoch = max(self.epoch, deed.epoch)

    def incident_opened_(self, entry, deed, now):
        self.incidents[deed.incident] = {"state": "open", "opened": now, "moved": now, "closure": deed.closure, "leak": deed.leak}

    def incident_moved_(self, entry, deed, now):
        if (incident := self.incidents.get(deed.incident)) is not None:
            incident.update(state=deed.state, moved=now)

    def found_(self, entry, deed, now):
        assert entry.author == f"detector {deed.finding.detector}" and deed.finding.id not in self.found
        self.found[deed.finding.id] = entry.index
        if deed.finding.detector == "drill":
            (under_way,) = [drill for drill in self.drills.values() if not drill["ended"]]
            assert not deed.incident and sorted(deed.finding.selector.subjects) == sorted(under_way["subjects"])
            under_way["epoch"] = deed.closure.epoch
            return self.paused_(entry, deed.closure, now)
        if deed.incident not in self.incidents:
            self.incidents[deed.incident] = {"state": "open", "opened": now, "moved": now, "closure": deed.closure.epoch, "leak": True}
        if deed.HasField("closure"):
            assert deed.closure.selector == deed.finding.selector and deed.closure.direction == deed.finding.direction
            self.paused_(entry, deed.closure, now)
        self.incidents[deed.incident]["leak"] = True

    def drill_began_(self, entry, deed, now):
        assert entry.HasField("signed") and all(subject.startswith("planted/") for subject in deed.subjects)
        self.drills[deed.drill] = {"subjects": [*deed.subjects], "at": now, "epoch": 0, "ended": 0, "missed": []}

    def drill_ended_(self, entry, deed, now):
        drill = self.drills[deed.drill]
        assert entry.author == "control" and not drill["ended"]
        drill.update(ended=now, missed=[*deed.missed])
        if deed.epoch and (closure := self.closures.pop(drill["epoch"], None)) is not None:
            closure.until_us = now
            self.lifted.append(closure)
            self.epoch = max(self.epoch, deed.epoch)

    def incident_noted_(self, entry, deed, now):
        assert entry.HasField("signed")

    def incident_assessed_(self, entry, deed, now):
        assert entry.HasField("signed")
        if self.incidents[deed.incident]["state"] in ("open", "contained"):
            self.incidents[deed.incident].update(state="assessed", moved=now)

    def notices_decided_(self, entry, deed, now):
        assert self.incidents[deed.incident]["state"] in ("assessed", "notified") and deed.count and len(deed.digest) == 32
        decided = self.notices.setdefault(deed.incident, [])
        assert (deed.count, deed.digest) not in [(count, digest) for _, count, digest in decided]
        decided.append((entry.index, deed.count, deed.digest))

    def incident_notified_(self, entry, deed, now):
        index, count, _ = self.notices[deed.incident][-1]
        assert deed.decision == index and deed.delivered + deed.unreachable == count
        if self.incidents[deed.incident]["state"] in ("open", "contained", "assessed"):
            self.incidents[deed.incident].update(state="notified", moved=now)

    def certified_(self, entry, deed, now):
        self.certified[deed.epoch] = deed.complete

    def unsealed_(self, entry, deed, now):
        self.epoch = max(self.epoch, deed.epoch)
        self.dropped |= set(deed.dropped)
        if deed.abandons:
            self.abandoned.add(deed.abandons)

    def reads_restored_(self, entry, deed, now):
        self.restored[deed.abandons] = deed.adopts

    def policy_applied_(self, entry, deed, now):
        self.policy = (deed.document, sorted(deed.over), entry.index)

    def records_changed_(self, entry, deed, now):
        table = {1: self.told, 2: self.agreed}[deed.kind]
        for subject in deed.subjects:
            (set.add if deed.given else set.discard)(table.setdefault(subject, set()), deed.purpose)

    def erased_(self, entry, deed, now):
        for subject in deed.subjects:
            self.told.pop(subject, None)
            self.agreed.pop(subject, None)
            before = self.erased.get(subject)
            if before is None or before["readmitted"] is not None:
                self.erased[subject] = {
                    "entry": entry.index, "at": max(now, before["at"] + 1) if before else now, "waiting": self.held(subject), "readmitted": None}

    def readmitted_(self, entry, deed, now):
        for subject in deed.subjects:
            if (erased := self.erased.get(subject)) is not None and erased["readmitted"] is None:
                erased["readmitted"] = now

    def held_(self, entry, deed, now):
        self.holds.setdefault(deed.incident, set()).update(deed.subjects)

    def hold_lifted_(self, entry, deed, now):
        self.holds.get(deed.incident, set()).difference_update(deed.subjects)
        for subject in deed.subjects:
            if subject in self.erased and not self.held(subject):
                self.erased[subject]["waiting"] = False

    def held(self, subject):
        return any(subject in subjects for subjects in self.holds.values())
