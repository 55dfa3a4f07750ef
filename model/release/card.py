"""The model card: what someone needs to know before using the model.

Text from outside (titles, licences, sample replies) is escaped, so it cannot become markup, front matter or a table column. The same
facts give the same bytes. A missing fact is shown as missing. A card without limits or intended use is refused.

What became of a release after it was exported: how it was measured and judged, what people decided, and what it cost.

The export can't know it, so it writes the card without. Whoever does know adds it to what the export left in card.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from model.training.length import TrainingLength

AT_MOST = ", at most"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$-])")


class CorpusFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One source of the training text."""

    name: str = Field(description="what the source is called; text")
    documents: int = Field(ge=0, description="documents kept of it; count")
    characters: int = Field(ge=0, description="characters kept of it; count")
    licence: str = Field("not stated", description="under what terms it may be used; text")


class OriginFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The model of others that this one was made from."""

    name: str = Field(description="what it is called; text")
    revision: str = Field("", description="which commit or version; text")
    licence: str = Field(description="under what terms it may be used; text")
    sha256: dict[str, str] = Field(description="digests of its files, by name")


class TrainingFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The card's part on pretraining, or on a step of tuning."""

    title: str = Field(description="what it is called; text")
    length: TrainingLength = Field(description="its updates and the rows in each")
    learning_rate: float = Field(description="peak learning rate")
    precision: str = Field(description="type of its matrix products")
    may_end_early: bool = Field(False, description="whether its length is a limit, as patience may end it before")


