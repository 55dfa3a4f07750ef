"""What judgements come to: the majority decides, ties are dropped and counted, and what is taken back has no voice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.documents.sharding import document_id, text_digest
from data.judgements.config import JudgementConfig, journal_files, judgement_state
from data.judgements.examples import counts, decide, rated, write_judged
from data.judgements.journal import AnyLine, append
from data.sources.config import JUDGED
from data.sources.errors import SourceError
from tasks.stage.identity.digests import hash_file
from tests.data.judgements.judging import journal, judged, line, prefers


def fates(*lines: AnyLine) -> list[str]:
    """What became of each line."""
    return [fate for _, fate, _ in decide(journal(*lines)).fates]


def pairs(*lines: AnyLine, without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Chosen and rejected of every pair."""
    found = decide(journal(*lines), without=without).examples.values()
    return [(one["chosen"], one["rejected"]) for one in found if "chosen" in one]


def test_the_majority_of_judges_decides_whatever_order_they_saw() -> None:
    lines = [prefers("red", judge="ada"), prefers("blue", judge="bob", swapped=True), prefers("red", judge="cyd", swapped=True)]
    assert pairs(*lines) == [("It is red.", "It is blue.")]
    assert fates(*lines) == ["used", "outvoted", "used"]


def test_ties_and_majorities_for_neither_are_dropped_and_counted() -> None:
    tied = [prefers("red", judge="ada"), prefers("blue", judge="bob")]
    neither = [prefers(value, "Second?", judge) for value, judge in (("tie", "ada"), ("tie", "bob"), ("red", "cyd"))]
    assert not pairs(*tied, *neither)
    found = journal(*tied, *neither)
    figures = counts(found, decide(found))
    assert (figures["tied"], figures["neither"], figures["outvoted"], figures["preferences"]) == (2, 2, 1, 0)


def test_a_judge_has_one_voice_and_the_last_one_counts() -> None:
    lines = [prefers("red"), prefers("red"), prefers("blue"), prefers("red", judge="bob"), prefers("blue", judge="cyd")]
    assert fates(*lines) == ["replaced", "replaced", "used", "outvoted", "used"]
    assert pairs(*lines) == [("It is blue.", "It is red.")]


def test_labels_ideals_and_corrections_become_what_tuning_reads() -> None:
    lines = [
        judged("label", texts=("It is red.",), good=False),
        judged("ideal", "Second?", texts=("No.",), ideal="Yes."),
        judged("ideal", "Third?", ideal="Perhaps."),
        judged("correction", "Fourth?", texts=("Built in 1901 by Ada.",), wrong="1901", right="1910"),
    ]
    outcome = decide(journal(*lines))
    made = [{key: value for key, value in one.items() if key != "id"} for one in outcome.examples.values()]
    asked = {question: {"role": "user", "content": question} for question in ("What colour is the kiln?", "Second?", "Third?", "Fourth?")}

    def talk(question: str, answer: str) -> dict[str, object]:
        return {"messages": [asked[question], {"role": "assistant", "content": answer}]}

    expected = [
        {"messages": [asked["What colour is the kiln?"]], "completion": "It is red.", "label": False},
        talk("Second?", "Yes."),
        {"messages": [asked["Second?"]], "chosen": "Yes.", "rejected": "No."},
        talk("Third?", "Perhaps."),
        talk("Fourth?", "Built in 1910 by Ada."),
        {"messages": [asked["Fourth?"]], "chosen": "Built in 1910 by Ada.", "rejected": "Built in 1901 by Ada."},
    ]
    assert sorted(map(json.dumps, made)) == sorted(map(json.dumps, expected))


@pytest.mark.parametrize("of", ["judgement", "judge", "answer"])
def test_a_withdrawal_takes_back_what_was_before_it(of: str) -> None:
    first, other = prefers("red"), prefers("blue", "Second?", judge="bob")
    what = {"judgement": first.id, "judge": "ada", "answer": text_digest("It is red.")}[of]
    found = fates(first, other, line("withdrawal", "bob", of=of, what=what), prefers("red", "Third?"))
    assert found == ["withdrawn", "withdrawn" if of == "answer" else "used", "withdrawal", "used"]


def test_what_is_never_to_be_read_has_no_voice_by_judge_by_answer_and_by_example() -> None:
    lines = [prefers("red"), prefers("blue", judge="bob"), prefers("red", judge="cyd")]
    assert pairs(*lines) == [("It is red.", "It is blue.")]
    assert pairs(*lines, without=(text_digest("cyd"),)) == []  # one voice each
    assert pairs(*lines, without=(text_digest("It is blue."),)) == []
    (identity,) = decide(journal(*lines)).examples
    assert not decide(journal(*lines), "people", (document_id("people", f"{JUDGED}#{identity}"),)).examples


def test_only_the_last_answer_of_a_longer_conversation_is_learned() -> None:
    prompt = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    (found,) = decide(journal(line("ideal", prompt=prompt, answers=[], ideal="d"))).examples.values()
    assert [message.get("weight", 1) for message in found["messages"]] == [1, 0, 1, 1]


def test_models_are_rated_by_what_tells_them_apart_and_shown_by_their_newest_name() -> None:
    rows = rated(decide(journal(*(prefers("red", f"Question {number}?") for number in range(9)))))
    assert [(row["model"], row["won"], row["voices"]) for row in rows] == [("small", 9, 9), ("large", 0, 9)]
    assert rows[0]["points"] == -rows[1]["points"] > 0


def test_what_is_written_accounts_for_every_line_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    for one in (prefers("red"), prefers("blue", judge="bob"), prefers("red", judge="cyd"), judged("label", texts=("x",), good=True)):
        append(folder, one)
    with journal_files(folder)[0].open("a") as stream:
        stream.write('{"cut')
    config = JudgementConfig(name="people", folder="journal")
    state = judgement_state(config, tmp_path, None, lambda paths: {path: hash_file(path) for path in paths})
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        output.mkdir()
        metrics = write_judged(folder, output, config, state)
    ledger = [json.loads(row) for row in (outputs[0] / "ledger.jsonl").read_text().splitlines()]
    assert metrics["lines"] == len(ledger) == 5 and metrics["set_aside"] == 1
    assert sum(metrics[name] for name in ("used", "outvoted", "tied", "neither", "replaced", "withdrawn", "withdrawal", "without")) == 4
    assert "red" not in (outputs[0] / "ledger.jsonl").read_text()
    for path in outputs[0].iterdir():
        assert path.read_bytes() == (outputs[1] / path.name).read_bytes()


def test_a_journal_that_grew_since_the_key_was_made_is_refused(tmp_path: Path) -> None:
    append(tmp_path, prefers("red"))
    config = JudgementConfig(name="people", folder=".")
    state = judgement_state(config, tmp_path, None, lambda paths: {path: hash_file(path) for path in paths})
    append(tmp_path, prefers("blue"))
    with pytest.raises(SourceError, match="changed after this run began"):
        write_judged(tmp_path, tmp_path, config, state)


def test_a_folder_without_judgements_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no judgements"):
        judgement_state(JudgementConfig(name="people", folder="nowhere"), tmp_path, None, lambda paths: {})
