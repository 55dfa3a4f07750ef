"""What people judge on the page is what DPO then prefers, on pairs that it never saw; and the other way round if they judge so.

Judges press keys in a real browser, and two more who draw lots lower the agreement that the page shows.

python -m pytest -m slow -s tests/end_to_end/test_learned_judgements.py
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
import yaml
from prefect import flow

from data.judgements.journal import Preference, read_journal
from flows.base import base
from flows.chat import chat
from flows.corpus import corpus
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import JUDGEMENTS, home
from tasks.stage.execution.run_context import begin_flow, open_run
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.end_to_end.talks import COLOURS, THINGS, write_folder
from tests.flows.page.browsing import launched, needs_chromium, serving, tab
from tests.tasks.lineage.corpus_store import Corpus

JUDGEMENTS_MADE, JUDGES, CARELESS, LOTS = 200, ("ada", "bob"), ("cyd", "dan"), 40
PLAIN, HEDGED = "It is {}.", "I saw it once and it was {} to me."

pytestmark = [pytest.mark.slow, needs_chromium]


def write_recipe(folder: Path) -> Path:
    """A recipe that is tuned on conversations, then by what was judged."""
    recipe = yaml.safe_load(write_folder(folder).read_text(encoding="utf-8"))
    chats, _ = recipe["examples"]["sources"]
    recipe["examples"] |= {
        "sources": [chats, {"kind": "judgements"}],
        "validation_fraction": 0.25,
        "near": {"enabled": False},  # so many short questions are alike, and would stay together
        "generated": None,  # or held-out pairs would be of others, too
    }
    for section in recipe["evaluate"].values():
        section |= {"questions": False, "copying": False, "samples": 0}
    recipe["tuning"] = [
        {"kind": "sft", "steps": 60, "global_batch": 8, "learning_rate": 0.006, "eval_rows": 0},
        {"kind": "dpo", "steps": 40, "global_batch": 8, "learning_rate": 0.0005, "pairs": {"kind": "examples"}},
    ]
    recipe["gates"]["corpus"]["bounds"].append({"metric": "judgements.preferences", "minimum": 50})
    path = folder / "judged_talks.yaml"
    path.write_text(yaml.safe_dump(recipe | {"name": "judged_talks"}), encoding="utf-8")
    return path


def recorded(folder: Path) -> Store:
    """A store with the recorded answers of two models, one plain and one that hedges."""
    store = Store(str(folder / "models"), folder / "models-cache")
    shelf = Corpus(store)
    shelf.run()
    asked = [
        (f"What colour is the {where} {thing}?", COLOURS[(at + number) % len(COLOURS)])
        for at, thing in enumerate(THINGS)
        for number, where in enumerate(
            ("old", "home", "slowly", "walked", "never", "under", "of a", "and a", "saw a", "red", "blue", "white")
        )
    ]
    for name, words in (("plain", PLAIN), ("hedged", HEDGED)):
        model = shelf.commit(f"tune.{name}", {"model.bin": name}, {"model": shelf.made["pretrain"].reference()})
        rows = [{"question": question, "reply": words.format(colour), "right": True} for question, colour in asked]
        shelf.commit(f"evaluate.{name}", {"answers_seen.jsonl": rows}, {"model": model.reference()})
    return store


def judge(opened: Any, name: str, count: int, better: Callable[[list[str]], str]) -> None:
    """Judge by the keyboard alone, from the page's first form on. `better`: the key, a or b, for the answers as they are shown."""
    opened.goto(f"{opened.url.partition('/judging')[0]}/judging")
    opened.get_by_label("Your name").focus()
    opened.keyboard.type(name)
    opened.keyboard.press("Enter")
    opened.wait_for_url("**/judging/next?**")
    for _ in range(count):
        with opened.expect_navigation():
            opened.keyboard.press(better(opened.locator(".answers pre").all_inner_texts()))
        assert opened.get_by_text("The last one was kept").is_visible()


