"""GGUF files, in folio and in real llama.cpp."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, save_model
from model.opening.gguf.metadata import GgufFile
from model.quantization.config import GgufConfig, quantize, quantizer_of
from model.quantization.gguf.llama_cpp import LlamaCpp
from tests.model.networks.spread import spread

SHAPE = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "feed_forward": 96, "context": 64, "initial_std": 0.3}
PLAIN = {"norm": "layer", "activation": "gelu", "kv_heads": 4}
# Each decoder that llama.cpp computes, with the largest difference of its logits: GELU is approximate there, from a table.
ARCHITECTURES: dict[str, tuple[dict[str, Any], float]] = {
    "llama": ({"attention_bias": True, "feed_forward_bias": True, "rope_scaling": "linear", "rope_factor": 4.0}, 1e-4),
    "untied": ({"tied_embeddings": False, "head_width": 32, "kv_heads": 4}, 1e-4),
    "qwen3": ({"qk_norm": True}, 1e-4),
    "arcee": ({"activation": "relu2"}, 1e-4),
    "stablelm": ({"norm": "layer"}, 1e-4),
    "starcoder2": (PLAIN, 0.02),
    "tanh": ({**PLAIN, "activation": "gelu_tanh", "positions": "learned"}, 0.01),
    "gpt2": ({**PLAIN, "positions": "learned", "attention_bias": True}, 0.02),
}
MESSAGES = [{"role": "user", "content": "Who walked from Avel on day 2, café in hand?"}]


def saved(settings: dict[str, Any], folder: Path, vocab_size: int) -> Decoder:
    decoder = spread(Decoder(DecoderConfig(**{**SHAPE, **settings}), vocab_size, seed=3)).eval()
    save_model(decoder, folder)
    return decoder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_llama_cpp_computes_what_folio_does(name: str, tokenizer_dir: Path, tmp_path: Path) -> None:
    settings, most = ARCHITECTURES[name]
    decoder = saved(settings, tmp_path / "model", 330)
    ids = [1, *(7 * place % 330 for place in range(30))]
    with torch.no_grad():
        ours = decoder.logits({"tokens": torch.tensor([ids])})[0]
    quantize(tmp_path / "model", tmp_path / "F32", GgufConfig(type="F32"), tokenizer=tokenizer_dir)
    assert all(weight.equal(decoder.state_dict()[key]) for key, weight in open_model(tmp_path / "F32").state_dict().items())
    quantize(tmp_path / "model", tmp_path / "F16", GgufConfig(type="F16"), tokenizer=tokenizer_dir)
    written = list(generate(decoder.decoding(), ids, SamplingConfig(max_new_tokens=30), set()))
    with LlamaCpp(tmp_path / "F32" / "model-F32.gguf", 64, exact=True) as there:
        assert float((torch.from_numpy(there.logits(ids)) - ours).abs().max()) < most
    with LlamaCpp(tmp_path / "F16" / "model-F16.gguf", 64, exact=True) as there:
        assert there.greedy(ids, 30) == written


@pytest.mark.parametrize(
    ("kind", "bits"), [("Q8_0", 8.7), ("Q5_1", 6.5), ("Q4_0", 5.1), ("Q6_K", 6.9), ("Q4_K_M", 5.5), ("Q3_K_S", 4.1), ("Q2_K", 3.7)]
)
def test_folio_reads_back_the_weights_that_llama_cpp_computes_with(kind: Any, bits: float, tokenizer_dir: Path, tmp_path: Path) -> None:
    decoder = saved({"width": 256, "feed_forward": 256, "initial_std": 0.05}, tmp_path / "model", 330)
    metrics = quantize(tmp_path / "model", tmp_path / "small", GgufConfig(type=kind), tokenizer=tokenizer_dir)
    assert bits - 0.6 < metrics["bits_per_weight"] < bits and 0 < metrics["error_relative"] < 0.5
    ids = list(range(1, 60, 2))
    with LlamaCpp(tmp_path / "small" / f"model-{kind}.gguf", 64, exact=True) as there:
        theirs = torch.from_numpy(there.logits(ids))
    with torch.no_grad():
        stored, parent = (network.logits({"tokens": torch.tensor([ids])})[0] for network in (open_model(tmp_path / "small"), decoder))
    # llama.cpp rounds the inputs of a matrix to 8 bits as well, which costs it a little more than the weights' rounding alone.
    assert float((theirs - stored).std()) < 0.05 * float(parent.std())
    if kind == "Q8_0":
        assert float((theirs - parent).std()) < 0.05 * float(parent.std())


@pytest.mark.parametrize("digits", ["together", "apart"])
def test_llama_cpp_splits_a_conversation_into_the_same_tokens(
    digits: Literal["together", "apart"], splits: dict[str, Path], tmp_path: Path
) -> None:
    saved({}, tmp_path / "model", 330)
    fit_tokenizer(splits["train"], tmp_path / "tokenizer", TokenizerConfig(vocab_size=320, digits=digits))
    chat_format = ChatFormat(tmp_path / "tokenizer")
    quantize(tmp_path / "model", tmp_path / "small", GgufConfig(type="F16"), tokenizer=tmp_path / "tokenizer")
    text = f"<|bos|><|user|>{MESSAGES[0]['content']}<|end|><|assistant|>"
    with LlamaCpp(tmp_path / "small" / "model-F16.gguf", 64) as there:
        assert there.tokens(text, special=True) == chat_format.encode_chat(MESSAGES)
        for written in ("It's 12 o'clock,\n\n  she'll wait...", "naïve 北京 🎈\t\tend ", " '' 1234x"):
            assert there.tokens(written) == chat_format.encode_text(written)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K_S"])
def test_the_same_model_gives_the_same_bytes(kind: Any, model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize(model_dir, tmp_path / name, GgufConfig(type=kind, name=name), tokenizer=tokenizer_dir)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["Modelfile", "config.json", f"model-{kind}.gguf"]
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert quantizer_of(tmp_path / "a") == GgufConfig(type=kind).build()


def test_the_modelfile_writes_the_chat_format_as_ollama_does(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, GgufConfig(type="Q8_0"), tokenizer=tokenizer_dir)
    lines = (tmp_path / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./model-Q8_0.gguf" and 'PARAMETER stop "<|end|>"' in lines
    (template,) = (line for line in lines if line.startswith("TEMPLATE"))
    assert template.startswith('TEMPLATE """<|bos|>{{- range .Messages }}{{- if eq .Role "system" }}<|system|>{{ .Content }}<|end|>')
    assert template.endswith('{{- end }}{{- end }}<|assistant|>"""')