class ModelCard(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The facts of a card. Mappings are shown in their order. Clock times would change the card's bytes; leave them out."""

    name: str = Field(min_length=1, description="name of the model; text")
    summary: str = Field(min_length=1, description="what it is, in a sentence or two; text")
    recipe: str = Field(min_length=1, description="recipe that made it; name")
    language: tuple[str, ...] = Field(("en",), description="languages of its text; ISO 639-1 codes")
    licence: str = Field("other", description="licence of the model; SPDX identifier in lower case, or other")
    intended_use: tuple[str, ...] = Field(min_length=1, description="what it is for; sentences")
    limits: tuple[str, ...] = Field(min_length=1, description="what it cannot do or must not be used for; sentences")
    quality: tuple[str, ...] = Field((), description="how good it is beside counting, guessing and before tuning; sentences")
    origin: OriginFact | None = Field(None, description="the open model that it started from; null: it was trained from nothing")
    corpus: tuple[CorpusFact, ...] = Field((), description="where its text is from; one entry a source")
    held_out: bool | None = Field(None, description="whether validation and test texts are none of it; null: not known")
    training: dict[str, str | int | float] = Field({}, description="how it was trained: steps, tokens, seeds; by label")
    metrics: dict[str, float] = Field({}, description="what was measured; by metric")
    gates: tuple[tuple[str, str, str, str, str], ...] = Field((), description="rows of the gate's table; five cells each")
    lineage: dict[str, str] = Field({}, description="digests of what it was made from; by label")
    conversation: tuple[tuple[str, str], ...] = Field((), description="a sample conversation; (role, content) pairs")


def render_card(card: ModelCard, facts: Mapping[str, Any], account: Account | None = None) -> str:
    """Return the README.md of a release; `account`: what became of it, once that is known.

    `facts` comes from export: parameters, vocabulary, context, dtype, variants, full and plot (of what was measured of them), hub_class
    and opened_by (of transformers; empty: none), refusal (why none), supports, adapters; with heads that predict further ahead: heads,
    heads_kept.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"md": escape_markdown, "quoted": quoted, "figure": figure, "given": given, "more": more, "interval": interval}
    environment.filters |= {"with_intervals": with_intervals, "hours": hours}
    template = environment.from_string((Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8"))
    return template.render(card=card, facts=facts, account=account, measured=with_intervals(card.metrics))


def corpus_facts(funnel: Path | None, conversations: Path | None, licences: Mapping[str, str]) -> tuple[CorpusFact, ...]:
    """Return the sources of what a model learned: of the training split in an audit's `funnel`, and of `conversations`, where given."""
    splits = json.loads(funnel.read_text(encoding="utf-8"))["splits"] if funnel else []
    sources: dict[str, dict[str, int]] = next((part["sources"] for part in splits if part["split"] == "train"), {})
    sources |= json.loads(conversations.read_text(encoding="utf-8")) if conversations else {}
    return tuple(CorpusFact(name=name, licence=licences[name], **sizes) for name, sizes in sources.items())


def training_facts(
    training: Sequence[TrainingFact], context: int, seed: int, flops: float, *, pretrained: bool = True
) -> dict[str, str | int | float]:
    """Return how a model was trained, by the card's labels: pretraining, if it was `pretrained` here, then the steps of tuning, in order.

    `context`: the tokens of a row, padding included; `flops`: operations that training takes for one of them.
    """
    facts: dict[str, str | int | float] = {"seed": seed}
    positions = 0
    for number, fact in enumerate(training):
        steps, rows, most = fact.length.total_steps(context), fact.length.global_batch, AT_MOST if fact.may_end_early else ""
        tokens = fact.length.sequences_before(steps) * context
        facts |= {
            f"{fact.title}, steps{most}": steps,
            f"{fact.title}, rows a step": rows,
            f"{fact.title}, learning rate": fact.learning_rate,
        }
        if number == 0 and pretrained:
            facts[f"{fact.title}, tokens{most}"] = tokens
        positions += tokens
    if training:
        most = AT_MOST if any(fact.may_end_early for fact in training) else ""
        facts |= {"precision": training[0].precision, f"tokens in all steps, padding included{most}": positions}
        facts["operations of these tokens, forward and backward, FLOPs"] = float(f"{positions * flops:.3g}")
    return facts


def with_intervals(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return each metric with its interval in brackets if it has `_low` and `_high`. Standard errors are in metrics.json only."""
    parts = ("_low", "_high", "_error")
    shown: dict[str, str] = {}
    for name, value in metrics.items():
        if name.endswith(parts) and name.rpartition("_")[0] in metrics:
            continue
        ends = [metrics.get(f"{name}{end}") for end in parts[:2]]
        interval = "" if None in ends else f" ({' to '.join(f'{end:.4g}' for end in ends if end is not None)})"
        shown[name] = f"{figure(value)}{interval}"
    return shown


def escape_markdown(value: object) -> str:
    """Return text as one line of Markdown that displays exactly the text."""
    return _MARKUP.sub(r"\\\1", " ".join(str(value).split()))


def quoted(text: str) -> str:
    """Return text as a YAML double-quoted scalar in ASCII."""
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def given(value: object) -> str:
    """Format a number that may not have been measured."""
    from jinja2 import Undefined

    return "" if value is None or isinstance(value, Undefined) else figure(value)


def more(ratio: object) -> str:
    """Format a ratio as what it is more than one, in percent."""
    return f"{100 * (ratio - 1):+.2f} %" if isinstance(ratio, float) else ""


def interval(measured: Mapping[str, float], name: str) -> str:
    """Format a measurement with its interval in brackets, unless it covers a single row."""
    if name not in measured:
        return ""
    low, high = (f"{measured[f'{name}_{end}']:.4g}" for end in ("low", "high"))
    return figure(measured[name]) + (f" ({low} to {high})" if low != high else "")


def hours(seconds: float) -> str:
    """Format a time in seconds as hours, to four decimal places."""
    return figure(round(seconds / 3600, 4))


def figure(value: object) -> str:
    """Format a number for people: integers with thousands separators, others to four digits. Escape text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape_markdown(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.4g}"


FACTS = "card.json"


class EvaluationFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One model's measurements on the texts and questions of the run."""

    name: str = Field(description="which model: release, a quantized form, a model before it; text")
    metrics: dict[str, float] = Field(description="what was measured; by metric")


class GateFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A gate that the model passed, or that a person overruled."""

    name: str = Field(description="position of the gate in the flow; text")
    rows: tuple[tuple[str, str, str, str, str], ...] = Field(description="rows of the gate's table; five cells each")
    overruled: str = Field("", description="why a person overruled it; empty: nobody did; text")
    answer: str = Field("", description="what a person answered when asked to approve it; empty: nobody was asked; text")


class CostFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The time and money that executions of stages took, in this run or an earlier one."""

    name: str = Field(description="which stages; text")
    wall_seconds: float = Field(description="time from begin to end, summed over executions; seconds")
    cpu_seconds: float = Field(description="processor time; seconds")
    gpu_seconds: float = Field(description="time of accelerators in use; seconds")
    money: float | None = Field(None, description="price at the recipe's rates; in `currency`; null: it has no rates")


class Account(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A store's knowledge of a release that its export could not have."""

    evaluations: tuple[EvaluationFact, ...] = Field((), description="of the release, its forms and the models before it; one entry each")
    baselines: dict[str, float] = Field({}, description="what counting, compressing and guessing reach; by metric")
    gates: tuple[GateFact, ...] = Field((), description="every gate of the run, in the flow's order; one entry each")
    decisions: tuple[tuple[str, str], ...] = Field((), description="what people decided, each with name and reason; (what, words) pairs")
    costs: tuple[CostFact, ...] = Field((), description="by chapter, then all together; one entry each")
    currency: str = Field("", description="what `money` is in; empty: the recipe has no rates; text")


def write_facts(card: ModelCard, facts: Mapping[str, Any], output: Path) -> None:
    """Write the arguments of `render_card`, to render the card again with an account."""
    told = {"card": card.model_dump(mode="json"), "facts": {**facts, "supports": sorted(facts["supports"])}}
    (output / FACTS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def whole_card(release: Path, account: Account) -> str:
    """Return a release's README.md with an account of its evaluation and gates. Raise FileNotFoundError without card.json."""
    told = json.loads((release / FACTS).read_text(encoding="utf-8"))
    return render_card(ModelCard.model_validate(told["card"]), told["facts"], account)
