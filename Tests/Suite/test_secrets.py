"""Secrets stay in their files (FAULTS: A13): nothing that the suite writes, prints, or shows of its processes holds one."""

import base64
import json
import os
import re
import resource
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import zmq.utils.z85 as z85
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness import binaries, missing, wait_until
from harness.processes import ROOT
from test_enforcement import DOCUMENT
from test_transcript import leaves

PASSPHRASE = "a passphrase that nobody types by chance"

# Whoever asks for what is held of them is answered under the document as well.
MORE = DOCUMENT.replace("roles:", """  - {name: subject-access, basis: legal-obligation, classes: [activity, content, conversation]}
roles:
  - {name: officers, members: [ops-1]}""").replace("access:", """access:
  - {name: officers, role: officers, purpose: subject-access, classes: [activity, content, conversation], for: everyone, expires: never, rate: unlimited}""")



def forms(raw):
    """A secret's bytes as they might turn up."""
    return {
        "raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(), "base64": base64.b64encode(raw).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="), **({"z85": z85.encode(raw)} if len(raw) % 4 == 0 else {})}


def secret_in(path):
    """The secret that a file holds, of whatever kind; None: it is no key file."""
    if path.name == "notify.json":
        return base64.b64decode(json.loads(path.read_text())["hooks"][0]["secrets"][0].removeprefix("whsec_"))
    text = path.read_bytes() if path.stat().st_size < 4_096 else b""
    if b"-----BEGIN PRIVATE KEY" in text:
        return load_pem_private_key(text[text.index(b"-----BEGIN"):], None).private_bytes_raw()
    if b"ENCRYPTED" in text:
        return load_pem_private_key(text[text.index(b"-----BEGIN"):], PASSPHRASE.encode()).private_bytes_raw()
    if path.suffix in (".secret", ".next", ".before") and re.fullmatch(rb"\S{40}\s*", text):
        return z85.decode(text.strip())
    if path.suffix != ".pub" and re.fullmatch(rb"[0-9a-f]{64}\s*", text):
        return bytes.fromhex(text.decode().strip())
    return None


def secrets_of(home):
    """Every secret below a home: by the file that holds it, its bytes."""
    return {path: secret for path in home.rglob("*") if path.is_file() and not path.is_symlink() and (secret := secret_in(path)) is not None}


def search(secrets, places):
    """What was found where it must not be. `secrets`: who holds it, and its bytes. `places`: names and bytes."""
    found = []
    # An exchanged key lies under one name after the other.
    holders = {}
    for holder, raw in secrets:
        holders.setdefault(raw, []).append(str(holder))
    for name, data in places:
        for raw, names in holders.items():
            if name not in names:
                found += [f"{Path(names[0]).name} as {form} in {name}" for form, text in forms(raw).items() if text in data]
        if PASSPHRASE.encode() in data and not name.endswith("passphrase"):
            found.append(f"the passphrase in {name}")
    return found


