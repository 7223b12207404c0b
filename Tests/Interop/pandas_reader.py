"""A release as a pandas table: python pandas_reader.py HOME READER PURPOSE WHY CLASS …

Raises if the read is denied (`reader.Refused`) or ends before its end (`reader.CutOff`): a table is whole, or there is none.
"""

import json
import sys
from pathlib import Path

import pandas

import reader
import wire


def table(home, name, purpose, why, classes, **selection):
    settings, registry = (json.loads((Path(home) / file).read_text()) for file in ("suite.json", "registry.json"))
    server = next(node["key"] for node in registry["nodes"] if node["name"] == "policy").encode()
    with reader.Peer(settings["policy"], server, wire.read_secret(Path(home) / "keys" / f"{name}.secret")) as peer:
        rows = [{"subject": origin.subject, "class": getattr(origin, "class"), **event}
                for origin, event in reader.read(peer, classes, purpose=purpose, justification=why, **selection)]
    made = pandas.DataFrame(rows)
    if rows:
        made["at"] = pandas.to_datetime(made["at"], unit="ns", utc=True)
    return made


if __name__ == "__main__":
    print(table(*sys.argv[1:5], sys.argv[5:]))
