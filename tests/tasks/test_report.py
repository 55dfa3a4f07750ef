"""The report page: self-contained, escaped, complete, and true to the artifacts it tells of."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from model.evaluation.config import Probe
from tasks.report import report, write_page
from tasks.reporting.account import Account as Told
from tasks.reporting.notice import lineage_notice, notice
from tasks.reporting.page import render
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun, RunOptions, use_run
from tasks.stage.execution.run_context import new_run_record
from tasks.stage.execution.worker_pool import WorkerPool
from tasks.stage.store.artifact import Artifact, Cost, InputRecord, Origin, content_digest, list_files
from tasks.stage.store.store import Store
from tasks.stage.tracking.cost import Rates
from tests.tasks.lineage.edited_corpus import WHITE, Account

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"""
CALLS_HOME = {"script", "link", "iframe", "img", "object", "embed", "base", "form", "use", "image", "video", "audio", "source"}


ORIGIN = Origin(created="2026-01-02T03:04:05+00:00", host="h", device="d", git_commit="", git_dirty=False, packages={})


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


class Maker:
    """A run whose artifacts are put into a real store by hand."""

    def __init__(self, home: Path) -> None:
        store = Store(str(home / "store"), home / "cache")
        self.run = PipelineRun(
            "trial", home, home, store, Resources(), WorkerPool(Resources(), home, store), RunOptions(), None, new_run_record("trial", {})
        )

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
        """Commit an artifact for `place`; a list is written as JSON lines, other values as JSON, text as it is."""
        output = self.run.store.scratch(place)
        for name, content in ({"content.txt": place} if files is None else files).items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_text(_written(content), encoding="utf-8")
        stage, _, where = place.rstrip("]").replace("[", ".").partition(".")
        key = key or place.encode().hex().ljust(64, "0")
        label = f"trial-{where}" if where else "trial"
        artifact = Artifact(
            stage=stage,
            label=label,
            key=key,
            digest=content_digest(list_files(output)),
            location=f"{stage}/{label}-{key[-8:]}",
            files=list_files(output),
            config=dict(config or {}),
            ingredients={"shard": f"{where} of 8"} if place.endswith("]") else {},
            inputs={self._role(name, inputs): self.run.artifacts[name].reference() for name in inputs},
            metrics=dict(metrics or {}),
            cost=cost or Cost(wall_seconds=2.0, cpu_seconds=3.0),
            origin=ORIGIN.model_copy(update={"mlflow_run_id": f"run-{place}"}),
        )
        self.run.store.commit(output, artifact)
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
        return Page(render(Told.of(self.run)))