def judge_all(folder: Path, prefers: str) -> dict[str, float]:
    """Let two judges press for the answer that begins like this until there are enough. Return alpha, and what careless judges make of it.

    What the careless ones said is taken out of the journal again, so that nothing of it is learned.
    """
    store = recorded(folder / prefers.split()[0])
    drawn, alphas = random.Random(7), dict[str, float]()
    with launched() as browser, serving(store, home()) as address, tab(browser, address) as opened:
        opened.goto(f"{address}/judging")
        for name in JUDGES:
            judge(opened, name, JUDGEMENTS_MADE // len(JUDGES), lambda shown: "a" if shown[0].startswith(prefers) else "b")
        careful = {path.name: path.read_bytes() for path in (home() / JUDGEMENTS).iterdir()}
        alphas["careful"] = shown_alpha(opened, address)
        for name in CARELESS:
            judge(opened, name, LOTS, lambda shown: drawn.choice("ab"))
        alphas["with careless"] = shown_alpha(opened, address)
    for path in (home() / JUDGEMENTS).iterdir():
        if path.name not in careful:
            path.unlink()
    assert {path.name: path.read_bytes() for path in (home() / JUDGEMENTS).iterdir()} == careful
    return alphas


def shown_alpha(opened: Any, address: str) -> float:
    """The alpha that the page shows, which must be that of the krippendorff package."""
    opened.goto(f"{address}/judging")
    shown = re.search(r"alpha (-?[\d.]+) ", opened.locator("main").inner_text())
    assert shown
    lines = [entry.line for entry in read_journal(home() / JUDGEMENTS).entries]
    judges, questions = sorted({line.judge for line in lines}), dict[str, int]()
    table = np.full((len(judges), JUDGEMENTS_MADE), np.nan)
    for line in lines:
        assert isinstance(line, Preference)
        # Of two answers the one whose text has the lower digest is the first, however they were shown.
        texts = [answer.text for answer in line.answers]
        first = min(texts, key=lambda text: hashlib.sha256(text.encode()).hexdigest())
        at = questions.setdefault(line.prompt[-1].content, len(questions))
        table[judges.index(line.judge), at] = float(texts["AB".index(line.preferred)] == first)
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    assert float(shown.group(1)) == round(theirs, 2)
    return float(theirs)


def tuned(recipe: Recipe) -> dict[str, Artifact]:
    """Run the chapters up to tuning, in a real Prefect flow; return the artifacts by position."""
    begun_by: list[str] = []

    @flow(name="judged")
    def chapters() -> dict[str, Artifact]:
        begun_by.append(recipe.name)
        with open_run(**recipe.run_settings()) as run:
            read = corpus(recipe)
            chat(recipe, read, base(recipe, read))
            return run.artifacts

    return begin_flow(chapters, begun=lambda: bool(begun_by))


def heldout_accuracy(artifacts: dict[str, Artifact]) -> tuple[float, float]:
    """The share of held-out pairs that DPO came to prefer as the judges did, and how many there are."""
    pairs = artifacts["encode"].metrics["preference_val_kept"]
    assert pairs > 20
    return artifacts["tune.dpo"].metrics["val_accuracy"], pairs


def test_dpo_prefers_on_held_out_pairs_what_was_judged_on_the_page(prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_file = write_recipe(tmp_path)
    made: dict[str, dict[str, Artifact]] = {}
    for name, prefers in (("plain", PLAIN[:6]), ("hedged", HEDGED[:6])):
        monkeypatch.setenv("FOLIO_HOME", str(tmp_path / name))
        alphas = judge_all(tmp_path, prefers)
        assert alphas["with careless"] < alphas["careful"] - 0.1
        print(f"alpha of judges who prefer the {name} answer: {', '.join(f'{alpha:.3f} {who}' for who, alpha in alphas.items())}")
        assert len(read_journal(home() / JUDGEMENTS).entries) == JUDGEMENTS_MADE
        recipe = load(str(recipe_file)).model_copy(update={"store": str(tmp_path / "store")})
        made[name] = tuned(recipe)
        right, pairs = heldout_accuracy(made[name])
        # If it preferred by lots, this many would be right in fewer than 1 of 1,000 cases (3.1 standard errors).
        least = 0.5 + 3.1 * (0.25 / pairs) ** 0.5
        print(f"judges prefer the {name} answer: {right:.0%} of {pairs:.0f} held-out pairs as they do; lots would give {least:.0%} at most")
        assert right > least
    assert made["plain"]["tune.sft"].address == made["hedged"]["tune.sft"].address  # judgements alone made the difference
    agreed = made["plain"]["judgements"].metrics
    print({name: agreed[name] for name in ("lines", "judges", "questions", "several_judges", "preferences", "preference_alpha")})
