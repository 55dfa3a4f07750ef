"""Release directories, in folio and in transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.inference.chat import ChatModel
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, save_model
from model.quantization.config import GgufConfig, quantize
from model.quantization.integers import Int8Config
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export

CARD = ModelCard(name="tiny", summary="A test.", recipe="test", intended_use=("Tests.",), limits=("It knows nothing.",))
MESSAGES = [{"role": "user", "content": "Who walked from Avel?"}]


@pytest.fixture(scope="module")
def int8_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    quantize(model_dir, folder, Int8Config())
    return folder


@pytest.fixture(scope="module")
def release(model_dir: Path, tokenizer_dir: Path, int8_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    metrics = export(model_dir, tokenizer_dir, folder, ExportConfig(), CARD, variants={"int8": int8_dir})
    assert metrics["logits_difference"] == 0
    return folder


def test_transformers_loads_a_release_with_the_same_logits(release: Path, decoder: Decoder) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(release, local_files_only=True).eval()
    assert theirs.dtype == torch.float32
    tokens_BT = torch.randint(decoder.vocab_size, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(decoder.logits({"tokens": tokens_BT}), theirs(tokens_BT).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_embeddings_load_in_transformers(tied: bool, tokenizer_dir: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = DecoderConfig(width=32, layers=2, heads=4, kv_heads=1, feed_forward=48, context=32, tied_embeddings=tied)
    ours = Decoder(shape, 330, seed=5).eval()
    save_model(ours, tmp_path / "model")
    export(tmp_path / "model", tokenizer_dir, tmp_path / "release", ExportConfig(), CARD)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "release", local_files_only=True).eval()
    tokens_BT = torch.arange(32)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours.logits({"tokens": tokens_BT}), theirs(tokens_BT).logits, rtol=1e-5, atol=1e-5)


def test_transformers_gives_the_same_prompt_ids_and_greedy_tokens(release: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(release, local_files_only=True)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(release, local_files_only=True).eval()
    chat = ChatModel.open(release)
    prompt = chat.format.encode_chat(MESSAGES)
    inputs = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert inputs["input_ids"][0].tolist() == prompt
    ours = list(generate(chat.network, prompt, SamplingConfig(max_new_tokens=24), chat.format.stop_ids))
    with torch.no_grad():
        whole = theirs.generate(**inputs, max_new_tokens=24)[0].tolist()
    reply = whole[len(prompt) :]
    assert [token for token in reply if token not in chat.format.stop_ids] == ours and len(ours) > 5
    assert sorted(theirs.generation_config.eos_token_id) == sorted(chat.format.stop_ids) == [2, 6]


def test_the_int8_folder_works_on_its_own(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "int8", tmp_path / "alone")
    chat = ChatModel.open(tmp_path / "alone")
    assert isinstance("".join(chat.say("Who?", SamplingConfig(max_new_tokens=6))), str)


def test_the_same_inputs_give_the_same_bytes(release: Path, model_dir: Path, tokenizer_dir: Path, int8_dir: Path, tmp_path: Path) -> None:
    export(model_dir, tokenizer_dir, tmp_path, ExportConfig(), CARD, variants={"int8": int8_dir})
    files = sorted(path.relative_to(release) for path in release.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((release / path).read_bytes() == (tmp_path / path).read_bytes() for path in files)
    text = "".join((tmp_path / path).read_text() for path in files if path.suffix in {".json", ".md"})
    assert str(tmp_path) not in text and str(model_dir) not in text


def test_bfloat16_halves_the_weights_and_loads_as_float32(model_dir: Path, tokenizer_dir: Path, release: Path, tmp_path: Path) -> None:
    metrics = export(model_dir, tokenizer_dir, tmp_path, ExportConfig(dtype="bfloat16"), CARD)
    ratio = (tmp_path / "model.safetensors").stat().st_size / (release / "model.safetensors").stat().st_size
    assert 0 < metrics["logits_difference"] < 5 and 0.45 < ratio < 0.6
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert next(open_model(tmp_path).parameters()).dtype == torch.float32


@pytest.fixture(scope="module")
def own(chat_format: ChatFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model that no class of transformers computes."""
    folder = tmp_path_factory.mktemp("own")
    shape = DecoderConfig(width=32, layers=2, heads=4, context=64, attention="latent", norm="layer", logit_soft_cap=20, initial_std=0.3)
    save_model(Decoder(shape, chat_format.tokenizer.get_vocab_size(), seed=5), folder)
    return folder


def test_a_model_that_no_class_computes_is_exported_for_folio_alone_and_its_card_says_so(
    own: Path, tokenizer_dir: Path, tmp_path: Path
) -> None:
    quantize(own, tmp_path / "int8", Int8Config())
    metrics = export(own, tokenizer_dir, tmp_path / "out", ExportConfig(format="folio"), CARD, variants={"int8": tmp_path / "int8"})
    assert metrics["logits_difference"] == 0
    for directory in (tmp_path / "out", tmp_path / "out" / "int8"):
        chat = ChatModel.open(directory)
        assert isinstance(chat.network.config, DecoderConfig) and chat.network.config.attention == "latent"
        assert isinstance("".join(chat.say("Who?", SamplingConfig(max_new_tokens=6))), str)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Only folio opens this model" in card and "lacks attention=latent, logit\\_soft\\_cap=20.0" in card
    assert "library_name: transformers" not in card and "AutoModelForCausalLM" not in card


