"""The decorator that makes a library function a stage: decide, then reuse or execute, commit and report.

    @stage(body="counting.words:count_words")
    def count(config: CountConfig, texts: Path) -> Metrics: ...

    counted = count(recipe.count, texts=written)

`body` is an entry point, a library function that only the process which executes it imports, since a plan needs the configs alone. The
decorated function states its config and its inputs. Each goes to the parameter of its name, and so does what the function asks for of
`Workspace.offers`. A stage without one has the decorated function as its body, with the config and the whole `Workspace`.

The body sees local paths of its verified inputs, its own config, and a `Workspace` to write into. It is executed at most once at a time
for a key, and its output is committed atomically. While planning, nothing is executed or changed.

A stage may work shard by shard: `count.over(8)(recipe.count, texts=written)` returns a `ShardedArtifact`, one artifact a shard, each
with its own key, made in parallel as mapped Prefect tasks. Sharded inputs are distributed, one to each; of a `SlicedArtifact` each shard
gets the list of its slices; other inputs go to every shard. A stage that takes shards without being sharded gets a list of paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tasks.stage.execution.job import StageCall
from tasks.stage.execution.plan import decide, position_names
from tasks.stage.execution.run import PipelineRun, current_run
from tasks.stage.identity.key import flatten, stable
from tasks.stage.store.artifact import Artifact, PendingArtifact, ShardedArtifact, SlicedArtifact, StageInput, StageOutput, expand_shards
from tasks.stage.workspace import Body, Metrics, ShardIndex, Workspace

__all__ = ["STAGES", "Hook", "Metrics", "ShardIndex", "ShardedStage", "Stage", "Workspace", "stage"]

DigestOf = Callable[[Iterable[Path]], dict[Path, str]]
Observer = Callable[[Any, Path, ShardIndex | None, DigestOf], Mapping[str, str]]
Inputs = Mapping[str, StageInput | ShardedArtifact]


class Hook:
    """Base of a stage's answers about its artifacts: where they hold a document, what the report shows. Part of no key."""


HookType = TypeVar("HookType", bound=Hook)


@dataclass(frozen=True)
class Stage:
    """A stage, callable from a flow."""

    name: str
    body: Body
    observes: Observer | None
    model: bool
    judges: bool
    hooks: tuple[Hook, ...] = ()
    entry: str = ""
    where: str = ""

    def hook(self, kind: type[HookType]) -> HookType | None:
        """Return the stage's hook of a kind, or None if it has none."""
        return next((hook for hook in self.hooks if isinstance(hook, kind)), None)

    @property
    def position(self) -> str:
        """The stage's position in the flow, such as `evaluate.base`."""
        return f"{self.name}.{self.where}" if self.where else self.name

    def at(self, where: str) -> Stage:
        """Return the same stage at another position of the flow, with a history of its own."""
        return replace(self, where=where)

    def over(self, count: int, numbers: Sequence[int] | None = None) -> ShardedStage:
        """Return the stage split over `count` shards, of which `numbers` are made (None: all).

        Raises ValueError for a stage that makes a model, which has no shards."""
        if self.model:
            raise ValueError(f"{self.position}: a model is made whole; its inputs may come in shards")
        return ShardedStage(self, count, tuple(range(count) if numbers is None else numbers))

    def __call__(self, config: BaseModel, **inputs: StageInput | ShardedArtifact | None) -> StageOutput:
        """Decide, then reuse or execute. Raises what the body raises."""
        run = current_run()
        call = self.decide_call(run, config, {name: value for name, value in inputs.items() if value is not None}, None)
        if run.options.planning:
            return call.decision.artifact or PendingArtifact(position=self.position)
        return self.execute(run, [call])[0]

    def execute(self, run: PipelineRun, calls: Sequence[StageCall]) -> list[Artifact]:
        """Return the artifacts of decided calls, reused or made."""
        # A body's process imports this module as well, and needs nothing of Prefect.
        from tasks.stage.execution.execute import execute

        return execute(run, self.position, calls)

    def decide_call(self, run: PipelineRun, config: BaseModel, given: Inputs, shard: ShardIndex | None) -> StageCall:
        """Decide about one call, and return it with all that is needed to execute it."""
        position = f"{self.position}[{shard.number}]" if shard else self.position
        ingredients = self.ingredients(run, config, given, shard)
        parts = [run.name, *([self.where] if self.where else []), *([str(shard.number)] if shard else [])]
        label = "-".join(parts)
        decision = decide(
            run.store,
            run.traces,
            position=position,
            stage=self.name,
            label=label,
            ingredients=ingredients,
            waits_on={name: value.position for name, value in expand_shards(given).items() if isinstance(value, PendingArtifact)},
            refresh=not run.options.refresh.isdisjoint(position_names(position)),
            verify=run.options.verify,
            before=run.before.get(position),
        )
        decision = replace(decision, config=config, inputs=expand_shards(given))
        run.decisions.append(decision)
        return StageCall(self.body, self.entry, self.model, self.judges, label, config, given, ingredients, decision, shard)

    def ingredients(self, run: PipelineRun, config: BaseModel, given: Inputs, shard: ShardIndex | None) -> dict[str, str]:
        """Return everything the key is made of, by name; inputs that do not exist yet are left out."""
        observed = self.observes(config, run.root, shard, run.store.digest_of) if self.observes else {}
        return {
            **flatten(stable(config, self.position), self.name),
            # No trace of an execution shows that another function was declared since.
            **({"body": self.entry} if self.entry else {}),
            **({"shard": f"{shard.number} of {shard.count}"} if shard else {}),
            **{f"input.{name}": value.digest for name, value in expand_shards(given).items() if not isinstance(value, PendingArtifact)},
            **{f"observed.{name}": value for name, value in observed.items()},
        }


