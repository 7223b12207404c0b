"""FAULTS D08, D13: databases that lie on disk as nobody has written them. Whose they are refuses in a line that says which, or the witness does not believe it; or
everything is served, because SQLite had it elsewhere. Never less, or something else, without a word.

Places are drawn from a seed, for each deed anew; SLUICE_LONG=1 tries them all, at a seed of its own, which SLUICE_SEED sets.
"""

import json
import os
import random
import shutil
import sqlite3

import pytest
from harness import now_ns, wait_until
from test_ledgers import expect_cosigned, ledger

LONG = bool(os.environ.get("SLUICE_LONG"))
SEED = int(os.environ.get("SLUICE_SEED") or (random.randrange(1 << 32) if LONG else 20_261_126))

OWNERS = {"control/ledger": "control", "policy/vault": "policy", "policy/keys": "policy", "notify/outbox": "notify"}


def seeded(*name):
    """Of one deed alone: it draws the same also when others are not done."""
    return random.Random(f"{SEED} {name}")


class Closable(dict):
    """What a receiver refuses: everything, while it is closed."""

    closed = False

    def get(self, number, default=None):
        return 500 if self.closed else default


# What is served


def served(suite, owner, reading=True):
    """Everything that a service tells of its database, in lines; ledgers first."""
    if owner == "control":
        gate = suite.status()["gate"]
        return {
            "entries": suite.cli("ledger", "show", "1..", "--json").out.splitlines(),
            "operators": suite.cli("operator", "list", "--json").json["operators"],
            "agents": sorted((a["node"]["name"], a["node"]["key"], a["node"]["subject"]) for a in suite.cli("agents", "--json").json["agents"]),
            "gate": (gate["epoch"], [c["epoch"] for c in gate["closures"]]),
        }
    return {
        "entries": suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").out.splitlines(),
        "events": sorted(event["event"]["key"] for event in suite.read(classes=("activity",)).lines) if reading else None,
    }


def less(before, after):
    """What is not served as it was, by name; [] if all is. A ledger may have grown."""
    return [what for what, was in before.items() if (after[what][:len(was)] if what == "entries" else after[what]) != was]


# How it is spoiled


def flipped(data, places):
    data = bytearray(data)
    for place, bit in places:
        data[place] ^= 1 << bit
    return bytes(data)


def log_deleted(path, _):
    path.with_name(path.name + "-wal").unlink()
    return "all of it"


def log_truncated(path, chance):
    log = path.with_name(path.name + "-wal")
    end = chance.randrange(32, log.stat().st_size)
    os.truncate(log, end)
    return f"at {end}"


def log_flipped(path, chance):
    log = path.with_name(path.name + "-wal")
    data = log.read_bytes()
    places = [(chance.randrange(len(data)), chance.randrange(8)) for _ in range(chance.choice((1, 20)))]
    log.write_bytes(flipped(data, places))
    return str(places)


def index_garbage(path, chance):
    index = path.with_name(path.name + "-shm")
    index.write_bytes(chance.randbytes(index.stat().st_size))
    return "all of it"


