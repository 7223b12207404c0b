"""Whether people have opened their notices: what their mails say comes back by mail, to a real Maildir, from a real SMTP server; no page is asked for."""

import email
import email.policy
import hashlib
import json
import re
import urllib.parse

import pytest
from harness import wait_until
from test_exposure import leaked  # noqa: F401 - a fixture
from test_mail import LOGIN, make_server, place  # noqa: F401 - fixtures

ADDRESSES = {"E1": "ann@example.org", "E2": "bob@example.org", "E3": "cleo@example.org"}


def settle(suite, settings):
    path = suite.home / "notify.json"
    path.write_text(json.dumps(settings))
    path.chmod(0o600)


@pytest.fixture
def box(tmp_path):
    for part in ("new", "cur", "tmp"):
        (tmp_path / "box" / part).mkdir(parents=True)
    return tmp_path / "box"


def decide(suite, folder, contact):
    """Notices of the incident, signed by two and handed over: their decision's entry."""
    people = folder / "people.csv"
    people.write_text("id,name,mail,site,team,locale\n" + "".join(f"{subject},,{address},berlin,search,{'de' if subject == 'E1' else 'en'}\n" for subject, address in ADDRESSES.items()))
    (suite.home / "notices.json").write_text(json.dumps({"contactName": contact, "contactPoint": "dpo@example.org"}))
    if suite.cli("incident", "show", suite.incident, "--json").json["state"] == "contained":
        suite.cli("incident", "assess", suite.incident)
        suite.cli("incident", "assess", suite.incident)
    words = (suite.incident, "--people", people)
    number = suite.cli("notices", "send", *words, "--json").json["proposal"]["proposal"]
    suite.cli("approve", number, "--as", "ops-2", "--yes", "--directory", people)
    handed = suite.cli("notices", "send", *words, "--json").json
    assert handed["taken"]
    return int(handed["decision"])


def of(suite, decision):
    return next(one for one in suite.cli("notices", suite.incident, "--json").json["rounds"] if int(one["decision"]) == decision)


def sent(suite, subject, decision):
    return next(one for one in suite.cli("notice", "show", suite.incident, subject, "--json").json["sent"] if int(one["decision"]) == decision)


def opened(suite, decision):
    return int(of(suite, decision).get("opened", 0))


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


def link(mail):
    """Of its text; its page has the same."""
    (found,) = re.findall(r"<mailto:([^?>]+)\?subject=([^>]+)>", mail.get_body(("plain",)).get_content())
    assert f'href="mailto:{found[0]}?subject={found[1]}"' in mail.get_body(("html",)).get_content()
    return urllib.parse.unquote(found[0]), urllib.parse.unquote(found[1])


def put(box, name, subject, more="", body=""):
    path = box / "tmp" / name
    path.write_bytes(f"From: somebody@elsewhere.example\r\nTo: sluice@example.com\r\nSubject: {subject}\r\n{more}\r\n{body}".replace("\r\n", "\n").encode())
    path.rename(box / "new" / name)


def disposition(box, name, message_id, word):
    put(
        box, name, "Return receipt", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n",
        f"--b\r\nContent-Type: text/plain\r\n\r\nIt was shown.\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822;somebody@elsewhere.example\r\n"
        f"Original-Message-ID: {message_id}\r\nDisposition: manual-action/MDN-sent-manually; {word}\r\n--b--\r\n")


def test_who_uses_the_link_or_lets_their_mail_program_say_so_has_opened_their_notice_and_nobody_else(leaked, tmp_path, box, place, make_server):  # noqa: F811 - the fixtures
    server = make_server()
    mail = {"url": f"smtp://127.0.0.1:{server.port}", "user": LOGIN[0], "password": LOGIN[1], "from": "sluice@example.com", "operators": [], "ca": str(place["good"][0])}
    settle(leaked, {"mail": mail, "bounces": {"maildir": str(box), "every": 1}})
    leaked.restart("notify")
    key = leaked.home / "notify" / "notices.key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_text().strip()) == 64
    decision = decide(leaked, tmp_path, "Dana Fischer")
    wait_until(lambda: int(of(leaked, decision).get("delivered", 0)) == 3, "the server has all")
    mails = {subject: parsed(server.mails(address)[0]) for subject, address in ADDRESSES.items()}
    for subject, one in mails.items():
        signed = sent(leaked, subject, decision)
        assert one["Disposition-Notification-To"].strip() == "<sluice@example.com>" and one["Message-ID"].strip() == signed["id"]
        text = one.get_body(("plain",)).get_content().replace("\r\n", "\n")
        assert text.startswith(signed["text"]) and ("BEIM VERSENDEN" if subject == "E1" else "ADDED WHEN") in text[len(signed["text"]):]
        page = one.get_body(("html",)).get_content().replace("\r\n", "\n")
        assert page.startswith(signed["html"].split("</body>")[0]) and "<img" not in page and "http:" not in page and "https:" not in page
    links = {subject: link(one) for subject, one in mails.items()}
    assert {to for to, _ in links.values()} == {"sluice@example.com"} and len({code for _, code in links.values()}) == 3
    # What anybody can compute who has the ledger is none of them.
    root = bytes.fromhex(leaked.cli("notices", "preview", leaked.incident, "--people", tmp_path / "people.csv", "--json").json["digest"])
    assert hashlib.sha256(f"notice\n{decision}\n".encode() + root + b"E1").hexdigest()[:40] not in mails["E1"]["Message-ID"]

    code = links["E3"][1]
    put(box, "forged", code[:-1] + ("0" if code[-1] != "0" else "1"))
    put(box, "injected", code[:-1] + "\0")
    put(box, "machine", code, "Auto-Submitted: auto-replied\r\n")
    disposition(box, "unknown", "<mail_" + "0" * 40 + "@example.com>", "displayed")
    disposition(box, "denied", mails["E3"]["Message-ID"], "denied")
    put(box, "1", "Re: " + links["E1"][1])
    disposition(box, "2", mails["E2"]["Message-ID"], "displayed")
    wait_until(lambda: opened(leaked, decision) == 2, "two of three have opened theirs")
    wait_until(lambda: not list((box / "new").glob("[12d]*")), "what is about ours is put aside")
    assert sorted(one.name for one in (box / "new").iterdir()) == ["forged", "injected", "machine", "unknown"], "and what is not is left"
    assert {one.name for one in (box / ".Sluice" / "cur").iterdir()} == {"1:2,", "2:2,", "denied:2,"}
    first = {subject: int(sent(leaked, subject, decision).get("opened_us", 0)) for subject in ADDRESSES}
    assert first["E1"] > 0 and first["E2"] > 0 and first["E3"] == 0
    shown = leaked.cli("notices", leaked.incident).out
    assert "opened 2" in shown and "by whom, that does not say" in shown
    assert "by whom, that does not say" in leaked.cli("notice", "show", leaked.incident, "E1").out
    wait_until(lambda: int(leaked.service_status("notify")["gauges"].get("notices.opened", 0)) == 2, "it is counted")

    # Once more, by the other way, and over a kill.
    leaked.kill("notify")
    put(box, "again", links["E1"][1].upper())
    disposition(box, "twice", mails["E1"]["Message-ID"], "displayed")
    leaked.start("notify")
    wait_until(lambda: not list((box / "new").glob("again")) and not list((box / "new").glob("twice")), "they are put aside")
    assert {subject: int(sent(leaked, subject, decision).get("opened_us", 0)) for subject in ADDRESSES} == first and opened(leaked, decision) == 2
    # It comes back after all.
    put(
        box, "back", "Undelivered", "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822;ann@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n--b\r\n"
        f"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: {mails['E1']['Message-ID'].strip()}\r\n--b--\r\n")
    wait_until(lambda: int(of(leaked, decision).get("unreachable", 0)) == 1, "it came back")
    assert (opened(leaked, decision), int(sent(leaked, "E1", decision)["opened_us"])) == (1, first["E1"])
    assert "yet a receipt came" in of(leaked, decision)["unreached"][0]["why"]


