"""What control answers, asked on the wire: tests look at it again and again, and to start a command each time costs more than what is looked at."""

import base64
import functools
import importlib
import json
import os
import sys
import time
from pathlib import Path

import zmq

# What `sluice status --json` shows when it is nothing.
ZEROS = {
    "gate": {"epoch": 0, "closures": [], "sealed": ""}, "lease_ms": 0, "up_us": 0, "services": [], "agents_registered": 0, "agents_connected": 0,
    "agents_current": 0, "silent": [], "entries": 0, "entries_waiting": 0, "journal": "", "incidents_open": 0, "counters": {}, "wall_us": 0,
}


@functools.cache
def wire():
    """Of Tests/Interop: frames and messages, made from the contract."""
    folder = str(Path(__file__).resolve().parents[1] / "Interop")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("wire")


def in_words(message):
    """A message as commands show it with `--json`: the names of the .proto files, numbers as numbers."""

    def one(field, value):
        if field.type == field.TYPE_MESSAGE:
            return in_words(value)
        if field.type == field.TYPE_ENUM:
            named = field.enum_type.values_by_number.get(value)
            return named.name if named else value
        return base64.b64encode(value).decode() if field.type == field.TYPE_BYTES else value

    found = {}
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            found[field.name] = {str(key): one(of, value[key]) for key in value}
        elif field.is_repeated:
            found[field.name] = [one(field, item) for item in value]
        else:
            found[field.name] = one(field, value)
    return found


def status(home, within=2.0):
    """As `sluice status --json` shows it to ops-1; None if it is not answered at once: then a command can say why."""
    shown = answer(home, "status", "StatusQuery", within)
    return shown and {**ZEROS, **shown, "gate": {**ZEROS["gate"], **shown.get("gate", {})}}


def policy(home, within=2.0):
    """The document in force, if there is one; None as above."""
    return answer(home, "policy", "PolicyQuery", within)


def answer(home, name, query, within):
    """What control answers ops-1 to a query, in words."""
    home, words = Path(home), wire()
    try:
        server = next(node["key"] for node in json.loads((home / "registry.json").read_text())["nodes"] if node["name"] == "control").encode()
        endpoint = json.loads((home / "suite.json").read_text())["control"]
        secret = words.read_secret(home / "keys" / "ops-1.secret")
        with zmq.Context.instance().socket(zmq.DEALER) as socket:
            socket.linger, socket.reconnect_ivl = 0, 20
            socket.curve_serverkey, socket.curve_secretkey, socket.curve_publickey = server, secret, zmq.curve_public(secret)
            socket.connect(endpoint)
            deadline = time.monotonic() + within
            # In one go: control answers in the order in which it is asked.
            socket.send_multipart(words.frames("hello", protocol=1, software="test", start=os.urandom(16)), zmq.DONTWAIT)
            socket.send_multipart(words.frames("query", **{name: getattr(words.governance, query)()}), zmq.DONTWAIT)
            while socket.poll(max(0, (deadline - time.monotonic()) * 1000)):
                kind, body, _ = words.parse(socket.recv_multipart())
                if kind == "answer" and body.HasField(name):
                    return in_words(getattr(body, name))
                if kind == "refused":
                    return None
    except (OSError, ValueError, KeyError, StopIteration, zmq.ZMQError, words.NotUnderstood):
        return None
    return None
