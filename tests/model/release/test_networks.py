"""Networks that are no decoders: what is measured of them, how they are released, and what they are not asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.evaluation.config import EvaluateConfig, Probe
from model.evaluation.evaluate import evaluate
from model.inference.chat import ChatModel
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.embed import Embedder
from model.inference.generation import generate, generate_batch
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig, EncoderConfig, EncoderDecoderConfig, HybridConfig, RecurrentConfig
from model.networks.directory import ModelError, load_model, save_model
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.network import Network
from model.quantization.config import quantize
from model.quantization.integers import Int4Config, Int8Config
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export
from tests.model.conftest import CONTEXT
from tests.model.networks.spread import spread

ROOT = Path(__file__).parents[3]
CONFIGS: dict[str, Any] = {
    "recurrent": RecurrentConfig(width=32, layers=2, context=CONTEXT, initial_std=0.4),
    "hybrid": HybridConfig(width=32, layers=4, heads=2, kv_heads=1, feed_forward=64, context=CONTEXT, initial_std=0.4),
    "encoder": EncoderConfig(width=32, layers=2, heads=4, feed_forward=64, context=CONTEXT, initial_std=0.4),
    "encoder_decoder": EncoderDecoderConfig(width=32, layers=2, heads=4, feed_forward=64, context=CONTEXT, initial_std=0.15),
}
CLASSES = {"encoder": "EuroBertForMaskedLM", "encoder_decoder": "T5ForConditionalGeneration"}
CARD = ModelCard(name="small", summary="A small network.", recipe="small", intended_use=("Testing.",), limits=("It knows nothing.",))


@pytest.fixture(params=CONFIGS)
def saved(request: pytest.FixtureRequest, tmp_path: Path, chat_format: ChatFormat) -> Path:
    """A directory of each kind, named as the kind."""
    return made(request.param, tmp_path, chat_format)


def made(kind: str, folder: Path, chat_format: ChatFormat) -> Path:
    save_model(spread(CONFIGS[kind].build(chat_format.tokenizer.get_vocab_size(), seed=2)), folder / kind)
    return folder / kind


def logits(network: Network) -> torch.Tensor:
    with torch.no_grad():
        return network.logits({"tokens": torch.arange(40)[None]})


def test_each_is_measured_by_what_it_can_do(saved: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(splits=("val",), rows=8)
    metrics = evaluate(saved, tokenizer_dir, packed, None, tmp_path / "out", config, threads=1)
    names = {name.removeprefix("val.") for name in metrics if not name.endswith(("_low", "_high", "_error"))}
    samples = (tmp_path / "out" / "samples.jsonl").read_text()
    if saved.name == "encoder_decoder":
        assert names == {"span_loss", "span_accuracy", "rows", "hidden"} and samples == ""
    elif saved.name != "encoder":
        assert names == {"loss", "perplexity", "bits_per_byte", "rows", "targets"} and len(samples.splitlines()) == config.samples
    else:
        assert names == {"masked_loss", "masked_accuracy", "rows", "hidden"} and samples == ""


@pytest.mark.parametrize(
    ("asked", "key"),
    [({"questions": True}, "questions"), ({"copying": True}, "copying"), ({"probes": (Probe(prompt="a", word="b"),)}, "probes")],
)
def test_what_an_encoder_cannot_be_asked_is_refused_by_name(
    asked: dict[str, Any], key: str, chat_format: ChatFormat, tokenizer_dir: Path, packed: Path, tmp_path: Path
) -> None:
    directory = made("encoder", tmp_path, chat_format)
    with pytest.raises(ValueError, match=rf"{key} needs a network that supports \w+, and kind=encoder does not; leave {key} out"):
        evaluate(directory, tokenizer_dir, packed, tmp_path, tmp_path / "out", EvaluateConfig(splits=("val",), **asked), threads=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("variant", [Int8Config(kind="int8"), Int4Config(kind="int4", group_size=16)], ids=lambda variant: variant.kind)
def test_matrices_of_every_kind_are_quantized_by_their_role(saved: Path, tmp_path: Path, variant: Any) -> None:
    metrics = quantize(saved, tmp_path / "small", variant)
    network, small = load_model(saved), open_model(tmp_path / "small")
    roles = network.roles()
    rounded = sum(parameter.numel() for name, parameter in network.named_parameters() if parameter.dim() == 2 and roles[name] != "vector")
    assert metrics["quantized_parameters"] == rounded and metrics["size_ratio"] < 0.4
    difference = (logits(small) - logits(network)).std() / logits(network).std()
    assert 0 < difference < {"int8": 0.1, "int4": 0.8}[variant.kind]


def test_a_release_computes_the_same_logits_and_its_card_says_how_to_use_it(saved: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    quantize(saved, tmp_path / "small", Int8Config(kind="int8"))
    release, hub = tmp_path / "release", CLASSES.get(saved.name, "")
    right, wrong = (ExportConfig(format=format) for format in (("huggingface", "folio") if hub else ("folio", "huggingface")))
    refusal = f"is a {hub}, which more tools open" if hub else f"none computes kind={saved.name}; export it with format: folio"
    with pytest.raises(ValueError, match=refusal):
        export(saved, tokenizer_dir, tmp_path / "refused", wrong, CARD)
    metrics = export(saved, tokenizer_dir, release, right, CARD, variants={"int8": tmp_path / "small"})
    # Heads of 8 channels: T5 holds queries divided by a root that is no power of two.
    assert metrics["logits_difference"] <= (1e-5 if saved.name == "encoder_decoder" else 0)
    torch.testing.assert_close(logits(load_model(release)), logits(load_model(saved)), atol=1e-5, rtol=0)
    fields = json.loads((release / "config.json").read_text())
    if hub:
        assert fields["architectures"] == [hub]
    else:
        assert fields["model_type"] == "folio" and fields[saved.name]["width"] == 32 and "kind" not in fields[saved.name]
    card = (release / "README.md").read_text()
    assert (f"In `transformers` it is a {hub}" in card) == bool(hub)
    writes = saved.name not in ("encoder", "encoder_decoder")
    assert (release / "generation_config.json").exists() == ("folio chat ." in card) == ("pipeline_tag: text-generation" in card) == writes
    assert open_model(release / "int8").config == CONFIGS[saved.name]


def printed(release: Path) -> str:
    """What the code of a card prints, run in the release as its reader would."""
    (code,) = re.findall(r"```python\n(.*?)```", (release / "README.md").read_text(), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=release, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_cards_code_for_what_fills_gaps_runs(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path) -> None:
    network = EncoderConfig(**{**dict(CONFIGS["encoder"]), "positions": "learned"}).build(chat_format.tokenizer.get_vocab_size(), seed=2)
    save_model(spread(network), tmp_path / "model")
    export(tmp_path / "model", tokenizer_dir, tmp_path / "release", ExportConfig(format="folio"), CARD)
    assert printed(tmp_path / "release")


@pytest.mark.parametrize("kind", ["encoder", "encoder_decoder"])
def test_the_cards_code_for_transformers_fills_a_gap_as_folio_does(
    kind: str, chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    model = made(kind, tmp_path, chat_format)
    export(model, tokenizer_dir, tmp_path / "release", ExportConfig(), CARD)
    network, ids = load_model(model), chat_format.encode_document("The first words of a text")
    gap = network.vocab_size
    if isinstance(network, EncoderDecoder):
        (written,) = network.fill([[*ids[:2], gap, *ids[4:]]], 16)
        expected = [token for token in written if token < gap]
    else:
        expected = [int(network.logits({"tokens": torch.tensor([[*ids[:2], gap, *ids[3:]]])})[0, 2].argmax())]
    assert printed(tmp_path / "release").removesuffix("\n") == chat_format.tokenizer.decode(expected, skip_special_tokens=False)


def test_an_encoder_is_neither_talked_to_nor_continued(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path) -> None:
    directory = made("encoder", tmp_path, chat_format)
    with pytest.raises(ValueError, match="kind=encoder writes no text: it can be neither asked nor talked to"):
        ChatModel.open(directory, tokenizer=tokenizer_dir)
    with pytest.raises(ValueError, match="kind=encoder writes no text"):
        load_model(directory).decoding()


@pytest.mark.parametrize("kind", ["recurrent", "hybrid"])
def test_a_network_with_a_state_continues_many_prompts_as_it_does_each_alone(
    kind: str, chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path
) -> None:
    directory = made(kind, tmp_path, chat_format)
    network = load_model(directory)
    prompts = [[1, 5, 9, 30], [1, 7], [1, 40, 41, 42, 43, 44]]
    alone = [list(generate(network.decoding(), prompt, SamplingConfig(max_new_tokens=12), {17})) for prompt in prompts]
    assert generate_batch(network.decoding(), prompts, 12, {17}) == alone and max(map(len, alone)) == 12
    by_forward_passes = list(prompts[0])
    for _ in range(12):
        with torch.no_grad():
            by_forward_passes.append(int(network.logits({"tokens": torch.tensor([by_forward_passes])})[0, -1].argmax()))
    assert by_forward_passes[4:][: len(alone[0])] == alone[0]
    assert "".join(ChatModel.open(directory, tokenizer=tokenizer_dir).say("Who?", SamplingConfig(max_new_tokens=8)))


TEXTS = (
    "Ada walked from Avel to Brin.",
    "café au lait in hand",
    "x",
    "Clara walked from Corve on day 7, and Dorian did not; both were tired.",
)
EMBEDDERS = {
    "encoder": CONFIGS["encoder"],
    "decoder": DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, context=CONTEXT, initial_std=0.4),
}


@pytest.fixture(params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest, tmp_path: Path, tokenizer_dir: Path, chat_format: ChatFormat) -> Path:
    """The release of a model of texts' vectors; the model is in `model`, beside it."""
    save_model(spread(EMBEDDERS[request.param].build(chat_format.tokenizer.get_vocab_size(), seed=2)), tmp_path / "model")
    export(tmp_path / "model", tokenizer_dir, tmp_path / "release", ExportConfig(sentence_transformers=True), CARD)
    return tmp_path / "release"


