"""Topics of the report, and the hook by which a stage chooses the topics that show it.

    @stage(hooks=(ReportHook(TOKENIZER),))
    def tokenizer(config, work, train): ...

Several stages can share a topic: every training stage adds its curves to one section. Imports nothing heavy, since stages import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.stage.stage import STAGES, Hook

if TYPE_CHECKING:
    from tasks.reporting.parts import Section
    from tasks.reporting.summary import RunSummary
    from tasks.stage.store.artifact import Artifact


@dataclass(frozen=True)
class Topic:
    """A section that the page can have. `name` is what the page calls it when it is left out; lower ranks come first.

    `draw` is given the run and the positions to show, each with its title, in the flow's order. It returns None if it has nothing to show.
    """

    name: str
    rank: int
    draw: Callable[[RunSummary, Mapping[str, str]], Section | None]


class ReportHook(Hook):
    """The topics under which the page shows a stage, and what it calls the stage there: by default its position.

    `title` may also be found out from a position and its artifact. `headline`: its metrics that stand for a run where runs are compared.
    """

    def __init__(self, *topics: Topic, title: str | Callable[[str, Artifact], str] = "", headline: tuple[str, ...] = ()) -> None:
        self.topics = topics
        self.headline = headline
        self._title = title

    @property
    def title(self) -> str:
        """The page's title for the stage at every position; "" if that differs or is not said."""
        return self._title if isinstance(self._title, str) else ""

    def title_at(self, position: str, artifact: Artifact) -> str:
        """Return what the page calls the stage at a position."""
        return (self._title if isinstance(self._title, str) else self._title(position, artifact)) or position


def report_hook(stage: str) -> ReportHook:
    """Return a stage's hook by the stage's name, or an empty one."""
    known = STAGES.get(stage)
    return (known and known.hook(ReportHook)) or ReportHook()


def title_of(stage: str) -> str:
    """Return what the page calls a stage."""
    return report_hook(stage).title or stage


def all_topics() -> list[Topic]:
    """Return the topics of every stage that this process has imported, in the page's order."""
    return sorted({topic for stage in STAGES for topic in report_hook(stage).topics}, key=lambda topic: topic.rank)
