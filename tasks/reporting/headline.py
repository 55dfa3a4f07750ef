"""The top of the page: what the run is, whether it may be used, and the figures a person asks for first."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reporting.account import Account
from tasks.reporting.answers import BEST_FIRST, model_name
from tasks.reporting.evidence import Evidence
from tasks.reporting.gates import Gate, gates_of, outcome, worst
from tasks.reporting.sizes import int8_cost, parameters_of, signed
from tasks.reporting.wording import count, joined, number, rough, seconds, share
from tasks.stage.tracking.cost import total_cost

VERDICTS = {"passed": "passed", "overruled": "overruled", "failed": "failed", "unjudged": "not judged"}


@dataclass(frozen=True)
class KeyFigure:
    """A number with its name and a remark."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Headline:
    """What stands above everything else. `state`: passed, overruled, failed or unjudged."""

    name: str
    description: str
    when: str
    state: str
    verdict: str
    outcome: str
    reasons: tuple[str, ...]
    figures: tuple[KeyFigure, ...]


def headline(account: Account) -> Headline:
    """The headline of a run. A run that did not come to its end reads as failed, whatever its gates say."""
    gates = gates_of(account.evidence)
    unfinished = account.unfinished
    state = "failed" if unfinished else worst(gates)
    stopped = f" The run did not finish: {joined(unfinished)} has no result." if unfinished else ""
    exported = account.evidence.artifacts.get("export")
    card = exported.config.get("card", {}) if exported else {}
    return Headline(
        name=account.name,
        description=str(card.get("summary", "")),
        when=f"{account.ended:%-d %B %Y, %H:%M} UTC",
        state=state,
        verdict=VERDICTS[state],
        outcome=outcome(gates) + stopped,
        reasons=tuple(_reasons(gates)),
        figures=tuple(key_figures(account)),
    )


def _reasons(gates: list[Gate]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for gate in gates:
        if gate.reason:
            by_reason.setdefault(gate.reason, []).append(gate.name)
    return [f"Overruled at {joined(names)}: {reason}" for reason, names in by_reason.items()]


def key_figures(account: Account) -> list[KeyFigure]:
    """The figures that the run has, in the order of its making."""
    evidence = account.evidence
    found = [_books(evidence), _tokens(evidence), _parameters(evidence), _questions(evidence), _bits(evidence), _int8(evidence)]
    whole = total_cost(evidence.artifacts.values())
    time = KeyFigure("this run took", seconds(account.seconds), f"{seconds(whole.cpu_seconds)} of CPU in all it is made of")
    return [*(figure for figure in found if figure is not None), time]


def _books(evidence: Evidence) -> KeyFigure | None:
    audit, ingest = evidence.metrics("audit"), evidence.metrics("ingest")
    if "documents_in" in audit:
        return KeyFigure("books in", count(audit["documents_in"]), f"{count(audit['documents_kept'])} stayed")
    return KeyFigure("books in", count(ingest["documents"])) if "documents" in ingest else None


def _tokens(evidence: Evidence) -> KeyFigure | None:
    packed, fitted = evidence.metrics("pack"), evidence.metrics("tokenizer")
    if "train_tokens" not in packed:
        return None
    return KeyFigure("tokens to learn from", rough(packed["train_tokens"]), f"of {count(fitted['vocab_size'])} kinds" if fitted else "")


def _parameters(evidence: Evidence) -> KeyFigure | None:
    parameters = parameters_of(evidence)
    return None if parameters is None else KeyFigure("parameters", rough(parameters))


def _questions(evidence: Evidence) -> KeyFigure | None:
    for place in evidence.places("evaluate", BEST_FIRST):
        metrics = evidence.metrics(place)
        if "questions.heldout" in metrics:
            seen = f"; seen ones {share(metrics['questions.seen'])}" if "questions.seen" in metrics else ""
            asked = f" of {count(metrics['questions.heldout_count'])}" if "questions.heldout_count" in metrics else ""
            return KeyFigure("held-out questions", share(metrics["questions.heldout"]), f"right{asked}{seen}")
    return None


def _bits(evidence: Evidence) -> KeyFigure | None:
    for place in evidence.places("evaluate", BEST_FIRST):
        for split in ("test", "val", "train"):
            value = evidence.metrics(place).get(f"{split}.bits_per_byte")
            if value is not None:
                return KeyFigure("bits per byte", number(value), f"{model_name(place)} model on {split}")
    return None


def _int8(evidence: Evidence) -> KeyFigure | None:
    cost, ratio = int8_cost(evidence), evidence.metrics("quantize").get("size_ratio")
    if cost is None:
        return None
    return KeyFigure("INT8 costs", signed(cost[1]), f"bits per byte, at {share(ratio)} of the size" if ratio else "bits per byte")
