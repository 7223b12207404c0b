"""What hooks are told, held to `deploy/schemas`: one schema for the envelope, one for the data of each type."""

import json
from pathlib import Path

import jsonschema

FOLDER = Path(__file__).parents[2] / "deploy" / "schemas"


def read(name):
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {path.stem: read(path.stem) for path in FOLDER.glob("*.json")}
TYPES = sorted(set(VALIDATORS) - {"standard", "cloudevents"})


def check(body):
    """Raises jsonschema.ValidationError, or KeyError for a type that has no schema."""
    if "specversion" in body:
        VALIDATORS["cloudevents"].validate(body)
        assert body["dataschema"] == "urn:sluice:schema:" + body["type"].removeprefix("sluice.")
        VALIDATORS[body["type"].removeprefix("sluice.")].validate(body["data"])
    else:
        VALIDATORS["standard"].validate(body)
        VALIDATORS[body["type"]].validate(body["data"])
