"""FAULTS D08: databases that lie on disk as nobody has written them. Whose they are refuses in a line that says which, or the witness does not believe it; or
everything is served, because SQLite had it elsewhere. Never less, or something else, without a word.
"""

import json
import os
import random
import shutil
import sqlite3

import pytest
from harness import wait_until
from test_ledgers import expect_cosigned, ledger

# Two minutes, and its places are random: two of them are known to go through in silence, and what is said of the others is not always one line yet.
pytestmark = pytest.mark.skipif(not os.environ.get("SLUICE_LONG"), reason="random places, known faults: SLUICE_LONG=1 runs it")

OWNERS = {"control/ledger": "control", "policy/vault": "policy", "policy/keys": "policy", "notify/outbox": "notify"}


def seeded(name):
    seed = int(os.environ.get("SLUICE_SEED") or random.randrange(1 << 32))
    print(f"{name}: seed {seed}: again with SLUICE_SEED={seed}")
    return random.Random(f"{seed} {name}")


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


def log_end(log):
    """Before which a log is spoiled. What policy has stored since the last read that control has cosigned is another matter: see the last test."""
    return log_end.vault if log.name.startswith("vault") else log.stat().st_size


def log_truncated(path, chance):
    log = path.with_name(path.name + "-wal")
    end = chance.randrange(32, log_end(log))
    os.truncate(log, end)
    return f"at {end}"


def log_flipped(path, chance):
    log = path.with_name(path.name + "-wal")
    data = log.read_bytes()
    places = [(chance.randrange(log_end(log)), chance.randrange(8)) for _ in range(chance.choice((1, 20)))]
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
         (page_flipped, "ended"), (page_flipped, "ended"), (page_flipped, "ended")]


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
        self.log_before_the_last_read = (suite.home / "policy" / "vault.sqlite-wal").stat().st_size
        suite.read(classes=("activity",))
        self.cosigned(6)
        self.log_before = (suite.home / "policy" / "vault.sqlite-wal").read_bytes()
        self.type(agents[:2], range(3, 5))
        for agent in agents:
            agent.expect_drained()
            agent.process.end()
        self.before = {owner: served(suite, owner, reading=False) for owner in ("control", "policy")}
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
        for agent in agents:
            agent.expect_drained()

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
                return f"refused: {lines[0]}" if process.popen.returncode > 0 and len(lines) == 1 else f"ended with {process.popen.returncode}: {said}"
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

        return wait_until(judged, f"something becomes of {which}", within=20)


@pytest.fixture(scope="module")
def scene(make_module_suite, make_receiver, tmp_path_factory):
    return Scene(make_module_suite, make_receiver, tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize("which", list(OWNERS))
def test_a_spoiled_database_is_refused_or_not_believed_or_all_of_it_is_served(scene, which):
    chance = seeded(which)
    path = scene.suite.home / f"{which}.sqlite"
    wrong = []
    log_end.vault = scene.log_before_the_last_read
    for deed, state in DEEDS:
        if which == "notify/outbox" and deed is page_flipped:
            continue  # A test of its own, below.
        scene.put_back(state)
        how = deed(path, chance)
        try:
            outcome = scene.outcome(which)
        except AssertionError as error:
            outcome = f"nothing: {error}"
        print(f"{deed.__name__} {how}: {outcome}")
        if not outcome.startswith(("refused", "not believed")) and outcome != "served":
            wrong.append((deed.__name__, how, outcome))
    assert wrong == []


@pytest.mark.parametrize("which", ["control/ledger", "policy/vault", "notify/outbox"])
def test_the_control_what_nobody_remembers_is_seen_to_be_served_shorter(scene, which):
    """All disks from yesterday, and they agree: then it is served, and the comparison above says so."""
    scene.put_back("early")
    assert scene.outcome(which).startswith("served otherwise"), which


@pytest.mark.xfail(strict=True, reason="what was stored since the last read that was cosigned is in no tree: nobody remembers it but the agents, who have let it go")
def test_a_vault_that_has_lost_what_was_acknowledged_since_the_last_read_says_so(scene):
    scene.put_back("killed")
    (scene.suite.home / "policy" / "vault.sqlite-wal").write_bytes(scene.log_before)
    outcome = scene.outcome("policy/vault")
    print(outcome)
    assert outcome.startswith(("refused", "not believed")), outcome


@pytest.mark.xfail(strict=False, reason="rows of the outbox carry no hash: a page flipped in the right place loses messages without a word (seeds differ)")
def test_an_outbox_with_a_flipped_page_tells_everything_or_says_that_it_cannot(scene):
    chance = seeded("notify/outbox, pages")
    for _ in range(3):
        scene.put_back("ended")
        how = page_flipped(scene.suite.home / "notify" / "outbox.sqlite", chance)
        outcome = scene.outcome("notify/outbox")
        print(f"page_flipped {how}: {outcome}")
        assert outcome.startswith("refused") or outcome == "served", (how, outcome)