def test_the_modules_of_a_release_say_how_its_vectors_are_made(embedder: Path, tokenizer_dir: Path) -> None:
    """Each module as sentence-transformers documents it, on the hidden vectors of transformers."""
    transformers = pytest.importorskip("transformers")
    listed = json.loads((embedder / "modules.json").read_text())
    assert [module["type"].rpartition(".")[2] for module in listed] == ["Transformer", "WordWeights", "Pooling", "Normalize"]
    asked = json.loads((embedder / "config_sentence_transformers.json").read_text())
    weights = load_file(embedder / listed[1]["path"] / "model.safetensors")["emb_layer.weight"][:, 0]
    tokenizer, theirs = (kind.from_pretrained(embedder) for kind in (transformers.AutoTokenizer, transformers.AutoModel))
    prompt = asked["prompts"][asked["default_prompt_name"]]
    ours = torch.from_numpy(Embedder(embedder.with_name("model"), tokenizer_dir).vectors(TEXTS))
    for text, vector in zip(TEXTS, ours, strict=True):
        ids = tokenizer(prompt + text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            summed = (theirs.eval()(ids).last_hidden_state[0] * weights[ids[0], None]).sum(0)
        torch.testing.assert_close(summed / summed.norm(), vector, atol=1e-5, rtol=0)
    assert "SentenceTransformer" in (embedder / "README.md").read_text()


def test_sentence_transformers_makes_the_same_vectors_of_a_release(embedder: Path, tokenizer_dir: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(embedder), device="cpu", local_files_only=True)
    ours = Embedder(embedder.with_name("model"), tokenizer_dir).vectors(TEXTS)
    torch.testing.assert_close(torch.from_numpy(model.encode(list(TEXTS))), torch.from_numpy(ours), atol=1e-5, rtol=0)
    assert model.max_seq_length == CONTEXT


@pytest.mark.parametrize(("kind", "why"), [("recurrent", "no class of transformers computes it"), ("encoder_decoder", "has two stacks")])
def test_what_sentence_transformers_cannot_compute_is_refused(
    kind: str, why: str, tmp_path: Path, tokenizer_dir: Path, chat_format: ChatFormat
) -> None:
    saved = made(kind, tmp_path, chat_format)
    config = ExportConfig(format="huggingface" if kind in CLASSES else "folio", sentence_transformers=True)
    with pytest.raises(ModelError, match=f"{why}.*leave sentence_transformers out"):
        export(saved, tokenizer_dir, tmp_path / "release", config, CARD)