def files(folder):
    return [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def clear_in(data):
    """The secret of a key that lies in the clear in a file; None: there is none."""
    if b"-----BEGIN PRIVATE KEY" not in data:
        return None
    return load_pem_private_key(data[data.index(b"-----BEGIN"):], None).private_bytes_raw()


class Watch:
    """Reads the arguments of every process of this machine, again and again."""

    def __init__(self):
        self.seen, self.stop = set(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop.wait(0.015):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue

    def saw(self, *words):
        """Whether a process was seen whose arguments hold these."""
        return any(all(str(word).encode() in line for word in words) for line in list(self.seen))

    def end(self):
        self.stop.set()
        self.thread.join()
        return [("the arguments " + repr(line[:80]), line) for line in self.seen]


class Terminal:
    """Runs commands, and takes down what each printed and which were run; and every secret that there was meanwhile."""

    def __init__(self, suite, folder):
        self.suite, self.folder = suite, folder
        self.known = {program: {path[1:]: command for path, command in leaves(program)} for program in ("sluice", "sluice-agent")}
        self.ran, self.said, self.secrets = set(), [], {}

    def run(self, *words, code=0, home=None, stdin=b"", program="sluice"):
        """One command, by its whole path. `code`: how it must end; None: whatever it does."""
        words = [str(word) for word in words]
        path = next(path for path in self.known[program] if tuple(words[:len(path)]) == path)
        options = {name["name"] for argument in self.known[program][path]["arguments"] for name in argument.get("names", [])}
        line = [binaries() / program, *words, *(("--home", home or self.suite.home) if "home" in options else ())]
        done = subprocess.run(line, input=stdin, capture_output=True, timeout=60)
        assert code in (None, done.returncode), (words, done)
        self.ran.add((program, *path))
        self.said.append((f"what {words} printed", done.stdout + done.stderr))
        return done.stdout

    def proposed(self, *words):
        return json.loads(self.run(*words, "--json"))

    def approved(self, *words):
        made = self.proposed(*words)
        self.run("approve", made["proposal"]["proposal"], "--as", "ops-2")
        return made

    def collect(self):
        """What is a secret now, also if it is none any more at the end."""
        self.secrets |= {(path, raw): None for path, raw in secrets_of(self.suite.home).items()}

    def left(self):
        """Commands that there are, and that were not run."""
        return {(program, *path) for program, found in self.known.items() for path in found} - self.ran


# They work on suites and folders of their own, which end with them.
BENCHES = "bench"


def everything(terminal, passphrase):
    """Each command that there is, on a suite that runs, as somebody would who tries them all."""
    suite, folder, run, approved = terminal.suite, terminal.folder, terminal.run, terminal.approved
    with_passphrase = ("--passphrase-file", passphrase)
    terminal.collect()
    run("key", "new", "ops-3", *with_passphrase)
    run("key", "protect", "ops-2", "--passphrase-file", "/dev/null", code=1)
    terminal.collect()
    approved("operator", "add", "ops-3", "--key", suite.home / "keys" / "ops-3.pub")
    run("notify", "test", "mail")
    run("notify", "test", "webhook", "test")
    run("notify", "test", "alertmanager", code=1)
    for words in (("operator", "list"), ("status",), ("status", "--json"), ("agents",), ("closures",), ("incidents",), ("deliveries",), ("proposals", "--all")):
        run(*words)

    # Machines: one is registered here, one joins with a token.
    approved("register", "lamp", "--subject", "E7", "--site", "berlin", "--team", "search")
    approved("register", "job", "--reader")
    token = approved("enrol", "--subject", "E2", "--site", "berlin", "--team", "search", "--name", "desk")["token"]
    terminal.secrets[(terminal.said[-2][0], token.encode())] = None
    desk = suite.home / "agents" / "desk"
    run("join", "-", home=desk, stdin=token.encode() + b"\n", program="sluice-agent")
    tape = folder / "tape.ndjson"
    tape.write_text(json.dumps({"at": "2026-01-01T00:00:00Z", "kind": "text", "source": "document", "text": "on tape"}) + "\n")
    run("replay", tape, home=desk, program="sluice-agent")
    run("run", home=desk, program="sluice-agent")
    run("status", home=desk, program="sluice-agent")
    terminal.collect()
    run("revoke", "agent", "lamp")

    # What may be read, by whom, and of whom.
    document = folder / "policy.yaml"
    document.write_text(MORE)
    run("policy", "check", document)
    run("policy", "test", ROOT / "deploy" / "policy" / "policy.yaml")
    run("policy", "diff", document)
    approved("policy", "apply", document, "--yes")
    run("policy", "show")
    wait_until(lambda: suite.service_status("policy")["gauges"].get("policy.document"), "policy goes by the document")
    (folder / "export.zip").write_bytes(run("export", "E2"))
    approved("consent", "grant", "E1", "--purpose", "model-training")
    run("consent", "show", "E1")
    run("consent", "withdraw", "E1", "--purpose", "model-training")
    (folder / "read.ndjson").write_bytes(run("read", "--as", "job", "--purpose", "test", "--why", "a test", "--class", "content"))
    run("trace", folder / "read.ndjson", code=None)
    people = folder / "people.csv"
    people.write_text("subject,name\nE1,Ada\nE9,Ben\n")
    run("directory", "import", people)
    run("directory", "remove", "E9")
    run("who-read", "E2")
    run("detect", document)

    # Nobody is planted, and nobody says that all may stop here: both are told so. Their own tests have the rest.
    run("drill", "--site", "berlin", code=1)
    run("drills")
    run("demo", "leak", "--here", code=1)

    # Stopping, and what comes after it.
    run("pause", "--all", "--reason", "a test", "--as", "ops-3", *with_passphrase)
    run("pause", "--all", "--reason", "a test", "--as", "ops-3", "--passphrase-file", suite.home / "keys" / "ops-1.secret", code=1)
    run("leak", "report", "--class", "content", "--reason", "a test")
    epoch = suite.epoch()
    (folder / "certificate").write_bytes(run("certificate", "show", epoch, "--file"))
    run("certificate", "verify", folder / "certificate")
    run("withdraw", terminal.proposed("resume", "--all", "--reason", "too early")["proposal"]["proposal"])
    approved("resume", "--all", "--reason", "a test")
    approved("hold", "place", "E1", "--incident", 1)
    run("hold", "list")
    run("hold", "lift", "E1", "--incident", 1)
    run("incidents", "--close", 1)
    run("incident", "reopen", 1)
    run("incident", "note", 1, "--text", "a test")
    run("incident", "show", 1)
    run("incident", "assess", 1)
    run("incident", "report", 1)
    run("exposure", 1)
    run("notices", "preview", 1)
    run("notices", "send", 1, "--people", people, code=1)
    run("notices", "show", 1, code=None)
    run("notice", "preview", 1, "E1", code=None)
    run("notice", "show", 1, "E1", code=1)
    run("incident", "notified", 1, code=1)
    run("incident", "close", 1)
    run("forget", "E1", "--yes", "--wait", 0, code=None)
    approved("readmit", "E1")
    for ledger in ("governance", "reads"):
        run("ledger", "show", "1..", "--ledger", ledger)
        run("ledger", "prove", 1, "--ledger", ledger)
    run("ledger", "verify")
    run("ledger", "restore", "reads", "--reason", "nothing is lost", code=None)

    # Keys, one kind after the other.
    run("canary-key", "new")
    run("vault-key", "new")
    approved("vault-key", "announce")
    public = run("service-key", "new", "notify", "--only-make").decode().strip()
    terminal.collect()
    approved("service-key", "announce", "notify", f"--key={public}")
    run("service-key", "use", "notify")
    wait_until(lambda: any(k["key"] == public and k["used"] for k in json.loads(run("service-key", "list", "--json"))["keys"]), "notify goes by it")
    run("service-key", "retire", "notify")
    (folder / "notify.proof").write_bytes(run("service-key", "prove", "notify"))
    run("service-key", "pin", "notify", folder / "notify.proof")
    public = run("ledger-key", "new", "policy.witness", "--only-make").decode().strip()
    terminal.collect()
    approved("ledger-key", "announce", "policy.witness", f"--key={public}")
    run("ledger-key", "use", "policy.witness")
    wait_until(lambda: any(k["key"] == public and k["used"] for k in json.loads(run("ledger-key", "list", "--json"))["keys"]), "policy signs with it")
    run("ledger-key", "retire", "policy.witness")
    run("operator", "remove", "ops-3")
    terminal.collect()


@pytest.mark.limit(240)
def test_no_secret_leaves_its_file(make_suite, make_receiver, tmp_path):
    """Each command of `--help`: one that is new, and is not tried here, is missed."""
    watch = Watch()
    receiver = make_receiver()
    suite = make_suite(start=False, hooks=[receiver.hook])
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    passphrase.chmod(0o600)
    terminal = Terminal(suite, suite.folder)
    up = suite.up()
    terminal.ran.add(("sluice", "up"))
    suite.agent("ann", "E1").run().expect(capturing=True).type("a", "b", "c")
    everything(terminal, passphrase)
    wait_until(lambda: receiver.delivered(), "the hook was told")
    for agent in suite.agents.values():
        agent.process.end()
    up.signal(signal.SIGINT)
    assert up.wait(40) == 0, up.said
    # While policy does not run.
    terminal.run("master-key", "new")
    terminal.collect()
    left = {path for path in terminal.left() if not path[1].startswith(BENCHES)}
    assert left == set(), f"not tried: {left}"

    secrets = list(terminal.secrets)
    kinds = {Path(holder).suffix or Path(holder).name for holder, _ in secrets}
    assert kinds >= {".secret", ".key", ".ledger", ".witness", ".vault", ".master", ".canary", ".next", ".json"}, f"the control: every kind of secret is looked for: {kinds}"
    # The control: who has a secret among its arguments is seen, and so were those commands that read a passphrase.
    planted = os.urandom(32)
    shown = subprocess.Popen(["sh", "-c", "read line", "sh", planted.hex()], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: watch.saw(planted.hex()), "its arguments are seen")
    finally:
        shown.communicate(b"\n")
    for words in (("key\0new\0ops-3", "--passphrase-file"), ("pause", "ops-3", "--passphrase-file")):
        assert watch.saw("sluice", *words), words
    arguments = watch.end()
    assert [line for line in search([(Path("planted"), planted)], arguments) if line.startswith("planted as hex")], "the search finds it there"
    places = files(suite.folder) + terminal.said + arguments
    # Files that hold secrets are passed over for their own alone.
    assert search(secrets, places) == []
    # The control: a secret is found where there is one.
    path, raw = secrets[0]
    assert search([(path, raw)], [("a log", b"key=" + base64.b64encode(raw))]), "the search finds what is there"
    names = {name for name, _ in places}
    assert any(str(holder) in names for holder, _ in secrets), "the files that hold them were among those searched"
    assert {"up.log", "control.log", "ledger.sqlite", "vault.sqlite", "outbox.sqlite", "spool.sqlite"} <= {Path(name).name for name in names}


def test_databases_and_what_sqlite_lays_beside_them_are_their_owners_alone(make_suite):
    suite = make_suite(start=False)
    old = os.umask(0o022)
    try:
        suite.start()
        agent = suite.agent("ann", "E1").run().expect(capturing=True)
    finally:
        os.umask(old)
    agent.type("a")
    wait_until(lambda: suite.vault_count() == 1, "something is stored")

    def modes():
        return {path.name: path.stat().st_mode & 0o777 for path in suite.home.rglob("*.sqlite*")}

    found = modes()
    assert set(found) >= {f"{name}.sqlite{more}" for name in ("ledger", "vault", "outbox", "spool") for more in ("", "-wal")}, found
    assert set(found.values()) == {0o600}, found
    # What an earlier version left behind when it was killed is mended, also the log of it.
    suite.kill("policy")
    for path in (suite.home / "policy").glob("vault.sqlite*"):
        path.chmod(0o644)
    assert 0o644 in modes().values(), "the control"
    suite.start("policy")
    assert set(modes().values()) == {0o600}, modes()


@pytest.mark.parametrize("name", ["ops-1.key", "ops-1.secret", "control.ledger", "control.secret", "vault/policy.vault", "policy.secret", "ingest.secret"])
def test_a_key_that_others_may_read_is_refused(make_suite, name):
    suite = make_suite(start=False)
    path = suite.home / "keys" / name
    secret = path.read_bytes()
    service = path.name.split(".")[0]
    if service == "ops-1":
        # Who is answered need not be waited for.
        suite.start("control", "policy")
    path.chmod(0o644)
    if service == "ops-1":
        done = suite.cli("pause", "--all", "--reason", "x", check=False)
        code, text = done.code, done.err
    else:
        ended = subprocess.run([binaries() / f"sluice-{service}", "--home", suite.home], capture_output=True, text=True, timeout=30)
        code, text = ended.returncode, ended.stderr
    assert code != 0 and "chmod 600" in text and str(path) in text, text
    assert secret.split(b"\n")[-2 if b"BEGIN" not in secret else 2].decode() not in text
    # The control: as it was it is not what is refused.
    path.chmod(0o600)
    if service == "ops-1":
        assert "chmod" not in suite.cli("pause", "--all", "--reason", "x", check=False).err


def test_a_service_that_crashes_leaves_no_core(make_suite, tmp_path):
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"cores go elsewhere here: {pattern}")

    def allowed():
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    def crash(process):
        # Dumps core by default, and is no signal that Swift's runtime takes for a backtrace.
        process.send_signal(signal.SIGXCPU)
        try:
            assert process.wait() == -signal.SIGXCPU
        finally:
            process.kill()
        return [path.name for path in tmp_path.iterdir() if path.name.startswith("core")]

    def limits(process):
        """What the kernel allows of cores, soft and hard; None: it has ended."""
        try:
            found = re.search(r"Max core file size\s+(\w+)\s+(\w+)", Path(f"/proc/{process.pid}/limits").read_text())
        except OSError:
            return None
        return found and found.groups()

    suite = make_suite()
    suite.agent("ann", "E1")
    suite.agent("bob", "E2").run().expect(capturing=True)
    home, said = suite.home, open(tmp_path / "said", "w+b")
    for name in ("control", "policy", "notify", "ingest"):
        assert limits(suite.services[name].popen) == ("0", "0"), name
        suite.kill(name)

    def started(*arguments):
        return subprocess.Popen([binaries() / arguments[0], *arguments[1:]], cwd=tmp_path, stdin=subprocess.PIPE, stdout=said, stderr=said, preexec_fn=allowed)

    def has_begun(process, says):
        # Ingest says nothing before control answers: by then its sockets have their threads, and their keys.
        return says in Path(said.name).read_bytes() if says else len(os.listdir(f"/proc/{process.pid}/task")) > 2

    # By what they write, or have, they have read their keys. The last two wait for what is typed.
    for says, arguments in (
        (b" control: ", ("sluice-control", "--home", home)),
        (b" policy: ", ("sluice-policy", "--home", home)),
        (b" notify: ", ("sluice-notify", "--home", home)),
        (b"", ("sluice-ingest", "--home", home)),
        (b"", ("sluice-ingest", "join", "--home", home)),
        (b" hooks: ", ("sluice-hooks", "--home", home)),
        (b"", ("sluice-agent", "run", "--home", home / "agents" / "ann")),
        (None, ("sluice-agent", "join", "-", "--home", tmp_path / "joining")),
        (None, ("sluice", "key", "new", "ops-9", "--passphrase-file", "-", "--home", home)),
    ):
        said.truncate(0)
        process = started(*arguments)
        if says is not None:
            wait_until(lambda: has_begun(process, says) or process.poll() is not None, f"{arguments} has begun")
        wait_until(lambda: limits(process) in (("0", "0"), None), f"{arguments} may leave no core")
        assert process.poll() is None, Path(said.name).read_bytes()
        assert crash(process) == [], arguments
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("no process leaves a core here: there is no control")
    control = subprocess.Popen(["sleep", "60"], cwd=tmp_path, preexec_fn=allowed)
    assert crash(control), "the control: another process leaves one"


# A13, P10: what may be done with keys when they are lost. Files that are none: test_key_files


def test_a_lost_key_is_exchanged_while_everything_is_paused(make_suite, tmp_path):
    """A13."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "passphrase").chmod(0o600)
    with_passphrase = ("--passphrase-file", tmp_path / "passphrase")
    keys = suite.home / "keys"
    suite.cli("key", "new", "ops-3", *with_passphrase)
    suite.approved("operator", "add", "ops-3", "--key", keys / "ops-3.pub")
    epoch = suite.pause("--all")["epoch"]
    waiting = suite.cli("resume", epoch, "--reason", "x", "--as", "ops-2", "--json").json["proposal"]["proposal"]
    # ops-2's key is lost, or stolen: gone at once, by one person, and what it proposed with it.
    suite.cli("operator", "remove", "ops-2")
    assert suite.cli("approve", waiting, check=False).code == 1
    suite.cli("key", "new", "ops-2b", *with_passphrase)
    number = suite.cli("operator", "add", "ops-2b", "--key", keys / "ops-2b.pub", "--person", "ops-2", "--json").json["proposal"]["proposal"]
    assert suite.cli("approve", number, "--as", "ops-2", check=False).code == 77, "who was removed approves nothing"
    suite.cli("approve", number, "--as", "ops-3", *with_passphrase)
    agent.expect(capturing=False)
    number = suite.cli("resume", epoch, "--reason", "x", "--json").json["proposal"]["proposal"]
    suite.cli("approve", number, "--as", "ops-2b", *with_passphrase)
    agent.expect(capturing=True)


def test_a_control_that_crashes_at_each_start_leaves_everything_closed(make_suite):
    """P10."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    path = suite.home / "keys" / "control.ledger"
    good = path.read_bytes()
    path.write_bytes(b"")
    suite.kill("control")
    for _ in range(3):
        ended = subprocess.run([binaries() / "sluice-control", "--home", suite.home], capture_output=True, text=True, timeout=30)
        lines = [line for line in ended.stderr.splitlines() if line.startswith("Error")]
        assert ended.returncode not in (0, -signal.SIGSEGV) and len(lines) == 1 and str(path) in lines[0], ended
    agent.expect(capturing=False)
    assert suite.read(check=False).code == 1, "nothing is read either"
    # The control: with its key it starts, and everything goes on.
    path.write_bytes(good)
    suite.start("control")
    agent.expect(capturing=True)


def test_a_key_that_was_protected_is_read_by_openssl_with_its_passphrase_alone(make_suite, tmp_path):
    missing("openssl")
    suite = make_suite(start=False)
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "wrong").write_text(PASSPHRASE + ".\n")
    for name in ("passphrase", "wrong"):
        (tmp_path / name).chmod(0o600)
    path = suite.home / "keys" / "ops-2.key"

    def opened(source):
        """The public key that openssl finds in the file; None: it cannot read it."""
        done = subprocess.run(["openssl", "pkey", "-in", path, "-passin", source, "-pubout", "-outform", "DER"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        return done.stdout if done.returncode == 0 else None

    secret = secrets_of(suite.home)[path]
    # The control: in the clear, as the first start makes it, anybody reads it.
    public = opened("pass:")
    assert public is not None and clear_in(path.read_bytes()) == secret
    said = suite.cli("key", "protect", "ops-2", "--passphrase-file", tmp_path / "passphrase")
    assert str(path) in said.out and PASSPHRASE not in said.out + said.err
    assert opened(f"file:{tmp_path / 'passphrase'}") == public, "it is the same key"
    assert opened("pass:") is None and opened(f"file:{tmp_path / 'wrong'}") is None
    assert path.stat().st_mode & 0o777 == 0o600
    # Nowhere in the home does it lie in the clear any more.
    assert secrets_of(suite.home)[path] == secret
    assert [name for name, data in files(suite.home) if clear_in(data) == secret] == []
    # What is under a passphrase is not put under another: it cannot be read without the first.
    again = suite.cli("key", "protect", "ops-2", "--passphrase-file", tmp_path / "wrong", check=False)
    assert again.code != 0 and opened(f"file:{tmp_path / 'passphrase'}") == public, again


def test_protecting_a_key_goes_on_where_an_attempt_was_cut_off(make_suite, tmp_path):
    suite = make_suite()
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "passphrase").chmod(0o600)
    path = suite.home / "keys" / "ops-2.key"
    clear = path.read_bytes()
    # Between writing it and putting it in the key's place: all of it, or a part.
    for left in (clear, b"sluice oper"):
        draft = path.with_name(path.name + ".protected")
        draft.write_bytes(left)
        draft.chmod(0o600)
        said = suite.cli("key", "protect", "ops-2", "--passphrase-file", tmp_path / "passphrase", "--json").json
        assert said["path"] == str(path) and said["key"].startswith("SHA256:"), said
        assert not draft.exists() and b"ENCRYPTED" in path.read_bytes()
        assert suite.cli("pause", "--reads-only", "--reader", "x", "--reason", "x", "--as", "ops-2", check=False).code == 1, "the control: it takes the passphrase"
        suite.cli("pause", "--reads-only", "--reader", "x", "--reason", "x", "--as", "ops-2", "--passphrase-file", tmp_path / "passphrase")
        path.write_bytes(clear)