def test_with_no_mail_server_a_mail_that_a_mail_program_has_marked_as_seen_is_opened(leaked, tmp_path, box):  # noqa: F811 - the fixture
    settle(leaked, {"bounces": {"maildir": str(box), "every": 1, "disposition": False}})
    leaked.restart("notify")
    decision = decide(leaked, tmp_path, "Erik Ek")
    wait_until(lambda: int(of(leaked, decision).get("delivered", 0)) == 3, "all are kept")
    folder = leaked.home / "notify" / "mail"
    kept = {sent(leaked, subject, decision)["id"]: subject for subject in ADDRESSES}
    files = {kept[one["Message-ID"].strip()]: path for path in (folder / "new").iterdir() for one in [parsed(path.read_bytes())] if one["Message-ID"].strip() in kept}
    assert set(files) == set(ADDRESSES)
    assert parsed(files["E1"].read_bytes())["Disposition-Notification-To"] is None, "the settings say no"
    assert link(parsed(files["E1"].read_bytes()))[0] == "sluice@localhost"
    files["E2"].rename(folder / "cur" / (files["E2"].name + ":2,S"))
    files["E3"].rename(folder / "cur" / (files["E3"].name + ":2,F"))
    wait_until(lambda: opened(leaked, decision) == 1, "one was seen")
    assert [int(sent(leaked, subject, decision).get("opened_us", 0)) > 0 for subject in ADDRESSES] == [False, True, False]


def test_templates_of_ones_own_are_checked_at_start_and_signed_by_whoever_has_the_same(leaked, tmp_path):  # noqa: F811 - the fixture
    people, words = tmp_path / "people.csv", (leaked.incident, "--people", tmp_path / "people.csv")
    people.write_text("id,name,mail,site,team,locale\nE1,,ann@example.org,berlin,search,en\n")
    (leaked.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}))
    own = leaked.home / "templates"
    own.mkdir()
    (own / "subject-en.mustache").write_text("Case {{incident}}")
    plain = leaked.cli("notices", "preview", *words, "--json").json["digest"]
    assert leaked.cli("notices", "preview", *words, "--templates", own, "--json").json["digest"] != plain
    assert "Subject: Case " in leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--templates", own).out
    number = leaked.cli("notices", "send", *words, "--templates", own, "--json").json["proposal"]["proposal"]
    refused = leaked.cli("approve", number, "--as", "ops-2", "--yes", "--directory", people, check=False)
    assert refused.code == 1 and "templates included" in refused.err and refused.err.count("\n") == 1, refused
    (leaked.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org", "templates": "templates"}))
    assert "the same digest" in leaked.cli("approve", number, "--as", "ops-2", "--yes", "--directory", people).out

    (own / "subject-en.mustache").write_text("Case\n{{incidnet}}")
    for command in (("notices", "preview", *words), ("notices", "send", *words)):
        refused = leaked.cli(*command, check=False)
        assert refused.code == 1 and "subject-en:2: there is no 'incidnet'" in refused.err and refused.err.count("\n") == 1, refused
    settle(leaked, {"templates": "templates"})
    leaked.terminate("notify")
    leaked.start("notify", wait=False)
    process = leaked.services["notify"]
    wait_until(lambda: not process.is_running, "notify does not start")
    (line,) = [line for line in process.said.splitlines() if "incidnet" in line]
    assert process.popen.returncode == 1 and "notify.json: templates cannot be used: subject-en:2: there is no 'incidnet'" in line, process.said
