"""Networks of an arena side by side: what each learned from the same rows, what that took, and what writing with it takes.

The table is of equal parameters and equal tokens; operations and processor time stand beside. An interval is Student's over the seeds, and
of a share of questions at least as wide as Wilson's of one seed. What a network does not have is said in its cell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from model.networks.base import NetworkBase
from model.networks.config import NetworkConfig
from tasks.reporting.charts import Bar, Share
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Figure, Row, Section, Table, bars_figure, shares_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, number, plural, share, size
from tasks.stage.system.columns import table, wrapped

if TYPE_CHECKING:
    from model.evaluation.intervals import Estimate

CONFIDENCE = 0.95
TOLERANCE = 0.1  # parameters within this fraction of the first network's count as equal
QUESTIONS = "questions.heldout"
SPLITS = ("test", "val", "train")
COUNTED = "counted"
OUT_OF_REACH = "no room"  # of a length for which the network has no positions


@dataclass(frozen=True)
class Contestant:
    """A network with what was measured of it: of each seed the metrics of its training and of its model, and processor seconds."""

    name: str
    network: NetworkBase
    trained: Sequence[Mapping[str, float]]
    measured: Sequence[Mapping[str, float]]
    seconds: Sequence[float]

    @property
    def parameters(self) -> float:
        """Numbers that were learned; of a counted network, those of its tables."""
        return self.measured[0]["parameters"]

    def over_seeds(self, metric: str) -> Estimate | None:
        """Return the mean of a metric over the seeds with its interval; None if it was not measured."""
        values = [found[metric] for found in self.measured if metric in found]
        if not values:
            return None
        import numpy as np  # runs without an arena load none

        from model.evaluation.intervals import Estimate, bootstrap_ratio, proportion

        mean = Estimate(values[0], 0.0, values[0], values[0])
        if len(set(values)) > 1:
            mean = bootstrap_ratio(np.array(values), np.ones(len(values)), seed=0, resamples=1000, confidence=CONFIDENCE)
        if (asked := self.measured[0].get(f"{metric}_count")) is None:
            return mean
        of_questions = proportion(round(mean.value * asked), round(asked), CONFIDENCE)
        low, high = min(mean.low, of_questions.low), max(mean.high, of_questions.high)
        return Estimate(mean.value, max(mean.error, of_questions.error), max(low, 0.0), min(high, 1.0))


@dataclass(frozen=True)
class Arena:
    """All networks of a run's arena, the first of which the others are to be as large as."""

    networks: tuple[Contestant, ...]
    chance: float | None
    bits: str

    @classmethod
    def of(cls, results: Results) -> Arena | None:
        """Return the arena of a run; None if it has none."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for position in results.positions("appraise"):
            names[position.split(".")[1]].append(position.partition(".")[2])
        found = []
        for name, seeds in names.items():
            trained = [f"compete.{seed}" for seed in seeds]
            measured = [results.metrics(f"appraise.{seed}") for seed in seeds]
            network: NetworkBase = TypeAdapter(NetworkConfig).validate_python(results.artifacts[trained[0]].config["model"])
            seconds = [results.artifacts[position].cost.cpu_seconds for position in trained]
            found.append(Contestant(name, network, [results.metrics(position) for position in trained], measured, seconds))
        if not found:
            return None
        split = next(split for split in SPLITS if f"{split}.bits_per_byte" in found[0].measured[0])
        return cls(tuple(found), results.metrics("baseline").get(f"chance.{QUESTIONS}"), f"{split}.bits_per_byte")

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of the first table."""
        asked = ("held out",) if self.asks else ()
        return ("network", "weights", "bits/byte", *asked, "tokens/s", "CPU s", "ops")

    @property
    def asks(self) -> bool:
        """Whether questions were asked."""
        return any(QUESTIONS in found for entrant in self.networks for found in entrant.measured)

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row for each network, the best first: by questions if some were asked, else by bits per byte."""

        def rank(entrant: Contestant) -> float:
            asked, bits = entrant.over_seeds(QUESTIONS), entrant.over_seeds(self.bits)
            return -asked.value if asked else bits.value if bits else 0.0

        chance = [("chance", "", "", within(self.chance, None), "", "", "")] if self.asks and self.chance is not None else []
        return [*map(self._row, sorted(self.networks, key=rank)), *chance]

    def _row(self, entrant: Contestant) -> tuple[str, ...]:
        bits, asked = entrant.over_seeds(self.bits), entrant.over_seeds(QUESTIONS)
        counted = entrant.network.counted
        speeds = [found["tokens_per_second"] for found in entrant.trained if "tokens_per_second" in found]
        return (
            entrant.name,
            thousands(entrant.parameters),
            plus_minus(bits) if bits else "",
            *((within(asked.value, asked) if asked else "not asked",) if self.asks else ()),
            COUNTED if counted else count(sum(speeds) / len(speeds)) if speeds else "not timed",
            count(sum(entrant.seconds) / len(entrant.seconds)),
            COUNTED if counted else f"{entrant.measured[0]['operations'] / self._first_operations:.2f}",
        )

    @property
    def _first_operations(self) -> float:
        return next(entrant.measured[0]["operations"] for entrant in self.networks if not entrant.network.counted)

    def lengths(self) -> list[int]:
        """Return the lengths of text behind which writing was measured."""
        names = {metric for entrant in self.networks for metric in entrant.measured[0] if metric.startswith("state_bytes.")}
        return sorted(int(name.partition(".")[2]) for name in names)

    def writing(self) -> list[tuple[str, ...]]:
        """Return, for each network in the recipe's order, what it keeps of a text of each length, and how fast it writes behind it."""
        rows = []
        for entrant in self.networks:
            found, cells = entrant.measured[0], list[str]()
            for metric, shown in (("state_bytes", size), ("writes_per_second", count)):
                names = [f"{metric}.{length}" for length in self.lengths()]
                cells += [shown(found[name]) if name in found else OUT_OF_REACH for name in names]
            rows.append((entrant.name, *cells))
        return rows

    @property
    def writing_header(self) -> tuple[str, ...]:
        """The columns of the second table."""
        first, *others = (f"{length:,}" for length in self.lengths())
        return ("network", f"kept {first}", *others, f"speed {first}", *others)

    def remarks(self) -> list[str]:
        """Return in sentences what the tables do not compare."""
        first = self.networks[0]
        own = (entrant for entrant in self.networks if not entrant.network.counted)
        ratios = {entrant.name: entrant.parameters / first.parameters for entrant in own}
        unequal = [f"{name} ({ratio:.2f} times)" for name, ratio in ratios.items() if abs(ratio - 1) > TOLERANCE]
        seeds = max(len(entrant.measured) for entrant in self.networks)
        said = [f"Interval: 95 % over {plural(seeds, 'seed')}." if seeds > 1 else "One seed, so its intervals say nothing of other seeds."]
        said += [f"Not of equal size with {first.name}: {joined(unequal)}."] if unequal else []
        if counted := [entrant.name for entrant in self.networks if entrant.network.counted]:
            said.append(f"Counted in one pass, with the numbers of its tables as weights: {joined(counted)}.")
        said.append("Ops are a token's in training, relative to the first network's; CPU s are those of one training with its start.")
        return [*said, "Not here: tables at equal operations and at equal time."]


