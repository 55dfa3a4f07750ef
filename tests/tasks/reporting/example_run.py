"""A run whose artifacts are written into a real store by hand, and a parser of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import flows.pipeline  # noqa: F401  # imports every stage, and with it what the page shows of the stage
from tasks.reporting.page import render
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun, RunOptions
from tasks.stage.execution.run_context import new_run_record
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.execution.worker_pool import WorkerPool
from tasks.stage.identity.tracing.source import Source
from tasks.stage.store.artifact import Artifact, Cost, Origin, content_digest, list_files
from tasks.stage.store.index import ADDRESS_DIGITS
from tasks.stage.store.store import Store
from tests.tasks.records import commit

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"""
CALLS_HOME = {"script", "link", "iframe", "img", "object", "embed", "base", "form", "use", "image", "video", "audio", "source"}
ORIGIN = Origin(created="2026-01-02T03:04:05+00:00", host="h", device="d", git_commit="", git_dirty=False, packages={})
PASSED = ("base.val.loss", "2.5", "<= 3", "+0.5", "passed")
FAILED = ("base.questions.heldout", "0.01575", ">= 0.8", "-0.7843", "FAILED: is out of bounds")
READ = {"stage": "ingest", "documents_in": 112, "documents": 111, "documents_removed": 1, "balanced": True}
READ |= {"characters_in": 1_421_384, "characters": 1_421_384}
READ |= {"rules": {"quarantined": {"binary": {"documents": 1, "pieces": 1, "characters": 0, "net": 0}}}}
CLEANED = {"stage": "clean", "documents_in": 111, "documents": 111, "documents_removed": 0, "balanced": True}
CLEANED |= {"characters_in": 1_421_384, "characters": 1_298_790}
CLEANED |= {"rules": {"cut": {"running heads": {"documents": 70, "pieces": 364, "characters": 7332, "net": 7332}},
                      "changed": {"layout": {"documents": 111, "pieces": 111, "characters": 115_262, "net": 115_262}}}}  # fmt: skip
FUNNEL = {
    "format": 2,
    "stages": [READ, CLEANED],
    "sources": {"books": {"documents_in": 111, "characters_in": 1_421_384, "documents": 111, "characters": 1_298_790}},
    "formats": {},
    "languages": {"en": {"documents": 100, "characters": 1_200_000}, "fr": {"documents": 11, "characters": 98_790}},
    "quarantined": {"binary": {"files": 1, "shown": ["books/photo.txt"]}},
    "title_mismatches": {"documents": 1, "shown": [{"id": "0" * 16, "source": "books", "path": "hamlet.txt", "title": "Othello"}]},
    "synthetic": {"documents": 0, "characters": 0, "share": 0.0},
    "splits": [{"split": "train", "documents": 100, "characters": 1_200_000}, {"split": "val", "documents": 11, "characters": 98_790}],
    "documents_kept": 111,
    "characters_kept": 1_298_790,
}
AUDIT = {"documents_in": 112.0, "documents_kept": 111.0, "leak_val": 0.0166, "clean_precision": 0.99885, "clean_recall": 0.985}
AUDIT |= {"clean_recall_mean": 0.97, "clean_recall_mojibake": 0.8125}
QUESTIONS = {"questions.seen": 0.97, "questions.heldout": 0.931, "questions.heldout_low": 0.87, "questions.heldout_high": 0.96}
QUESTIONS |= {"questions.seen_count": 132.0, "questions.heldout_count": 127.0}
HISTORY = [{"step": n, "loss": 5.0 / n, "val_loss": 5.1} if n == 100 else {"step": n, "loss": 5.0 / n} for n in range(1, 101)]
CARD = {"summary": "A model of one invented world."}


