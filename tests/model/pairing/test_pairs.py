"""Pairs are near the model's own mistakes: the rejected answer is the wrong one that the model itself finds likeliest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.shards.reader import ShardReader
from data.tokens.config import EncodeConfig
from data.tokens.encode import encode
from model.evaluation.config import ThinkingConfig
from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.pairing.config import ConstitutionPairs, OwnCritic, OwnPairs, Principle
from model.pairing.pairs import make_pairs
from model.rollouts.config import RolloutConfig

PLACES = ("Avel", "Brin", "Corve", "Dunmere")
CONFIG = OwnPairs(questions=64, kept=1.0, samples=4, max_new_tokens=48)  # long enough for some replies to end
Maker = Callable[..., tuple[Path, dict[str, float]]]


def _line(place: str, number: int) -> dict[str, Any]:
    others = [other for other in PLACES if other != place]
    messages = [{"role": "user", "content": f"Who walked to {place} on day {number}?"}]
    return {
        "messages": messages,
        "chosen": place,
        "rejected": others[0],
        "candidates": others,
        "answers": [place],
        "books": [f"{number:016x}"],
    }


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    lines = [_line(place, number) for number, place in enumerate(PLACES * 3)]
    said = [{"messages": [*line["messages"], {"role": "assistant", "content": line["chosen"]}], "topic": "who"} for line in lines]
    for split in ("train", "val"):
        (folder / f"preferences_{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / f"instructions_{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    return folder


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, tokenizer_dir: Path, conversations: Path) -> Maker:
    def made(config: OwnPairs = CONFIG) -> tuple[Path, dict[str, float]]:
        output = tmp_path_factory.mktemp("pairs") / "out"
        return output, make_pairs(model_dir, tokenizer_dir, conversations, output, config, threads=1)

    return made


def lines_of(output: Path, split: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / f"pairs_{split}.jsonl").read_text().splitlines()]


def log_probability(decoder: Decoder, chat_format: ChatFormat, messages: list[dict[str, str]], answer: str) -> float:
    """Independently, and by token: each from a pass over what precedes it."""
    prompt = chat_format.encode_chat(messages)
    whole = chat_format.encode_chat([*messages, {"role": "assistant", "content": answer}], reply_next=False)
    total = 0.0
    for position in range(len(prompt), len(whole)):
        logits = decoder.logits({"tokens": torch.tensor([whole[:position]])})[0, -1].double()
        total += float(logits.log_softmax(-1)[whole[position]])
    return total / (len(whole) - len(prompt))


def test_the_rejected_answer_is_the_likeliest_of_the_wrong_ones(make: Maker, decoder: Decoder, chat_format: ChatFormat) -> None:
    output, metrics = make(CONFIG.model_copy(update={"samples": 0}))
    found = lines_of(output)
    assert len(found) == metrics["train_pairs"] == 12 and metrics["train_own"] == 0
    for line in found:
        with torch.no_grad():
            logps = {place: log_probability(decoder, chat_format, line["messages"], place) for place in PLACES}
        wrong = {place: logp for place, logp in logps.items() if place != line["chosen"]}
        assert line["rejected"] == max(wrong, key=lambda place: wrong[place])
        assert line["rejected_logp"] == pytest.approx(max(wrong.values()), abs=1e-3)
        assert line["chosen_logp"] == pytest.approx(logps[line["chosen"]], abs=1e-3)


def test_a_reply_of_the_model_s_own_is_rejected_only_if_it_is_wrong_and_likelier(make: Maker) -> None:
    output, metrics = make()
    own = [line for line in lines_of(output) if line["own"]]
    assert own and metrics["train_own"] == len(own) / 12
    assert not [line for line in own if line["chosen"].casefold() in line["rejected"].casefold()]
    without = {json.dumps(line["messages"]): line for line in lines_of(make(CONFIG.model_copy(update={"samples": 0}))[0])}
    for line in lines_of(output):
        assert line["rejected_logp"] >= without[json.dumps(line["messages"])]["rejected_logp"] - 1e-4


def test_a_reply_that_was_cut_off_is_no_mistake_and_counted(make: Maker) -> None:
    cut, metrics = make(CONFIG.model_copy(update={"max_new_tokens": 1}))
    assert not [line for line in lines_of(cut) if line["own"]] and metrics["train_unended"] == 4 * 12
    assert 0 < make()[1]["train_unended"] < 4 * 12


def test_the_hardest_pairs_are_kept_and_all_of_validation(make: Maker) -> None:
    every, half = (make(CONFIG.model_copy(update={"kept": kept}))[0] for kept in (1.0, 0.5))
    margins = [line["chosen_logp"] - line["rejected_logp"] for line in lines_of(every)]
    assert margins == sorted(margins)
    assert lines_of(half) == lines_of(every)[:6]
    assert lines_of(half, "val") == lines_of(every, "val")


def test_rows_are_those_that_encoding_makes_of_the_same_pairs(make: Maker, tokenizer_dir: Path, tmp_path: Path, decoder: Decoder) -> None:
    output, _ = make(CONFIG.model_copy(update={"samples": 0}))
    for split in ("train", "val"):
        (tmp_path / f"preferences_{split}.jsonl").write_text((output / f"pairs_{split}.jsonl").read_text())
        said = [{"messages": [*line["messages"], {"role": "assistant", "content": "x"}], "topic": ""} for line in lines_of(output, split)]
        (tmp_path / f"instructions_{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    encode(tmp_path, tokenizer_dir, tmp_path / "encoded", EncodeConfig(sequence_length=decoder.config.context))
    for split in ("train", "val"):
        ours, theirs = ShardReader(output / "preference" / split), ShardReader(tmp_path / "encoded" / "preference" / split)
        assert ours.metadata.kind == theirs.metadata.kind and ours.metadata.tokens == theirs.metadata.tokens
        for name, values in theirs.rows(range(len(theirs))).items():
            np.testing.assert_array_equal(ours.rows(range(len(ours)))[name], values)


def test_the_same_seed_gives_the_same_bytes_and_another_other_replies(make: Maker) -> None:
    def contents(config: OwnPairs) -> dict[str, bytes]:
        output, _ = make(config)
        return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}

    assert contents(CONFIG) == contents(CONFIG)
    assert contents(CONFIG) != contents(CONFIG.model_copy(update={"seed": 1}))


def test_questions_without_a_wrong_answer_are_left_out_and_counted(tmp_path: Path, model_dir: Path, tokenizer_dir: Path) -> None:
    long = {**_line("Avel", 1), "chosen": "Avel " * 80}
    for split in ("train", "val"):
        (tmp_path / f"preferences_{split}.jsonl").write_text(json.dumps(long) + "\n")
    with pytest.raises(ValueError, match="no question with a right and a wrong answer that fit into 64 tokens"):
        make_pairs(model_dir, tokenizer_dir, tmp_path, tmp_path / "none", CONFIG, threads=1)
    (tmp_path / "preferences_train.jsonl").write_text(json.dumps(long) + "\n" + json.dumps(_line("Brin", 2)) + "\n")
    metrics = make_pairs(model_dir, tokenizer_dir, tmp_path, tmp_path / "some", CONFIG, threads=1)
    assert metrics["train_pairs"] == 1 and metrics["train_left_out"] == 1 and metrics["val_pairs"] == 0


BRIEF = Principle(critique="Is it short?", revision="Make it short.")


@pytest.mark.parametrize("temperature", [1e-5, 1e-50])
@pytest.mark.parametrize(
    "setting",
    [
        lambda temperature: OwnPairs(temperature=temperature),
        lambda temperature: OwnCritic(temperature=temperature),
        lambda temperature: ConstitutionPairs(principles=(BRIEF,), temperature=temperature),
        lambda temperature: RolloutConfig(temperature=temperature),
        lambda temperature: ThinkingConfig(votes=(3,), temperature=temperature),
    ],
    ids=["own pairs", "critic", "first answers", "rollouts", "thinking"],
)
def test_a_temperature_that_sampling_would_refuse_is_refused_before_a_run(setting: Callable[[float], object], temperature: float) -> None:
    setting(0.5)
    with pytest.raises(ValidationError, match=r"temperature\n"):
        setting(temperature)