STAGES: dict[str, Stage] = {}
"""Every stage that this process has imported, by name, to look up its hooks."""


@dataclass(frozen=True)
class ShardedStage:
    """A stage that works shard by shard, callable from a flow."""

    stage: Stage
    count: int
    numbers: tuple[int, ...]

    def __call__(self, config: BaseModel, **inputs: StageInput | ShardedArtifact | SlicedArtifact | None) -> ShardedArtifact:
        """Decide for each shard, then reuse or execute. Raises what a body raises, and ValueError for a wrong number of shards."""
        run = current_run()
        calls = []
        for number in self.numbers:
            given = {name: self._input_of_shard(name, value, number) for name, value in inputs.items() if value is not None}
            calls.append(self.stage.decide_call(run, config, given, ShardIndex(number, self.count)))
        if run.options.planning:
            planned = tuple(call.decision.artifact or PendingArtifact(position=call.decision.position) for call in calls)
            return ShardedArtifact(position=self.stage.position, items=planned)
        return ShardedArtifact(position=self.stage.position, items=tuple(self.stage.execute(run, calls)))

    def _input_of_shard(self, name: str, value: StageInput | ShardedArtifact | SlicedArtifact, number: int) -> StageInput | ShardedArtifact:
        if isinstance(value, SlicedArtifact):
            return value.of(number)
        if not isinstance(value, ShardedArtifact):
            return value
        if len(value.items) != self.count:
            raise ValueError(f"{self.stage.position}: {name} comes in {len(value.items)} shards, the stage works over {self.count}")
        return value.items[number]


def stage(
    body: str = "", *, observes: Observer | None = None, model: bool = False, judges: bool = False, hooks: tuple[Hook, ...] = ()
) -> Callable[[Body], Stage]:
    """Make a function a stage, or declare one.

    `body`: the function that does the work, as `module:name`; "": the decorated one.
    `observes`: what the body reads outside the store and the repository, as name -> digest; it is given the config, the recipe's root, the
    shard and a function that hashes files. `model`: whether the output directory is a model, to be shown as a LoggedModel. `judges`:
    whether its inputs are read again and compared with their digests first, whatever is cached. `hooks`: what other folders may ask about
    its artifacts; editing one reruns nothing.
    """

    def decorate(declared: Body) -> Stage:
        made = Stage(declared.__name__, declared, observes=observes, model=model, judges=judges, hooks=hooks, entry=body)
        STAGES[made.name] = made
        return made

    return decorate
