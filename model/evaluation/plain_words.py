"""Say how good a model is, in plain words: against n-grams, guessing, itself before tuning, and the recipe's previous model.

The card, the report and the terminal show the same sentences; only what came before is left to the last two, since a card follows from
its inputs alone. Each sentence is left out if the figures for it were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from model.evaluation.gate import MOST_TIMES_THE_BITS

if TYPE_CHECKING:
    from model.evaluation.intervals import Estimate

Metrics = Mapping[str, float]
BITS, ANSWERED = "val.bits_per_byte", "questions.heldout"
# The splits on which two models are compared, best first, and what each is called.
TEXTS = {"val": "", "test": " of test text", "train": " of text that it was trained on"}
# What is worth saying: a change of the loss, a gap between unseen and read text, and passes after which rereading teaches little
# (Muennighoff et al. 2023).
NOTICEABLE, WIDE_GAP, MANY_PASSES = 0.01, 0.15, 4.0
CONFIDENCE = 0.95


class Shift(NamedTuple):
    """How a metric differs between two models: `value`, later less earlier, with its interval, all in the metric's unit.

    `paired`: whether it was taken row by row; otherwise the rows of one are taken to be independent of the other's.
    """

    value: float
    low: float
    high: float
    paired: bool = False

    @property
    def beyond_noise(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def shift_of(before: Metrics, after: Metrics, name: str) -> Shift | None:
    """Return how a metric differs, by the intervals of both (Zou and Donner 2008); None if one of them has no interval.

    The noise is that of the rows and questions which were drawn. What another seed would have trained is not in it.
    """
    then, now = ([found.get(f"{name}{end}", math.nan) for end in ("", "_low", "_high")] for found in (before, after))
    if not all(map(math.isfinite, [*then, *now])):
        return None
    value = now[0] - then[0]
    down, up = math.hypot(now[0] - now[1], then[2] - then[0]), math.hypot(now[2] - now[0], then[0] - then[1])
    return Shift(value, value - down, value + up)


@dataclass(frozen=True)
class Standing:
    """The measurements of a model.

    `base` and `tuned`: before and after tuning; `steps`: after each of its steps, by name and in their order, if there are several;
    `baseline`: what counting and guessing make of the same; `curve`: (step, validation loss) in pretraining; `passes`: how often
    pretraining read the training rows; `previous`: the tuned model that the recipe made before; `rows`: the files with the units of the
    tuned model and of counting, read only where the model's own interval leaves open which is better;
    `counted`: whether the model is itself such a count.
    """

    base: Metrics = field(default_factory=dict)
    tuned: Metrics = field(default_factory=dict)
    steps: Sequence[tuple[str, Metrics]] = ()
    baseline: Metrics = field(default_factory=dict)
    curve: Sequence[tuple[int, float]] = ()
    passes: float = 0.0
    previous: Metrics = field(default_factory=dict)
    rows: tuple[Path, Path] | None = None
    counted: bool = False

    def sentences(self) -> list[str]:
        """Return all that can be said without the model before."""
        said = (self._against_counting(), self._against_guessing(), *self._tuning(), self._advice())
        return [sentence for sentence in said if sentence]

    def since(self) -> list[str]:
        """Return how it compares with the model before."""
        said = []
        if BITS in self.tuned and BITS in self.previous:
            now, then = self.tuned[BITS], self.previous[BITS]
            shift = shift_of(self.previous, self.tuned, BITS)
            level = abs(now - then) < NOTICEABLE * then or (shift is not None and not shift.beyond_noise)
            verdict = "as well as" if level else "better than" if now < then else "worse than"
            said.append(
                f"It predicts text {verdict} the model that this recipe made before: {_bits(now)} bits per byte, then {_bits(then)}."
            )
        if ANSWERED in self.tuned and ANSWERED in self.previous:
            right, before = (_percent(found[ANSWERED]) for found in (self.tuned, self.previous))
            shift = shift_of(self.previous, self.tuned, ANSWERED)
            noise = ", which chance could do" if shift is not None and shift.value and not shift.beyond_noise else ""
            said.append(f"It answers {right} of the held-out questions; the model before answered {before}{noise}.")
        return said

    def card_facts(self) -> dict[str, Any]:
        """Return what a model card says of it: `quality`, the sentences, and `held_out`."""
        return {"quality": tuple(self.sentences()), "held_out": self.held_out}

    @property
    def held_out(self) -> bool | None:
        """Whether validation text is text that was not trained on; None: not known."""
        found = self.baseline.get("val.documents_in_train")
        return None if found is None else not found

    def _against_counting(self) -> str:
        model = self.tuned if BITS in self.tuned else self.base
        if BITS not in model:
            return ""
        bits, low, high = (model.get(f"{BITS}{end}", model[BITS]) for end in ("", "_low", "_high"))
        if self.held_out is False:
            return (
                f"No text was held out: {_bits(bits)} bits per byte say how well it remembers what it has read, and nothing of how well it "
                "predicts other text."
            )
        counted = self.baseline.get(f"ngram.{BITS}")
        start = f"On text that it has not read it needs {_bits(bits)} bits for each byte"
        if counted is None:
            return f"{start}."
        others = {"a model of single tokens": f"unigram.{BITS}", "zstd, which has read the same texts,": f"zstd_after_train.{BITS}"}
        known = [f"{name} {_bits(self.baseline[metric])}" for name, metric in others.items() if metric in self.baseline]
        if self.counted:
            beside = f"; of others, {', '.join(known)}" if known else ""
            packed = self.baseline.get(f"zstd_after_train.{BITS}")
            verdict = f" It predicts {_compared(bits, packed)} than zstd." if packed is not None else ""
            return (
                f"{start}{beside}.{verdict} It is itself a table of the runs of tokens (n-grams) that it has read, and no trained network."
            )
        beside = f"counting runs of tokens (n-grams) needs {_bits(counted)}{', ' if known else ''}{', '.join(known)}"
        unclear = low <= counted <= high
        lead = _lead(*self.rows) if unclear and self.rows else None
        if unclear and (lead is None or lead.low <= 0 <= lead.high):
            return f"{start}; {beside}. It predicts no better than counting does."
        learned = ", so it has learned less than a table of the text holds" if bits > counted else ""
        return f"{start}; {beside}. It is {_compared(bits, counted)} than counting{learned}."

    def _against_guessing(self) -> str:
        model = self.tuned if ANSWERED in self.tuned else self.base
        if ANSWERED not in model:
            return ""
        right, low = model[ANSWERED], model.get(f"{ANSWERED}_low", model[ANSWERED])
        asked = f" of {model[f'{ANSWERED}_count']:,.0f}" if f"{ANSWERED}_count" in model else ""
        said = f"It answers {_percent(right)}{asked} questions about what no example told it"
        if (later := model.get(f"{ANSWERED}_later")) is not None:
            said += f", and {_percent(later)} when they follow others in one conversation"
        chance = self.baseline.get(f"chance.{ANSWERED}")
        if chance is None:
            return f"{said}."
        if low > chance:
            return f"{said}; guessing gets {_percent(chance)}."
        worse = "far fewer than" if right < chance / 2 else "no more than"
        return f"{said}: {worse} guessing, which gets {_percent(chance)}. Don't ask it anything."

    def _tuning(self) -> list[str]:
        """Say of each step what it cost and gained; of a single one only what is worth saying."""
        if not self.steps:
            return [f"Tuning {effect}."] if (effect := effect_of(self.base, self.tuned)) else []
        models = [("", self.base), *self.steps]
        effects = [(name, effect_of(before, after)) for (_, before), (name, after) in pairwise(models)]
        return [f"Step {name} {effect or 'changed nothing that was measured by enough to matter'}." for name, effect in effects]

    def _advice(self) -> str:
        """Say what would help most, by what tuning undid, the gap between read and unseen text, the end of the curve, and passes."""
        if forgot(self.base, self.tuned):
            return (
                "What would help most is gentler tuning: a lower learning_rate, fewer steps, or replay, which mixes in rows of pretraining."
            )
        if self.held_out is False:
            return "What would help most is more text, enough that some can be held out."
        if self.counted:
            return "What would help most is more text or time, enough for a network to beat counting, or an open model to start from."
        read, unseen = self.base.get("train.bits_per_byte"), self.base.get(BITS)
        gap = (unseen - read) / unseen if read is not None and unseen else 0.0
        best = min(self.curve, key=lambda point: point[1], default=None)
        if best and self.curve[-1][1] > best[1] * (1 + NOTICEABLE):
            return (
                "What would help most is more text; with this much, fewer passes over it: validation was best at step "
                f"{best[0]:,} and rose from there."
            )
        passes = f", after {self.passes:.2g} passes over it" if self.passes else ""
        if gap > WIDE_GAP and self.passes >= MANY_PASSES:
            return f"What would help most is more text: it predicts what it has read {_percent(gap)} better than what it has not{passes}."
        fell = _last_fall(self.curve)
        if fell is not None and fell > NOTICEABLE:
            more = "more training" if self.passes < MANY_PASSES else "more text and more training"
            return f"What would help most is {more}: validation loss still fell by {_percent(fell)} in the last fifth of pretraining."
        if fell is None and read is None:
            return ""
        return (
            "What would help most is a larger model: this one has stopped improving, and predicts unseen text nearly as well as what it "
            f"has read{passes}."
        )


def bits_of_both(before: Metrics, after: Metrics) -> tuple[float, float, str] | None:
    """Return the bits per byte of two models on the best split that both were measured on, and its name; None without one."""
    names = ((split, f"{split}.bits_per_byte") for split in TEXTS)
    return next(((before[name], after[name], split) for split, name in names if name in before and name in after), None)


def forgot(before: Metrics, after: Metrics) -> bool:
    """Return whether tuning undid more of pretraining than a gate lets through by default."""
    found = bits_of_both(before, after)
    return found is not None and found[1] > MOST_TIMES_THE_BITS * found[0]


def effect_of(before: Metrics, after: Metrics) -> str:
    """Return what made a model from another did to it, such as `cost 0.31 bits per byte`; empty if nothing worth saying."""
    effects = []
    if found := bits_of_both(before, after):
        then, now, split = found
        if abs(now - then) >= NOTICEABLE * then:
            effects.append(f"{'cost' if now > then else 'saved'} {_bits(abs(now - then))} bits per byte{TEXTS[split]}")
        if forgot(before, after):
            effects[-1] += f", which takes {now / then:.2g} TIMES as many as before ({_bits(then)}, then {_bits(now)}),"
    if ANSWERED in before and ANSWERED in after and _percent(before[ANSWERED]) != _percent(after[ANSWERED]):
        direction = "raised" if after[ANSWERED] > before[ANSWERED] else "lowered"
        effects.append(f"{direction} right answers from {_percent(before[ANSWERED])} to {_percent(after[ANSWERED])}")
    return " and ".join(effects).removesuffix(",")


def passes_over(sequences: int, baseline: Metrics) -> float:
    """Return how often training on so many rows reads each; 0 if their number was not recorded."""
    rows = baseline.get("train.rows")
    return sequences / rows if rows else 0.0


def _last_fall(curve: Sequence[tuple[int, float]]) -> float | None:
    """Return the relative fall of validation loss in the last fifth of the steps; None if measured too rarely."""
    if len(curve) < 3:
        return None
    last, loss = curve[-1]
    before = [point for point in curve if point[0] <= 0.8 * last]
    return (before[-1][1] - loss) / before[-1][1] * 0.2 * last / (last - before[-1][0]) if before else None


def _bits(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def _compared(bits: float, other: float) -> str:
    """Return by how much one figure is better or WORSE than another of which less is better."""
    return f"{_percent(abs(bits - other) / other)} {'WORSE' if bits > other else 'better'}"


def _lead(tuned: Path, baseline: Path) -> Estimate | None:
    """Return how many bits per byte fewer a model needs than n-grams on the same rows; None if these were not measured."""
    from model.evaluation.intervals import paired_difference, units_in
    from model.evaluation.relations import Unpaired

    ours, theirs = units_in(tuned).get(BITS), units_in(baseline).get(f"ngram.{BITS}")
    if ours is None or theirs is None:
        return None
    try:
        return paired_difference(theirs, ours, confidence=CONFIDENCE)
    except Unpaired:
        return None  # one was measured on too few rows for an interval, so that of the model alone has to do