def test_a_template_that_rewrites_messages_gets_no_ollama_template(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer"
    other.mkdir()
    for path in tokenizer_dir.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "chat_template.jinja").write_text("{% for message in messages %}{{ loop.index }}{{ message.content }}{% endfor %}")
    quantize(model_dir, tmp_path / "small", GgufConfig(type="Q8_0"), tokenizer=other)
    assert "TEMPLATE " not in (tmp_path / "small" / "Modelfile").read_text().replace("a TEMPLATE", "")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pattern": "sliding", "window": 8}, "pattern=sliding with window=8"),
        ({"activation": "geglu"}, "activation=geglu"),
        ({"rope_scaling": "yarn"}, "rope_scaling=yarn"),
        ({"qk_norm": True, "attention_bias": True}, "attention_bias=true"),
        ({"attention": "latent", "norm_epsilon": 1e-6}, "DeepseekV3ForCausalLM"),
        ({"positions": "alibi"}, "not a class of transformers"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused_by_name(
    settings: dict[str, Any], named: str, tokenizer_dir: Path, tmp_path: Path
) -> None:
    decoder = saved(settings, tmp_path / "model", 330)
    with pytest.raises(ModelError, match=named):
        quantize(tmp_path / "model", tmp_path / "small", GgufConfig(), tokenizer=tokenizer_dir)
    assert named in GgufConfig().refusal(decoder.config, "byte_level_bpe")


@pytest.mark.parametrize("begins", [False, True])
def test_a_file_says_whether_texts_begin_with_the_begin_token(begins: bool, model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer"
    shutil.copytree(tokenizer_dir, other)
    if begins:
        parsed = json.loads((other / "tokenizer.json").read_text())
        token = {"SpecialToken": {"id": "<|bos|>", "type_id": 0}}
        parsed["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [token, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [token, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [1], "tokens": ["<|bos|>"]}},
        }
        (other / "tokenizer.json").write_text(json.dumps(parsed))
    quantize(model_dir, tmp_path / "small", GgufConfig(type="Q8_0"), tokenizer=other)
    file = GgufFile(tmp_path / "small" / "model-Q8_0.gguf")
    assert file.get("tokenizer.ggml.add_bos_token", None) is begins


def test_a_tokenizer_that_llama_cpp_would_split_otherwise_is_refused(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    assert "tokenizer.kind=unigram" in GgufConfig().refusal(DecoderConfig(), "unigram")
    parsed = json.loads((tokenizer_dir / "tokenizer.json").read_text())
    parsed["pre_tokenizer"] = {"type": "Whitespace"}
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps(parsed))
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_bytes((tokenizer_dir / "tokenizer_config.json").read_bytes())
    with pytest.raises(ModelError, match="Whitespace"):
        quantize(model_dir, tmp_path / "small", GgufConfig(), tokenizer=tmp_path / "tokenizer")


def test_damage_is_refused_by_name(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, GgufConfig(type="Q8_0"), tokenizer=tokenizer_dir)
    file = tmp_path / "model-Q8_0.gguf"
    file.write_bytes(b"no such thing" + file.read_bytes()[13:])
    with pytest.raises(ModelError, match=r"model-Q8_0\.gguf can't be read as a GGUF file"):
        open_model(tmp_path)
    with pytest.raises(ModelError, match=r"llama\.cpp does not open .*magic"):
        LlamaCpp(file, 64)
    file.unlink()
    with pytest.raises(ModelError, match=r"model-Q8_0\.gguf does not exist"):
        open_model(tmp_path)


def test_a_process_that_used_llama_cpp_ends_well(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, GgufConfig(type="Q8_0"), tokenizer=tokenizer_dir)
    file = str(tmp_path / "model-Q8_0.gguf")
    code = f"from model.quantization.gguf.llama_cpp import LlamaCpp\nLlamaCpp({file!r}, 64).greedy([1, 2], 4)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
