"""What emerged in thinking: how long thoughts are by the facts that a question takes, and those that correct themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from model.evaluation.thinking_config import HOPS
from tasks.reporting.charts import Bar
from tasks.reporting.parts import Figure, Row, Table, bars_figure
from tasks.reporting.summary import Results
from tasks.reporting.wording import count, number, plural, share

THOUGHTS = "thoughts.jsonl"
SHOWN, LONGEST = 6, 300
PREFIX = "thinking."


def emergence_figure(metrics: Mapping[str, float], model: str) -> Figure | None:
    """Draw how long a model's thoughts are by the facts that a question takes; None if that was not looked for."""
    bars = [
        Bar(
            plural(hops, "fact"),
            tokens,
            f"{number(tokens)} tokens",
            f"{share(metrics[f'{PREFIX}right_{hops}_hops'])} right",
            tone="other",
        )
        for hops in HOPS
        if (tokens := metrics.get(f"{PREFIX}tokens_{hops}_hops")) is not None
    ]
    if f"{PREFIX}thoughts" not in metrics or not bars:
        return None
    return bars_figure(f"How long it thinks, {model} model", bars, _said(metrics))


def _said(metrics: Mapping[str, float]) -> str:
    """Say whether thoughts are longer where more is to be thought, and how many correct themselves."""
    said = []
    if (slope := metrics.get(f"{PREFIX}longer_per_hop")) is not None:
        low, high = metrics[f"{PREFIX}longer_per_hop_low"], metrics[f"{PREFIX}longer_per_hop_high"]
        certain = "longer thought on harder problems" if low > 0 else "shorter thought on harder ones" if high < 0 else "not certain"
        said.append(f"Each fact more takes {number(slope)} tokens more ({number(low)} to {number(high)}): {certain}.")
    said.append(
        f"Of {count(metrics[f'{PREFIX}thoughts'])} thoughts {share(metrics[f'{PREFIX}corrected'])} have words of self-correction, and "
        f"{share(metrics[f'{PREFIX}restated'])} say a sentence again with another end."
    )
    if (right := metrics.get(f"{PREFIX}corrected_right")) is not None:
        said.append(f"Of both {share(right)} end in a right answer.")
    return " ".join(said)


def emergence_table(results: Results, position: str, model: str) -> Table | None:
    """Build a table of thoughts that correct themselves, with what they are known by; None if none does."""
    if f"{PREFIX}thoughts" not in results.metrics(position):
        return None
    thoughts = results.lines(position, THOUGHTS)
    corrected = [one for one in thoughts if one["corrections"] or one["restated"]]
    if not corrected:
        return None
    counts = Counter(phrase for one in corrected for phrase in one["corrections"])
    known = {id(one): ", ".join(one["corrections"]) or "says a sentence again with another end" for one in corrected}
    rows = tuple(
        Row((str(one["question"])[:LONGEST], str(one["thought"])[:LONGEST], known[id(one)], "right" if one["right"] else "wrong"))
        for one in corrected[:SHOWN]
    )
    phrases = ", ".join(f"{phrase} {count}" for phrase, count in counts.most_common())
    caption = f"Thoughts that correct themselves, {model} model" + (f" ({phrases})" if phrases else "")
    return Table(caption, ("question", "thought", "known by", "answer"), rows)
