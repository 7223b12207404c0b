"""No plaintext of an event lies outside the memory of its agent and of policy: not in a file, not in ingest, not in control."""

import base64
import configparser
import os
import re
import secrets
import sqlite3
from pathlib import Path

import pytest
from harness import wait_until
from harness.agent import key, text


def forms(planted):
    """How a text may lie somewhere: as it is, in UTF-16, and within base64 wherever it begins."""
    raw = planted.encode()
    found = {"UTF-8": raw, "UTF-16": planted.encode("utf-16-le"), "UTF-16 BE": planted.encode("utf-16-be")}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # Without the letters that its neighbours decide about.
        found[f"base64 at {shift}"] = whole[(shift * 8 + 5) // 6:-4]
    return found


def search(data, planted):
    return [name for name, form in forms(planted).items() if form in data]


def search_all(data, planted):
    """The forms that any of the words lies in. Where UTF-16 is, without its zeros the letters are: to look for them alone is many times faster."""
    letters = data.translate(None, b"\0")
    return [
        form for word in planted if word.encode() in letters or any(encoded in data for name, encoded in forms(word).items() if "base64" in name)
        for form in search(data, word)]


def in_files(folder, *planted):
    """Every file below the folder, whatever its name."""
    found, files = {}, 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            files += 1
            if forms_found := search_all(path.read_bytes(), planted):
                found[str(path.relative_to(folder))] = forms_found
    assert files > 10, "there is something to search"
    return found


def memory_of(process):
    """All of a process's memory that can be read, piece by piece; but for files that it cannot write into: the program itself."""
    try:
        with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
            for line in maps:
                place = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
                if not place or "[vvar" in line or "[vsyscall]" in line or re.match(r"\S+ r-.* /", line):
                    continue
                start, end = (int(number, 16) for number in place.groups())
                try:
                    memory.seek(start)
                    yield memory.read(end - start)
                except (OSError, ValueError, OverflowError):
                    continue
    except PermissionError:
        pytest.skip("another process's memory may not be read here")


def in_memory(process, *planted):
    found, size = set(), 0
    for piece in memory_of(process):
        size += len(piece)
        found.update(search_all(piece, planted))
    assert size > 1 << 20, "there is something to search"
    return sorted(found)


def test_the_search_finds_what_is_there(tmp_path):
    """The control of the search itself, in each form, and across a process's memory: this one's."""
    planted = "planted-" + secrets.token_hex(12)
    for name, form in forms(planted).items():
        assert search(b"before" + form + b"after", planted) == search_all(b"before" + form + b"after", ("another", planted)) == [name]
    for shift in range(4):
        assert search(base64.b64encode(os.urandom(shift) + planted.encode() + os.urandom(5)), planted)
    assert in_memory(os.getpid(), planted)
    (tmp_path / "files").mkdir()
    for number in range(11):
        (tmp_path / "files" / f"{number}").write_bytes(planted.encode() * (number == 7))
    assert in_files(tmp_path / "files", "another", planted) == {"7": ["UTF-8"]}
    assert not search(b"planted-" * 1000, planted)


def test_a_planted_text_is_read_back_and_lies_in_no_file_and_in_no_memory_of_ingest_or_control(make_suite):
    suite = make_suite()
    # Whom strangers reach, too.
    suite.start("join", "hooks")
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    typed, said = "typed-" + secrets.token_hex(12), "said-" + secrets.token_hex(12)
    agent.send(key(typed), text(said, source="chat"))
    agent.expect_drained()
    # Once more with policy away: now it waits in the spool.
    suite.kill("policy")
    waits = "waits-" + secrets.token_hex(12)
    agent.expect(capturing=True)
    agent.send(text(waits, source="mail"))
    wait_until(lambda: agent.status["spoolBatches"] == 1, "it is spooled")
    planted = (typed, said, waits)
    with sqlite3.connect(f"file:{agent.home / 'spool.sqlite'}?mode=ro", uri=True) as database:
        [(header, payload)] = database.execute("SELECT header, payload FROM batch").fetchall()
    assert b"conversation" in header and not any(search(payload, word) for word in planted)
    assert in_files(suite.home, "conversation"), "the control: the spool's headers are in the clear, and are found"
    assert in_files(suite.home, *planted) == {}

    suite.start("policy")
    agent.expect_drained()
    read = suite.read()
    for word in planted:
        assert search(read.out.encode(), word), "the control: readers get it, and the search finds it there"
    assert in_files(suite.home, *planted) == {}
    for name in ("ingest", "control", "notify", "join", "hooks"):
        assert in_memory(suite.services[name].id, *planted) == [], f"{name} holds what only policy may"
    # What ingest does hold of it: that it was of this class. The search sees that.
    assert in_memory(suite.services["ingest"].id, "conversation")
    # L06: what is told to who asks for no data, and a backup of the vault.
    told = [suite.cli(*words, "--json").out.encode() for words in (
        ("status",), ("agents",), ("incidents",), ("closures",), ("deliveries",), ("ledger", "show", "1.."), ("ledger", "show", "1..", "--ledger", "reads"))]
    assert any(search(text, "a test") for text in told), "the control: the reason of the read is on the record, and the search finds it"
    with sqlite3.connect(f"file:{suite.home / 'policy' / 'vault.sqlite'}?mode=ro", uri=True) as database:
        database.execute("VACUUM INTO ?", (str(suite.home / "backup.sqlite"),))
    database.close()
    for word in planted:
        assert not any(search(text, word) for text in told)
    # At rest, and with every log moved into its database.
    suite.terminate_all()
    assert in_files(suite.home, *planted) == {}


UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"


def what_may_reach_a_disk(text):
    """Of a unit: what of its memory the kernel may write to one; systemd passes over what stands in another section."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string(text)
    return {what for what, key in (("swap", "MemorySwapMax"), ("a core", "LimitCORE")) if unit["Service"].get(key) != "0"}


def test_no_unit_lets_the_kernel_write_memory_that_holds_plaintext_or_keys_to_a_disk():
    """L06: swap and core dumps go round everything that asks policy. Here the setting itself: what the kernel makes of it takes a machine with swap."""
    units = {path.stem: path.read_text() for path in UNITS.glob("*.service")}
    assert len(units) >= 7 and "sluice-policy" in units
    for name, text in units.items():
        assert what_may_reach_a_disk(text) == set(), name
        # The control: each line is needed, as it is and where it stands.
        for key, what in (("MemorySwapMax", "swap"), ("LimitCORE", "a core")):
            without, count = re.subn(rf"^{key}=0\n", "", text, flags=re.M)
            assert count == 1 and what_may_reach_a_disk(without) == {what}, (name, key)
            assert what_may_reach_a_disk(f"{without}\n[Unit]\n{key}=0\n") == {what} == what_may_reach_a_disk(text.replace(f"{key}=0", f"{key}=1M")), (name, key)


def stored(make_suite, subjects=("E1", "E2")):
    """A suite whose vault holds a key of each subject; policy has ended."""
    suite = make_suite()
    for subject in subjects:
        agent = suite.agent("agent-" + subject, subject).run().expect(capturing=True)
        agent.type("of-" + subject)
        agent.expect_drained()
    assert suite.terminate("policy") == 0
    return suite


def edit(suite, sql):
    with sqlite3.connect(suite.home / "policy" / "vault.sqlite", timeout=10) as database:
        assert database.execute(sql).rowcount > 0


def test_a_read_ends_as_unreadable_at_a_segment_that_was_changed_and_goes_on_everywhere_else(make_suite):
    suite = stored(make_suite)
    edit(suite, "UPDATE segment SET team = 'sales' WHERE subject = 'E2'")
    suite.start("policy")
    refused = suite.read(check=False)
    assert refused.code != 0 and "changed in the vault's file" in refused.err, refused
    assert [line["event"]["key"] for line in refused.lines] == ["of-E1"], "what stands before it has gone out"
    assert suite.keys("--subject", "E1") == ["of-E1"], "the control"
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("releases.unreadable", 0)) == 1, "it is counted")
    assert suite.vault("SELECT code FROM release ORDER BY number") == [(19,), (0,)], "and on the record"
    # Nothing has ended: what is new is stored and read.
    suite.agents["agent-E1"].type("more")
    suite.agents["agent-E1"].expect_drained()
    assert suite.keys("--subject", "E1") == ["of-E1", "more"]


def test_policy_does_not_start_on_a_vault_of_another_master_key(make_suite):
    suite = stored(make_suite, ("E1",))
    path = suite.home / "keys" / "vault" / "policy.master"
    honest = path.read_text()
    for other, why in ((secrets.token_hex(32) + "\n", "another master key"), ("", "64 hexadecimal digits"), (honest.upper(), "64 hexadecimal digits")):
        path.write_text(other)
        suite.log("policy").write_bytes(b"")
        suite.start("policy", wait=False)
        process = suite.services["policy"]
        assert process.wait() != 0
        assert why in process.said and process.said.count("\n") == 1, process.said
    path.write_text(honest)
    path.chmod(0o640)
    suite.start("policy", wait=False)
    assert suite.services["policy"].wait() != 0, "others may read it"
    path.chmod(0o600)
    suite.start("policy")
    assert suite.keys() == ["of-E1"], "the control"


def test_agents_seal_to_a_new_vault_key_from_its_announcement_on_and_what_waited_for_the_old_one_opens(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("first")
    agent.expect_drained()
    suite.terminate("policy")
    agent.type("waited")
    wait_until(lambda: agent.status["spoolBatches"] == 1, "it is spooled")

    def sealed_to():
        with sqlite3.connect(f"file:{agent.home / 'spool.sqlite'}?mode=ro", uri=True) as database:
            return [payload[1:9] for payload, in database.execute("SELECT payload FROM batch ORDER BY sequence")]

    [old] = sealed_to()
    suite.cli("vault-key", "new")
    suite.approved("vault-key", "announce")
    said = suite.home / "logs" / "agent-ann.log"
    wait_until(lambda: said.read_text().count("sealing to the vault key") == 2, "the agent has heard of the new key")
    agent.type("second")
    wait_until(lambda: agent.status["spoolBatches"] == 2, "it is spooled too")
    assert sealed_to()[0] == old and sealed_to()[1] != old
    suite.start("policy")
    agent.expect_drained()
    assert suite.keys() == ["first", "waited", "second"]
    # An agent that begins later, and one that begins again, start with the new one.
    agent.process.end()
    agent.run().expect(capturing=True)
    agent.type("third")
    agent.expect_drained()
    assert suite.keys() == ["first", "waited", "second", "third"]
    # Without the old key nothing sealed to it opens any more; what is stored stays.
    (suite.home / "keys" / "vault" / "policy.vault.1").unlink()
    suite.restart("policy")
    assert suite.keys() == ["first", "waited", "second", "third"]
