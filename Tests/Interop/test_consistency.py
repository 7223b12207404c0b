"""That a ledger only grows, seen by somebody who trusts none of its code: checkpoints of a suite that runs, and the proofs that policy makes between them."""

import subprocess
import threading
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the Python package 'cryptography' is not installed")
pytest.importorskip("pymerkle", reason="the Python package 'pymerkle' is not installed")

import ledger  # noqa: E402
import ops  # noqa: E402
import wire  # noqa: E402
import zmq  # noqa: E402
from cryptography.exceptions import InvalidSignature  # noqa: E402
from pymerkle import InvalidProof, verify_consistency  # noqa: E402
from test_ledgers_running import FILES, cosigned, keys, leaves  # noqa: E402

READS = 5


class Witness(threading.Thread):
    """Stands where control stands, by its key: tells policy what it is to have cosigned, and takes note of what policy offers. Grants nothing."""

    def __init__(self, suite):
        super().__init__(daemon=True)
        self.seen, self.offers = 0, []
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        secret = wire.read_secret(suite.home / "keys" / "control.secret")
        self.socket.curve_server, self.socket.curve_publickey, self.socket.curve_secretkey = True, zmq.curve_public(secret), secret
        self.socket.bind(suite.endpoint("control"))
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.is_set():
            if not self.socket.poll(20):
                continue
            route, first, *_ = self.socket.recv_multipart()
            if first[3] == wire.NUMBERS["hello"]:
                self.say(route, "welcome", node="policy", lease_ms=3000, start=bytes(16), journal=bytes(16))
            elif first[3] == wire.NUMBERS["renew"]:
                renew = wire.session.Renew.FromString(first[4:])
                if renew.HasField("anchor"):
                    self.offers.append(renew.anchor)
                self.say(route, "grant", nonce=renew.nonce, anchor=wire.session.Anchor(seen=self.seen))
        self.socket.close(0)

    def say(self, route, kind, **fields):
        self.socket.send_multipart([route, *wire.frames(kind, **fields)])

    def offer(self, seen, size):
        """What policy offers to who has cosigned so many entries, of `size`."""
        self.offers.clear()
        self.seen = seen

        def offered():
            fitting = [o for o in self.offers if getattr(o, "from") == seen and o.checkpoint and int(o.checkpoint.split(b"\n")[1]) == size]
            return fitting and fitting[-1]

        return ops.until(offered, 30, f"policy offers a proof from {seen} to {size}")

    def close(self):
        self.ending.set()
        self.join(5)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A suite that has ended, and by ledger the checkpoints that both services signed while it ran, with their entries."""
    suite = ops.Suite(tmp_path_factory.mktemp("suite") / "home")
    notes = {name: [] for name in FILES}
    try:
        suite.until_ready()
        for _ in range(READS):
            suite.run("read", "--purpose", "test", "--why", "a test", "--class", "activity")
            suite.pause("--all", "--reason", "a test")
            suite.approved("resume", "--all", "--reason", "over")
            for name in FILES:
                notes[name].append(cosigned(suite, name, len(leaves(suite, name))))
    finally:
        suite.stop()
    return suite, notes, {name: leaves(suite, name) for name in FILES}


@pytest.mark.parametrize("name", list(FILES))
def test_each_checkpoint_continues_the_one_before_and_a_changed_root_does_not(history, name):
    suite, notes, entries = history
    signed = [ledger.opened(note, keys(suite, name)) for note in notes[name]]
    assert len({size for _, size, _, _ in signed}) >= 5, "the ledger grew between them"
    tree = ledger.tree(entries[name])
    for (_, older, older_root, _), (_, size, root, _) in zip(signed, signed[1:]):
        if older == size:
            continue
        path = ledger.subproof(older, entries[name][:size])
        ledger.check_consistency(older, older_root, size, root, path)
        # The library's own proof and check, between the roots that were signed.
        verify_consistency(older_root, root, tree.prove_consistency(older, size))
        changed = bytes([root[0] ^ 1]) + root[1:]
        for wrong in ((older_root, changed), (changed, root), (root, older_root)):
            with pytest.raises(AssertionError):
                ledger.check_consistency(older, wrong[0], size, wrong[1], path)
            with pytest.raises(InvalidProof):
                verify_consistency(*wrong, tree.prove_consistency(older, size))
    # A root that is changed in the note is no signed one any more.
    text, root = notes[name][-1], signed[-1][2]
    with pytest.raises(InvalidSignature):
        ledger.opened(text.replace(ledger.b64(root), ledger.b64(root[::-1])), keys(suite, name))


def test_the_proofs_that_policy_makes_lead_from_each_checkpoint_that_control_had_cosigned_to_the_present_one(history):
    suite, notes, entries = history
    witness = Witness(suite)
    log = open(Path(suite.home).parent / "policy.log", "wb")
    policy = subprocess.Popen([ops.BIN / "sluice-policy", "--home", suite.home], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    own, last = keys(suite, "reads")[:1], len(entries["reads"])
    try:
        signed = {size: root for _, size, root, _ in (ledger.opened(note, keys(suite, "reads")) for note in notes["reads"])}
        # Those that were signed, and any other size that there was.
        for older in range(1, last):
            offer = witness.offer(older, last)
            _, size, root, _ = ledger.opened(offer.checkpoint.decode(), own)
            older_root = signed.get(older) or ledger.tree(entries["reads"][:older]).get_root()
            path = list(offer.proof)
            assert path == ledger.subproof(older, entries["reads"]), "the one proof that RFC 6962 makes"
            ledger.check_consistency(older, older_root, size, root, path)
            for wrong in ((older_root[::-1], root, path), (older_root, root[::-1], path), (older_root, root, path[:-1]), (older_root, root, [*path[:-1], path[-1][::-1]])):
                with pytest.raises(AssertionError):
                    ledger.check_consistency(older, wrong[0], size, *wrong[1:])
        assert len(signed.keys() & set(range(1, last))) >= 4, "proofs began at signed checkpoints"
    finally:
        policy.terminate()
        assert policy.wait(20) == 0
        witness.close()
        log.close()
