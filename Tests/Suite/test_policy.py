"""The policy document from the command line: the example of deploy/policy holds, and what is wrong is told with its place."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from harness import binaries

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "policy"


def policy(*arguments, input=None, cwd=None):
    done = subprocess.run([binaries() / "sluice", "policy", *map(str, arguments)], input=input, capture_output=True, text=True, timeout=60, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def example(tmp_path):
    """A copy of the example that a test may spoil."""
    shutil.copytree(EXAMPLE, tmp_path / "policy")
    return tmp_path / "policy" / "policy.yaml"


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    path.write_text(text.replace(old, new))


def test_the_example_is_sound_and_its_cases_hold():
    code, out, _ = policy("check", EXAMPLE / "policy.yaml")
    assert code == 0 and out.startswith("sound   5 classes"), out
    code, out, err = policy("test", EXAMPLE / "policy.yaml")
    assert code == 0, out + err
    assert out == "26 of 26 cases hold\n"


@pytest.mark.parametrize("path", sorted(path for path in EXAMPLE.glob("*.yaml") if not path.name.endswith(".tests.yaml")), ids=lambda path: path.name)
def test_each_policy_that_is_shipped_is_sound(path):
    code, out, err = policy("check", path)
    assert code == 0 and out.startswith("sound"), out + err


def test_cases_are_found_where_one_stands_and_in_a_folder_of_tests(example):
    (example.parent / "tests").mkdir()
    (example.parent / "tests" / "more.yaml").write_text((example.parent / "policy.tests.yaml").read_text())
    code, out, _ = policy("test", cwd=example.parent)
    assert (code, out) == (0, "52 of 52 cases hold\n")
    (example.parent / "policy.tests.yaml").unlink()
    shutil.rmtree(example.parent / "tests")
    code, _, err = policy("test", cwd=example.parent)
    assert code == 1 and "there are no cases beside policy.yaml" in err


def test_a_case_that_does_not_hold_is_told_with_its_place_and_what_came_instead(example):
    edit(example, "for: {team: [search, ads]}\n", "for: everyone\n")
    code, out, _ = policy("test", example)
    cases = example.parent / "policy.tests.yaml"
    lines = cases.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "and of no others" in text) + 2
    assert code == 1
    assert out.splitlines() == [
        f'{cases}:{line}:13: "and of no others": expected denied (subject-not-covered), but it is granted by training-conversations',
        "25 of 26 cases hold",
    ]
    code, out, _ = policy("test", example, "--json")
    report = json.loads(out)
    assert code == 1 and report["ok"] is False and report["failures"][0]["line"] == line


def test_every_mistake_is_told_with_its_place_and_what_was_meant(example):
    edit(example, "{class: review, source: review}", "{class: reveiw, source: review}")
    edit(example, "name: safety-reports\n    role: safety", "name: safety-reports\n    rolle: safety")
    text = example.read_text().splitlines()
    code, out, err = policy("check", example)
    assert code == 1 and out == ""
    first = next(number for number, line in enumerate(text, 1) if "reveiw" in line)
    second = next(number for number, line in enumerate(text, 1) if "rolle" in line)
    assert err.splitlines() == [
        f"{example}:{first}:13: there is no class 'reveiw': did you mean 'review'?",
        f"{example}:{second - 1}:5: a grant needs 'role'",
        f"{example}:{second}:5: a grant has no 'rolle': did you mean 'role'?",
    ]
    code, out, _ = policy("check", example, "--json")
    assert code == 1 and [one["line"] for one in json.loads(out)["mistakes"]] == [first, second - 1, second]


def test_what_is_made_to_hurt_is_refused(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_text("# nothing\n" * 1_000_000)
    code, _, err = policy("check", large)
    assert code == 1 and "no policy is so long" in err
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi"))
    code, _, err = policy("check", "-", input=laughs + "? *i\n: x\n")
    assert code == 1 and err.startswith("-:1:4: anchors and aliases are not read")
    code, _, err = policy("check", "-", input="[" * 500_000)
    assert code == 1 and err.startswith("-:1:")
    code, _, err = policy("check", tmp_path)
    assert code == 1 and "it is no file" in err
    code, _, err = policy("check", tmp_path / "none.yaml")
    assert code == 1 and "cannot read" in err


def test_what_would_not_be_applied_is_not_sound_and_is_told_in_the_same_words(tmp_path):
    def written(**more):
        path = tmp_path / "mine.json"
        made = {"version": 1, "classes": [{"name": name, "retention": "90 days", "audience": "unlimited"} for name in ("activity", "review")], **more}
        path.write_text(json.dumps(made))
        return path

    def canary(extent, planted, events, classes):
        reaction = {"detector": "canary", "close": "reading", "of": extent, "events": [{"subject": f"planted/{n}", "class": classes} for n in range(events)]}
        return written(leaks=[{**reaction, "planted": [f"P{n}" for n in range(planted)]} if planted else reaction])

    def large(members):
        return written(roles=[{"name": f"role-{n}", "members": [f"{m}".ljust(200, "m") for m in range(n, n + 1_000)]} for n in range(0, members, 1_000)])

    both = ["activity", "review"]
    for make, why in (
        (lambda: canary("class", 0, 600, both), ": 1200 entries in planted events; there are 1000 at most"),
        (lambda: canary("subject", 600, 401, "review"), ": 1001 subjects in 'planted' and 'events', each of which one finding may close; there are 1000 at most"),
        (lambda: large(6_000), ":1:1: a policy document has at most 1048576 bytes in its canonical form, not "),
    ):
        path = make()
        code, out, err = policy("check", path)
        assert (code, out) == (1, "") and why in err and err.startswith(f"{path}:") and err.count("\n") == 1, err
        # Control need not run to say so: nothing was asked of it.
        assert policy("apply", path, "--home", tmp_path / "none") == (1, "", err)
        code, out, _ = policy("check", path, "--json")
        (mistake,) = json.loads(out)["mistakes"]
        assert code == 1 and f"{path}:{mistake['line']}:{mistake['column']}: {mistake['problem']}\n" == err
    for make in (lambda: canary("class", 0, 500, both), lambda: canary("subject", 600, 400, "review"), lambda: canary("class", 600, 401, "review"), lambda: large(5_000)):
        assert policy("check", make())[0] == 0, "just short of it"


def test_the_canonical_form_is_read_back_and_is_what_the_hash_is_of(tmp_path):
    _, out, _ = policy("check", EXAMPLE / "policy.yaml", "--json")
    canonical = tmp_path / "policy.json"
    canonical.write_text(policy("check", EXAMPLE / "policy.yaml", "--canonical")[1])
    assert hashlib.sha256(canonical.read_bytes()).hexdigest() == json.loads(out)["sha256"]
    assert policy("check", canonical, "--canonical")[1] == canonical.read_text()
    assert policy("diff", canonical, "--from", EXAMPLE / "policy.yaml")[1] == "nothing changes\n"


def test_a_diff_shows_who_gains_and_whether_it_takes_two(example, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("id,name,site,team\r\n" + "".join(f'E{number},"Ann, {number}",berlin,team-{number % 7}\r\n' for number in range(1_000)))
    old = example.parent / "old.yaml"
    shutil.copy(example, old)
    grant = "  - {name: wiki-export, role: everyone, purpose: people-review, classes: review, for: everyone, expires: never, rate: unlimited}\n"
    example.write_text(example.read_text().replace("# What is not named closes", grant + "# What is not named closes"))
    code, out, err = policy("diff", example, "--from", old, "--people", people, "--at", "2026-11-25")
    assert code == 0, err
    # Of those who may read reviews, the directory has nobody: five are named in roles.
    assert out.splitlines()[0] == (
        'review     audience 5 → 1,005   LIMIT 10   GAINS: role everyone (1,000 people) by grant "wiki-export", of 1,000 people for people-review')
    assert "WIDENS     1 reason: it takes a second operator" in out
    report = json.loads(policy("diff", example, "--from", old, "--people", people, "--json", "--names")[1])
    assert report["widens"] and report["exceeded"] == ["review"] and len(report["gains"][0]["reader_ids"]) == 1_000
    back = json.loads(policy("diff", old, "--from", example, "--people", people, "--json")[1])
    assert not back["widens"] and back["exceeded"] == [] and back["losses"][0]["readers"] == 1_000
    assert "NARROWS" in policy("diff", old, "--from", example)[1]
    assert "WIDENS" in policy("diff", example, "--from", old)[1]


def test_a_diff_shows_what_agents_send_more_of_and_less(example, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("id,name,site,team\n" + "".join(f"E{number},Ann,lisbon,team-{number % 7}\n" for number in range(1_000)) + "B1,Ben,berlin,search\n")
    old = example.parent / "old.yaml"
    shutil.copy(example, old)
    edit(example, "{kind: key, for: everyone, as: timing}", "{kind: key, for: everyone, as: redact}")

    def agents(new, before):
        code, out, err = policy("diff", new, "--from", before, "--people", people, "--at", "2026-11-25")
        assert code == 0, err
        return [line for line in out.splitlines() if line.startswith("agents")]

    # Of reviews, Berlin has only the number kept, by either document.
    assert agents(example, old) == [
        "agents     send MORE of key (activity) of 1,001 people: timing → redact all", "agents     send MORE of key (review) of 1,000 people: timing → redact all"]
    assert agents(old, example) == [line.replace("MORE", "less").replace("timing → redact all", "redact all → timing") for line in agents(example, old)]
    shutil.copy(old, example)
    edit(example, "  - {kind: key, for: everyone, as: timing}\n", "")
    assert agents(example, old)[0] == "agents     stop sending key (activity) of 1,001 people: timing → drop"
    assert agents(old, example)[0] == "agents     START sending key (activity) of 1,001 people: drop → timing"
    assert agents(old, old) == []


def test_without_a_suite_a_diff_asks_for_the_policy_before(example, tmp_path):
    code, out, err = policy("diff", example, "--home", tmp_path / "nowhere")
    assert (code, out) == (1, "") and "there is no suite in" in err and "--from FILE" in err


class Loader(yaml.SafeLoader):
    """As editors read YAML: a day is a text."""


Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_the_schema_for_editors_takes_the_example_and_refuses_what_check_refuses():
    schema = json.loads((EXAMPLE / "policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    text = (EXAMPLE / "policy.yaml").read_text()
    assert list(validator.iter_errors(yaml.load(text, Loader))) == []
    for old, new in [
        ("retention: 90 days", "retention: 90 dayz"), ("audience: 200", "audience: -2"), ("retention: never}", "retention: never, audience: 3}"),
        ("as: timing", "as: times"), ("basis: consent", "basis: concent"), ("name: trainers", "name: Trainers"), ("version: 1", "version: 2"),
        ("source: review}", "source: reviews}"), ("per: week", "per: month"), ("detector: canary", "detector: cannary"), ("expires: never", "expires: soon"),
        ("except: {team: workplace-safety}", "except: {}"), ("{kind: key, for", "{kinds: key, for"), ("send: two operators", "send: one"), ("readers: role}", "readers: roles}"),
        ("readers: role}", "readers: role, escalate: 1 day}"),
    ]:
        assert text.count(old) == 1, old
        spoilt = text.replace(old, new)
        assert list(validator.iter_errors(yaml.load(spoilt, Loader))), new
        assert policy("check", "-", input=spoilt)[0] == 1, new
