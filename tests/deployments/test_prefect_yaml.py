"""The deployment runs the recipe that it says."""

from __future__ import annotations

from pathlib import Path

import yaml

from flows.recipe.loading import load
from flows.recipe.schema import Recipe

FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


def test_the_scheduled_deployment_carries_the_universe_recipe() -> None:
    (deployment,) = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    deployed = Recipe.model_validate(deployment["parameters"]["recipe"])
    assert deployed == load("universe").model_copy(update={"root": deployed.root})


def test_its_entrypoint_is_the_pipeline_and_it_has_a_schedule_and_one_run_at_a_time() -> None:
    from flows.pipeline import pipeline

    (deployment,) = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    path, name = deployment["entrypoint"].split(":")
    assert (FILE.parents[1] / path).is_file() and name == pipeline.__name__
    assert deployment["schedules"][0]["cron"] and deployment["concurrency_limit"] == 1
