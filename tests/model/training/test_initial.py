"""Starting from a model, folio's or one in Hugging Face's format: only with the recipe's shape and the shards' tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from model.adapters.config import FullConfig
from model.adapters.lora import LoraConfig
from model.hardware.peak import resident_bytes
from model.networks.decoder import Decoder
from model.networks.directory import CONFIG, ModelError, save_model, weight_files
from model.training.distributed import import_deepspeed, join
from model.training.initial import initial_network, receives_weights
from model.training.job import Job, JobError
from model.training.telemetry.step_log import read_lines
from tasks.base import initial_state
from tasks.training.config import Pretraining
from tests.model.jobs import DIGEST, SHAPE, VOCABULARY, JobMaker

from .alone import ALONE, train_here


def started_from(job: Job, directory: Path) -> Job:
    return job.model_copy(update={"initial_model": directory})


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A bf16 Llama of the tests' shape in several files, as transformers saves it, with a tokenizer."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=SHAPE.width,
        intermediate_size=SHAPE.feed_forward,
        num_hidden_layers=SHAPE.layers,
        num_attention_heads=SHAPE.heads,
        num_key_value_heads=SHAPE.kv_heads,
        max_position_embeddings=SHAPE.context,
        rms_norm_eps=SHAPE.norm_epsilon,
        tie_word_embeddings=SHAPE.tied_embeddings,
    )
    torch.manual_seed(1)
    directory = tmp_path / "llama"
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory, max_shard_size="20KB")
    (directory / "tokenizer.json").write_text("{}")
    return directory


def test_a_hugging_face_llama_in_several_bf16_files_gives_the_weights_it_holds(make_job: JobMaker, llama: Path) -> None:
    import transformers

    assert len(weight_files(llama)) > 1
    speaking = {"tokenizer_digest": hashlib.sha256(b"{}").hexdigest()}
    decoder = initial_network(started_from(make_job(), llama).model_copy(update=speaking))
    tokens_BT = torch.arange(12).reshape(1, 12)
    reference = transformers.LlamaForCausalLM.from_pretrained(llama, dtype=torch.float32)(tokens_BT).logits
    torch.testing.assert_close(decoder.logits({"tokens": tokens_BT}), reference, atol=1e-5, rtol=0)


def test_pretraining_continues_from_a_pretrained_model(make_job: JobMaker) -> None:
    first = make_job("first")
    train_here(first)
    second = started_from(make_job("second"), first.output)
    train_here(second)
    begun, ended = (read_lines(job.output / "history.jsonl") for job in (second, first))
    assert begun[0]["loss"] < ended[0]["loss"] - 0.3


def test_another_tokenizer_another_shape_and_missing_weights_are_refused_by_name(make_job: JobMaker, llama: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=rf"llama uses tokenizer 44136fa355b3, but the shards were encoded by tokenizer {DIGEST[:12]}"):
        initial_network(started_from(make_job(), llama))
    (llama / "tokenizer.json").unlink()
    with pytest.raises(JobError, match=r"does not say which tokenizer.*put its tokenizer.json there"):
        initial_network(started_from(make_job(), llama))
    other = tmp_path / "other"
    save_model(Decoder(SHAPE.model_copy(update={"feed_forward": 48}), 60), other)
    with pytest.raises(JobError, match=r"feed_forward is 48 there and 64 here, vocab_size is 60 there and 64 here"):
        initial_network(started_from(make_job(), other))
    weight_files(llama)[0].unlink()
    with pytest.raises(ModelError, match=r"model-00001-of-00003.safetensors does not exist: .*index.json names it"):
        weight_files(llama)


def test_the_content_of_each_file_is_identity(make_job: JobMaker, llama: Path) -> None:
    def digests(paths: Iterable[Path]) -> dict[Path, str]:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    train = make_job().train.model_copy(update={"initial": "llama"})
    config = Pretraining(model=SHAPE, train=train, seed=1)
    before = initial_state(config, llama.parent, None, digests)
    assert {f"initial/{CONFIG}", "initial/tokenizer.json"} < before.keys()
    (llama / "tokenizer.json").write_text("{ }")
    after = initial_state(config, llama.parent, None, digests)
    assert [name for name in before if before[name] != after[name]] == ["initial/tokenizer.json"]
    assert initial_state(config.model_copy(update={"train": make_job().train}), llama.parent, None, digests) == {}


def test_a_worker_that_is_given_its_part_of_the_weights_begins_without_any_memory_for_them(make_job: JobMaker) -> None:
    shape = SHAPE.model_copy(update={"width": 512, "heads": 8, "kv_heads": 8, "head_dim": 64, "feed_forward": 2048, "layers": 8})
    job = make_job().model_copy(update={"network": shape})
    initial_network(make_job("small"), hollow=True)  # what is loaded for the first one is no weights
    before = resident_bytes()
    network = initial_network(job, hollow=True)
    taken, whole = resident_bytes() - before, sum(parameter.nbytes for parameter in network.parameters())
    assert whole > 90e6 and taken < whole / 10


@pytest.mark.parametrize(
    ("rank", "parallel", "adapter", "expected"),
    [
        (1, {"workers": 2, "zero_stage": 3}, "full", True),
        (0, {"workers": 2, "zero_stage": 3}, "full", False),
        (1, {"workers": 2, "zero_stage": 2}, "full", False),
        (1, {"workers": 2, "zero_stage": 3, "tensor": 2}, "full", False),
        (1, {"workers": 2, "zero_stage": 3}, "lora", False),
    ],
    ids=["ZeRO 3", "rank 0 draws them", "ZeRO 2 divides none", "tensor parallelism cuts them first", "an adapter reads them"],
)
def test_only_other_workers_of_zero_3_are_given_their_part(
    make_job: JobMaker, rank: int, parallel: dict[str, int], adapter: str, expected: bool
) -> None:
    job = make_job("job", parallel)
    train = job.train.model_copy(update={"adapter": {"full": FullConfig(), "lora": LoraConfig()}[adapter]})
    assert receives_weights(job.model_copy(update={"train": train}), rank) is expected


def test_weights_that_are_divided_lie_in_parts_before_deepspeed_begins(make_job: JobMaker) -> None:
    job = make_job("job", {"zero_stage": 3})
    network = initial_network(job)
    drawn = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    import_deepspeed()
    join(ALONE)
    from model.training.engine import divide_weights
    from model.training.parallel.compile import deepspeed_config

    divide_weights(network, deepspeed_config(job, network.cut_plan(), own_norm=False))
    import deepspeed

    assert {parameter.numel() for parameter in network.parameters()} == {0}
    for name, parameter in network.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter]):
            assert torch.equal(parameter, drawn[name]), name
