"""Every kind of network trains by the same rules as a decoder: in each ZeRO stage, after a kill, with optimizers that ask for roles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.shards.schema import WORDS, ShardError
from data.shards.writer import ShardWriter
from model.adapters.lora import LoraConfig
from model.layers.mixers.config import AttentionMixer, ConvolutionMixer, GatedDeltaMixer, Mamba2Mixer
from model.networks.config import DecoderConfig, EncoderConfig, EncoderDecoderConfig, HybridConfig, RecurrentConfig
from model.networks.directory import load_model
from model.training.config import SftConfig
from model.training.job import Job, JobError
from model.training.kinds.pretraining import ContrastiveConfig, MaskedConfig, PrefixConfig, SpansConfig
from model.training.launch.launch import launch
from model.training.optimizers.build import parameters_by_role
from model.training.precision import use_float8
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import CONTEXT, DIGEST, SHAPE, VOCABULARY, JobMaker, follow_up, packed_rows
from tests.model.training.alone import train_here, train_together
from tests.model.training.test_killed import killed_after_a_checkpoint

RECURRENT = RecurrentConfig(width=32, layers=2, context=CONTEXT)
ENCODER = EncoderConfig(width=32, layers=2, heads=4, feed_forward=64, context=CONTEXT)
BOTH = EncoderDecoderConfig(width=32, layers=2, heads=4, feed_forward=64, context=CONTEXT)
HYBRID = HybridConfig(
    width=32,
    layers=4,
    heads=4,
    feed_forward=64,
    context=CONTEXT,
    mixers=(ConvolutionMixer(), Mamba2Mixer(head_width=16, state=8, chunk=16), GatedDeltaMixer(head_width=16, chunk=16), AttentionMixer()),
)
EXPERTS = DecoderConfig.model_validate({
    **{"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "feed_forward": 32, "context": CONTEXT},
    "experts": {"count": 4, "active": 2, "shared": 1, "router_loss": 0.001},
})  # fmt: skip
HYBRID_EXPERTS = HybridConfig.model_validate({
    **{"width": 32, "layers": 2, "heads": 4, "feed_forward": 32, "context": CONTEXT, "mixers": HYBRID.mixers[2:]},
    "experts": {"count": 4, "active": 2, "score": "softmax", "balance": {"kind": "loss"}, "capacity": 1.25},
})  # fmt: skip
PROMPTED = SHAPE.model_copy(update={"prompt": "bidirectional"})
CAUSAL = {"recurrent": RECURRENT, "hybrid": HYBRID, "experts": EXPERTS, "hybrid-experts": HYBRID_EXPERTS}
CONTRASTED = {"contrastive-encoder": ENCODER, "contrastive-decoder": SHAPE}
KINDS = (*CAUSAL, "prompted", "encoder", "encoder_decoder", *CONTRASTED)


def of_kind(job: Job, kind: str) -> Job:
    """The job with another network, which learns what it can: next tokens, or those that are hidden."""
    fields = job.model_dump()
    if kind in CAUSAL:
        return Job.model_validate({**fields, "network": CAUSAL[kind]})
    if kind in CONTRASTED:
        train = {name: value for name, value in fields["train"].items() if name in ContrastiveConfig.model_fields}
        few = {"kind": "contrastive", "least_tokens": 2, "temperature": 0.2, "sizes": [8], "hardness": 0.5}
        return Job.model_validate({**fields, "network": CONTRASTED[kind], "train": {**train, **few}})
    if kind == "prompted":
        train = {name: value for name, value in fields["train"].items() if name in PrefixConfig.model_fields}
        return Job.model_validate({**fields, "network": PROMPTED, "train": {**train, "kind": "prefix"}})
    if kind == "encoder_decoder":
        train = {name: value for name, value in fields["train"].items() if name in SpansConfig.model_fields}
        return Job.model_validate({**fields, "network": BOTH, "train": {**train, "kind": "spans", "density": 0.3}})
    train = {name: value for name, value in fields["train"].items() if name in MaskedConfig.model_fields}
    return Job.model_validate({**fields, "network": ENCODER, "train": {**train, "kind": "masked", "share": 0.3}})


def curve(job: Job, name: str = "loss") -> list[float]:
    return [line[name] for line in read_lines(job.output / "history.jsonl") if name in line]


@pytest.mark.slow
@pytest.mark.parametrize("stages", [(3,), (0, 1, 2)], ids=["ZeRO 3", "ZeRO 0 to 2"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_learn_in_every_zero_stage_what_one_learns(
    make_job: JobMaker, tmp_path: Path, kind: str, stages: tuple[int, ...]
) -> None:
    alone = of_kind(make_job("alone", {"micro_batch": 8}, steps=20), kind)
    train_here(alone)
    names = [(f"stage_{stage}", {"workers": 2, "zero_stage": stage, "micro_batch": 2}) for stage in stages]
    shared = [of_kind(make_job(name, resources, steps=20), kind) for name, resources in names]
    train_together([(job, None) for job in shared], tmp_path)
    expected, weights = curve(alone), load_model(alone.output).state_dict()
    assert expected[-1] < expected[0] - 0.1, "nothing was learned, so equal curves would prove nothing"
    for job in shared:
        assert curve(job) == pytest.approx(expected, abs=1e-4)
        assert curve(job, "val_loss")[-1] == pytest.approx(curve(alone, "val_loss")[-1], abs=1e-4)
        for name, tensor in load_model(job.output).state_dict().items():
            torch.testing.assert_close(tensor, weights[name], atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_with_signal_9_continues_and_ends_with_the_same_bytes(make_job: JobMaker, tmp_path: Path, kind: str) -> None:
    resources = {"checkpoint_every_steps": 10}
    undisturbed, killed = (of_kind(make_job(name, resources, steps=200, eval_rows=0), kind) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    step = killed_after_a_checkpoint(killed, tmp_path)
    notes: list[str] = []
    launch(killed, on_progress=lambda progress: notes.append(progress.note))
    assert any(note.split(";")[0] == f"continuing from the checkpoint of step {step}" for note in notes) and 0 < step < 200, notes
    for name in ("model.safetensors", "history.jsonl"):
        assert (killed.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name


@pytest.mark.parametrize("kind", KINDS)
def test_muon_takes_the_matrices_inside_the_blocks_and_learns(make_job: JobMaker, kind: str) -> None:
    job = of_kind(make_job("muon", steps=30, optimizer="muon", learning_rate=1e-2), kind)
    network = job.network.build(job.vocab_size)
    named = network.blocks().named_parameters()  # a router compares experts, and no direction of it is to weigh as much as any other
    inside = {id(parameter) for name, parameter in named if parameter.dim() == 2 and not name.endswith("mlp.gate.weight")}
    assert {id(matrix) for matrix in parameters_by_role(network)["matrix"]} == inside
    train_here(job)
    losses = curve(job)
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("resources", [{"recompute": "blocks"}, {"loader_threads": 0}], ids=lambda given: next(iter(given)))
@pytest.mark.parametrize("kind", KINDS)
def test_what_only_takes_time_changes_no_bit(make_job: JobMaker, kind: str, resources: dict[str, object]) -> None:
    plain, other = of_kind(make_job("plain"), kind), of_kind(make_job("other", resources), kind)
    train_here(plain)
    train_here(other)
    assert (plain.output / "model.safetensors").read_bytes() == (other.output / "model.safetensors").read_bytes()


def test_masked_training_reports_how_many_hidden_tokens_are_found(make_job: JobMaker) -> None:
    job = of_kind(make_job("accuracy", steps=60), "encoder")
    train_here(job)
    lines = read_lines(job.output / "history.jsonl")
    assert 0 <= lines[0]["accuracy"] < 0.2 and lines[-1]["accuracy"] > lines[0]["accuracy"]
    assert 0 <= lines[-1]["val_accuracy"] <= 1 and lines[-1]["val_loss"] > 0


def test_whole_words_are_learned_of_shards_that_say_what_words_are(make_job: JobMaker, tmp_path: Path) -> None:
    job = of_kind(make_job("plain"), "encoder")
    whole = Job.model_validate({**dict(job), "train": {**job.train.model_dump(), "whole_words": True}})
    with pytest.raises(ShardError, match=r"train does not say which tokens go on a word; pack with words: true"):
        train_here(whole)
    folders = {}
    for part, seed in (("train", 1), ("val", 2)):
        writer = ShardWriter(tmp_path / "words" / part, shard_rows=100)
        writer.add(packed_rows(20, seed))
        words = {WORDS: np.arange(VOCABULARY, dtype=np.uint8) % 4}
        writer.close("pretrain", sequence_length=CONTEXT, tokenizer_digest=DIGEST, vocab_size=VOCABULARY, tables=words)
        folders[f"{part}_shards"] = tmp_path / "words" / part
    losses = []
    for name, train in (("tokens", job.train), ("words", whole.train)):
        moved = {"output": tmp_path / name / "output", "checkpoints": tmp_path / name / "checkpoints"}
        made = job.model_copy(update={**folders, **moved, "train": train})
        train_here(made)
        losses.append(curve(made))
    assert losses[0] != losses[1] and len(losses[1]) == 6


def test_a_recurrent_network_is_tuned_on_conversations(make_job: JobMaker, shards: Path) -> None:
    base = of_kind(make_job("base"), "recurrent")
    train_here(base)
    tuned = follow_up(base, shards, SftConfig(steps=8, tokens=0, global_batch=4, learning_rate=1e-2, warmup_steps=0, eval_rows=4), "sft")
    train_here(tuned)
    losses = curve(tuned)
    assert losses[-1] < losses[0] and load_model(tuned.output).config == RECURRENT


def biases(directory: Path) -> torch.Tensor:
    return load_model(directory).get_buffer("model.layers.0.mlp.gate.e_score_correction_bias")


def test_the_step_log_has_the_use_of_experts_whose_biases_move_in_pretraining_alone(make_job: JobMaker, shards: Path) -> None:
    base = of_kind(make_job("base", steps=12), "experts")
    train_here(base)
    assert biases(base.output).abs().max() >= 0.0099
    for line in read_lines(base.output / "history.jsonl"):
        assert 0 <= line["expert_least"] <= 1 <= line["expert_most"] <= 2 and line["expert_dropped"] == 0
        assert line["loss"] == pytest.approx(line["next_token_loss"] + 0.001 * line["router_loss"]) and line["expert_balance"] > 0.5
    short = {"steps": 3, "tokens": 0, "global_batch": 4, "warmup_steps": 0, "eval_rows": 4}
    moves = {"sft": SftConfig(**short), "lora": SftConfig(**short, adapter=LoraConfig(kind="lora"))}
    for name, train in moves.items():
        tuned = follow_up(base, shards, train, name)
        train_here(tuned)
        assert biases(tuned.output).equal(biases(base.output))
    crowded = of_kind(make_job("crowded", steps=4), "hybrid-experts")
    train_here(crowded)
    assert any(line["expert_dropped"] > 0 for line in read_lines(crowded.output / "history.jsonl"))


REFUSED = [
    ("experts", {}, {"compile": True}, "compile=true with experts: how many tokens an expert gets is known only as it computes"),
    ("experts", {"precision": "fp8"}, {}, "precision=fp8 with experts: their products are not offered in it; use precision=bf16"),
    ("experts", {}, {"parallel": {"workers": 2, "pipeline": 2}}, "experts.count=4 with pipeline=2: stages hand on hidden vectors alone"),
    ("encoder", {"kind": "next_token"}, {}, "kind=next_token needs a network that supports causal, and kind=encoder does not"),
    ("prompted", {"kind": "next_token"}, {}, "kind=next_token with prompt=bidirectional: its rows do not say what is a prompt"),
    ("prompted", {"within_documents": False}, {}, "within_documents=false with kind=prefix: a prompt belongs to its own document"),
    ("prompted", {"least_prompt": 0.8}, {}, "least_prompt=0.8 is above most_prompt=0.75; lower it"),
    ("prompted", {}, {"parallel": {"workers": 2, "pipeline": 2}}, "prompt=bidirectional with pipeline=2: stages are sent tokens and doc"),
    ("recurrent", {"kind": "prefix"}, {}, "kind=prefix with kind=recurrent, which reads prompts causally: choose kind=decoder"),
    ("hybrid", {"kind": "prefix"}, {}, "kind=prefix with kind=hybrid, which reads prompts causally: choose kind=decoder"),
    ("experts", {"kind": "prefix"}, {}, "kind=prefix with kind=decoder, which reads prompts causally: set prompt=bidirectional"),
    ("contrastive-encoder", {"global_batch": 1}, {}, "global_batch=1 with kind=contrastive: a passage is told from others of its step"),
    ("contrastive-encoder", {"sizes": [16, 32]}, {}, r"sizes=\[16, 32\] with width=32: smaller ones are asked for"),
    ("contrastive-encoder", {"sizes": [16, 8]}, {}, r"sizes=\[16, 8\]: give numbers from 1 on, each once, in ascending order"),
    ("encoder_decoder", {"kind": "contrastive"}, {}, "kind=contrastive with kind=encoder_decoder: it reads texts with gaps alone"),
    ("recurrent", {"kind": "masked"}, {}, "kind=masked needs a network that supports bidirectional, and kind=recurrent does not"),
    ("encoder_decoder", {"kind": "masked"}, {}, "kind=masked needs a network that supports bidirectional, and kind=encoder_decoder does"),
    (
        "encoder_decoder",
        {"most_spans": 100},
        {},
        "most_spans=100 with sentinels=100: the last sentinel ends what is written; set most_spans=99",
    ),
    ("encoder_decoder", {"within_documents": False}, {}, "within_documents=false with kind=spans"),
    ("encoder", {}, {"sample_every": 5}, "sample_every=5 with kind=encoder, which writes no text; set sample_every=0"),
    (
        "recurrent",
        {},
        {"parallel": {"workers": 2, "tensor": 2, "zero_stage": 1}},
        "kind=recurrent with tensor=2: its matrices can't be cut",
    ),
    (
        "recurrent",
        {},
        {"recompute": "blocks", "parallel": {"workers": 2, "zero_stage": 3}},
        "kind=recurrent with recompute=blocks and zero_stage=3 on workers=2: they would exchange different weights; set recompute=none",
    ),
    ("encoder", {}, {"parallel": {"workers": 2, "pipeline": 2}}, "kind=encoder with pipeline=2: it can't be divided into stages"),
    ("encoder", {"optimizer": "sophia"}, {}, "optimizer=sophia estimates curvature from sampled next tokens, which kind=masked does not"),
]


@pytest.mark.parametrize(("kind", "train", "resources", "message"), REFUSED, ids=lambda given: given if isinstance(given, str) else "")
def test_what_a_network_cannot_learn_or_how_is_refused_by_name(
    make_job: JobMaker, kind: str, train: dict[str, str], resources: dict[str, object], message: str
) -> None:
    fields = of_kind(make_job(), kind).model_dump()
    changed = {name: value for name, value in fields["train"].items() if train.get("kind") is None or name in {"steps", "tokens"}}
    with pytest.raises(ValidationError, match=message):
        Job.model_validate({**fields, "train": {**changed, **train}, "resources": {**fields["resources"], **resources}})


def test_shares_that_exceed_the_chosen_tokens_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"masked_share=0\.9 and random_share=0\.2 are more than all chosen tokens"):
        MaskedConfig(masked_share=0.9, random_share=0.2)


def test_eight_bits_need_linear_layers() -> None:
    with pytest.raises(JobError, match="precision=fp8 with kind=recurrent: its blocks have no linear layers; use precision=bf16"):
        use_float8(RECURRENT.build(64))


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_products_give_nearly_the_same_losses(make_job: JobMaker, kind: str) -> None:
    plain, rounded = (of_kind(make_job(precision, steps=12, precision=precision), kind) for precision in ("fp32", "bf16"))
    train_here(plain)
    train_here(rounded)
    # Cosines over a temperature, and the likest weigh more: what is rounded weighs more, too.
    assert curve(rounded) == pytest.approx(curve(plain), abs=0.15 if kind in CONTRASTED else 2e-2)
