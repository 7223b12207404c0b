"""The published schemas of what hooks are told, against an example of each, which `FormatTests` holds to the program."""

import copy
import json

import jsonschema
import pytest
from harness.schemas import FOLDER, TYPES, check

EXAMPLES = sorted((FOLDER / "examples").glob("*.json"))
CHECKED = [path for path in EXAMPLES if path.name.endswith((".standard.json", ".cloudevents.json"))]


def objects(value, path=()):
    """Each object in a body whose fields the schema names: where it lies. What is by service name may have any."""
    if isinstance(value, dict):
        if not path or path[-1] != "services":
            yield path
        for key, inner in value.items():
            yield from objects(inner, (*path, key))


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.name.removesuffix(".json"))
def test_an_example_is_what_its_schema_says_and_nothing_more_would_be(path):
    body = json.loads(path.read_text())
    check(body)
    tried = 0
    for place in objects(body):
        more = copy.deepcopy(body)
        inner = more
        for key in place:
            inner = inner[key]
        inner["unknown"] = 1
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            check(more)
        tried += 1
    for key in body:
        less = {k: v for k, v in body.items() if k != key}
        if key == "subject":
            continue
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            check(less)
        tried += 1
    assert tried >= 4


def test_each_type_has_an_example_in_every_form():
    names = {path.name.removesuffix(".json") for path in EXAMPLES}
    kinds = {json.loads(path.read_text())["type"] for path in CHECKED if path.name.endswith(".standard.json")}
    assert kinds == set(TYPES)
    for name in {name.rsplit(".", 1)[0] for name in names}:
        assert {f"{name}.{form}" for form in ("standard", "cloudevents", "slack", "teams")} <= names
