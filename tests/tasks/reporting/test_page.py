"""The report page: self-contained, escaped and complete, with the gates first if one failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.evaluation.config import Probe
from tasks.reporting.page import UNFOLDED, render
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.plan import Decision
from tests.flows.page.browsing import launched, needs_chromium
from tests.tasks.reporting.example_run import (
    CALLS_HOME,
    FAILED,
    FUNNEL,
    HOSTILE,
    PASSED,
    READ,
    RunMaker,
    report_of_cuts,
    whole_run,
)


def test_the_page_runs_nothing_and_loads_nothing(maker: RunMaker) -> None:
    whole_run(maker)
    page = maker.page()
    assert not {tag for tag, _ in page.tags} & CALLS_HOME
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset", "action", "xlink:href"}]
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in page.style and "@import" not in page.style
    assert "prefers-color-scheme: dark" in page.style and 'name="viewport"' in render(RunSummary.of(maker.run))


def test_every_link_leads_to_an_id_on_the_page(maker: RunMaker) -> None:
    whole_run(maker)
    page = maker.page()
    assert len(page.ids) == len(set(page.ids))
    assert {attributes["href"][1:] for _, attributes in page.tags if "href" in attributes} <= set(page.ids)


def test_sections_fold_without_a_script_and_links_lead_inside_them(maker: RunMaker) -> None:
    whole_run(maker)
    page, text = maker.page(), render(RunSummary.of(maker.run))
    folds = [attributes for tag, attributes in page.tags if tag == "details"]
    assert len(folds) == len(page.sections) - 1 > UNFOLDED, "each section folds; the rest of the page does not"
    assert ["open" in attributes for attributes in folds] == [True] * UNFOLDED + [False] * (len(folds) - UNFOLDED)
    assert text.count("<summary><h2>") == len(folds)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"].startswith("#in-")]
    assert len(links) == len(folds)
    printed = page.style.partition("@media print")[2]
    assert "::details-content" in printed and "content-visibility: visible" in printed


def test_text_from_outside_is_escaped(maker: RunMaker) -> None:
    rules = {"cut": {HOSTILE: {"documents": 1, "pieces": 2, "characters": 3, "net": 3}}}
    wrong = {"id": "0" * 16, "source": "books", "path": f"path {HOSTILE}", "title": f"title {HOSTILE}"}
    funnel = FUNNEL | {"stages": [READ | {"rules": rules, "balanced": False, "fault": f"fault {HOSTILE}"}]}
    funnel |= {"quarantined": {f"why {HOSTILE}": {"files": 1, "shown": []}}, "title_mismatches": {"documents": 1, "shown": [wrong]}}
    maker.made("audit", {"funnel.json": funnel}, causes=(f"cause {HOSTILE}",))
    maker.made("tokenizer", {"report.json": report_of_cuts(f"token {HOSTILE}")}, metrics={"vocab_size": 8.0, "bytes_per_token": 2.0})
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


def test_sections_without_results_are_left_out_and_named_at_the_end(maker: RunMaker) -> None:
    maker.made("ingest", metrics={"documents": 4.0})
    page = maker.page()
    assert set(page.sections) == {"", "lineage", "stages"}
    assert "Left out" in page.sections[""] and "training curves" in page.sections[""]
    assert "not judged" in page.title and "INT8" not in page.text and "books in" in page.text


def test_a_failed_gate_comes_first(maker: RunMaker) -> None:
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


def test_an_overruled_gate_shows_its_reason(maker: RunMaker) -> None:
    maker.gate("base", FAILED, overruled="a trial on a slow machine")
    page = maker.page()
    assert ("header", {"class": "overruled"}) in page.tags
    assert "a trial on a slow machine" in page.sections[""] and "a trial on a slow machine" in page.sections["gates"]


def test_an_unfinished_run_reads_as_failed_even_if_its_gates_passed(maker: RunMaker) -> None:
    maker.gate("corpus", PASSED)
    maker.run.decisions.append(Decision("pretrain", "pretrain", "run", ("it has never run",), "k"))
    page = maker.page()
    assert ("header", {"class": "failed"}) in page.tags and "pretrain has no result" in page.sections[""]
    assert page.rows["stage-pretrain"][:2] == ["pretrain", "unfinished"]


@pytest.mark.slow
@needs_chromium
def test_printed_on_a4_nothing_is_cut_and_what_was_folded_is_there(maker: RunMaker, tmp_path: Path) -> None:
    whole_run(maker)
    words = "w" * 3000
    wide = {f"stage{number}": {"documents": 1, "pieces": 2, "characters": 3, "net": 3} for number in range(30)}
    funnel = FUNNEL | {"stages": [READ | {"rules": {"cut": wide | {words: wide["stage0"]}}, "balanced": False, "fault": words}]}
    maker.made("audit", {"funnel.json": funnel}, causes=(f"cause {words}",))
    path = tmp_path / "page.html"
    path.write_text(render(RunSummary.of(maker.run)), encoding="utf-8")
    with launched() as browser:
        # A4 less the margins, in pixels of 96 to the inch.
        tab = browser.new_context(viewport={"width": round((210 - 24) / 25.4 * 96), "height": 1016}, color_scheme="dark").new_page()
        tab.goto(path.as_uri())
        tab.emulate_media(media="print")
        wider = "node => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1"
        assert not [node.inner_html()[:200] for node in tab.query_selector_all("body *:not(svg *)") if node.evaluate(wider)]
        cut = "node => node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== 'visible'"
        assert not [node.get_attribute("class") for node in tab.query_selector_all("main *:not(.role)") if node.evaluate(cut)]
        hidden = "node => node.getBoundingClientRect().height === 0"
        assert not [node.inner_html() for node in tab.query_selector_all("details > div") if node.evaluate(hidden)]
        white = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert white == "rgb(255, 255, 255)", "paper is white though the screen is dark"
