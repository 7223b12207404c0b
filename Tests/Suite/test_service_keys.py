"""The keys that services go by are exchanged while everything runs: nobody stops capturing, nothing is lost, and what was retired lets nobody in."""

import base64
import json
import os
import re
import sqlite3
import subprocess

import pytest
from zmq.utils import z85

from harness import binaries
from harness.agent import Typist
from harness.waiting import wait_until
from test_vault_keys import UNITS, hidden

SERVICES = ("ingest", "policy", "notify", "control")
# A key that was exchanged once is exchanged like any other: twice is again.
EXCHANGES = int(os.environ.get("SLUICE_EXCHANGES", "2"))


def keys_of(suite, service):
    return [k for k in suite.cli("service-key", "list", "--json").json["keys"] if k["service"] == service]


def heard(suite, agent):
    return (suite.home / "logs" / f"agent-{agent.name}.log").read_text().count("ingest may go by the key")


def announce(suite, service, agents=()):
    """Two operators agree; returns when control says that both count, and the agents have heard."""
    before = {agent.name: heard(suite, agent) for agent in agents}
    suite.approved("service-key", "new", service)
    wait_until(lambda: len(keys_of(suite, service)) == 2, f"a second key of {service} counts")
    for agent in agents:
        wait_until(lambda: heard(suite, agent) > before[agent.name], f"{agent.name} has heard of ingest's next key")


def use(suite, service):
    suite.cli("service-key", "use", service)
    wait_until(lambda: keys_of(suite, service)[1]["used"], f"{service} goes by its next key")


def exchange(suite, service, agents=()):
    announce(suite, service, agents if service == "ingest" else ())
    use(suite, service)
    if service == "ingest":
        key = keys_of(suite, service)[1]["key"]
        for agent in agents:
            wait_until(lambda: json.loads((agent.home / "agent.json").read_text())["serverKey"] == key, f"{agent.name} has met ingest under its next key")
    suite.cli("service-key", "retire", service)
    assert len(keys_of(suite, service)) == 1


def counting(pinned):
    """Of a service's `control.keys`, without those that it knows to be retired."""
    return [line for line in pinned.read_text().splitlines() if not line.endswith(" retired")]


def intervals(agent):
    with sqlite3.connect(f"file:{agent.home / 'spool.sqlite'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT class, COUNT(*) FROM interval GROUP BY class ORDER BY class").fetchall()


def test_every_services_key_is_exchanged_again_and_again_and_no_agent_stops(make_suite):
    suite = make_suite(lease_ms=3000)
    agents = [suite.agent(name, f"E{number}").run().expect(capturing=True) for number, name in enumerate(("ann", "bob", "cid"), 1)]
    typists = [Typist(agent, every=0.05).start().expect_more(5) for agent in agents]
    wait_until(lambda: all(intervals(agent) for agent in agents), "their intervals are on disk")
    open_before = {agent.name: intervals(agent) for agent in agents}
    assert all(count == 1 for held in open_before.values() for _, count in held)
    first = {service: keys_of(suite, service)[0]["key"] for service in SERVICES}
    seen = {service: {first[service]} for service in SERVICES}
    processes = {name: suite.services[name].id for name in SERVICES}
    for _ in range(EXCHANGES):
        for service in SERVICES:
            exchange(suite, service, agents)
            [now] = keys_of(suite, service)
            assert now["key"] not in seen[service], "another one each time"
            seen[service].add(now["key"])
    for typist in typists:
        typist.expect_more(5).stop()
    for agent in agents:
        status = agent.expect_drained()
        assert status["classes"] and status["quarantined"] == 0 and status["keysRefused"] == 0
        assert status["refused"] == {}, "no event fell into a gap"
        assert intervals(agent) == open_before[agent.name], "one lease, from the beginning to the end"
    assert sorted(suite.keys()) == sorted(name for typist in typists for name, _ in typist.sent), "all of it, once"
    assert {name: suite.services[name].id for name in SERVICES} == processes and all(suite.services[name].is_running for name in SERVICES)
    # The ledger is whole, and says so itself; and everything starts with what it has now.
    suite.cli("ledger", "verify")
    for name in ("control", "policy", "notify", "ingest"):
        suite.restart(name)
    agents[0].expect(capturing=True)
    # The control: where ingest is away for longer than a lease, the intervals show it.
    suite.kill("ingest")
    agents[0].expect(capturing=False)
    suite.start("ingest")
    agents[0].expect(capturing=True)
    wait_until(lambda: intervals(agents[0]) != open_before["ann"], "the gap is on disk")