def _written(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(json.dumps(line) + "\n" for line in content) if isinstance(content, list) else json.dumps(content)


@pytest.fixture
def maker(home: Path) -> Maker:
    return Maker(home)


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


def predicted(bits: float) -> dict[str, float]:
    """Losses on the test split."""
    interval = {"test.bits_per_byte_low": bits - 0.1, "test.bits_per_byte_high": bits + 0.1}
    return {"test.loss": 2.0, "test.perplexity": 7.389, "test.bits_per_byte": bits} | interval


def cuts(said: str) -> dict[str, Any]:
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


def whole_run(maker: Maker, said: str = "Runa keeps a goose.") -> None:
    """A run with every kind of stage."""
    maker.made("ingest", metrics={"documents": 111.0}, reused=True)
    maker.made("audit", {"funnel.json": FUNNEL}, metrics=AUDIT, inputs=["ingest"])
    fitted = {"vocab_size": 2048.0, "bytes_per_token": 4.15, "unknown_rate": 0.003}
    maker.made("tokenizer", {"report.json": cuts(said)}, metrics=fitted, inputs=["ingest"], reused=True)
    packed = {"train_tokens": 285_849.0, "val_tokens": 13_877.0, "instruction_rows": 281.0, "train_padding_fraction": 0.004}
    packed |= {"train_tokens_books": 274_664.0, "train_separated_books": 1234.0, "train_separated_fraction": 0.004}
    packed |= {"train_left_out_books": 0.0, "train_left_out_fraction": 0.0, "train_padding_books": 560.0}
    maker.made("pack", metrics=packed, config={"method": "best_fit", "sequence_length": 256}, inputs=["tokenizer"])
    shape = {"model": {"layers": 4, "width": 128, "context": 256}}
    maker.made("pretrain", {"history.jsonl": HISTORY}, metrics={"steps": 100.0, "val_loss": 5.1}, config=shape, inputs=["pack"])
    pairs = [{"step": n, "loss": 0.7, "chosen_logp": -1.0, "rejected_logp": -2.0, "margin": 0.1 * n} for n in (1, 2, 3)]
    maker.made("dpo", {"history.jsonl": pairs}, metrics={"steps": 3.0}, inputs=["pretrain"])
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": said}]
    talk = {"kind": "conversation", "set": "heldout", "right": False, "messages": turns}
    going_on = {"kind": "continuation", "copied_tokens": 3, "prompt": "Once", "continuation": f" there {said}", "text": " upon a time"}
    samples = [going_on, {"kind": "beginning", "text": said}]
    maker.made("evaluate.base", {"samples.jsonl": samples}, metrics={"probe.x": 0.25}, inputs=["pretrain"])
    sizes = {"bytes_before": 3_960_000.0, "bytes_after": 1_030_000.0, "size_ratio": 0.26}
    maker.made("quantize", metrics=sizes, inputs=["dpo"])
    weights = {"model.safetensors": "w" * 1234}
    maker.made("export", weights, metrics={"parameters": 988_288.0}, config={"card": CARD}, inputs=["dpo", "quantize"])
    maker.made("evaluate.release", {"samples.jsonl": [talk]}, metrics=predicted(1.5) | QUESTIONS, inputs=["export"])
    maker.made("evaluate.int8", {"samples.jsonl": []}, metrics=predicted(1.503), inputs=["quantize"])
    maker.gate("base", PASSED)


def test_the_page_runs_nothing_and_loads_nothing(maker: Maker) -> None:
    whole_run(maker)
    page = maker.page()
    assert not {tag for tag, _ in page.tags} & CALLS_HOME
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset", "action", "xlink:href"}]
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in page.style and "@import" not in page.style
    assert "prefers-color-scheme: dark" in page.style and 'name="viewport"' in render(Told.of(maker.run))


def test_every_link_leads_to_a_place_on_the_page(maker: Maker) -> None:
    whole_run(maker)
    page = maker.page()
    assert len(page.ids) == len(set(page.ids))
    assert {attributes["href"][1:] for _, attributes in page.tags if "href" in attributes} <= set(page.ids)


def test_text_from_outside_is_shown_as_text_and_never_becomes_markup(maker: Maker) -> None:
    rules = {"cut": {HOSTILE: {"documents": 1, "pieces": 2, "characters": 3, "net": 3}}}
    wrong = {"id": "0" * 16, "source": "books", "path": f"path {HOSTILE}", "title": f"title {HOSTILE}"}
    funnel = FUNNEL | {"stages": [READ | {"rules": rules, "balanced": False, "fault": f"fault {HOSTILE}"}]}
    funnel |= {"quarantined": {f"why {HOSTILE}": {"files": 1, "shown": []}}, "title_mismatches": {"documents": 1, "shown": [wrong]}}
    maker.made("audit", {"funnel.json": funnel}, causes=(f"cause {HOSTILE}",))
    maker.made("tokenizer", {"report.json": cuts(f"token {HOSTILE}")}, metrics={"vocab_size": 8.0, "bytes_per_token": 2.0})
    said = [{"role": "user", "content": f"asked {HOSTILE}"}, {"role": "assistant", "content": f"replied {HOSTILE}"}]
    samples = [
        {"kind": "conversation", "set": "seen", "right": True, "messages": said},
        {"kind": "beginning", "text": f"begun {HOSTILE}"},
        {"kind": "continuation", "prompt": f"given {HOSTILE}", "continuation": f"went on {HOSTILE}", "text": f"book {HOSTILE}"},
    ]
    probe = Probe(prompt=HOSTILE, word="x")
    probes = {"probes": [probe.model_dump()]}
    maker.made("evaluate.base", {"samples.jsonl": samples}, config=probes, metrics={probe.metric: 0.5})
    maker.made("export", {"model.safetensors": "w"}, config={"card": {"summary": f"summary {HOSTILE}"}})
    maker.gate("chat", (f"metric {HOSTILE}", "1", "<= 0", "-1", f"FAILED: {HOSTILE}"), overruled=f"reason {HOSTILE}")
    page = maker.page()
    assert not {tag for tag, _ in page.tags} & CALLS_HOME
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for word in ("cause", "asked", "replied", "begun", "given", "went on", "book", "summary", "metric", "reason",
                 "path", "title", "fault", "why", "token"):  # fmt: skip
        assert f"{word} {HOSTILE}" in page.text


def test_a_text_is_shown_cut_into_its_tokens_with_their_numbers_and_what_is_unknown(maker: Maker) -> None:
    whole_run(maker)
    tokens = [found for tag, found in maker.page().tags if tag == "span" and "token" in found.get("class", "").split()]
    assert [(found["class"], found["title"]) for found in tokens] == [
        ("token", "token 300"),
        ("token odd unknown", "token 7, unknown"),
        ("token", "token 301"),
        ("token odd", "token 302"),
    ]
    assert "Runa Runa keeps a goose. ↵ ·" in maker.page().sections["tokenizer"]


def test_the_notice_in_prefect_cannot_be_broken_by_what_it_tells(maker: Maker) -> None:
    maker.gate("chat", (f"a | b\n| c {HOSTILE}", "1", "<= 0", "-1", "FAILED: is out of bounds"))
    lines = notice(Told.of(maker.run), Path("page.html")).splitlines()
    row = next(line for line in lines if line.startswith("| chat"))
    assert row.count("|") - row.count("\\|") == 4
    assert "<script" not in row.replace("\\<", "")
    assert any("page.html" in line for line in lines)


def test_reused_stages_say_so_and_the_others_say_why_they_ran(maker: Maker) -> None:
    maker.made("ingest", reused=True)
    maker.made("clean", inputs=["ingest"], causes=("config quotes: true -> false",))
    page = maker.page()
    assert page.rows["stage-ingest"][:3] == ["ingest", "reused", "unchanged"]
    assert page.rows["stage-clean"][:3] == ["clean", "ran", "config quotes: true -> false"]
    clean = maker.run.artifacts["clean"]
    assert page.rows["stage-clean"][5:] == [clean.digest[:7], clean.location, "run-clean"]
    drawn = [attributes["class"] for tag, attributes in page.tags if tag == "g"]
    assert sorted(drawn) == ["node made", "node reused"]


def sharded_run(maker: Maker) -> None:
    """Eight shards of which one was made anew, and what was made from all of them."""
    for number in range(8):
        new = number == 3
        maker.made(f"ingest[{number}]", metrics={"documents": 5.0}, reused=not new, causes=("file new.txt was added",))
        maker.made(f"clean[{number}]", inputs=[f"ingest[{number}]"], reused=not new, causes=("input documents: 1 -> 2",))
    maker.made("dedup", inputs=[f"clean[{number}]" for number in range(8)])


def test_the_shards_of_a_stage_are_one_row_with_their_cost_together_and_the_cause_of_the_one_that_ran(maker: Maker) -> None:
    sharded_run(maker)
    page = maker.page()
    assert page.rows["stage-ingest"][:4] == ["ingest × 8", "7 reused, 1 ran", "shard 3: file new.txt was added", "16.0 s"]
    assert page.rows["stage-ingest"][6] == "ingest/trial-*"
    assert not [name for name in page.rows if "[" in name]
    assert "reused 14 stages and ran 3" in page.sections["stages"]
    assert "books in 40" in page.sections[""]


def test_the_shards_of_a_stage_are_one_box_that_leads_to_their_row(maker: Maker) -> None:
    sharded_run(maker)
    page = maker.page()
    assert [attributes["class"] for tag, attributes in page.tags if tag == "g"] == ["node made"] * 3
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} >= {"#stage-ingest", "#stage-clean", "#stage-dedup"}
    assert "× 8" in page.sections["lineage"]


