"""Which model is champion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.evaluation.intervals import Units, write_units
from tasks.release import CHAMPION, EVALUATED, standing
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal, PositionRecord, RegisteredModel, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tests.tasks.records import artifact, commit, written

NAME = "folio-books"


class Shelf:
    """A store of released models, each with an evaluation of so many bits per byte on every row."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(str(folder / "store"), folder / "cache")

    def released(self, name: str, bits: float) -> tuple[Artifact, Artifact]:
        """Commit a model and its evaluation."""
        made = []
        for stage in ("export", "evaluate"):
            output = self.store.scratch(f"{stage}-{name}") / "output"
            written(output, {"name.txt": name.encode()})
            if stage == "evaluate":
                rows = np.linspace(1, 3, 30)
                write_units(output, {"test.bits_per_byte": Units(np.arange(30), (rows + bits) * 100, np.full(30, 100.0))})
            made.append(commit(self.store, output, artifact(output, stage=stage, name=name)))
        return made[0], made[1]

    def registered(self, run: str, exported: Artifact, measured: Artifact, alias: str = CHAMPION) -> None:
        """Record a run that registered a model."""
        at = PositionRecord(stage="evaluate", key=measured.key, digest=measured.digest, location=measured.location, action="executed")
        model = RegisteredModel(name=NAME, alias=alias, location=exported.location, digest=exported.digest)
        record = RunRecord(id=run, recipe="books", status="finished", started=now(), ended=now(), host="h", pid=1, git_commit="abc",
                           git_dirty=False, configuration={}, positions={EVALUATED: at}, registered=(model,))  # fmt: skip
        Journal(self.store).write(record)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_the_first_model_whose_gate_passed_is_champion_and_stays_it_when_made_again(shelf: Shelf) -> None:
    first = shelf.released("first", 0.0)
    assert standing(shelf.store, NAME, *first, "test", None) == (CHAMPION, "the first whose gate passed")
    shelf.registered("20261125T130000-000000", *first)
    assert standing(shelf.store, NAME, *first, "test", None) == (CHAMPION, "as it was")


def test_a_better_model_becomes_champion_and_a_worse_one_does_not(shelf: Shelf) -> None:
    shelf.registered("20261125T130000-000000", *shelf.released("first", 0.0))
    better, worse = shelf.released("better", -0.1), shelf.released("worse", 0.1)
    assert standing(shelf.store, NAME, *better, "test", None).alias == CHAMPION
    found = standing(shelf.store, NAME, *worse, "test", None)
    assert found.alias == "" and "not certainly better: -0.1" in found.reason
    shelf.registered("20261125T140000-000000", *worse, alias="")
    shelf.registered("20261125T150000-000000", *better)
    assert standing(shelf.store, NAME, *shelf.released("between", -0.05), "test", None).alias == "", (
        "it is compared with the latest champion"
    )


def test_a_person_promotes_a_model_with_a_reason(shelf: Shelf) -> None:
    shelf.registered("20261125T130000-000000", *shelf.released("first", 0.0))
    found = standing(shelf.store, NAME, *shelf.released("worse", 0.1), "test", "its licence is free")
    assert found == (CHAMPION, "promoted by a person: its licence is free")


def test_a_champion_whose_measurements_are_gone_stays_until_a_person_decides(shelf: Shelf) -> None:
    first = shelf.released("first", 0.0)
    gone = first[1].model_copy(update={"location": "evaluate/gone"})
    shelf.registered("20261125T130000-000000", first[0], gone)
    found = standing(shelf.store, NAME, *shelf.released("better", -0.1), "test", None)
    assert found.alias == "" and "release.promote decides" in found.reason
