"""What `sluice detect` says of a text, to who wants to know why."""

import json
import subprocess

from harness import binaries

# In halves: no other scanner takes this file for a leak.
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
CARD = "4532 0151 1283 0366"
TEXT = f"naïve 👍\n  my card: {CARD}, thanks\nthe token {TOKEN}\n"


def detect(*arguments, input=None):
    done = subprocess.run([binaries() / "sluice", "detect", *map(str, arguments)], input=input, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def test_what_is_found_is_told_with_its_type_rule_place_and_grounds_and_is_not_printed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text(TEXT)
    out = detect(path)
    card, token, summary = [line.split("  ") for line in out.splitlines()]
    # Columns count characters, bytes do not.
    card, token = ([word.strip() for word in line if word.strip()] for line in (card, token))
    at = [len(TEXT[:TEXT.index(found)].encode()) for found in (CARD, TOKEN)]
    assert card == ["2:12", f"bytes {at[0]}–{at[0] + len(CARD)}", "card", "card-visa", "certain", "checked by luhn; beside words for card"]
    assert token == ["3:11", f"bytes {at[1]}–{at[1] + len(TOKEN)}", "secret", "jwt", "certain", "checked by jwt"]
    assert summary == ["2 found: 1 card, 1 secret"]
    assert CARD not in out and TOKEN not in out

    lines = [json.loads(line) for line in detect(path, "--json").splitlines()]
    assert lines[0] == {
        "type": "card", "rule": "card-visa", "line": 2, "column": 12, "bytes": [at[0], at[0] + len(CARD)], "certainty": "certain", "validatedBy": "luhn", "words": ["card"]}
    assert [line["rule"] for line in lines] == ["card-visa", "jwt"]
    assert detect("-", "--redacted", input=TEXT) == "naïve 👍\n  my card: [card], thanks\nthe token [secret]\n"

    # The control: half a number is no card, and a text that holds nothing is left as it is.
    clean = TEXT.replace(CARD, CARD[:9]).replace(TOKEN, "is lost")
    assert detect("-", input=clean).startswith("nothing found by ")
    assert detect("-", "--json", input=clean) == "" and detect("-", "--redacted", input=clean) == clean
