"""The decorator that makes a library function a stage: identity, then reuse or work, then commit, then track.

    @stage(libraries=("duckdb",))
    def clean(config: CleanConfig, work: Workspace, documents: Path) -> Metrics: ...

    cleaned = clean(recipe.clean, documents=ingested)

Guarantees: the body sees local paths of its verified inputs, its own config, and a `Workspace` to write into; it is executed at most
once at a time for a key; what it wrote is committed whole or not at all. While planning nothing is executed and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.stage.artifact import Given, Made, Pending
from tasks.stage.execute import Body, Call, Metrics, Workspace, perform
from tasks.stage.fingerprint import edited_since, fingerprint
from tasks.stage.identity import flatten, library_versions, stable
from tasks.stage.plan import decide
from tasks.stage.run import DECLARED, Run, current_run

__all__ = ["Metrics", "Stage", "Workspace", "stage"]

Observer = Callable[[Any, Path], Mapping[str, str]]


@dataclass(frozen=True)
class Stage:
    """A stage, callable from a flow."""

    name: str
    body: Body
    libraries: tuple[str, ...]
    observes: Observer | None
    model: bool
    where: str = ""

    @property
    def place(self) -> str:
        """The stage's name in the flow, such as `evaluate.base`."""
        return f"{self.name}.{self.where}" if self.where else self.name

    def at(self, where: str) -> Stage:
        """The same stage at another place of the flow, with a history of its own."""
        return replace(self, where=where)

    def __call__(self, config: BaseModel, **inputs: Given | None) -> Made:
        """Decide, then reuse or execute. Raises what the body raises."""
        run = current_run()
        given = {name: value for name, value in inputs.items() if value is not None}
        ingredients = self.ingredients(run, config, given)
        label = f"{run.name}-{self.where}" if self.where else run.name
        decision = decide(
            run.store,
            place=self.place,
            stage=self.name,
            label=label,
            ingredients=ingredients,
            waits_on={name: value.place for name, value in given.items() if isinstance(value, Pending)},
            refresh=bool({self.name, self.place} & run.options.refresh),
            verify=run.options.verify,
        )
        run.decisions.append(decision)
        if run.options.planning:
            return decision.artifact or Pending(place=self.place)
        ready = {name: value for name, value in given.items() if not isinstance(value, Pending)}
        edited = partial(edited_since, self.body.__module__, self.body.__name__)
        return perform(run, Call(self.body, self.model, label, config, ready, ingredients, decision, edited))

    def ingredients(self, run: Run, config: BaseModel, given: Mapping[str, Given]) -> dict[str, str]:
        """Everything the key is made of, by name; inputs that do not exist yet are left out."""
        observed = self.observes(config, run.root) if self.observes else {}
        return {
            **flatten(stable(config, self.place), self.name),
            **{f"input.{name}": value.digest for name, value in given.items() if not isinstance(value, Pending)},
            **{f"code.{name}": value for name, value in fingerprint(self.body.__module__, self.body.__name__).items()},
            **library_versions(self.libraries),
            **{f"observed.{name}": value for name, value in observed.items()},
        }


def stage(*, libraries: tuple[str, ...] = (), observes: Observer | None = None, model: bool = False) -> Callable[[Body], Stage]:
    """Make a function a stage.

    `libraries`: packages whose version can change the bytes. `observes`: what the body reads outside the store, as name -> digest.
    `model`: whether the output directory is a model, to be shown as a LoggedModel.
    """

    def decorate(body: Body) -> Stage:
        DECLARED.append((body.__module__, body.__name__))
        return Stage(name=body.__name__, body=body, libraries=libraries, observes=observes, model=model)

    return decorate