def test_a_shard_that_did_not_finish_shows_in_its_row(maker: Maker) -> None:
    maker.made("ingest[0]", reused=True)
    maker.run.decisions.append(Decision("ingest[1]", "ingest", "run", ("it has never run",), "k"))
    page = maker.page()
    assert page.rows["stage-ingest"][:3] == ["ingest × 2", "1 reused, 1 unfinished", "shard 1: it has never run"]
    assert ("header", {"class": "failed"}) in page.tags


def test_money_and_accelerators_stand_beside_the_work_where_the_recipe_knows_prices(maker: Maker) -> None:
    maker.made("pretrain", {"history.jsonl": []}, cost=Cost(wall_seconds=60, cpu_seconds=3600, gpu_seconds=120))
    assert "1:00 min of work, 1:00:00 h of CPU, 2:00 min of GPU." in maker.page().sections["stages"]
    maker.run.rates = Rates(currency="CHF", cpu_hour=0.5, gpu_hour=3.0)
    assert "2:00 min of GPU, 0.60 CHF." in maker.page().sections["stages"]


def test_the_lineage_in_prefect_is_a_drawing_that_loads_nothing_and_a_tree(maker: Maker) -> None:
    sharded_run(maker)
    told = lineage_notice(Told.of(maker.run))
    drawn = base64.b64decode(told.partition("base64,")[2].partition(")")[0]).decode()
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    tree = told.partition("```\n")[2]
    assert tree.splitlines()[1:3] == ["  inputs: clean x 8  trial", "    inputs: ingest x 8  trial"]


