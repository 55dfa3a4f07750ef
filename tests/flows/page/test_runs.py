"""The list of runs and the page of one: what they say, that it is text, and that a live run is followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.stage.execution.live_runs import log_path
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal, PositionRecord, StageRecord
from tasks.stage.store.store import Store
from tests.flows.page.visiting import Seen, seen, visitor
from tests.tasks.records import committed, ran
from tests.tasks.reporting.example_run import HOSTILE

FIGURES = {"ingest.documents": 4.0, "parameters": 33_600.0, "evaluate.base.val.loss": 2.0, "evaluate.release.test.bits_per_byte": 1.25}


def test_runs_are_listed_newest_first_with_their_state_and_what_came_of_them(store: Store, home: Path) -> None:
    made = committed(store, {"a.txt": b"a"})
    ran(store, 1, made, headline=FIGURES)
    ran(store, 2, recipe="other", status="failed", error="learn: the disk is full")
    text = seen(visitor(store, home), "/").text
    assert text.index("00:00:02") < text.index("00:00:01")
    assert "failed" in text and "the disk is full" in text and "parameters 33,600, release test bits per byte 1.25" in text


def test_a_long_list_comes_in_parts_and_a_recipe_s_runs_can_be_seen_alone(store: Store, home: Path) -> None:
    for number in range(60):
        ran(store, number, recipe="even" if number % 2 == 0 else "odd & end")
    browser = visitor(store, home)
    first, third = seen(browser, "/"), seen(browser, "/?page=3")
    assert "part 1 of a list of 60" in first.text and "?page=2" in first.links
    assert "00:00:29" in third.text and "00:00:30" not in third.text and "?page=4" in third.links
    assert "/?recipe=odd%20%26%20end" in first.links
    odd = seen(browser, "/?recipe=odd%20%26%20end")
    assert "?recipe=odd%20%26%20end&page=2" in odd.links and "even" not in odd.text
    assert seen(browser, "/?page=-1").text == seen(browser, "/?page=x").text == seen(browser, "/?page=²").text == first.text


def test_the_list_is_sorted_by_a_column_and_by_a_figure_without_a_script(store: Store, home: Path) -> None:
    for number, bits in enumerate((2.0, 1.0, None, 3.0)):
        ran(store, number, recipe=f"recipe{number}", headline={} if bits is None else {"release.bits & more": bits})
    browser = visitor(store, home)

    def order(address: str) -> list[str]:
        return re.findall(r"recipe\d", seen(browser, address).text.partition("compare")[2])

    assert order("/?sort=recipe&order=up") == ["recipe0", "recipe1", "recipe2", "recipe3"]
    chosen = seen(browser, "/?figure=release.bits+%26+more")
    (by_figure,) = [link for link in chosen.links if "sort=figure" in link]
    assert order(f"/{by_figure}") == ["recipe3", "recipe0", "recipe1", "recipe2"], "the best known first"
    (turned,) = [link for link in seen(browser, f"/{by_figure}").links if "sort=figure" in link]
    assert order(f"/{turned}") == ["recipe1", "recipe0", "recipe3", "recipe2"], "what has no value stays last"
    assert order("/?sort=nothing") == order("/")


def test_two_chosen_runs_are_compared_and_the_difference_is_called_noise_or_more(store: Store, home: Path) -> None:
    def measured(name: str, bits: float, right: float, **more: object) -> Artifact:
        told = {"val.bits_per_byte": bits, "questions.heldout": right}
        ends = {f"{metric}{end}": value + by for metric, value in told.items() for end, by in (("_low", -0.1), ("_high", 0.1))}
        return committed(store, {"m": name.encode()}, stage="evaluate", name=name, metrics={**told, **ends, "rows": float(bits)}, **more)

    one, two = measured("one", 2.0, 0.5), measured("two", 1.5, 0.55)
    first = ran(store, 1, one, configuration={"sft": {"rate": 0.1, "name": HOSTILE}}, recipe=HOSTILE)
    second = ran(store, 2, two, configuration={"sft": {"rate": 0.2}})
    browser = visitor(store, home)
    page = seen(browser, f"/compare?run={second.id}&run={first.id}")
    assert "sft.rate: 0.1 -> 0.2" in page.text and " ".join(HOSTILE.split()) in page.text
    bits, right, rows = (page.text.index(f"evaluate.{name} ") for name in ("val.bits_per_byte", "questions.heldout", "rows"))
    assert bits < right < rows, "what is certain comes first"
    assert "beyond noise -0.641 to -0.359" in page.text[bits:right] and "within noise -0.0914 to +0.191" in page.text[right:rows]
    assert "1.9 to 2.1" in page.text[bits:right] and "no interval" in page.text[rows:]
    assert "1.0 s of work" in page.text or "1 s of work" in page.text
    assert "1 runs are chosen" in seen(browser, f"/compare?run={first.id}", 400).text
    assert "has no run" in seen(browser, f"/compare?run={first.id}&run=none", 404).text


def test_a_run_says_what_it_made_and_why_shards_together(store: Store, home: Path) -> None:
    made = committed(store, {"a.txt": b"a"})
    there = {"stage": "clean", "key": made.key, "digest": made.digest, "location": made.location}
    positions = {
        "clean[0]": PositionRecord(**there, action="executed", causes=("the book a.txt was added",)),
        "clean[1]": PositionRecord(**there, action="reused"),
        "dedup": PositionRecord(**there, action="reused"),
    }
    run = ran(store, 1, made, places=positions)
    text = seen(visitor(store, home), f"/runs/{run.id}").text
    assert "clean 1 of 2 made the book a.txt was added" in text and "and 1 more shards" in text
    assert "dedup reused" in text


def test_a_live_run_shows_how_far_it_is_and_is_followed_until_it_ends(store: Store, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(home))
    stages = {"learn": StageRecord(status="executing", began="2020-01-01T00:00:00+00:00", key="k" * 64)}
    run = ran(store, 1, status="running", stages=stages)
    log_path(home, run.id).parent.mkdir(parents=True)
    log_path(home, run.id).write_text("2020-01-01T00:00:01Z learn: 30/120 steps, 0:40 left\n")
    browser = visitor(store, home)
    with Journal(store).running(run):
        page = seen(browser, f"/runs/{run.id}")
        assert ("progress", "30", "120") in {(tag, a.get("value", ""), a.get("max", "")) for tag, a in page.tags}
        assert "0:40 left" in page.text
        assert ("script", "/live.js") in [(tag, a.get("src")) for tag, a in page.tags]
        assert any("data-live" in attributes for _, attributes in seen(browser, "/").tags)
    ended = seen(browser, f"/runs/{run.id}")
    assert "crashed" in ended.text and not any(tag == "script" for tag, _ in ended.tags)
    assert "crashed" in seen(browser, "/").text


def test_a_record_that_is_written_again_is_read_again(store: Store, home: Path) -> None:
    run = ran(store, 1, status="stopped")
    browser = visitor(store, home)
    assert "stopped" in seen(browser, "/").text
    Journal(store).write(run.model_copy(update={"status": "finished"}))
    assert "finished" in seen(browser, "/").text and "stopped" not in seen(browser, "/").text


def test_names_and_errors_stay_text(store: Store, home: Path) -> None:
    made = committed(store, {"a.txt": b"a"})
    position = PositionRecord(stage="clean", key=made.key, digest=made.digest, location=HOSTILE, action="executed", causes=(HOSTILE,))
    run = ran(
        store, 1, recipe=HOSTILE, status="failed", error=HOSTILE, host=HOSTILE, places={HOSTILE: position}, headline={HOSTILE: 1.0},
        differences={HOSTILE: HOSTILE},
    )  # fmt: skip
    browser = visitor(store, home)
    for address in ("/", f"/runs/{run.id}", f"/?recipe={HOSTILE}"):
        page = seen(browser, address)
        assert " ".join(HOSTILE.split()) in page.text


def test_the_report_of_a_run_is_shown_and_no_file_beside_the_reports(store: Store, home: Path) -> None:
    run, stray = ran(store, 1, recipe="toys"), ran(store, 2, recipe="../..")
    (home / "reports" / "toys").mkdir(parents=True)
    (home / "reports" / "toys" / f"{run.id}.html").write_text("<p>the report</p>")
    (home / f"{stray.id}.html").write_text("secret")
    (home.parent / f"{stray.id}.html").write_text("secret")
    browser = visitor(store, home)
    answer = browser.get(f"/runs/{run.id}/report")
    assert answer.text == "<p>the report</p>" and "script-src" not in answer.headers["Content-Security-Policy"]
    assert f"/runs/{run.id}/report" in seen(browser, f"/runs/{run.id}").links
    assert "has no report" in seen(browser, f"/runs/{stray.id}/report", 404).text


@pytest.mark.parametrize("run_id", ["none", "..%2Fsecret", "%00", "a.b", "20200101T000001-000000.mlflow"])
def test_a_run_that_is_not_there_is_named(store: Store, home: Path, run_id: str) -> None:
    ran(store, 1)
    assert isinstance(seen(visitor(store, home), f"/runs/{run_id}", 404), Seen)


def test_a_store_on_an_object_store_is_shown_too(tmp_path: Path, home: Path) -> None:
    store = Store("memory://page-of-runs", tmp_path / "cache")
    run = ran(store, 1)
    browser = visitor(store, home)
    assert run.id in " ".join(seen(browser, "/").links)
    Journal(store).write(run.model_copy(update={"status": "failed"}))
    assert run.recipe in seen(browser, f"/runs/{run.id}").text
