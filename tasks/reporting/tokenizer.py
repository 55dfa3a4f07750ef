"""The tokenizer: how much text a token holds, overall and by source, what it can't write, and how it cuts a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.account import Account
from tasks.reporting.charts import Bar
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import CutText, Figure, Row, Section, Table, Token, bars_figure
from tasks.reporting.wording import count, number, plural, share

KINDS = {
    "byte_level_bpe": "Byte-level BPE: any text comes back from its tokens byte for byte.",
    "bpe": "BPE over characters, with bytes for what its vocabulary lacks: any text comes back from its tokens byte for byte.",
    "unigram": "Unigram, with bytes for what its vocabulary lacks: any text comes back from its tokens byte for byte.",
    "wordpiece": "WordPiece: text comes back from its tokens, except words with an unknown part and words of more than 100 characters.",
    "word": "Whole words: text comes back from its tokens, except words that are not in the vocabulary.",
    "character": "Single characters: text comes back from its tokens, except characters that are not in the vocabulary.",
}
MOST_SOURCES, MOST_LONGEST = 12, 12


def tokenizer_section(account: Account) -> Section | None:
    """What report.json of the tokenizer says; None without a tokenizer."""
    evidence = account.evidence
    told = evidence.json("tokenizer", "report.json")
    if told is None:
        return None
    shown = {"bytes_per_token": "Bytes per token", "fertility": "Tokens a word"}
    shown |= {"lost_share": "Text lost to unknown tokens"} if told["whole"]["unknown"] else {}
    figures = tuple(_by_source(told, name, caption) for name, caption in shown.items())
    tables = (_longest(told), *([_sweep(told, evidence)] if told["sweep"] else []))
    cuts = tuple(_cut(sample) for sample in told["samples"])
    return Section("tokenizer", "How text becomes tokens", _lead(told), figures, tables=tables, cuts=cuts)


def _lead(told: Mapping[str, Any]) -> str:
    whole = told["whole"]
    unknown, lost, used = share(whole["unknown_rate"]), share(whole["lost_share"]), share(told["used_share"])
    return " ".join(
        (
            KINDS[told["kind"]],
            f"{unknown} of the tokens of train are unknown, and {lost} of its bytes lost with them."
            if whole["unknown"]
            else "Proven on all of train.",
            f"Its {plural(told['vocab_size'], 'token')}, of which train uses {used}, hold {number(whole['bytes_per_token'])} bytes each on "
            f"average and take {number(whole['fertility'])} to a word.",
            "Below, texts of train are cut into tokens; a token's number shows where the pointer rests.",
        )
    )


def _by_source(told: Mapping[str, Any], name: str, caption: str) -> Figure:
    """Bars of the whole and of each source, those with the most text first."""
    shown = share if name == "lost_share" else number
    ordered = sorted(told["sources"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows = [("all of train", told["whole"]), *(ordered if len(ordered) > 1 else [])]
    bars = [
        Bar(label, figures[name], shown(figures[name]), tone="other" if place else "strong")
        for place, (label, figures) in enumerate(rows[: MOST_SOURCES + 1])
    ]
    rest = len(rows) - len(bars)
    return bars_figure(caption, bars, f"And {plural(rest, 'smaller source')} more." if rest else "")


def _longest(told: Mapping[str, Any]) -> Table:
    shown = told["longest"][:MOST_LONGEST]
    rows = tuple(Row((one["text"], count(one["bytes"]), count(one["uses"]), str(one["id"]))) for one in shown)
    header = ("token", "bytes", "times in train", "number")
    return Table("Its longest tokens", header, rows, frozenset({1, 2, 3}), frozenset({0}), half=True)


def _sweep(told: Mapping[str, Any], evidence: Evidence) -> Table:
    """The sizes that were tried, with what each would cost the model."""
    pretrained = evidence.artifacts.get("pretrain")
    shape = pretrained.config.get("model", {}) if pretrained else {}
    each = shape.get("width", 0) * (1 if shape.get("tied_embeddings", True) else 2)
    rows = tuple(
        Row(
            (
                f"{count(row['size'])}{' (chosen)' if row['chosen'] else ''}",
                count(row["vocab_size"]),
                number(row["bytes_per_token"]),
                "" if row["gain"] is None else share(row["gain"]),
                share(row["unknown_rate"]),
                count(row["vocab_size"] * each) if each else "",
            ),
            "good" if row["chosen"] else "",
        )
        for row in told["sweep"]
    )
    header = ("size asked for", "tokens", "bytes per token", "gain per doubling", "unknown", "parameters of the embedding")
    return Table("Sizes tried, on text of train that none was fitted on", header, rows, frozenset(range(1, 6)))


def _cut(sample: Mapping[str, Any]) -> CutText:
    tokens = tuple(Token(index, text.replace("\n", "↵\n") if text else "·", index == sample["unknown"]) for index, text in sample["tokens"])
    return CutText(f"{sample['source']}, {plural(len(tokens), 'token')}", tokens)
