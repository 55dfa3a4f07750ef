"""One scan of one's own finds nothing that a take-down leaves unnamed, whatever a document came in and wherever its words lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from flows.cli.views.takedown import show_takedown
from tests.flows.holding_homes import CONTAINERS, Home, Text, generate
from tests.tasks.lineage.brute_force import files_with_each

pytestmark = pytest.mark.slow


class Scanned(NamedTuple):
    """A home, what is in it, and what a scan of the test's own finds of each text, by its first sentence."""

    made: Home
    home: Path
    found: dict[str, set[Path]]


@pytest.fixture(scope="module", params=[1, 2, 3])
def scanned(request: pytest.FixtureRequest, prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    folder = tmp_path_factory.mktemp(f"home{request.param}")
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLIO_HOME", str(home))
        made = generate(folder / "recipe", home, request.param)
    wanted = {text.sentences[0]: [*text.sentences, *text.words] for text in made.texts}
    return Scanned(made, home, files_with_each(wanted, [home, made.folder]))


def identity_of(home: Home, text: Text) -> str:
    """Return the id that ingest gave a text, by a sentence of it."""
    for position, artifact in home.made.items():
        if position.startswith("ingest"):
            for row in pq.read_table(Path(home.recipe.store, artifact.location, "documents.parquet")).to_pylist():
                if text.sentences[0] in " ".join(row["text"].split()):
                    return str(row["id"])
    raise AssertionError(f"{text.name} of {text.container} was not read")


def named(report: dict[str, Any], store: Path) -> list[Path]:
    """Return the files, and folders of artifacts, that a report names."""
    lineage = [*report["contains"], *report["learned_from_it"], *report["only_measured_on_it"], *report["left_the_corpus"]]
    return [*(store / held["location"] for held in lineage), *(Path(holder["path"]) for holder in report["searched"]["holders"])]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_scan_of_all_files_finds_none_that_the_take_down_does_not_name(
    scanned: Scanned, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, home, by_text = scanned
    monkeypatch.setenv("FOLIO_HOME", str(home))
    text = next(text for text in made.texts if text.container == container)
    report = json.loads(show_takedown(identity_of(made, text), as_json=True))
    places, found = named(report, Path(made.recipe.store)), by_text[text.sentences[0]]
    assert len(found) >= 4, "the scan that judges finds its source and what stages made of it"
    assert not [path for path in found if not any(path.is_relative_to(place) for place in places)]
    assert any(path.is_relative_to(made.folder / "books") for path in places)
    assert any(holder["how"] == "unknown" for holder in report["searched"]["holders"]), "the checkpoint of a training that was killed"