def test_the_lineage_in_prefect_shows_what_an_early_cut_off_kept_where_this_run_made_it(maker: Maker) -> None:
    clean = maker.made("clean")
    split = maker.made("split", inputs=["clean"])
    earlier = clean.reference().model_copy(update={"key": "e" * 64})
    maker.run.artifacts["split"] = split.model_copy(update={"inputs": {"clean": earlier}})
    assert f"  clean: {clean.location}  digest {clean.digest[:8]}" in lineage_notice(Told.of(maker.run)).splitlines()


def test_what_a_run_does_not_have_is_left_out_and_named_at_the_end(maker: Maker) -> None:
    maker.made("ingest", metrics={"documents": 4.0})
    page = maker.page()
    assert set(page.sections) == {"", "lineage", "stages"}
    assert "Left out" in page.sections[""] and "training curves" in page.sections[""]
    assert "not judged" in page.title and "INT8" not in page.text and "books in" in page.text


def test_a_corpus_whose_truth_nobody_knows_is_not_scored(maker: Maker) -> None:
    maker.made("audit", {"funnel.json": FUNNEL}, metrics={"documents_in": 112.0, "documents_kept": 111.0})
    assert "truth" not in maker.page().sections and "corpus" in maker.page().sections


def test_a_failed_gate_is_the_first_thing_one_sees(maker: Maker) -> None:
    maker.gate("corpus", PASSED)
    maker.made("evaluate.base", {"samples.jsonl": [{"kind": "beginning", "text": "Once"}]})
    maker.gate("base", PASSED, FAILED)
    page = maker.page()
    assert list(page.sections)[:3] == ["", "gates", "talk"]
    assert page.title.startswith("trial: failed") and ("header", {"class": "failed"}) in page.tags
    assert "base failed" in page.sections[""]
    shown = page.sections["gates"]
    assert shown.index("base.questions.heldout") < shown.index("corpus")
    assert all(cell in shown for cell in ("0.01575", ">= 0.8", "−0.7843", "FAILED: is out of bounds"))


def test_an_overruled_gate_shows_its_reason(maker: Maker) -> None:
    maker.gate("base", FAILED, overruled="a trial on a slow machine")
    page = maker.page()
    assert ("header", {"class": "overruled"}) in page.tags
    assert "a trial on a slow machine" in page.sections[""] and "a trial on a slow machine" in page.sections["gates"]


def test_a_run_that_stopped_on_its_way_reads_as_failed_though_its_gates_passed(maker: Maker) -> None:
    maker.gate("corpus", PASSED)
    maker.run.decisions.append(Decision("pretrain", "pretrain", "run", ("it has never run",), "k"))
    page = maker.page()
    assert ("header", {"class": "failed"}) in page.tags and "pretrain has no result" in page.sections[""]
    assert page.rows["stage-pretrain"][:2] == ["pretrain", "unfinished"]