def truncated(path, chance):
    end = chance.choice((chance.randrange(path.stat().st_size), path.stat().st_size // 4096 // 2 * 4096, 100))
    os.truncate(path, end)
    return f"at {end}"


def page_flipped(path, chance):
    data = path.read_bytes()
    used = [page for page in range(0, len(data), 4096) if any(data[page:page + 4096])]
    page = chance.choice(used)
    # Where there is something: what is flipped in a gap tells nothing.
    places = [(chance.choice([p for p in range(page, page + 4096) if data[p]]), chance.randrange(8)) for _ in range(chance.choice((1, 8)))]
    path.write_bytes(flipped(data, places))
    return str(places)


# Whether the log is there, as a kill leaves it, or was written back, as an orderly end does.
DEEDS = [(log_deleted, "killed"), (log_truncated, "killed"), (log_flipped, "killed"), (index_garbage, "killed"), (truncated, "ended"),
         *[(page_flipped, "ended")] * 4]
# What is always tried: each deed somewhere.
FEW = {"control/ledger": (log_deleted, log_truncated, index_garbage), "policy/vault": (log_deleted, log_flipped, index_garbage, truncated, page_flipped), "policy/keys": (page_flipped,), "notify/outbox": (page_flipped,)}


class Scene:
    """A suite with a bit of everything, as it lay on disk early, when it was killed later, and when it was ended."""

    def __init__(self, make_suite, make_receiver, folder):
        self.receiver = make_receiver()
        self.receiver.refuse = Closable()
        self.suite = suite = make_suite(hooks=[self.receiver.hook])
        self.folder = folder
        agents = [suite.agent(name, subject).run().expect(capturing=True) for name, subject in (("ann", "E1"), ("bob", "E2"))]
        self.type(agents, range(3))
        suite.pause("--all")
        suite.resume()
        assert len(suite.read(classes=("activity",)).lines) == 6
        wait_until(lambda: len(self.receiver.delivered()) >= 2 and not self.waiting(), "all is delivered")
        self.cosigned(2)
        for name in ("policy", "notify", "control"):
            suite.kill(name)
        self.keep("early")
        suite.start("policy", "notify", "control")
        # From here on nothing that is committed is written back: somebody reads what was.
        readers = [self.reader(suite.home / f"{owner}.sqlite") for owner in OWNERS]
        self.receiver.refuse.closed = True
        for agent in agents:
            agent.expect(capturing=True)
        suite.pause("--all")
        suite.resume()
        wait_until(lambda: self.waiting() >= 2, "two wait")
        suite.agent("cid", "E3").run().expect(capturing=True).type("cid-0")
        agents.append(suite.agents["cid"])
        wait_until(lambda: suite.vault_count() == 7, "the seventh is stored")
        self.names = [event["event"]["key"] for event in suite.read(classes=("activity",)).lines]
        suite.read(classes=("activity",))
        self.cosigned(6)
        # How many segments, and up to where each agent's stream is stored.
        self.few, self.marks = self.anchored()
        self.log_before = (suite.home / "policy" / "vault.sqlite-wal").read_bytes()
        self.type(agents[:2], range(3, 5))
        sent = now_ns()
        for agent in agents:
            agent.expect_drained(sent)
            agent.process.end()
        self.before = {owner: served(suite, owner, reading=False) for owner in ("control", "policy")}
        self.all, self.marks_at_the_end = self.anchored()
        assert self.few < self.all
        self.before["policy"]["events"] = sorted([*self.names, *(f"{name}-{n}" for name in ("ann", "bob") for n in range(3, 5))])
        self.cosigned(6)
        for name in ("policy", "notify", "ingest", "control"):
            suite.kill(name)
        self.keep("killed")
        for reader in readers:
            reader.close()
        with self.receiver.lock:
            self.untold = {headers["webhook-id"] for status, headers, _ in self.receiver.requests if status == 500}
        assert len(self.untold) >= 2
        suite.start("control", "policy", "notify")
        self.cosigned(6)
        for name in ("policy", "notify", "control"):
            assert suite.terminate(name) == 0
        for owner in OWNERS:
            self.write_back(suite.home / f"{owner}.sqlite")
        self.keep("ended")

    def type(self, agents, numbers):
        for agent in agents:
            agent.type(*(f"{agent.name}-{n}" for n in numbers))
        sent = now_ns()
        for agent in agents:
            agent.expect_drained(sent)

    def waiting(self):
        return int(self.suite.cli("deliveries", "--json").json.get("waiting", 0))

    @staticmethod
    def reader(path):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        database.execute("BEGIN")
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
        return database

    @staticmethod
    def write_back(path):
        """All of it into the database: what lies in the log as well would be read from there, and no flip of a page be seen."""
        database = sqlite3.connect(path)
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        database.close()
        for more in ("-wal", "-shm"):
            path.with_name(path.name + more).unlink(missing_ok=True)

    def cosigned(self, reads):
        entries = int(self.suite.status()["entries"])
        for name, size in (("governance", entries), ("reads", reads)):
            expect_cosigned(self.suite, name, size)

    def anchored(self):
        """What is stored, when control remembers it."""
        stored = self.suite.vault("SELECT stored FROM commitment")[0][0]
        witnessed = lambda: self.suite.service_status("policy")["gauges"].get("vault.stored.witnessed")
        wait_until(lambda: int(witnessed()) == stored, f"control knows of {stored} segments")
        return stored, dict(self.suite.vault("SELECT agent, sequence FROM stream"))

    def keep(self, state):
        for name in ("control", "policy", "notify"):
            shutil.copytree(self.suite.home / name, self.folder / state / name)

    def put_back(self, state):
        for name in ("control", "policy", "notify"):
            if self.suite.services[name].is_running:
                self.suite.kill(name)
            shutil.rmtree(self.suite.home / name)
            shutil.copytree(self.folder / state / name, self.suite.home / name)

    def outcome(self, which):
        """Starts what is needed, and says what became of it: "refused", "not believed", "served", or what is served otherwise."""
        suite, owner = self.suite, OWNERS[which]
        names = ("control", "policy", *(["notify"] if owner == "notify" else []))
        self.receiver.refuse.closed = False
        delivered = len(self.receiver.delivered())
        suite.start(*names, wait=False)
        process = suite.services[owner]

        def judged():
            if not process.is_running:
                said = suite.log(owner).read_text(errors="replace").encode()[process.log_start:].decode(errors="replace")
                lines = [line for line in said.splitlines() if line.startswith("Error: ") or " critical " in line]
                isClear = process.popen.returncode > 0 and len(lines) == 1 and f"{self.suite.home / owner}/" in lines[0] and ".sqlite" in lines[0]
                return f"refused: {lines[0]}" if isClear else f"ended with {process.popen.returncode}: {said}"
            status = suite.cli("status", "--json", check=False)
            assert status.code == 0, status
            status = status.json
            trouble = [one["trouble"] for one in status["ledgers"] if one.get("trouble")]
            if trouble:
                assert not any(s.get("connected") for s in status["services"] if s["name"] == "policy")
                return f"not believed: {trouble[0]}"
            if owner == "notify":
                suite.expect_serving(names, within=0)
                assert suite.service_status("notify")["entries"] == status["entries"]
                told = self.receiver.delivered()[delivered:]
                # What was tried twice is due in minutes: it waits, and is not lost.
                waiting = self.waiting()
                if len(self.receiver.delivered()) != delivered + len(told):
                    return None
                untold = self.untold - {name for name, _ in told}
                return f"served otherwise: {len(untold)} untold, {waiting} waiting" if len(untold) > waiting else "served"
            suite.expect_serving(names, within=0)
            for name in ("governance", "reads"):
                one = ledger(suite, name)
                assert one.get("witnessed", 0) == one["size"]
            if owner == "policy":
                done = suite.read(classes=("activity",), check=False)
                said = [line for line in done.err.splitlines() if "cut off" in line or line.startswith("sluice:")]
                if done.code != 0 and len(said) == 1:
                    # What came before is right, and said to be no more than a part.
                    got = [line["event"]["key"] for line in done.lines]
                    return f"served otherwise: {got}" if set(got) - set(self.before[owner]["events"]) else f"refused: {said[0]}"
            wrong = less(self.before[owner], served(suite, owner))
            return f"served otherwise: {wrong}" if wrong else "served"

        return wait_until(judged, f"something becomes of {which}")


@pytest.fixture(scope="module")
def scene(make_module_suite, make_receiver, tmp_path_factory):
    return Scene(make_module_suite, make_receiver, tmp_path_factory.mktemp("kept"))


@pytest.mark.limit(600)
@pytest.mark.parametrize("which", list(OWNERS))
def test_a_spoiled_database_is_refused_or_not_believed_or_all_of_it_is_served(scene, which):
    path = scene.suite.home / f"{which}.sqlite"
    wrong = []
    print(f"SLUICE_SEED={SEED}")
    for number, (deed, state) in enumerate(DEEDS):
        if not LONG and deed not in FEW[which] or deed is page_flipped and DEEDS.index((deed, state)) < number and not LONG:
            continue
        scene.put_back(state)
        how = deed(path, seeded(which, deed.__name__, number))
        try:
            outcome = scene.outcome(which)
        except AssertionError as error:
            outcome = f"nothing: {error}"
        print(f"{which} {deed.__name__} {how}: {outcome}")
        if not outcome.startswith(("refused", "not believed")) and outcome != "served":
            wrong.append((deed.__name__, how, outcome))
    assert wrong == [], f"SLUICE_SEED={SEED}"


@pytest.mark.parametrize("which", ["control/ledger", "policy/vault", "notify/outbox"])
def test_the_control_what_nobody_remembers_is_seen_to_be_served_shorter(scene, which):
    """All disks from yesterday, and they agree: then it is served, and the comparison above says so."""
    scene.put_back("early")
    assert scene.outcome(which).startswith("served otherwise"), which


def put_back_log(scene):
    """The log of the vault as it was when two more segments were not stored yet: everything read is in it, so the ledger of reads is as long as ever."""
    scene.put_back("killed")
    (scene.suite.home / "policy" / "vault.sqlite-wal").write_bytes(scene.log_before)


def test_a_vault_that_has_lost_what_was_acknowledged_since_the_last_read_says_so_and_serves_when_two_operators_have_said_so(scene):
    put_back_log(scene)
    assert scene.outcome("policy/vault") == (
        f"not believed: its vault has stored {scene.few} segments, and {scene.all} were cosigned: the vault was put back; 'sluice ledger restore reads' says what to do")
    suite = scene.suite
    assert "LEDGER" in suite.cli("status").out and "NOT BELIEVED" in suite.cli("status").out
    refused = suite.read(classes=("activity",), check=False)
    assert refused.code == 1 and "lease" in refused.err
    # Also when it is started anew.
    suite.kill("policy")
    suite.start("policy", wait=False)
    wait_until(lambda: ledger(suite, "reads").get("trouble"), "control does not believe it yet")
    proposed = suite.cli("ledger", "restore", "reads", "--reason", "a test", "--json").json["proposal"]
    assert not suite.service_status("policy").get("connected"), "one does not widen"
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    suite.expect_serving(("policy",))
    assert sorted(line["event"]["key"] for line in suite.read(classes=("activity",)).lines) == sorted(scene.names)
    line, = [line for line in suite.cli("ledger", "show", "1..").out.splitlines() if "gives up" in line]
    assert f"gives up 6 entries of the read ledger for the 6 that are there, and of {scene.all} segments that were stored goes on from {scene.few}" in line


def test_the_control_what_control_was_not_told_of_is_served_shorter_and_the_next_batch_says_what_is_lost(scene):
    """What was acknowledged since the last anchor: an agent that goes on shows it, by the sequences that it does not hold any more."""
    put_back_log(scene)
    with sqlite3.connect(scene.suite.home / "control" / "ledger.sqlite") as database:
        text = bytes(database.execute("SELECT witnessed FROM journal").fetchone()[0]).decode()
        assert text.endswith(f"vault {scene.all}\n"), text
        database.execute("UPDATE journal SET witnessed = ?", (text.replace(f"vault {scene.all}\n", f"vault {scene.few}\n").encode(),))
    database.close()
    assert scene.outcome("policy/vault") == "served otherwise: ['events']"
    suite = scene.suite
    assert suite.service_status("policy")["counters"].get("batches.lost", 0) == 0
    suite.start("ingest")
    agent = suite.agents["ann"].run().expect(capturing=True)
    agent.type("ann-9")
    agent.expect_drained()
    ordinal, = [a["node"]["ordinal"] for a in suite.cli("agents", "--json").json["agents"] if a["node"]["name"] == "ann"]
    first, last = scene.marks[ordinal] + 1, scene.marks_at_the_end[ordinal]
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("batches.lost", 0)) == last - first + 1, "it is counted")
    said, = [line for line in suite.log("policy").read_text().splitlines() if "lost: the agent does not hold" in line]
    assert (f"batch {first} of agent ann" if first == last else f"batches {first} to {last} of agent ann") in said, said
    assert "LOST" in suite.cli("status").out
    assert agent.process.end() == 0
    suite.terminate("ingest")


def test_rows_that_were_deleted_are_missed(scene):
    scene.put_back("ended")
    path = scene.suite.home / "policy" / "vault.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM segment WHERE number = 2")
    database.close()
    assert f"{path} is damaged: it has {scene.all - 1} segments, and {scene.all} were stored and not deleted since; restore a backup" in scene.outcome("policy/vault")


def test_an_outbox_with_a_row_that_was_changed_says_so(scene):
    for deed in ("UPDATE delivery SET state = 'delivered'", "UPDATE cursor SET entry = entry + 1", "UPDATE channel SET state = 'disabled'"):
        scene.put_back("ended")
        path = scene.suite.home / "notify" / "outbox.sqlite"
        with sqlite3.connect(path) as database:
            database.execute(deed)
        database.close()
        outcome = scene.outcome("notify/outbox")
        assert outcome.startswith("refused") and f"{path} is damaged" in outcome, (deed, outcome)