def test_a_machine_that_was_off_during_the_whole_exchange_comes_back_by_a_proof_and_by_no_forged_one(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.process.end()
    old = json.loads((agent.home / "agent.json").read_text())["serverKey"]
    exchange(suite, "ingest")
    proof = suite.cli("service-key", "prove", "ingest").out
    [now] = keys_of(suite, "ingest")

    def extra(change):
        lines = proof.split("\n")
        place = next(n for n, line in enumerate(lines) if line.startswith("extra "))
        data = bytearray(base64.b64decode(lines[place][6:]))
        change(data)
        lines[place] = "extra " + base64.b64encode(bytes(data)).decode()
        return "\n".join(lines)

    def other_key(data):
        # Some byte of the announced key.
        data[-40] ^= 1

    for offered, refused in ((None, 0), (extra(other_key), 1), ("nothing of the kind", 1)):
        path = agent.home / "server.proof"
        path.unlink(missing_ok=True)
        if offered:
            path.write_text(offered)
        agent.run()
        wait_until(lambda: agent.fresh["keysRefused"] == refused or refused and "names no key of ingest" in agent.process.said, "it has looked at it")
        assert not agent.fresh["isConnected"] and json.loads((agent.home / "agent.json").read_text())["serverKey"] == old
        agent.process.end()
    (agent.home / "server.proof").write_text(proof)
    agent.run().expect(capturing=True)
    agent.type("back")
    agent.expect_drained()
    assert suite.keys() == ["back"]
    assert json.loads((agent.home / "agent.json").read_text())["serverKey"] == now["key"]
    # From then on without the file too.
    agent.process.end()
    (agent.home / "server.proof").unlink()
    agent.run().expect(capturing=True)


def test_a_machine_that_joins_between_announcement_and_use_comes_along(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1")
    announce(suite, "ingest")
    agent.run().expect(capturing=True)
    wait_until(lambda: heard(suite, agent) == 1, "it is told when it greets")
    agent.process.end()
    use(suite, "ingest")
    # It was off when the key was taken up, and had heard of it.
    agent.run().expect(capturing=True)
    suite.cli("service-key", "retire", "ingest")


@pytest.mark.parametrize("service", ("ingest", "control"))
def test_a_key_that_does_not_count_is_not_taken_up(make_suite, service):
    suite = make_suite()
    suite.cli("service-key", "new", service)
    refused = suite.cli("service-key", "use", service, check=False)
    assert refused.code == 1 and "does not count yet" in refused.err
    [known] = keys_of(suite, service)
    # Exchanged by hand all the same: the service looks into the ledger itself.
    folder = suite.home / service
    (folder / "key.next").rename(folder / "key.secret")
    wait_until(lambda: "does not count by control's ledger" in suite.log(service).read_text(), "it says so")
    assert keys_of(suite, service) == [known] and suite.services[service].is_running
    # Not started with it either: whoever connects would find somebody else there.
    suite.kill(service)
    suite.start(service, wait=False)
    assert suite.services[service].wait() != 0 and "is not the key that registry.json names" in suite.services[service].said
    (folder / "key.secret").unlink()
    suite.start(service)


def test_what_one_person_may_and_may_not(make_suite):
    suite = make_suite()
    [known] = keys_of(suite, "ingest")

    def refused(*arguments, why):
        outcome = suite.cli("service-key", *arguments, check=False)
        assert outcome.code != 0 and why in outcome.err, outcome

    taken = suite.cli("service-key", "list", "--json").json["keys"]
    policys = next(k["key"] for k in taken if k["service"] == "policy")
    suite.agent("desk", "E1")
    [desk] = suite.cli("agents", "--json").json["agents"]
    desks = z85.encode(base64.b64decode(desk["node"]["key"])).decode()
    refused("announce", "ingest", f"--key={policys}", why="policy's already")
    refused("announce", "ingest", f"--key={desks}", why="desk's already")
    refused("announce", "ingest", f"--key={known['key']}", why="ingest's already")
    refused("announce", "ingest", f"--key={'0' * 40}", why="no CURVE public key")
    refused("announce", "ingest", "--key=short", why="not 40 characters")
    refused("announce", "nobody", f"--key={desks}", why="no service")
    refused("retire", "ingest", why="has one key")
    proposed = suite.cli("service-key", "new", "ingest", "--json").json["proposal"]
    assert proposed["state"] == "open" and any("for ingest" in line for line in proposed["gains"])
    own = suite.cli("approve", proposed["proposal"], check=False)
    assert own.code == 1 and "who proposes does not approve" in own.err
    assert keys_of(suite, "ingest") == [known], "one person alone changes nothing"
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    newer = keys_of(suite, "ingest")[1]["key"]
    refused("retire", "ingest", why="does not go by its newer key yet")
    # Given up before it was used: one person, at once; and it never comes back.
    suite.cli("service-key", "retire", "ingest", f"--key={newer}")
    assert [k["key"] for k in keys_of(suite, "ingest")] == [known["key"]]
    refused("announce", "ingest", f"--key={newer}", why="never comes back")
    # The one that it goes by is retired by who says so, and knows what that costs.
    announce(suite, "ingest")
    use(suite, "ingest")
    used = keys_of(suite, "ingest")[1]["key"]
    refused("retire", "ingest", f"--key={used}", why="agents that have met it stay away")
    assert len(keys_of(suite, "ingest")) == 2
    suite.cli("service-key", "retire", "ingest", f"--key={used}", "--yes")
    assert [k["key"] for k in keys_of(suite, "ingest")] == [known["key"]]
    counters = suite.status()["counters"]
    assert counters["commands.refused.revoked-key"] == 1 and counters["commands.refused.invalid"] == 4, counters


def test_a_key_that_a_service_is_to_take_up_lies_in_its_own_folder_alone_which_the_units_of_all_others_hide(make_suite):
    suite = make_suite()
    before = {path: path.read_bytes() for path in suite.home.rglob("*") if path.is_file()}
    folders = {}
    for service in (*SERVICES, "join", "hooks"):
        made = suite.cli("service-key", "new", service, "--only-make")
        new = {path: text for path in suite.home.rglob("*") if path.is_file() and (text := path.read_bytes()) != before.get(path) and "logs" not in path.parts}
        # Whatever else was written meanwhile: 32 bytes in Z85 are a secret, and so are they in the clear.
        secrets = {path: z85.decode(text.strip()) for path, text in new.items() if re.fullmatch(rb"\S{40}\s*", text)}
        [(path, secret)] = secrets.items()
        for other in suite.home.rglob("*"):
            if other.is_file() and other != path:
                text = other.read_bytes()
                assert secret not in text and z85.encode(secret) not in text, other
        assert secret.hex() not in made.out + made.err and z85.encode(secret).decode() not in made.out + made.err
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700, path
        folders[service] = str(path.parent.relative_to(suite.home))
        before |= new
    assert folders == {service: service for service in folders}, folders
    made = (UNITS / "sluice.tmpfiles").read_text()
    for service, folder in folders.items():
        units = {unit.name.removeprefix("sluice-").removesuffix(".service"): hidden(unit.name) for unit in UNITS.glob("sluice-*.service")}
        assert {name for name, paths in units.items() if folder not in paths} == {service}, f"who sees the next key of {service}"
        assert f"d /var/lib/sluice/{folder} 0700" in made, "it is there before a service starts that is kept out of it"


def test_a_service_that_was_away_during_a_whole_exchange_of_controls_key_comes_back_by_itself(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    exchange(suite, "control")
    [known] = keys_of(suite, "control")
    away = ("ingest", "policy", "notify")
    for name in away:
        wait_until(lambda: counting(suite.home / name / "control.keys") == [known["key"]], f"{name} has pinned it")
        suite.terminate(name)
    exchange(suite, "control")
    [now] = keys_of(suite, "control")
    for name in away:
        assert counting(suite.home / name / "control.keys") == [known["key"]], "the control: it knows of no other"
    suite.start(*away)
    agent.expect(capturing=True)
    for name in away:
        pinned = suite.home / name / "control.keys"
        wait_until(lambda: counting(pinned) == [now["key"]], f"{name} has pinned the present one")
        assert f"{known['key']} retired" in pinned.read_text().splitlines()


def token_for(suite, subject):
    made = suite.cli("enrol", "--subject", subject, "--json").json
    suite.cli("approve", made["proposal"]["proposal"], "--as", "ops-2")
    return made["token"]


def named(token):
    """The key, Z85, and the port that a token names: SPEC, section 15."""
    text = token.removeprefix("sluice-join-")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return z85.encode(data[1:33]).decode(), int(data[81:-4].decode().rsplit(":", 1)[1])


def join(suite, name, token, wait=30):
    return subprocess.run(
        [binaries() / "sluice-agent", "join", "--home", suite.folder / name, "--wait", str(wait), "-"], input=token, capture_output=True, text=True, timeout=90)


def test_the_joining_processes_key_is_exchanged_while_tokens_of_both_keys_are_good(make_suite):
    suite = make_suite()
    suite.start("join")
    first, beside = suite.port("join"), suite.port("join") + 1
    [old] = keys_of(suite, "join")
    wait_until(lambda: keys_of(suite, "join")[0]["used"], "it is known by its key")
    earlier, never = token_for(suite, "E1"), token_for(suite, "E2")
    assert named(earlier) == (old["key"], first)
    announce(suite, "join")
    new = keys_of(suite, "join")[1]
    wait_until(lambda: f"the key {new['key']} answers at the second address" in suite.services["join"].said, "both answer")
    # Tokens name it from when this home's registry does.
    assert named(token_for(suite, "E3")) == (old["key"], first)
    use(suite, "join")
    later, latest = token_for(suite, "E4"), token_for(suite, "E5")
    assert named(later) == (new["key"], beside)
    for name, token in (("one", earlier), ("two", later)):
        done = join(suite, name, token)
        assert done.returncode == 0, done
    # It begins anew with both.
    suite.restart("join")
    wait_until(lambda: keys_of(suite, "join")[1]["used"], "control hears it by the newer")
    done = join(suite, "three", token_for(suite, "E6"))
    assert done.returncode == 0, done
    process = suite.services["join"].id
    suite.cli("service-key", "retire", "join")
    wait_until(lambda: f"the key {new['key']} is taken up" in suite.services["join"].said, "the newer has the first address too")
    # A token of the older is good no more; one of the newer is, at either address.
    refused = join(suite, "four", never, wait=3)
    assert refused.returncode == 1 and "nobody answers there who has the key" in refused.stderr, refused
    done = join(suite, "five", latest)
    assert done.returncode == 0, done
    now = token_for(suite, "E7")
    assert named(now) == (new["key"], first)
    done = join(suite, "six", now)
    assert done.returncode == 0, done
    assert suite.services["join"].id == process and suite.services["join"].is_running, "all of it without a stop"
    assert [k["key"] for k in keys_of(suite, "join")] == [new["key"]]
    assert suite.status()["counters"].get("refused.retired-key", 0) == 0, "the joining process went by the other before"
    # And control's key, which it hears of from control with a renewal: whoever has it taken up waits for that.
    exchange(suite, "control")
    done = join(suite, "seven", token_for(suite, "E8"))
    assert done.returncode == 0, done
    suite.cli("ledger", "verify")


def test_a_key_that_was_retired_before_it_was_used_is_forgotten_by_agents_and_told_to_none_that_joins(make_suite):
    suite = make_suite()
    suite.start("join")
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    announce(suite, "ingest", [agent])
    newer = keys_of(suite, "ingest")[1]["key"]
    assert (agent.home / "server.proof").exists()
    suite.cli("service-key", "retire", "ingest", f"--key={newer}")
    wait_until(lambda: f"ingest will not go by the key {newer}" in agent.process.said, "it has heard")
    assert not (agent.home / "server.proof").exists() and (agent.home / "server.retired").exists()
    # Who starts again hears of no other key, and who joins neither.
    before = heard(suite, agent)
    agent.process.end()
    agent.run().expect(capturing=True)
    done = join(suite, "joined", token_for(suite, "E2"))
    assert done.returncode == 0, done
    assert not (suite.folder / "joined" / "server.proof").exists() and heard(suite, agent) == before
    assert agent.fresh["keysRefused"] == 0
    # The next one is taken, and used.
    exchange(suite, "ingest", [agent])
    agent.expect(capturing=True)
    assert agent.fresh["keysRefused"] == 0
    done = join(suite, "joined-later", token_for(suite, "E3"))
    assert done.returncode == 0 and (suite.folder / "joined-later" / "server.proof").exists(), "the control: of a key that counts it is told"


@pytest.mark.parametrize("service", ("control", "ingest"))
def test_a_pause_in_the_middle_of_an_exchange_is_complete_in_time(make_suite, service):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    announce(suite, service, [agent] if service == "ingest" else [])
    suite.cli("service-key", "use", service)
    # Nobody waits here for the key to be taken up: the pause meets it.
    suite.expect_in_time(suite.pause())
    agent.expect(capturing=False)
    wait_until(lambda: keys_of(suite, service)[1]["used"], f"{service} goes by its next key")
    suite.resume()
    agent.expect(capturing=True)


def test_who_starts_again_goes_by_the_keys_of_now_and_not_by_those_of_a_page_that_it_reads(make_suite):
    """A follower reads the ledger from its beginning, in pages of 64 entries: keys of the past are on most of them."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    exchange(suite, "control")
    # Each is three entries, and a page is 64: the next exchange is not on the page of the first.
    for number in range(30):
        suite.cli("pause", "--reads-only", "--reader", f"reader-{number}", "--reason", "a test")
    exchange(suite, "control")
    [now] = keys_of(suite, "control")
    for name in ("policy", "notify", "ingest"):
        suite.restart(name)
        pinned = suite.home / name / "control.keys"
        wait_until(lambda: counting(pinned) == [now["key"]], f"{name} goes by control's key, and so it will at its next start")
    suite.expect_serving()
    agent.expect(capturing=True)
