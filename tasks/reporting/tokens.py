"""The report's section on tokens and packing: what a token holds, what the tokenizer can't write, and what packing left empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.charts import Bar
from tasks.reporting.corpus import SPLITS
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Figure, Row, Section, Table, Token, TokenizedText, bars_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, number, plural, share

KINDS = {
    "byte_level_bpe": "Byte-level BPE: decoding returns any text byte for byte.",
    "bpe": "BPE over characters, with bytes for what its vocabulary lacks: decoding returns any text byte for byte.",
    "unigram": "Unigram, with bytes for what its vocabulary lacks: decoding returns any text byte for byte.",
    "wordpiece": "WordPiece: decoding returns the text, except words with an unknown part and words of more than 100 characters.",
    "word": "Whole words: decoding returns the text, except words that are not in the vocabulary.",
    "character": "Single characters: decoding returns the text, except characters that are not in the vocabulary.",
}
METHODS = {
    "cut": "Documents were joined and cut into rows of {} tokens",
    "best_fit": "Documents were packed into rows of {} tokens, and no document that fits a row was cut",
}
PACKED = ("tokens", "separated", "left_out", "padding")
PACKED_HEADER = ("split", "source", "tokens", "in a row without their document's start", "left out", "padding")
MOST_SOURCES, MOST_LONGEST = 12, 12


def tokenizer_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the tokenizer's figures by source, its longest tokens, the sizes tried, and texts cut into their tokens."""
    results = run.results
    report = results.json("tokenizer", "report.json")
    if report is None:
        return None
    shown = {"bytes_per_token": "Bytes per token", "fertility": "Tokens per word"}
    shown |= {"lost_share": "Text lost to unknown tokens"} if report["whole"]["unknown"] else {}
    figures = tuple(_by_source(report, name, caption) for name, caption in shown.items())
    tables = (_longest(report), *([_sweep(report, results)] if report["sweep"] else []))
    tokenized = tuple(_tokenized(sample) for sample in report["samples"])
    return Section("tokenizer", "How text becomes tokens", _lead(report), figures, tables=tables, tokenized=tokenized)


def packing_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table of what happened to every token of each source in packing."""
    packed = run.results.metrics("pack")
    rows = tuple(row for split in SPLITS for row in _packed(packed, split))
    if not rows:
        return None
    config = run.results.artifacts["pack"].config
    method = METHODS[config.get("method", "cut")].format(count(config.get("sequence_length", 0)))
    alone = "; a row holds one source only" if config.get("by_source") else ""
    shares = {name: packed.get(f"{split}_padding_fraction") for split, name in SPLITS.items()}
    padding = joined([f"{share(value)} of {name}" for name, value in shares.items() if value is not None])
    table = Table("Tokens by source", PACKED_HEADER, rows, right=frozenset(range(2, len(PACKED_HEADER))))
    return Section("packing", "How tokens become rows", f"{method}{alone}. Padding is {padding}.", tables=(table,))


TOKENIZER = Topic("the tokenizer", 65, tokenizer_section)
PACKING = Topic("packing", 70, packing_section)


def _packed(packed: Mapping[str, float], split: str) -> list[Row]:
    """Return a row for each source whose tokens are accounted for."""
    start = f"{split}_separated_"
    sources = sorted(name.removeprefix(start) for name in packed if name.startswith(start) and name != f"{start}fraction")
    return [Row((SPLITS[split], source, *(count(packed[f"{split}_{what}_{source}"]) for what in PACKED))) for source in sources]


def _lead(report: Mapping[str, Any]) -> str:
    whole = report["whole"]
    unknown, lost, used = share(whole["unknown_rate"]), share(whole["lost_share"]), share(report["used_share"])
    return " ".join(
        (
            KINDS[report["kind"]],
            f"In train, {unknown} of the tokens are unknown, and {lost} of the bytes are lost with them."
            if whole["unknown"]
            else "This was checked on all of train.",
            f"Train uses {used} of its {plural(report['vocab_size'], 'token')}. A token holds {number(whole['bytes_per_token'])} bytes on "
            f"average, and a word takes {number(whole['fertility'])} tokens.",
            "Below, texts of train are cut into tokens; point at one to see its number.",
        )
    )


def _by_source(report: Mapping[str, Any], name: str, caption: str) -> Figure:
    """Draw bars for all of train and for each source, those with the most text first."""
    shown = share if name == "lost_share" else number
    ordered = sorted(report["sources"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows = [("all of train", report["whole"]), *(ordered if len(ordered) > 1 else [])]
    bars = [
        Bar(label, figures[name], shown(figures[name]), tone="other" if index else "strong")
        for index, (label, figures) in enumerate(rows[: MOST_SOURCES + 1])
    ]
    rest = len(rows) - len(bars)
    return bars_figure(caption, bars, f"And {plural(rest, 'smaller source')}." if rest else "")


def _longest(report: Mapping[str, Any]) -> Table:
    shown = report["longest"][:MOST_LONGEST]
    rows = tuple(Row((one["text"], count(one["bytes"]), count(one["uses"]), str(one["id"]))) for one in shown)
    header = ("token", "bytes", "times in train", "number")
    return Table("Its longest tokens", header, rows, frozenset({1, 2, 3}), frozenset({0}), half=True)


def _sweep(report: Mapping[str, Any], results: Results) -> Table:
    """Build the table of the sizes that were tried, with what each would cost the model."""
    pretrained = results.artifacts.get("pretrain")
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
        for row in report["sweep"]
    )
    header = ("size", "tokens", "bytes per token", "gain per doubling", "unknown", "embedding parameters")
    return Table("Vocabulary sizes tried, measured on text of train that none was fitted on", header, rows, frozenset(range(1, 6)))


def _tokenized(sample: Mapping[str, Any]) -> TokenizedText:
    tokens = tuple(Token(index, text.replace("\n", "↵\n") if text else "·", index == sample["unknown"]) for index, text in sample["tokens"])
    return TokenizedText(f"{sample['source']}, {plural(len(tokens), 'token')}", tokens)
