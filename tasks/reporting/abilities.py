"""Sections on abilities: answers by skill; what tokens of thinking are worth, and what emerges in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from markupsafe import Markup

from model.evaluation.config import HOPS
from tasks.reporting.charts import Bar, Curve, curve_chart
from tasks.reporting.hook import Topic
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, bars_figure, figure
from tasks.reporting.summary import TUNED, Results, RunSummary
from tasks.reporting.wording import count, number, plural, share

BASE = "evaluate.base"
# What each baseline knows and does, as `data/universe/skills.py` says it.
BASELINES = {
    "answer": "guesses a value of the right kind",
    "summarize": "states true facts of the world, of any book",
    "format": "has the format right, and guesses the values",
    "explain": "has the form right, and guesses the town between",
    "program": "writes the right program, from a guessed town",
    "decline": "declines everything",
}


def skills_of(metrics: Mapping[str, float]) -> list[str]:
    """Return the skills that were measured, in their order."""
    return [
        name.removeprefix("skills.").removesuffix(".baseline")
        for name in metrics
        if name.startswith("skills.") and name.endswith(".baseline")
    ]


def skill_rows(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return a row a skill: name, items, the baseline's share, the model's before and after, and the gain over the baseline."""
    return [
        (
            skill,
            count(after[f"skills.{skill}_count"]),
            share(after[f"skills.{skill}.baseline"]),
            _interval(before, f"skills.{skill}"),
            _interval(after, f"skills.{skill}"),
            _interval(after, f"skills.{skill}.gain"),
            share(after[f"skills.{skill}.heldout"]) if f"skills.{skill}.heldout" in after else "",
        )
        for skill in skills_of(after)
    ]


HEADER = ("skill", "items", "baseline", "before tuning", "after", "gain over the baseline", "of held-out facts")


def skills_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table; None unless skills were measured of the tuned model."""
    before, after = (run.results.metrics(position) if position in positions else {} for position in (BASE, TUNED))
    rows = tuple(
        Row((*cells, BASELINES.get(cells[0], "")), "" if after[f"skills.{cells[0]}.gain_low"] > 0 else "warned")
        for cells in skill_rows(before, after)
    )
    if not rows:
        return None
    note = (
        "Items ask in wordings that no example used, most of them of facts that no example stated, and rules score the replies. A gain is "
        "over the items of both, pair by pair; where its interval reaches 0 or below, the skill is not shown to be more than the baseline."
    )
    table = Table("What it can do", (*HEADER, "what the baseline does"), rows, frozenset(range(1, len(HEADER))))
    return Section("skills", "What it can do", note, tables=(table,))


SKILLS = Topic("skills", 31, skills_section)


def _interval(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    return f"{share(metrics[name])} ({share(metrics[f'{name}_low'])} to {share(metrics[f'{name}_high'])})"


PREFIX, TOKENS = "thinking.", "_tokens"
KINDS = {"budget": ("one answer", "strong"), "majority": ("majority", "other"), "best": ("best by the reward model", "quiet")}
SAID = {"budget": "at most {} tokens of thinking", "majority": "majority of {}", "best": "best of {} by the reward model"}


def thinking_figure(metrics: Mapping[str, float], model: str) -> Figure | None:
    """Draw accuracy over budgets or votes for a model asked with several; None for any other."""
    measured = {
        name.removeprefix(PREFIX): value
        for name, value in metrics.items()
        if name.startswith(tuple(f"{PREFIX}{kind}_" for kind in KINDS)) and not name.endswith(TOKENS)
    }
    if not measured:
        return None
    curves, notes = list[Curve](), list[str]()
    for kind, (label, tone) in KINDS.items():
        tried = sorted((metrics[f"{PREFIX}{name}{TOKENS}"], value, name) for name, value in measured.items() if name.startswith(f"{kind}_"))
        if tried:
            curves.append(Curve(label, [(tokens, right) for tokens, right, _ in tried], tone, dots=True))
        notes += [f"{_said(name)}: {share(right)} for {number(tokens)} tokens" for tokens, right, name in tried]

    def draw(width: float) -> Markup:
        return cached(curve_chart, curves, width=width, height=0.5 * width + 40, x_label="tokens", y_label="share right", logarithmic=False)

    return figure(f"What thinking is worth, {model} model", draw, f"{'; '.join(notes)}.")


def _said(name: str) -> str:
    kind, _, count = name.partition("_")
    return SAID[kind].format(count)


THOUGHTS = "thoughts.jsonl"
CORRECTIONS_SHOWN, LONGEST = 6, 300
EMERGED = "thinking."


def emergence_figure(metrics: Mapping[str, float], model: str) -> Figure | None:
    """Draw how long a model's thoughts are by the facts that a question takes; None if that was not looked for."""
    bars = [
        Bar(
            plural(hops, "fact"),
            tokens,
            f"{number(tokens)} tokens",
            f"{share(metrics[f'{EMERGED}right_{hops}_hops'])} right",
            tone="other",
        )
        for hops in HOPS
        if (tokens := metrics.get(f"{EMERGED}tokens_{hops}_hops")) is not None
    ]
    if f"{EMERGED}thoughts" not in metrics or not bars:
        return None
    return bars_figure(f"How long it thinks, {model} model", bars, _emergence_verdict(metrics))


def _emergence_verdict(metrics: Mapping[str, float]) -> str:
    """Say whether thoughts are longer where more is to be thought, and how many correct themselves."""
    said = []
    if (slope := metrics.get(f"{EMERGED}longer_per_hop")) is not None:
        low, high = metrics[f"{EMERGED}longer_per_hop_low"], metrics[f"{EMERGED}longer_per_hop_high"]
        certain = "longer thought on harder problems" if low > 0 else "shorter thought on harder ones" if high < 0 else "not certain"
        said.append(f"Each fact more takes {number(slope)} tokens more ({number(low)} to {number(high)}): {certain}.")
    said.append(
        f"Of {count(metrics[f'{EMERGED}thoughts'])} thoughts {share(metrics[f'{EMERGED}corrected'])} have words of self-correction, and "
        f"{share(metrics[f'{EMERGED}restated'])} say a sentence again with another end."
    )
    if (right := metrics.get(f"{EMERGED}corrected_right")) is not None:
        said.append(f"Of both {share(right)} end in a right answer.")
    return " ".join(said)


def emergence_table(results: Results, position: str, model: str) -> Table | None:
    """Build a table of thoughts that correct themselves, with what they are known by; None if none does."""
    if f"{EMERGED}thoughts" not in results.metrics(position):
        return None
    thoughts = results.lines(position, THOUGHTS)
    corrected = [one for one in thoughts if one["corrections"] or one["restated"]]
    if not corrected:
        return None
    counts = Counter(phrase for one in corrected for phrase in one["corrections"])
    known = {id(one): ", ".join(one["corrections"]) or "says a sentence again with another end" for one in corrected}
    rows = tuple(
        Row((str(one["question"])[:LONGEST], str(one["thought"])[:LONGEST], known[id(one)], "right" if one["right"] else "wrong"))
        for one in corrected[:CORRECTIONS_SHOWN]
    )
    phrases = ", ".join(f"{phrase} {count}" for phrase, count in counts.most_common())
    caption = f"Thoughts that correct themselves, {model} model" + (f" ({phrases})" if phrases else "")
    return Table(caption, ("question", "thought", "known by", "answer"), rows)
