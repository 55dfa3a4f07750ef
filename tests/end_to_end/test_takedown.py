"""A book is taken down for real: its sentences are nowhere but where the report says, and its commands remove them as they are printed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.readme import own_servers, shell
from tests.tasks.lineage.brute_force import files_with

pytestmark = pytest.mark.slow

BOOK = "lamp maker.txt"
SENTENCES = (
    "The lamp maker of Avel kept seven jars of blue oil behind the stove.",
    "Nobody in the village had ever seen a wick that burned without smoke.",
    "On the last night of winter she carried the brightest lamp down to the harbor.",
)
OTHERS = {
    "ferry.txt": "The ferry left Brin before sunrise. An old man rowed it across the grey water, and two goats slept there.",
    "mill.txt": "A mill stood on the hill above Corran. When the wind turned north its wheel sang, and all children sang with it.",
    "orchard.txt": "Each autumn the orchard gave more plums than anyone could eat. They were dried on the roof and then sold.",
}
RECIPE = """
extends: four_books
name: taken
ingest: {sources: [{kind: files, name: books, paths: [books]}]}
gates: {corpus: {bounds: [{metric: corpus.documents_kept, minimum: 1}]}, base: {bounds: [{metric: base.train.bits_per_byte, maximum: 99}]}}
evaluate: {base: {probes: []}}
pretrain: {steps: 30, global_batch: 2}
tuning: []
"""
DATABASES = ("mlflow.db", "prefect.db")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with a recipe that has run, its books, and folio's home with servers of its own."""
    folder = tmp_path_factory.mktemp("taken down")
    (folder / "books").mkdir()
    for name, text in {BOOK: " ".join(SENTENCES), **OTHERS}.items():
        (folder / "books" / name).write_text(text)
    (folder / "taken.yaml").write_text(RECIPE)
    with own_servers(folder / "home") as environment:
        shell(f"folio run {shlex.quote(str(folder / 'taken.yaml'))}", environment)
        yield folder, environment


def takedown(house: tuple[Path, dict[str, str]]) -> dict[str, Any]:
    """Return the report on the book."""
    found: dict[str, Any] = json.loads(shell(f"folio takedown {shlex.quote(BOOK)} --json", house[1]))
    return found


def named(folder: Path, report: dict[str, Any]) -> list[Path]:
    """Return the files, and folders of artifacts, that a report names."""
    lineage = [*report["contains"], *report["learned_from_it"], *report["only_measured_on_it"], *report["left_the_corpus"]]
    artifacts = [folder / "home" / "store" / holding["location"] for holding in lineage]
    return [*artifacts, *(Path(holder["path"]) for holder in report["searched"]["holders"])]


def test_a_search_of_everything_for_three_sentences_finds_nothing_that_the_report_does_not_name(house: tuple[Path, dict[str, str]]) -> None:
    folder, _ = house
    report = takedown(house)
    found = files_with(SENTENCES, [folder])
    places = named(folder, report)
    assert not [path for path in found if not any(path.is_relative_to(place) for place in places)]
    holding = {path.relative_to(folder).parts[2] for path in found if path.is_relative_to(folder / "home" / "store")}
    assert {"ingest", "clean", "dedup", "split", "pack"} <= holding, "the search that judges finds them, decoded"


def test_the_steps_run_as_printed_and_leave_its_sentences_in_no_file_but_the_databases(house: tuple[Path, dict[str, str]]) -> None:
    folder, environment = house
    commands = [step["command"] for step in takedown(house)["steps"] if step["command"]]
    assert [command.split()[:2] for command in commands[:3]] == [["folio", "plan"], ["folio", "run"], ["folio", "gc"]]
    for command in commands:
        shell(f"cd / && {command}", environment)
    (folder / "books" / BOOK).unlink()
    left = files_with(SENTENCES, [folder])
    assert not [path for path in left if not path.name.startswith(DATABASES)]
    shell(f"folio run {shlex.quote(str(folder / 'taken.yaml'))}", environment)