def test_a_model_whose_class_holds_other_numbers_is_released_to_rounding(
    chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    shape = DecoderConfig(width=32, layers=2, heads=4, context=64, logit_soft_cap=20, attention_soft_cap=3, initial_std=0.3)
    decoder = Decoder(shape, chat_format.tokenizer.get_vocab_size(), seed=5).eval()
    save_model(decoder, tmp_path / "model")
    quantize(tmp_path / "model", tmp_path / "int8", Int8Config())
    release = tmp_path / "out"
    metrics = export(tmp_path / "model", tokenizer_dir, release, ExportConfig(), CARD, variants={"int8": tmp_path / "int8"})
    assert 0 < metrics["logits_difference"] < 1e-4
    theirs = transformers.AutoModelForCausalLM.from_pretrained(release).eval()
    rows = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(decoder.logits({"tokens": rows}), theirs(rows).logits, rtol=1e-5, atol=1e-5)
    assert "In `transformers` it is a VaultGemmaForCausalLM" in (release / "README.md").read_text()
    assert open_model(release / "int8").config == shape


def test_a_format_that_does_not_suit_the_model_is_refused_with_the_reason(
    own: Path, model_dir: Path, tokenizer_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"StableLmForCausalLM lacks attention=latent, logit_soft_cap=20.0; .* format: folio"):
        export(own, tokenizer_dir, tmp_path / "out", ExportConfig(), CARD)
    with pytest.raises(ModelError, match=r"is a LlamaForCausalLM, .* format: huggingface"):
        export(model_dir, tokenizer_dir, tmp_path / "out", ExportConfig(format="folio"), CARD)
    assert not (tmp_path / "out").exists()


def test_heads_that_predict_further_ahead_are_left_out_where_transformers_opens_the_model_and_kept_where_folio_does(
    chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    shape = DecoderConfig(width=32, layers=2, heads=4, feed_forward=48, context=64, initial_std=0.3, multi_token=2)
    decoder = Decoder(shape, chat_format.tokenizer.get_vocab_size(), seed=5).eval()
    save_model(decoder, tmp_path / "model", extra={"tokenizer_digest": chat_format.digest})
    quantize(tmp_path / "model", tmp_path / "int8", Int8Config())
    quantize(tmp_path / "model", tmp_path / "gguf", GgufConfig(name="gguf", type="F32"), tokenizer=tokenizer_dir)
    made = {"int8": tmp_path / "int8", "gguf": tmp_path / "gguf"}
    metrics = {}
    for format in ("huggingface", "folio"):
        config = ExportConfig.model_validate({"format": format})
        metrics[format] = export(tmp_path / "model", tokenizer_dir, tmp_path / format, config, CARD, variants=made)
        assert metrics[format]["logits_difference"] == 0
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "huggingface").eval()
    rows = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(decoder.logits({"tokens": rows}), theirs(rows).logits, rtol=1e-5, atol=1e-5)
    opened = {name: open_model(tmp_path / name).config for name in ("huggingface", "folio", "int8", "gguf")}
    assert [opened[name].heads_ahead for name in opened] == [0, 2, 2, 0] and opened["gguf"] == shape.alone
    assert metrics["folio"]["parameters"] == sum(parameter.numel() for parameter in decoder.parameters())
    assert metrics["huggingface"]["parameters"] == sum(parameter.numel() for parameter in theirs.parameters())
    assert not any("multi_token" in name for name in load_file(tmp_path / "huggingface" / "model.safetensors"))
    assert "trained with 2 heads that predict further ahead" in (tmp_path / "huggingface" / "README.md").read_text()
    card = (tmp_path / "folio" / "README.md").read_text()
    assert "It has 2 heads that predict further ahead" in card and "lacks multi\_token=2" in card


def test_models_and_tokenizers_that_do_not_match_are_refused(model_dir: Path, tokenizer_dir: Path, int8_dir: Path, tmp_path: Path) -> None:
    small = Decoder(DecoderConfig(width=16, layers=1, heads=2, kv_heads=1, feed_forward=16, context=8), 40)
    save_model(small, tmp_path / "small")
    with pytest.raises(ModelError, match="do not match"):
        export(tmp_path / "small", tokenizer_dir, tmp_path / "out", ExportConfig(), CARD)
    with pytest.raises(ModelError, match="is quantized: export the full"):
        export(int8_dir, tokenizer_dir, tmp_path / "out", ExportConfig(), CARD)
    with pytest.raises(ModelError, match="is not quantized"):
        export(model_dir, tokenizer_dir, tmp_path / "out", ExportConfig(), CARD, variants={"int8": model_dir})
    assert not (tmp_path / "out").exists()