NUMBERS = [
    ("", "books in 112 111 stayed"),
    ("", "tokens to learn from 285,849 of 2,048 kinds"),
    ("", "parameters 988,288"),
    ("", "held-out questions 93.1 % right of 127; seen ones 97 %"),
    ("", "bits per byte 1.5 release model on test"),
    ("", "INT8 costs +0.20 % bits per byte, at 26 % of the size"),
    ("corpus", "112 documents came in, 111 stayed; ingest removed 1. Every document and character is accounted for."),
    ("corpus", "−122,594: 115,262 layout, 7,332 running heads"),
    ("corpus", "en 1,200,000 100 documents"),
    ("rules", "binary 1 books/photo.txt"),
    ("rules", "books/hamlet.txt Othello"),
    ("corpus", "13,877"),
    ("tokenizer", "0.3 % of the tokens of train are unknown, and 0.5 % of its bytes lost with them"),
    ("tokenizer", "Its 2,048 tokens, of which train uses 91 %, hold 4.15 bytes each on average and take 1.05 to a word."),
    ("tokenizer", "Runa keeps a goose. 19 12 77"),
    ("tokenizer", "2,048 (chosen) 2,048 3.5 12.3 % 1 % 262,144"),
    ("corpus", "281 rows of conversation"),
    ("rules", "running heads 7,332 364 places"),
    ("packing", "Documents were packed into rows of 256 tokens, and what fits a row is whole. Left empty: 0.4 % of train."),
    ("packing", "train books 274,664 1,234 0 560"),
    ("truth", "cleaning, precision 99.9 %"),
    ("truth", "mojibake 81.2 %"),
    ("learning", "Pretraining took 100 steps and 2.0 s, ending at a validation loss of 5.1."),
    ("measured", "1.503"),
    ("measured", "1.403 to 1.603"),
    ("measured", "release, held out"),
    ("talk", "held-out question wrong"),
    ("sizes", "988,288 parameters: 4 layers of width 128, 256 tokens of context"),
    ("sizes", "1.03 MB 26 %"),
    ("sizes", "1.23 kB"),
    ("stages", "took 24.0 s of work, 36.0 s of CPU. This run reused 2 stages and ran 10, for 20.0 s of work"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of each section of a whole run's page."""
    maker = Maker(tmp_path_factory.mktemp("told"))
    whole_run(maker)
    return maker.page().sections


@pytest.mark.parametrize(("section", "shown"), NUMBERS, ids=[shown for _, shown in NUMBERS])
def test_the_numbers_are_those_of_the_artifacts(told: dict[str, str], section: str, shown: str) -> None:
    assert shown in told[section]


def test_what_rules_took_is_shown_by_an_example_of_each_as_text(maker: Maker) -> None:
    account = Account(maker.run.store).told()
    maker.run.artifacts.update(account.made)
    page = maker.page()
    assert f"dedup paragraph quoting.txt {WHITE}" in page.sections["rules"]
    assert "clean running heads alice.txt ALICE IN WONDERLAND" in page.sections["rules"]
    assert "filter language french.txt Il était une fois" in page.sections["rules"]
    assert "no text 1 books/photo.txt" in page.sections["rules"]
    assert "A machine wrote 1 of them, 14.1 % of the characters." in page.sections["corpus"]


def test_an_execution_that_stands_at_two_places_costs_once(maker: Maker) -> None:
    maker.made("evaluate.release", {"samples.jsonl": []}, key="a" * 64, cost=Cost(wall_seconds=10, cpu_seconds=20))
    maker.made("evaluate.int8", {"samples.jsonl": []}, key="a" * 64, cost=Cost(wall_seconds=10, cpu_seconds=20))
    assert "10.0 s of work, 20.0 s of CPU" in maker.page().sections["stages"]


def test_an_input_that_another_execution_made_alike_is_drawn_from_its_place_in_this_run(maker: Maker) -> None:
    clean = maker.made("clean")
    split = maker.made("split", inputs=["clean"])
    earlier = clean.reference().model_copy(update={"key": "e" * 64})
    gone = InputRecord(stage="world", key="f" * 64, digest="f" * 64, location="world/other-ffffffff")
    maker.run.artifacts["split"] = split.model_copy(update={"inputs": {"clean": earlier, "world": gone}})
    page = maker.page()
    drawn = [attributes["class"] for tag, attributes in page.tags if tag == "g"]
    assert sorted(drawn) == ["node elsewhere", "node made", "node made"]
    assert len([1 for tag, attributes in page.tags if tag == "path" and attributes["class"] == "edge"]) == 2


def test_a_file_that_is_gone_is_named_with_the_way_out_and_the_page_of_before_stands(maker: Maker) -> None:
    made = maker.made("audit", {"funnel.json": FUNNEL}, metrics=AUDIT)
    page = write_page(maker.run, Told.of(maker.run))
    before = page.read_text()
    (maker.run.store.local(made) / "funnel.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{made.name} has no funnel.json.*--refresh audit"):
        write_page(maker.run, Told.of(maker.run))
    assert page.read_text() == before
    assert [path.name for path in page.parent.iterdir()] == ["trial.html"]


def test_a_plan_writes_no_page(maker: Maker, home: Path) -> None:
    maker.made("ingest")
    maker.run.options = RunOptions(planning=True)
    with use_run(maker.run):
        report()
    assert not (home / "reports").exists()


@pytest.mark.slow
def test_the_report_lies_in_the_home_and_is_announced_in_prefect(maker: Maker, home: Path, prefect: None) -> None:
    from prefect import flow
    from prefect.artifacts import Artifact as PrefectArtifact

    maker.run.name = "four_books"
    maker.gate("base", FAILED)

    @flow(name="a run")
    def running() -> None:
        with use_run(maker.run):
            report()

    running()
    assert "four_books" in (home / "reports" / "four_books.html").read_text()
    lineage = PrefectArtifact.get("lineage-four-books")
    assert lineage is not None and "gate/trial-base" in str(lineage.data)
    announced = PrefectArtifact.get("report-four-books")
    assert announced is not None and "four\\_books: failed" in str(announced.data)