class Page(HTMLParser):
    """A parsed page: its tags with attributes, the text as a reader sees it, and the text of each section and table row by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.style, self.title = "", "", ""
        self.sections: dict[str, str] = {}
        self.rows: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self._open.append((tag, found.get("id", "")))
        if tag == "td" and self._of("tr"):
            self.rows.setdefault(self._of("tr"), []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = [tag for tag, _ in self._open]
        if "style" in inside:
            self.style += data
        elif "title" in inside and "svg" not in inside:
            self.title += data
        else:
            self.text += f"{data} "
            self.sections[self._of("section")] = f"{self.sections.get(self._of('section'), '')} {' '.join(data.split())}".strip()
            if "td" in inside and self._of("tr"):
                self.rows[self._of("tr")][-1] += data

    def _of(self, tag: str) -> str:
        return next((name for opened, name in reversed(self._open) if opened == tag), "")

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


class RunMaker:
    """A run whose artifacts are put into a real store by hand."""

    def __init__(self, home: Path) -> None:
        store, resources = Store(str(home / "store"), home / "cache"), Resources()
        traces = TraceChecker(store, Source.of(home), None)
        record, pool = new_run_record("trial", {}, {}), WorkerPool(resources, home, store)
        self.run = PipelineRun("trial", home, home, store, resources, pool, RunOptions(), record, traces)

    def made(
        self,
        place: str,
        files: Mapping[str, Any] | None = None,
        *,
        metrics: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
        inputs: Sequence[str] = (),
        reused: bool = False,
        causes: tuple[str, ...] = ("it has never run",),
        cost: Cost | None = None,
        key: str = "",
    ) -> Artifact:
        """Commit an artifact for `place`; a list is written as JSON lines, other values as JSON, text and bytes as they are."""
        output = self.run.store.scratch(place)
        for name, content in ({"content.txt": place} if files is None else files).items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_bytes(content if isinstance(content, bytes) else _written(content).encode())
        stage, _, where = place.rstrip("]").replace("[", ".").partition(".")
        key = key or place.encode().hex().ljust(64, "0")
        label = f"trial-{where}" if where else "trial"
        artifact = Artifact(
            stage=stage,
            label=label,
            key=key,
            digest=content_digest(list_files(output)),
            location=f"{stage}/{label}-{key[-ADDRESS_DIGITS:]}",
            files=list_files(output),
            config=dict(config or {}),
            ingredients={"shard": f"{where} of 8"} if place.endswith("]") else {},
            inputs={self._role(name, inputs): self.run.artifacts[name].reference() for name in inputs},
            metrics=dict(metrics or {}),
            cost=cost or Cost(wall_seconds=2.0, cpu_seconds=3.0),
            origin=ORIGIN.model_copy(update={"run_id": f"run-{place}"}),
        )
        commit(self.run.store, output, artifact)
        self.run.artifacts[place] = artifact
        if reused:
            self.run.reused.add(place)
        self.run.decisions.append(Decision(place, stage, "reuse" if reused else "run", () if reused else causes, key))
        return artifact

    @staticmethod
    def _role(place: str, inputs: Sequence[str]) -> str:
        """An input is called by its place; the shards of one stage are the numbered parts of one input."""
        return f"inputs[{inputs.index(place)}]" if "[" in place else place

    def gate(self, where: str, *rows: tuple[str, str, str, str, str], overruled: str | None = None) -> None:
        """A judged gate; it passed when every row's last cell is `passed`."""
        cells = [dict(zip(("metric", "value", "bound", "margin", "verdict"), row, strict=True)) for row in rows]
        metrics = {"passed": float(all(row[4] == "passed" for row in rows)), "overruled": float(overruled is not None)}
        self.made(f"gate.{where}", {"verdict.json": {"rows": cells, "overruled": overruled}}, metrics=metrics)

    def page(self) -> Page:
        """The page of the run as it stands."""
        return Page(render(RunSummary.of(self.run)))


