"""Somebody on the wire between an agent and ingest, who changes one bit or plays packets back: the connection drops, nothing is taken, and
nobody else notices."""

import pytest
from hostile import Peer, Proxy, batch, new_stream, seeded, wait_until


class Wire:
    """What the man in the middle does with the next bytes of the first connection, once."""

    def __init__(self, deed):
        self.deed, self.armed, self.done = deed, False, 0

    def __call__(self, number, offset, data):
        if number != 1 or not self.armed or len(data) < 200:
            return data
        self.armed, self.done = False, self.done + 1
        return self.deed(data)


def flipped(data):
    changed = bytearray(data)
    place = seeded("wire").randrange(40, len(data) - 40)
    changed[place] ^= 4
    return bytes(changed)


def played_twice(data):
    return data + data


def changed_nothing(data):
    return data


@pytest.mark.parametrize("deed", [flipped, played_twice, changed_nothing], ids=lambda deed: deed.__name__)
def test_a_bit_that_is_changed_on_the_wire_or_a_packet_played_back_ends_the_connection_and_nothing_else(suite, deed):
    wire = Wire(deed)
    proxy = Proxy(suite.port("ingest"), wire)
    name = deed.__name__.replace("_", "-")
    keys = suite.enrol(name)
    # Ingest knows the key when an agent has come in without anybody between.
    suite.agent_peer(keys).close()
    with suite.undisturbed():
        agent = Peer(proxy.endpoint, suite.public["ingest"], keys, sealer_of=suite.sealer)
        agent.greet()
        agent.renew()
        stream = new_stream()
        wire.armed = True
        agent.send("batch", *batch(stream, 1, names=[f"{name}-{n}" for n in range(3)]))
        wait_until(lambda: wire.done == 1, "the batch went by")
        if deed is changed_nothing:
            # The control: what nobody touched is stored, on the same connection.
            assert agent.expect("stored", "busy").kind == "stored" and proxy.connections == 1
        else:
            wait_until(lambda: proxy.connections >= 2, "the connection is dropped, and libzmq makes another one")
            if deed is flipped:
                assert not [line for line in suite.read() if line["event"].get("key", "").startswith(name)], "nothing of it was taken"
            # On the new connection there is no session, and the same again is welcome.
            agent.greet()
            agent.renew()
            assert agent.ask("batch", *batch(stream, 1, names=[f"{name}-{n}" for n in range(3)])).kind in ("stored", "refused")
        agent.close()
        proxy.close()
    stored = [line["event"]["key"] for line in suite.read() if line["event"].get("key", "").startswith(name)]
    assert sorted(stored) == [f"{name}-{n}" for n in range(3)], "once"
