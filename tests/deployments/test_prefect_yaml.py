"""The deployments run what they say, and ask for no more than a person can fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect.utilities.callables import parameter_schema

from flows.deployed import deployed
from flows.recipe.loading import load

FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


def deployment(name: str) -> dict[str, Any]:
    """Return what prefect.yaml says of a deployment."""
    (found,) = (one for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"] if one["name"] == name)
    return dict(found)


def test_the_scheduled_deployment_names_a_recipe_that_loads_and_holds_no_copy_of_it() -> None:
    assert deployment("universe")["parameters"] == {"recipe": "universe"}
    assert load("universe").name == "universe"


def test_its_entrypoint_is_the_deployed_pipeline_and_it_has_a_schedule_and_one_run_at_a_time() -> None:
    found = deployment("universe")
    path, name = found["entrypoint"].split(":")
    assert (FILE.parents[1] / path).is_file() and name == deployed.fn.__name__
    assert found["schedules"][0]["cron"] and found["concurrency_limit"] == 1


def test_the_form_asks_for_a_recipe_and_changes_each_with_a_description() -> None:
    schema = parameter_schema(deployed.fn)
    assert list(schema.properties) == ["recipe", "changes", "refresh", "verify"]
    assert schema.required == ["recipe"]
    assert all(field["description"] for field in schema.properties.values())
    assert not schema.definitions
