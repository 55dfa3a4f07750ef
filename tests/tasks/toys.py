"""A pipeline of four toy stages with a repository of its own, to run, plan and edit: collect -> count -> learn -> judge.small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from prefect import flow
from pydantic import BaseModel

from tasks.project import FOLIO
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun, RunOptions, use_options
from tasks.stage.execution.run_context import begin_flow, open_run
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tasks.stage.tracking.cost import Rates
from tests.tasks.toy_bodies import FOLDER, Collect, Count, Judge, Learn

SOURCE = """
import json, time
from pathlib import Path
from tasks.stage.stage import stage
from tests.tasks.toy_bodies import executed

MARK = "."

def state(config, root, shard, digest_of):
    return {"words.txt": (root / "words.txt").read_text()} if (root / "words.txt").exists() else {}

@stage(observes=state)
def collect(config, work):
    executed("collect")
    (work.output / "words.txt").write_text(config.words)
    (work.output / "logs").mkdir()
    (work.output / "logs" / "time.txt").write_text(str(time.time()))
    return {"letters": len(config.words)}

@stage()
def count(config, work, words):
    from pydantic import TypeAdapter

    executed("count")
    TypeAdapter(Path).validate_python(words)
    found = sorted(words.read_text().lower().split())
    (work.output / "counts.json").write_text(json.dumps([word for word in found if len(word) <= config.longest]))
    return {"words": len(found)}

def weights(counts, rate):
    return json.dumps([counts, rate]) + MARK

@stage(model=True)
def learn(config, work, counts):
    executed("learn")
    work.series([("train.loss", 2.0, 1), ("train.loss", 1.0, 2)])
    (work.output / "config.json").write_text("{}")
    (work.output / "model.bin").write_text(weights(json.loads((counts / "counts.json").read_text()), config.rate))
    return {"loss": 1.0, "diverged": float("nan")}

@stage()
def judge(config, work, model, words):
    executed("judge")
    if config.limit < 0:
        (work.output / "half.txt").write_text("half")
        raise ValueError(f"judge.limit={config.limit} is below 0")
    (work.output / "verdict.txt").write_text(f"{config.limit} {(model / 'model.bin').read_text()} {(words / 'words.txt').read_text()}")
    return {"passed": 1.0}
"""
MODULE = "toystages"
BODIES = ("collect", "count", "learn", "judge")
POSITIONS = ("collect", "count", "learn", "judge.small")


class Toys(BaseModel, frozen=True):
    """The toy recipe."""

    collect: Collect = Collect()
    count: Count = Count()
    learn: Learn = Learn()
    judge: Judge = Judge()
    rates: Rates = Rates()


class Workshop:
    """Runs and plans the toy pipeline in a folder of its own; `edit` changes its sources."""

    first = SOURCE

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.root, self.home = folder / "root", folder / "home"
        self.store, self.tracking = str(folder / "store"), ""
        self.resources = Resources()
        self.source, self.code = self.first, folder / "code" / f"{MODULE}.py"
        self.root.mkdir()
        self.code.parent.mkdir()
        patch.setenv(FOLDER, str(folder))
        self.edit("", "")

    def edit(self, old: str, new: str) -> None:
        """Replace text in the stages' source."""
        assert old in self.source
        self.source = self.source.replace(old, new, 1)
        self.code.write_text(self.source)
        self.stages = _loaded(self.source, self.code)

    def run(self, recipe: Toys | None = None, **options: Any) -> PipelineRun:
        """Run the pipeline in a real Prefect flow."""
        name, begun = "toys", list[str]()

        @flow(name=name, flow_run_name=name)
        def pipeline() -> list[PipelineRun]:
            begun.append(name)
            with self._opened(recipe or Toys(), RunOptions(**options)) as run:
                self._compose(recipe or Toys())
            return [run]

        return begin_flow(pipeline, begun=lambda: bool(begun))[0]

    @property
    def executed(self) -> list[str]:
        """The stages whose bodies ran since this was last read, in order."""
        log = self.folder / "executed"
        done = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return done

    @property
    def begun(self) -> bool:
        """Whether a body has begun since `executed` was last read."""
        return (self.folder / "executed").exists()

    def hold(self) -> None:
        """Let bodies wait until they are released."""
        (self.folder / "held").touch()

    def release(self) -> None:
        """Let bodies that are held go on."""
        (self.folder / "held").unlink(missing_ok=True)

    def plan(self, recipe: Toys | None = None, **options: Any) -> list[Decision]:
        """Return what a run would do."""
        with self._opened(recipe or Toys(), RunOptions(planning=True, **options)) as run:
            self._compose(recipe or Toys())
        return run.decisions

    def made(self) -> dict[str, Artifact]:
        """Return the artifacts of the unchanged recipe in the store, by position."""
        return {decision.position: decision.artifact for decision in self.plan() if decision.artifact is not None}

    def opened(self) -> Store:
        """Return the store that it works in."""
        return Store(self.store, self.home / "cache" / "artifacts")

    def folder_of(self, artifact: Artifact) -> Path:
        """Return the folder of an artifact's files in a local store."""
        return Path(self.store) / artifact.location

    @contextmanager
    def _opened(self, recipe: Toys, options: RunOptions) -> Iterator[PipelineRun]:
        project = replace(FOLIO, root=self.code.parent)
        settings = {"project": project, "root": self.root, "home": self.home, "store": self.store, "tracking": self.tracking}
        parameters = recipe.model_dump(mode="json")
        with use_options(options), open_run(name="toys", resources=self.resources, parameters=parameters, **settings) as run:  # type: ignore[arg-type]
            yield run

    def _compose(self, recipe: Toys) -> None:
        collected = self.stages.collect(recipe.collect)
        counted = self.stages.count(recipe.count, words=collected.part("words.txt"))
        model = self.stages.learn(recipe.learn, counts=counted)
        self.stages.judge.at("small")(recipe.judge, model=model, words=collected)


def _loaded(source: str, path: Path) -> ModuleType:
    # Not imported, since Python would take an older version of equal length for the same; and known to nobody, so that a cluster's
    # workers are sent its functions.
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    exec(compile(source, path, "exec"), module.__dict__)
    return module
