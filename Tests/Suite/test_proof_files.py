"""What proves a person's reads, where it cannot be written, and where there is none: no half of it lies about, and nobody is left to find out by themselves."""

import contextlib
import json
import sqlite3
import subprocess

from harness import on_tmpfs
from test_exposure import exposure, kind, leaked, leaf_of, stamp  # noqa: F401 - a fixture
from test_ledgers import expect_cosigned


def test_on_a_full_disk_no_proof_file_is_left_and_with_room_all_are_there(leaked, tmp_path):  # noqa: F811 - the fixture
    since = ("--since", stamp(leaked.cli("ledger", "show", leaked.narrow, "--json").json["at_us"]))
    expect_cosigned(leaked, "reads", at_least=leaked.cli("ledger", "verify", "--ledger", "reads", "--json").json["entries"])
    names = {f"read-{release['entry']}.tlog-proof" for release in kind(exposure(leaked, *since, "--subject", "E1"), "release")}
    assert len(names) == 2, names

    def write(folder, check=True):
        return leaked.cli("exposure", leaked.incident, *since, "--subject", "E1", "--proofs", folder, check=check)

    # One page: the first of the files has room, and the second has none.
    with on_tmpfs(tmp_path / "small", 4096) as disk:
        kept = disk / "kept"
        kept.mkdir()
        for folder in (disk, kept, disk / "new" / "folder"):
            refused = write(folder, check=False)
            assert (refused.code, refused.out) == (1, "") and "no proof file was written" in refused.err and refused.err.count("\n") == 1, refused
            assert [path.name for path in sorted(disk.rglob("*"))] == ["kept"], "nothing of it is left, and what was there is"
        subprocess.run(["mount", "-o", "remount,size=65536", str(disk)], check=True)
        for folder in (kept, disk / "new" / "folder"):
            write(folder)
            assert {path.name for path in folder.iterdir()} == names
        assert {(kept / name).read_text() for name in names} == {(disk / "new" / "folder" / name).read_text() for name in names}


def test_a_read_whose_entry_was_changed_has_no_proof_and_everybody_whom_it_concerns_is_told(leaked, tmp_path):  # noqa: F811 - the fixture
    people = tmp_path / "people.csv"
    people.write_text("id,name,mail,site,team,locale\nE1,Ann Ash,ann@example.org,berlin,search,de-DE\nE2,Bob Birch,bob@example.org,berlin,search,en\nE3,Cleo Cox,cleo@example.org,berlin,search,fr\n")
    (leaked.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}))
    expect_cosigned(leaked, "reads", at_least=leaked.cli("ledger", "verify", "--ledger", "reads", "--json").json["entries"])
    (release,) = kind(exposure(leaked), "release")
    entry = release["entry"]
    words = (leaked.incident, "--people", people)
    leaked.cli("incident", "assess", leaked.incident)
    before = leaked.cli("notices", "send", *words, "--json")
    assert before.err == "" and leaked.cli("notices", "preview", *words, "--json").json["unproven"] == []
    assert f"read-{entry}.tlog-proof" in leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people).out, "the control: it has one"
    # Not one byte of what is shown of it: the leaf alone says that it is not what was recorded.
    leaf = leaf_of(leaked, entry)
    with contextlib.closing(sqlite3.connect(leaked.home / "policy" / "vault.sqlite", timeout=10)) as database, database:
        database.execute("UPDATE ledger_body SET salt = zeroblob(length(salt)) WHERE number = ?", (entry - 1,))
    assert leaf_of(leaked, entry) != leaf

    said = f"entry {entry} of the ledger of reads is not what control has cosigned"
    round_of_all = leaked.cli("notices", "preview", *words)
    assert said in round_of_all.out and "'sluice ledger verify'" in round_of_all.out, round_of_all
    preview = leaked.cli("notices", "preview", *words, "--json").json
    assert preview["unproven"] == [entry] and preview["digest"], "it may be sent: whoever signs knows"
    for subject, told, wording in (("E1", True, f"Für den Lesezugriff von Eintrag {entry} gibt es keinen Beweis"), ("E3", True, f"Of the read of entry {entry} there is no proof"), ("E2", False, "no proof")):
        page = leaked.cli("notices", "preview", leaked.incident, subject, "--people", people)
        own = leaked.cli("notices", "preview", leaked.incident, subject, "--people", people, "--json").json
        for text in (" ".join(page.out.split()), " ".join(own["text"].split()), own["html"]):
            assert (wording in text) == told and "tlog-proof" not in text, text
        assert (said in page.err) == told and own["unproven"] == ([entry] if told else []) and own["proofs"] == []
    sent = leaked.cli("notices", "send", *words, "--json")
    assert said in sent.err and sent.json["proposal"]["proposal"] != before.json["proposal"]["proposal"], sent
    assert said in leaked.cli("notices", "send", *words).out
    approved = leaked.cli("approve", sent.json["proposal"]["proposal"], "--as", "ops-2", "--yes", "--directory", people)
    assert "the same digest" in approved.out and said in approved.out, approved
    refused = leaked.cli("exposure", leaked.incident, "--subject", "E1", "--proofs", tmp_path / "none", check=False)
    assert refused.code == 1 and f"entry {entry} of the ledger of reads is not what control has cosigned" in refused.err and not (tmp_path / "none").exists(), refused