def _written(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(json.dumps(line) + "\n" for line in content) if isinstance(content, list) else json.dumps(content)


def predicted(bits: float) -> dict[str, float]:
    """Losses on the test split."""
    interval = {"test.bits_per_byte_low": bits - 0.1, "test.bits_per_byte_high": bits + 0.1}
    return {"test.loss": 2.0, "test.perplexity": 7.389, "test.bits_per_byte": bits} | interval


def report_of_cuts(said: str) -> dict[str, Any]:
    """What a word tokenizer tells of two sources, after a sweep of two sizes."""
    figures: dict[str, float] = {"bytes": 9000, "words": 2000, "tokens": 2100, "unknown": 7, "unknown_bytes": 40}
    figures |= {"bytes_per_token": 4.15, "fertility": 1.05, "unknown_rate": 0.003, "lost_share": 0.0047}
    size = {"vocab_size": 1024, "bytes": 700, "tokens": 200, "unknown_rate": 0.01, "bytes_per_token": 3.5, "gain": None, "chosen": False}
    return {
        "kind": "word",
        "vocab_size": 2048,
        "used_share": 0.91,
        "whole": figures,
        "sources": {"plays": figures | {"fertility": 1.31}, said: figures},
        "longest": [{"id": 77, "text": said, "bytes": 19, "uses": 12}],
        "sweep": [size | {"size": 1024}, size | {"size": 2048, "vocab_size": 2048, "gain": 0.123, "chosen": True}],
        "samples": [{"id": "0a", "source": "plays", "unknown": 7, "tokens": [[300, "Runa"], [7, said], [301, "\n"], [302, ""]]}],
    }


def whole_run(maker: RunMaker, said: str = "Runa keeps a goose.") -> None:
    """A run with every kind of stage."""
    maker.made("ingest", metrics={"documents": 111.0}, reused=True)
    maker.made("audit", {"funnel.json": FUNNEL}, metrics=AUDIT, inputs=["ingest"])
    fitted = {"vocab_size": 2048.0, "bytes_per_token": 4.15, "unknown_rate": 0.003}
    maker.made("tokenizer", {"report.json": report_of_cuts(said)}, metrics=fitted, inputs=["ingest"], reused=True)
    packed = {"train_tokens": 285_849.0, "val_tokens": 13_877.0, "instruction_rows": 281.0, "train_padding_fraction": 0.004}
    packed |= {"train_tokens_books": 274_664.0, "train_separated_books": 1234.0, "train_separated_fraction": 0.004}
    packed |= {"train_left_out_books": 0.0, "train_left_out_fraction": 0.0, "train_padding_books": 560.0}
    maker.made("pack", metrics=packed, config={"method": "best_fit", "sequence_length": 256}, inputs=["tokenizer"])
    shape = {"model": {"layers": 4, "width": 128, "context": 256}}
    maker.made("pretrain", {"history.jsonl": HISTORY}, metrics={"steps": 100.0, "val_loss": 5.1}, config=shape, inputs=["pack"])
    pairs = [{"step": n, "loss": 0.7, "chosen_logp": -1.0, "rejected_logp": -2.0, "margin": 0.1 * n} for n in (1, 2, 3)]
    tuned = {"seed": 1, "train": {"kind": "dpo", "steps": 3}}
    maker.made("tune.dpo", {"history.jsonl": pairs}, metrics={"steps": 3.0}, config=tuned, inputs=["pretrain"])
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": said}]
    talk = {"kind": "conversation", "set": "heldout", "right": False, "messages": turns}
    going_on = {"kind": "continuation", "copied_tokens": 3, "prompt": "Once", "continuation": f" there {said}", "text": " upon a time"}
    samples = [going_on, {"kind": "beginning", "text": said}]
    maker.made("evaluate.base", {"samples.jsonl": samples}, metrics={"probe.x": 0.25}, inputs=["pretrain"])
    sizes = {"bytes_before": 3_960_000.0, "bytes_after": 1_030_000.0, "size_ratio": 0.26}
    maker.made("quantize.int8", metrics=sizes, inputs=["tune.dpo"])
    weights = {"model.safetensors": "w" * 1234}
    maker.made("export", weights, metrics={"parameters": 988_288.0}, config={"card": CARD}, inputs=["tune.dpo", "quantize.int8"])
    maker.made("evaluate.release", {"samples.jsonl": [talk]}, metrics=predicted(1.5) | QUESTIONS, inputs=["export"])
    maker.made("evaluate.int8", {"samples.jsonl": []}, metrics=predicted(1.503), inputs=["quantize.int8"])
    maker.gate("base", PASSED)


def sharded_run(maker: RunMaker) -> None:
    """Eight shards of which one was made anew, and what was made from all of them."""
    for number in range(8):
        new = number == 3
        maker.made(f"ingest[{number}]", metrics={"documents": 5.0}, reused=not new, causes=("file new.txt was added",))
        maker.made(f"clean[{number}]", inputs=[f"ingest[{number}]"], reused=not new, causes=("input documents: 1 -> 2",))
    maker.made("dedup", inputs=[f"clean[{number}]" for number in range(8)])
