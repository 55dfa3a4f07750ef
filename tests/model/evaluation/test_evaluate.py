"""Evaluation: loss, probes, memorization, and the whole of it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from model.evaluation.config import EvaluateConfig, Probe
from model.evaluation.evaluate import evaluate
from model.evaluation.loss import Continuation, evaluate_loss, measure_memorization
from model.evaluation.questions import probabilities
from model.inference.chat import ChatModel
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_texts
from model.loading.packed_rows import draw_passages
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, save_model
from model.quantization.config import quantize
from model.quantization.integers import Int4Config, Int8Config
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("seen", "heldout"):
        lines = [{"question": f"{name} {n}?", "answers": ["Ada"], "fact": str(n)} for n in range(5)]
        (folder / f"questions_{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_loss_counts_marked_targets_each_in_its_own_document(decoder: Decoder, packed: Path) -> None:
    reader = ShardReader(packed / "val")
    rows = reader.rows(range(len(reader)))
    nats, count = 0.0, 0
    for tokens, document, loss in zip(rows["tokens"], rows["document"], rows["loss"], strict=True):
        for number in np.unique(document):
            inside = np.flatnonzero(document == number)
            with torch.no_grad():
                logs = decoder.logits({"tokens": torch.from_numpy(tokens[inside])[None]})[0].double().log_softmax(-1)
            for place in range(1, len(inside)):
                if loss[inside[place]]:
                    nats -= float(logs[place - 1, tokens[inside[place]]])
                    count += 1
    measured = evaluate_loss(decoder, packed / "val", batch=3).metrics
    assert measured["targets"] == count == reader.metadata.targets
    assert measured["loss"] == pytest.approx(nats / count, rel=1e-5)
    assert measured["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)
    assert measured["bits_per_byte"] == pytest.approx(nats / math.log(2) / reader.metadata.bytes, rel=1e-5)
    assert measured["loss_low"] <= measured["loss"] <= measured["loss_high"] and measured["loss_error"] > 0


def test_batch_size_changes_the_loss_by_rounding_only_and_a_sample_is_reproducible(decoder: Decoder, packed: Path) -> None:
    one, five = (evaluate_loss(decoder, packed / "val", batch=batch).metrics["loss"] for batch in (1, 5))
    assert one == pytest.approx(five, rel=1e-6)
    first, second = (evaluate_loss(decoder, packed / "train", rows=4, seed=3).metrics for _ in range(2))
    assert first == second and first["rows"] == 4


def test_a_word_of_several_tokens_has_the_product_of_their_probabilities(decoder: Decoder, chat_format: ChatFormat) -> None:
    prompt, word = "Ada walked", "quixotically"
    given, whole = chat_format.encode_document(prompt), chat_format.encode_document(f"{prompt} {word}")
    expected = 1.0
    for end in range(len(given), len(whole)):
        with torch.no_grad():
            expected *= float(decoder.logits({"tokens": torch.tensor([whole[:end]])})[0, -1].double().softmax(-1)[whole[end]])
    assert len(whole) - len(given) > 2
    assert probabilities(decoder, chat_format, prompt, [word, word])[1] == pytest.approx(expected, rel=1e-3)


def test_the_probabilities_of_all_continuations_sum_to_one(decoder: Decoder, chat_format: ChatFormat) -> None:
    given = chat_format.encode_document("Ada walked")
    with torch.no_grad():
        total = float(decoder.logits({"tokens": torch.tensor([given])})[0, -1].double().softmax(-1).sum())
    assert total == pytest.approx(1)


def test_a_prompt_that_shares_a_token_with_the_word_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    split = tmp_path / "split.parquet"
    columns = {name: ["x"] for name in ("id", "title", "source", "metadata")}
    pq.write_table(pa.table({**columns, "text": ["a   b " * 50]}), split)
    fit_tokenizer(split, tmp_path, TokenizerConfig(vocab_size=300))
    spaced = ChatFormat(tmp_path)
    assert len(spaced.encode_text("   b")) == 2, "two spaces are one token here"
    with pytest.raises(ValueError, match="end the prompt at the end of a word"):
        probabilities(decoder, spaced, "a ", [" b"])


def test_a_prompt_longer_than_the_context_is_refused(decoder: Decoder, chat_format: ChatFormat) -> None:
    with pytest.raises(ValueError, match="the context is 64"):
        probabilities(decoder, chat_format, "x" * 64, ["from"])


def test_passages_lie_inside_one_document_and_depend_on_the_seed(packed: Path) -> None:
    reader = ShardReader(packed / "train")
    passages = draw_passages(reader, 20, 8, 8, seed=1)
    assert passages == draw_passages(reader, 20, 8, 8, seed=1) and len(passages) > 5
    assert all(len(passage) == 16 and 0 not in passage for passage in passages)
    assert not any(2 in passage[:-1] for passage in passages), "a document ends inside a passage"
    assert draw_passages(reader, 20, 60, 60, seed=1) == []


def test_copied_tokens_counts_leading_tokens_that_equal_the_text() -> None:
    assert Continuation([1], [2, 3, 4], [2, 3, 4]).copied_tokens == 3
    assert Continuation([1], [2, 3, 4], [2, 9, 4]).copied_tokens == 1
    assert Continuation([1], [2, 3, 4], [2, 3]).copied_tokens == 2


def test_a_model_that_memorized_a_passage_is_detected(chat_format: ChatFormat, decoder: Decoder, packed: Path) -> None:
    reader = ShardReader(packed / "train")
    learner = Decoder(decoder.config, decoder.vocab_size, seed=1)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    passages = torch.tensor(draw_passages(reader, 2, 8, 16, seed=0))
    for _ in range(120):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(learner.logits({"tokens": passages[:, :-1]}).mT, passages[:, 1:])
        torch.autograd.backward(loss)
        optimizer.step()
    arguments = {"passages": 2, "prompt_tokens": 8, "copy_tokens": 16, "seed": 0}
    assert all(attempt.copied_tokens == 16 for attempt in measure_memorization(learner.decoding(), reader, **arguments))
    assert not any(attempt.copied_tokens == 16 for attempt in measure_memorization(decoder.decoding(), reader, **arguments))


def test_everything_requested_is_measured_and_the_files_are_reproducible(
    model_dir: Path, tokenizer_dir: Path, packed: Path, examples: Path, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        rows=6, resamples=100, questions=True, copying=True, copy_prompts=4, copy_prompt_tokens=8, copy_tokens=8,
        probes=(Probe(prompt="Ada walked", word="from"),), samples=2, answer_tokens=6,
    )  # fmt: skip
    runs = [tmp_path / "a", tmp_path / "b"]
    first, second = (evaluate(model_dir, tokenizer_dir, packed, examples, run, config, threads=1) for run in runs)
    names = ["answers_heldout.jsonl", "answers_seen.jsonl", "metrics.json", "samples.jsonl", "units.npz"]
    assert sorted(path.name for path in runs[0].iterdir()) == names
    assert all((runs[0] / name).read_bytes() == (runs[1] / name).read_bytes() for name in names)
    assert first == second == json.loads((runs[0] / "metrics.json").read_text())
    wanted = {"train.loss", "val.bits_per_byte", "val.perplexity", "questions.seen", "questions.heldout_low",
              "questions.seen_count", "copying.share", "copying.baseline", "probe.ada_walked.from"}  # fmt: skip
    assert wanted <= set(first) and all(math.isfinite(value) for value in first.values())
    kinds = [json.loads(line)["kind"] for line in (runs[0] / "samples.jsonl").read_text().splitlines()]
    assert kinds == ["conversation"] * 4 + ["continuation"] * 2 + ["beginning"] * 2


@pytest.mark.parametrize(("variant", "cost"), [(Int8Config(), 0.01), (Int4Config(group_size=16), 0.2)], ids=["int8", "int4"])
def test_a_quantized_model_is_evaluated_like_any_other_and_close_to_its_source(
    variant: Int8Config | Int4Config, cost: float, model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path
) -> None:
    quantize(model_dir, tmp_path / "variant", variant)
    config = EvaluateConfig(splits=("val",), resamples=100, samples=0)
    exact, rounded = (
        evaluate(directory, tokenizer_dir, packed, None, tmp_path / "out", config, threads=1)["val.bits_per_byte"]
        for directory in (model_dir, tmp_path / "variant")
    )
    assert exact != rounded and rounded / exact == pytest.approx(1, abs=cost)


def test_the_number_of_threads_is_restored(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    config = EvaluateConfig(splits=("val",), rows=1, resamples=100, samples=0)
    evaluate(model_dir, tokenizer_dir, packed, None, tmp_path, config, threads=before + 1)
    assert torch.get_num_threads() == before


def test_missing_inputs_are_refused_before_the_model_runs(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="test"):
        evaluate(model_dir, tokenizer_dir, packed, None, tmp_path, EvaluateConfig(splits=("test",)), threads=1)
    with pytest.raises(ValueError, match="questions=true needs examples"):
        evaluate(model_dir, tokenizer_dir, packed, None, tmp_path, EvaluateConfig(questions=True), threads=1)


def test_shards_of_another_tokenizer_are_refused(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    for path in tokenizer_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = tmp_path / "tokenizer.json"
    changed.write_text(changed.read_text() + "\n")
    with pytest.raises(ShardError, match="was encoded by tokenizer"):
        evaluate(model_dir, tmp_path, packed, None, tmp_path / "out", EvaluateConfig(), threads=1)


def test_text_behind_unknown_tokens_is_charged_byte_by_byte(decoder: Decoder, packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed / "val", tmp_path / "val")
    metadata = json.loads((tmp_path / "val" / "shards.json").read_text())
    (tmp_path / "val" / "shards.json").write_text(
        json.dumps(metadata | {"unknown": 10, "unknown_bytes": 60, "bytes": metadata["bytes"] + 60})
    )
    plain, charged = (evaluate_loss(decoder, folder / "val").metrics for folder in (packed, tmp_path))
    bits = plain["bits_per_byte"] * metadata["bytes"] + (60 + 10) * math.log2(257)  # each unknown byte, and an end mark for each token
    assert charged["bits_per_byte"] == pytest.approx(bits / (metadata["bytes"] + 60))
    assert charged["loss"] == plain["loss"]


def test_a_model_of_another_tokenizer_is_refused_wherever_it_meets_text(
    decoder: Decoder, tokenizer_dir: Path, packed: Path, tmp_path: Path
) -> None:
    card = ModelCard(name="x", recipe="x", summary="x", intended_use=("Tests.",), limits=("All.",))
    save_model(decoder, tmp_path / "model", extra={"tokenizer_digest": "e" * 64})
    refused = r"was trained with tokenizer eeeeeeeeeeee, but tokenizer \w{12} is in use"
    with pytest.raises(ModelError, match=refused):
        evaluate(tmp_path / "model", tokenizer_dir, packed, None, tmp_path / "out", EvaluateConfig(), threads=1)
    with pytest.raises(ModelError, match=refused):
        ChatModel.open(tmp_path / "model", tokenizer=tokenizer_dir)
    shutil.copytree(tokenizer_dir, tmp_path / "model", dirs_exist_ok=True)
    with pytest.raises(ModelError, match=refused):
        list(sample_texts(tmp_path / "model", ["Ada"], 1, SamplingConfig()))
    with pytest.raises(ModelError, match=refused):
        export(tmp_path / "model", tokenizer_dir, tmp_path / "release", ExportConfig(), card)


def test_a_config_that_repeats_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="repeats a name"):
        EvaluateConfig(splits=("val", "val"))
    with pytest.raises(ValidationError, match="share the metric"):
        EvaluateConfig(probes=(Probe(prompt="The cat", word="sat"), Probe(prompt="the cat", word="sat")))
