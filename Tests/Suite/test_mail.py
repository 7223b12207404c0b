"""Mails of notify against a real SMTP server with TLS: aiosmtpd, with certificates made here."""

import asyncio
import datetime
import email
import ipaddress
import json
import ssl
import threading
from collections import Counter

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness import wait_until

OK, LATER, GONE, LOST = (f"{name}@example.com" for name in ("ok", "later", "gone", "lost"))
LOGIN = ("sluice", "a password that no log may hold")


def certificate(folder, name, days=2):
    """A certificate for 127.0.0.1 that vouches for itself and is good for so many days more, and its key: the paths of both."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True).sign(key, hashes.SHA256()))
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


class MailServer:
    """Takes mail on 127.0.0.1. `script`: by recipient, what it says to their next mails; the rest it takes.

    An answer to RCPT; "drop": all is read, and then the connection is cut; "hold": all is read, and the answer waits for `release`.
    """

    def __init__(self, files, starttls=True):
        self.script, self.seen, self.taken, self.clear = {}, [], [], []
        self.lock = threading.Lock()
        self.loop = asyncio.new_event_loop()
        self.release = asyncio.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        secure = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": self._authenticate} if starttls else {}

        async def listen():
            return await self.loop.create_server(lambda: SMTP(self, hostname="test", loop=self.loop, **secure), "127.0.0.1", 0)

        server = self.loop.run_until_complete(listen())
        self.port = server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def _authenticate(self, server, session, envelope, mechanism, data):
        # Not handled: the answer is the server's business.
        return AuthResult(success=(data.login, data.password) == tuple(text.encode() for text in LOGIN), handled=False)

    def next(self, recipient):
        with self.lock:
            steps = self.script.get(recipient, [])
            return steps.pop(0) if steps else None

    async def handle_MAIL(self, server, session, envelope, address, options):
        if session.ssl is None:
            self.clear.append(address)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.step = self.next(address)
        if envelope.step and envelope.step[0] in "45":
            return envelope.step
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = (envelope.rcpt_tos, envelope.content)
        with self.lock:
            self.seen.append(mail)
        if envelope.step == "drop":
            server.transport.abort()
            await asyncio.sleep(60)
        if envelope.step == "hold":
            await self.release.wait()
        with self.lock:
            self.taken.append(mail)
        return "250 OK"

    def mails(self, recipient, which="taken"):
        """What came for somebody alone, in order."""
        with self.lock:
            return [content for recipients, content in getattr(self, which) if recipients == [recipient]]

    def subjects(self, recipient):
        return [email.message_from_bytes(content)["Subject"] for content in self.mails(recipient)]

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {name: certificate(folder, name, days) for name, days in {"good": 2, "other": 2, "old": -1}.items()}


@pytest.fixture
def make_server(place):
    made = []

    def make(name="good", **more):
        made.append(MailServer(place[name], **more))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def suite(make_module_suite):
    return make_module_suite(start=False)


def settle(suite, place, server, operators=(OK,), password=LOGIN[1], **more):
    """Writes where mail goes."""
    path = suite.home / "notify.json"
    mail = {
        "url": f"smtp://127.0.0.1:{server.port}", "user": LOGIN[0], "password": password, "from": "sluice@example.com", "operators": list(operators),
        "ca": str(place["good"][0]), **more}
    path.write_text(json.dumps({"mail": mail}))
    path.chmod(0o600)


def deliveries(suite):
    return suite.cli("deliveries", "--json").json


def doubled(suite):
    return int(deliveries(suite).get("doubled", 0))


def ids(mails):
    return [email.message_from_bytes(content)["Message-ID"].strip() for content in mails]


def is_stopped(subject):
    return subject.startswith("[Sluice] stopped everywhere") or subject.startswith("[Sluice] NOT confirmed")


def test_every_operator_is_told_over_tls_and_the_faults_of_one_hold_up_nobody_else(suite, place, make_server):
    server = make_server()
    server.script = {LATER: ["451 4.3.2 not now"], GONE: ["550 5.1.1 nobody here"] * 99, LOST: ["drop"]}
    settle(suite, place, server, [OK, LATER, GONE, LOST])
    suite.start()
    suite.pause("--all", reason="a mail for everybody")
    wait_until(lambda: any(map(is_stopped, server.subjects(OK))), "who has no fault is told")
    told = server.subjects(OK)
    assert any("a mail for everybody" in subject for subject in told), told
    for recipient in (LATER, LOST):
        wait_until(lambda: any(map(is_stopped, server.subjects(recipient))), f"{recipient} is told in the end")
        assert server.subjects(recipient) == told, "each of them in the order of the incident"
    shown = wait_until(lambda: (found := deliveries(suite)) and found["waiting"] == 0 and found, "nothing is left to do")
    assert len(set(ids(server.mails(OK)))) == len(told) and server.mails(OK, "seen") == server.mails(OK), "once"
    # What was cut off after all of it had come, came again as it was.
    first, second, *rest = server.mails(LOST, "seen")
    assert first == second and Counter(ids(rest)).keys().isdisjoint(ids([first]))
    assert (shown["delivered"], shown["given_up"], shown["doubled"]) == (3 * len(told), len(told), 1), shown
    assert {(d["recipient"], d["channel"], d["state"], d["attempts"]) for d in shown["deliveries"]} == {(GONE, "mail", "given-up", 1)}
    assert all(d["last_error"] == "550 5.1.1 nobody here" for d in shown["deliveries"])
    assert server.clear == []
    assert f"mail of {GONE}" in suite.cli("deliveries").out
    for path in [suite.log("notify"), *(suite.home / "notify").rglob("*")]:
        assert not path.is_file() or LOGIN[1].encode() not in path.read_bytes(), path


def test_killed_with_a_mail_in_hand_notify_sends_it_again_and_loses_nothing(suite, place, make_server):
    server = make_server()
    server.script = {OK: ["hold"]}
    settle(suite, place, server, [OK, LATER], connections=1)
    suite.restart("notify")
    before = doubled(suite)
    suite.pause("--all", reason="killed in the middle")
    wait_until(lambda: server.mails(OK, "seen"), "the server has a mail, and has not said so")
    suite.kill("notify")
    server.loop.call_soon_threadsafe(server.release.set)
    suite.start("notify")
    for recipient in (OK, LATER):
        wait_until(lambda: any(map(is_stopped, server.subjects(recipient))), f"{recipient} is told of all of it")
    first, second, *rest = server.mails(OK, "seen")
    assert first == second, "the same bytes, and so the same Message-ID"
    assert max(Counter(ids([second, *rest])).values()) == 1 and max(Counter(ids(server.mails(LATER))).values()) == 1
    assert set(ids(server.mails(OK))).isdisjoint(ids(server.mails(LATER))) and len(server.mails(LATER)) == 1 + len(rest)
    assert doubled(suite) == before + 1, "what was in hand may have come twice, and is counted"


@pytest.mark.parametrize("point, copies", [("mail-in-hand", 1), ("mail-answered", 2)])
def test_killed_at_a_step_of_a_mail_it_comes_and_one_that_may_have_come_twice_is_counted(suite, place, make_server, point, copies):
    server = make_server()
    settle(suite, place, server, connections=1)
    suite.restart("notify", env={"SLUICE_FAULT": f"{point}:1"})
    before = doubled(suite)
    suite.pause("--all", reason=point)
    assert suite.services["notify"].wait(60) == 137, "it has died at the point"
    suite.start("notify")
    wait_until(lambda: any(map(is_stopped, server.subjects(OK))), "all of it is told")
    wait_until(lambda: deliveries(suite)["waiting"] == 0, "and recorded")
    come = sorted(Counter(ids(server.mails(OK))).values())
    assert come[-1] == copies and come[:-1] == [1] * (len(come) - 1), "of all mails one alone was under way"
    assert doubled(suite) == before + 1


def test_the_settings_can_be_tried_and_whatever_is_wrong_is_said_in_a_line(suite, place, make_server):
    server = make_server()
    server.script = {GONE: ["550 5.1.1 nobody here"], LATER: ["451 4.3.2 not now"], LOST: ["drop"]}
    settle(suite, place, server)

    def attempt(*more, code=1):
        done = suite.cli("notify", "test", "mail", *more, check=False)
        said = done.err if code else done.out
        assert done.code == code and len(said.splitlines()) == 1 and LOGIN[1] not in said, done
        return said

    assert "has taken it for ok@example.com, over TLS" in attempt(code=0)
    assert json.loads(attempt("--json", code=0))["message_id"] == ids(server.mails(OK))[1]
    assert "refuses it for gone@example.com, for good: 550 5.1.1 nobody here" in attempt("--to", GONE)
    assert "does not take it for later@example.com now: 451 4.3.2 not now" in attempt("--to", LATER)
    assert "may have it for lost@example.com" in attempt("--to", LOST)
    assert "U+000A" in attempt("--to", "a@example.com\nBcc: b@example.com")
    settle(suite, place, server, password="another")
    assert "the server did not take user and password: 535" in attempt()
    other = make_server("other")
    settle(suite, place, other)
    assert "certificate is not trusted" in attempt()
    # Whoever vouches for it, its time is over.
    old = make_server("old")
    settle(suite, place, old, ca=str(place["old"][0]))
    assert "certificate is not trusted" in attempt()
    bare = make_server(starttls=False)
    settle(suite, place, bare)
    assert "offers no STARTTLS, and nothing is sent in clear text" in attempt()
    assert (other.clear, bare.clear, bare.seen, other.seen, old.clear, old.seen) == ([], [], [], [], [], []) and server.clear == []


def test_without_tls_mail_waits_and_is_shown_and_without_a_server_it_is_kept_in_a_folder(suite, place, make_server):
    bare = make_server(starttls=False)
    settle(suite, place, bare)
    suite.restart("notify")
    suite.pause("--all", reason="no way out")
    shown = wait_until(lambda: [d for d in deliveries(suite)["deliveries"] if d["state"] == "waiting" and d.get("last_error")], "it was tried")
    # The server was tried, and no recipient.
    assert {d.get("attempts", 0) for d in shown} == {0}
    assert {d["last_error"] for d in shown} == {"the server offers no STARTTLS, and nothing is sent in clear text"}
    assert bare.clear == [] and bare.seen == []
    path = suite.home / "notify.json"
    path.write_text("{}")
    suite.restart("notify")
    folder = suite.home / "notify" / "mail"
    wait_until(lambda: deliveries(suite)["waiting"] == 0, "all is kept in the folder")
    kept = [email.message_from_bytes(mail.read_bytes()) for mail in (folder / "new").iterdir()]
    assert any("no way out" in mail["Subject"] for mail in kept), [mail["Subject"] for mail in kept]
    assert len({mail["Message-ID"] for mail in kept}) == len(kept) and not list((folder / "tmp").iterdir())
    assert {mail["To"].strip() for mail in kept} == {f"<{OK}>"}
