"""What a chat page opens with: a line about a model, and questions from what measured it, what it was made from, or its texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.cli.introduction import introduce
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import Corpus

CARD = {
    "card": {
        "name": "mine", "summary": "It knows books.", "conversation": [["user", "Hello?"], ["assistant", "Hello."]],
        "corpus": [{"name": "shelf", "documents": 3, "characters": 30}], "recipe": "mine", "intended_use": ["Tests."], "limits": ["All."],
        "gates": [["release.bits", "0.5", "<= 1", "+0.5", "passed"]],
    },
    "facts": {"parameters": 2_000_000},
}  # fmt: skip
SUMMARY = "mine: It knows books; 2 million parameters; trained on 3 documents of shelf; gate: release.bits 0.5 passed."


def rows(*questions: str, **more: Any) -> list[dict[str, Any]]:
    """Rows of a file of questions."""
    return [{"question": question, **more} for question in questions]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A run over a few books, whose texts are the only thing that one could ask about."""
    made = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    made.run()
    return made


def exported(corpus: Corpus, **inputs: str) -> Path:
    """The folder of a release of the corpus's model. `inputs`: positions of what it was made with besides."""
    named = {"model": corpus.made["pretrain"].reference()} | {name: corpus.made[position].reference() for name, position in inputs.items()}
    return corpus.store.local(corpus.commit("export", {"card.json": json.dumps(CARD)}, named))


def test_questions_that_were_answered_rightly_come_first_then_those_that_were_made_then_beginnings(corpus: Corpus) -> None:
    folder = exported(corpus)
    assert introduce(folder).summary == SUMMARY
    beginnings = introduce(folder).questions
    assert beginnings and all(any(text.startswith(one) for text in corpus.texts.values()) for one in beginnings)

    examples = {"questions_heldout.jsonl": rows("Made 1?", "Made 2?", "Made 3?", "Made 4?")}
    corpus.commit("examples", examples, {"documents": corpus.made["split[0]"].reference()})
    folder = exported(corpus, examples="examples")
    assert introduce(folder).questions == ("Made 1?", "Made 2?", "Made 3?")

    answers = [*rows("Wrong?", right=False), *rows("After that?", right=True, before=[{"role": "user", "content": "Hm"}])]
    answers += [*rows(*(f"Right {number}?" for number in range(30)), right=True), *rows("long " * 100, "two\nlines", right=True)]
    corpus.commit("evaluate.release", {"answers_heldout.jsonl": answers}, {"model": corpus.made["pretrain"].reference()})
    # From the whole list, since neighbours are alike.
    assert introduce(folder).questions == ("Right 0?", "Right 10?", "Right 20?")


def test_a_gates_newest_figures_stand_in_the_line(corpus: Corpus) -> None:
    folder = exported(corpus)
    row = {"metric": "release.seen", "value": "0.9", "bound": ">= 0.5", "margin": "+0.4", "verdict": "passed"}
    corpus.commit("gate.release", {"verdict.json": json.dumps({"rows": [row]})}, {"exported": corpus.made["export"].reference()})
    assert introduce(folder).summary.endswith("gate: release.seen 0.9 passed.")


def test_a_folder_outside_a_store_is_introduced_by_its_card_and_one_without_a_card_by_nothing(corpus: Corpus, tmp_path: Path) -> None:
    folder = exported(corpus)
    shutil.copytree(folder, tmp_path / "copied")
    (tmp_path / "copied" / "artifact.json").unlink()
    assert introduce(tmp_path / "copied") == (SUMMARY, ("Hello?",))
    for damaged in ("{", "[]", '{"card": 1}', '{"card": 1, "facts": {"parameters": 1}}'):
        (tmp_path / "copied" / "card.json").write_text(damaged)
        assert introduce(tmp_path / "copied") == ("", ())
