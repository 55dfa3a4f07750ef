"""A lineage as an indented tree, back to what a thing was made from or forward to what was made from it.

Guarantees: each artifact is unfolded once and referred to afterwards, so a tree has a line an input and not one a path; the shards of
a stage are one line, unless asked apart; an input whose record is gone has its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from tasks.lineage.records import Graph, base_of, family, shard_of
from tasks.stage.store.artifact import Artifact, Input

SHORT = 8


@dataclass(frozen=True)
class Line:
    """What stands on one line: an artifact, or the shards of one stage, some of which may be gone. `role`: what it is to the line above."""

    role: str
    made: tuple[Artifact, ...]
    gone: tuple[Input, ...] = ()

    @property
    def known(self) -> list[Artifact | Input]:
        """All that the line stands for."""
        return [*self.made, *self.gone]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all that the line stands for."""
        return tuple(known.key for known in self.known)

    @property
    def stage(self) -> str:
        """The stage of all of it."""
        return self.known[0].stage

    def words(self, graph: Graph) -> str:
        """The line's text, without its role."""
        accepted = _accepted(graph, self.made)
        if len(self.keys) > 1:
            gone = f"  ({len(self.gone)} of their records are gone)" if self.gone else ""
            recipe = self.known[0].location.rpartition("-")[0].rpartition("-")[0].partition("/")[2]
            return f"{self.stage} x {len(self.keys)}  {recipe}{gone}{accepted}"
        if self.gone:
            return f"{self.gone[0].location} (its record is gone)"
        return f"{self.made[0].location}  digest {self.made[0].digest[:SHORT]}{accepted}"


def tree(
    graph: Graph, roots: Iterable[Artifact], *, forward: bool = False, unfold: bool = False, only: Set[str] | None = None
) -> list[str]:
    """The lineage of some artifacts as lines; `only`: keys that a forward tree may show, all unless given."""
    shown: set[str] = set()
    return [text for line in lines_of("", roots, unfold) for text in _branch(graph, line, 0, shown, forward, unfold, only)]


def lines_of(role: str, artifacts: Iterable[Artifact], unfold: bool) -> list[Line]:
    """A line for each artifact, or for all shards of a stage that were made together."""
    if unfold:
        return [Line(role, (artifact,)) for artifact in artifacts]
    made: dict[tuple[str, ...], list[Artifact]] = {}
    times: dict[tuple[str, ...], int] = {}
    for artifact in artifacts:
        shard = (*family(artifact), shard_of(artifact))
        # A shard that stands here twice was made again with something changed: another line.
        times[shard] = times.get(shard, 0) + 1
        made.setdefault((*family(artifact), str(times[shard])), []).append(artifact)
    return [Line(role, tuple(together)) for together in made.values()]


def above(graph: Graph, line: Line, unfold: bool = False) -> list[Line]:
    """What a line was made from: a line for each input."""
    given: dict[str, dict[str, Input]] = {}
    for artifact in line.made:
        for name, value in artifact.inputs.items():
            given.setdefault(name if unfold else base_of(name), {}).setdefault(value.key, value)
    found = []
    for role, values in given.items():
        made = tuple(graph.by_key[key] for key in values if key in graph.by_key)
        gone = tuple(value for key, value in values.items() if key not in graph.by_key)
        found.append(Line(role, made, gone))
    return found


def below(graph: Graph, line: Line, unfold: bool = False, only: Set[str] | None = None) -> list[Line]:
    """What was made from a line, as lines in order of creation."""
    users: dict[str, Artifact] = {}
    roles: dict[str, list[str]] = {}
    for key in line.keys:
        for name, user in graph.users.get(key, ()):
            if only is None or user.key in only:
                users[user.key] = user
                roles.setdefault(user.key, []).append(base_of(name))
    together: dict[str, list[Artifact]] = {}
    for key, user in users.items():
        together.setdefault(", ".join(dict.fromkeys(roles[key])), []).append(user)
    found = [made for role, artifacts in together.items() for made in lines_of(role, artifacts, unfold)]
    return sorted(found, key=lambda made: min(a.origin.created for a in made.made))


def _branch(graph: Graph, line: Line, depth: int, shown: set[str], forward: bool, unfold: bool, only: Set[str] | None) -> Iterator[str]:
    role = f"{'as ' if forward else ''}{line.role}: " if line.role else ""
    text = f"{'  ' * depth}{role}{line.words(graph)}"
    if shown.issuperset(line.keys):
        yield f"{text}  (above)"
        return
    shown.update(a.key for a in line.made)
    yield text
    for other in below(graph, line, unfold, only) if forward else above(graph, line, unfold):
        yield from _branch(graph, other, depth + 1, shown, forward, unfold, only)


def _accepted(graph: Graph, artifacts: Iterable[Artifact]) -> str:
    told = [told for artifact in artifacts for told in graph.accepted.get(artifact.key, ())]
    return "".join(f"  (accepted for key {key[:SHORT]}: {reason})" for key, reason in told)