def thousands(value: float) -> str:
    """`123456` -> `123k`."""
    return f"{value / 1e6:.2f}M" if value >= 999_500 else f"{value / 1e3:.0f}k" if value >= 9_950 else count(value)


def plus_minus(found: Estimate) -> str:
    """Return a number with half the width of its interval."""
    return f"{found.value:.3f} ± {(found.high - found.low) / 2:.3f}" if found.high > found.low else f"{found.value:.3f}"


def within(value: float, found: Estimate | None) -> str:
    """Return a share in percent with the ends of its interval."""
    return f"{100 * value:.0f} ({100 * found.low:.0f}-{100 * found.high:.0f}) %" if found else f"{100 * value:.0f} %"


def arena_text(results: Results) -> list[str]:
    """Return the tables as lines for a terminal; none without an arena."""
    arena = Arena.of(results)
    if arena is None:
        return []
    head, *others = [arena.header, *arena.rows()]
    writing = [arena.writing_header, *arena.writing()]
    right = frozenset(range(1, len(head)))
    blocks = [
        "The arena, at equal parameters and equal tokens",
        *table([head, *others], right),
        "",
        "What writing takes, by the tokens before: memory kept, tokens a CPU second",
        *table(writing, frozenset(range(1, len(writing[0])))),
        "",
    ]
    return [*blocks, *(line for said in arena.remarks() for line in wrapped(said, rest="")), ""]


def arena_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build both tables and three plots: bits per byte, questions, and memory against context."""
    arena = Arena.of(run.results)
    if arena is None:
        return None
    numbers = frozenset(range(1, len(arena.header)))
    tables = (
        Table("Equal parameters, equal tokens", arena.header, tuple(map(Row, arena.rows())), numbers),
        Table(
            "What writing takes, by the tokens before: memory kept, tokens a second of one processor",
            arena.writing_header,
            tuple(map(Row, arena.writing())),
            frozenset(range(1, len(arena.writing_header))),
        ),
    )
    lead = f"Each network was trained on the same rows, each seed in the same order for all. {' '.join(arena.remarks())}"
    return Section("arena", "The arena", lead, tuple(_figures(arena)), tables=tables)


ARENA = Topic("arena", 27, arena_section)


def _figures(arena: Arena) -> list[Figure]:
    bits = [(entrant.name, found) for entrant in arena.networks if (found := entrant.over_seeds(arena.bits))]
    bars = [Bar(name, found.value, number(found.value)) for name, found in sorted(bits, key=lambda one: one[1].value)]
    figures = [bars_figure("Bits for each byte", bars)]
    asked = [(entrant.name, found) for entrant in arena.networks if (found := entrant.over_seeds(QUESTIONS))]
    shares = [Share(name, found.value, found.low, found.high, share(found.value)) for name, found in asked]
    if shares and arena.chance is not None:
        shares.append(Share("chance", arena.chance, arena.chance, arena.chance, share(arena.chance), "other"))
    figures += [shares_figure("Held-out questions answered right", shares)] if shares else []
    least, most = min(arena.lengths()), max(arena.lengths())
    kept = []
    for entrant in arena.networks:
        short, long = (entrant.measured[0].get(f"state_bytes.{length}") for length in (least, most))
        if short is not None and long is not None:
            kept.append(Bar(entrant.name, long, size(long), f"of {least}: {size(short)}"))
    return [*figures, bars_figure(f"Kept of a text of {most:,} tokens", kept)]
