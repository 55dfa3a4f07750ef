"""The table of stages, the lineage, and the notices in Prefect."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

from tasks.reporting.headline import lineage_notice, notice
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.plan import Decision
from tasks.stage.store.artifact import Cost, InputRecord
from tasks.stage.tracking.cost import Rates
from tests.tasks.reporting.example_run import (
    HOSTILE,
    RunMaker,
    sharded_run,
)


def test_texts_cannot_break_the_notice_in_prefect(maker: RunMaker) -> None:
    maker.gate("chat", (f"a | b\n| c {HOSTILE}", "1", "<= 0", "-1", "FAILED: is out of bounds"))
    lines = notice(RunSummary.of(maker.run), Path("page.html")).splitlines()
    row = next(line for line in lines if line.startswith("| chat"))
    assert row.count("|") - row.count("\\|") == 4
    assert "<script" not in row.replace("\\<", "")
    assert any("page.html" in line for line in lines)


def test_reused_stages_are_marked_and_the_others_give_the_cause(maker: RunMaker) -> None:
    maker.made("ingest", reused=True)
    maker.made("clean", inputs=["ingest"], causes=("config quotes: true -> false",))
    page = maker.page()
    assert page.rows["stage-ingest"][:3] == ["ingest", "reused", "unchanged"]
    assert page.rows["stage-clean"][:3] == ["clean", "ran", "config quotes: true -> false"]
    clean = maker.run.artifacts["clean"]
    assert page.rows["stage-clean"][5:] == [clean.digest[:7], clean.location, "run-clean"]
    drawn = [attributes["class"] for tag, attributes in page.tags if tag == "g"]
    assert sorted(drawn) == ["node made", "node reused"]


def test_the_shards_of_a_stage_are_one_row_with_their_total_cost_and_the_cause_of_the_one_that_ran(maker: RunMaker) -> None:
    sharded_run(maker)
    page = maker.page()
    assert page.rows["stage-ingest"][:4] == ["ingest × 8", "7 reused, 1 ran", "shard 3: file new.txt was added", "16.0 s"]
    assert page.rows["stage-ingest"][6] == "ingest/trial-*"
    assert not [name for name in page.rows if "[" in name]
    assert "reused 14 stages and ran 3" in page.sections["stages"]
    assert "books in 40" in page.sections[""]


def test_the_shards_of_a_stage_are_one_box_that_links_to_their_row(maker: RunMaker) -> None:
    sharded_run(maker)
    page = maker.page()
    assert [attributes["class"] for tag, attributes in page.tags if tag == "g"] == ["node made"] * 3
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} >= {"#stage-ingest", "#stage-clean", "#stage-dedup"}
    assert "× 8" in page.sections["lineage"]


def test_a_shard_that_did_not_finish_shows_in_its_row(maker: RunMaker) -> None:
    maker.made("ingest[0]", reused=True)
    maker.run.decisions.append(Decision("ingest[1]", "ingest", "run", ("it has never run",), "k"))
    page = maker.page()
    assert page.rows["stage-ingest"][:3] == ["ingest × 2", "1 reused, 1 unfinished", "shard 1: it has never run"]
    assert ("header", {"class": "failed"}) in page.tags


def test_accelerators_are_shown_where_used_and_money_where_the_recipe_has_prices(maker: RunMaker) -> None:
    maker.made("pretrain", {"history.jsonl": []}, cost=Cost(wall_seconds=60, cpu_seconds=3600, gpu_seconds=120))
    assert "1:00 min of work, 1:00:00 h of CPU, 2:00 min of GPU." in maker.page().sections["stages"]
    maker.run.rates = Rates(currency="CHF", cpu_hour=0.5, gpu_hour=3.0)
    assert "2:00 min of GPU, 0.60 CHF." in maker.page().sections["stages"]


def test_the_lineage_in_prefect_is_a_drawing_that_loads_nothing_and_a_tree(maker: RunMaker) -> None:
    sharded_run(maker)
    told = lineage_notice(RunSummary.of(maker.run))
    drawn = base64.b64decode(told.partition("base64,")[2].partition(")")[0]).decode()
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    tree = told.partition("```\n")[2]
    assert tree.splitlines()[1:3] == ["  inputs: clean x 8  trial", "    inputs: ingest x 8  trial"]


def test_the_lineage_in_prefect_shows_an_input_with_equal_bytes_at_its_position_in_this_run(maker: RunMaker) -> None:
    clean = maker.made("clean")
    split = maker.made("split", inputs=["clean"])
    earlier = clean.reference().model_copy(update={"address": "e" * 64})
    maker.run.artifacts["split"] = split.model_copy(update={"inputs": {"clean": earlier}})
    assert f"  clean: {clean.location}  digest {clean.digest[:8]}" in lineage_notice(RunSummary.of(maker.run)).splitlines()


def test_an_execution_at_two_positions_costs_once(maker: RunMaker) -> None:
    maker.made("evaluate.release", {"samples.jsonl": []}, key="a" * 64, cost=Cost(wall_seconds=10, cpu_seconds=20))
    maker.made("evaluate.int8", {"samples.jsonl": []}, key="a" * 64, cost=Cost(wall_seconds=10, cpu_seconds=20))
    assert "10.0 s of work, 20.0 s of CPU" in maker.page().sections["stages"]


def test_an_input_that_another_execution_made_with_equal_bytes_is_drawn_from_its_position_in_this_run(maker: RunMaker) -> None:
    clean = maker.made("clean")
    split = maker.made("split", inputs=["clean"])
    earlier = clean.reference().model_copy(update={"address": "e" * 64})
    gone = InputRecord(stage="world", address="f" * 64, digest="f" * 64, location="world/other-ffffffff")
    maker.run.artifacts["split"] = split.model_copy(update={"inputs": {"clean": earlier, "world": gone}})
    page = maker.page()
    drawn = [attributes["class"] for tag, attributes in page.tags if tag == "g"]
    assert sorted(drawn) == ["node elsewhere", "node made", "node made"]
    assert len([1 for tag, attributes in page.tags if tag == "path" and attributes["class"] == "edge"]) == 2
