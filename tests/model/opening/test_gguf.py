"""GGUF files are read as the models that they were made from: same shape, weights and tokens, whatever the type of the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from model.networks.base import ModelError
from model.networks.directory import load_model
from model.opening.gguf.metadata import GgufFile
from model.opening.gguf.tokenizer import SPLITS
from model.opening.gguf.tokenizer import write_tokenizer as write_read_tokenizer
from model.opening.gguf.unpack import unpack
from model.opening.gguf_model import GgufModel
from model.opening.source import Surroundings
from tests.model.networks.test_open_models import published
from tests.model.opening.tiny import CHATML, WORDS, write_sentencepiece, write_tokenizer

gguf = pytest.importorskip("gguf")
VOCABULARY = 320
NAMES = {
    "llama": {"norm": "output_norm", "embed_tokens": "token_embd", "lm_head": "output"},
    "gpt2": {"ln_f": "output_norm", "wte": "token_embd", "wpe": "position_embd"},
}
PARTS = {
    **{"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v"},
    **{"o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down", "q_norm": "attn_q_norm"},
    **{"k_norm": "attn_k_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm", "c_attn": "attn_qkv", "c_fc": "ffn_up"},
}


def gguf_name(name: str) -> str:
    """Return what llama.cpp calls a tensor of transformers."""
    *owner, kind = name.removeprefix("model.").removeprefix("transformer.").split(".")
    if owner[0] in ("layers", "h"):
        part = "ffn_down" if owner[-2:] == ["mlp", "c_proj"] else "attn_output" if owner[-1] == "c_proj" else PARTS[owner[-1]]
        return f"blk.{owner[1]}.{part}.{kind}"
    return f"{ {**NAMES['llama'], **NAMES['gpt2']}[owner[0]] }.{kind}"


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Order rows as llama.cpp's converter does for architecture llama."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, arch: str, theirs: Any, kind: str = "F32", **more: Any) -> None:
    """Write a model of transformers with the tokenizer in `path`'s folder."""
    config, words = theirs.config, Tokenizer.from_file(str(path.parent / "tokenizer.json"))
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("A small one")
    writer.add_license("apache-2.0")
    for name, value in (
        *(("block_count", config.num_hidden_layers), ("context_length", config.max_position_embeddings)),
        *(("embedding_length", config.hidden_size), ("attention.head_count", config.num_attention_heads)),
        ("feed_forward_length", getattr(config, "intermediate_size", 4 * config.hidden_size)),
    ):
        writer.add_uint32(f"{arch}.{name}", value)
    if arch == "gpt2":
        writer.add_float32("gpt2.attention.layer_norm_epsilon", config.layer_norm_epsilon)
    else:
        writer.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
        writer.add_uint32(f"{arch}.attention.head_count_kv", config.num_key_value_heads)
        writer.add_float32(f"{arch}.rope.freq_base", config.rope_parameters["rope_theta"])
        if getattr(config, "head_dim", None):
            writer.add_uint32(f"{arch}.attention.key_length", config.head_dim)
    vocabulary = sorted(words.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    special = {token.content for token in words.get_added_tokens_decoder().values()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(more.pop("pre", "gpt-2"))
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in special else 1 for token, _ in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(words.to_str())["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if (begins := more.pop("begins", None)) is not None:
        writer.add_add_bos_token(begins)
    writer.add_chat_template(CHATML)
    for name, value in more.items():
        writer.add_string(name, value)
    quantized = getattr(gguf.GGMLQuantizationType, kind)
    for name, tensor in theirs.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = tensor.numpy()
        if arch == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            weight = np.ascontiguousarray(weight.T)
        if arch == "llama" and ".q_proj" in name:
            weight = permuted(weight, config.num_attention_heads)
        if arch == "llama" and ".k_proj" in name:
            weight = permuted(weight, config.num_key_value_heads)
        small = weight.ndim == 1 or weight.shape[1] % 32
        data = weight if small else gguf.quants.quantize(weight, quantized)
        writer.add_tensor(gguf_name(name), data, raw_dtype=None if small else quantized)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def made(folder: Path, name: str, arch: str, kind: str = "F32", **more: Any) -> tuple[Any, Path]:
    """Return a model of transformers and the GGUF file of it."""
    theirs: Any = published(name, folder, VOCABULARY)
    write_tokenizer(folder, vocabulary=VOCABULARY)
    write_gguf(folder / "model.gguf", arch, theirs, kind, **more)
    return theirs, folder / "model.gguf"


@pytest.mark.parametrize(("name", "arch"), [("llama-2", "llama"), ("smollm2", "llama"), ("qwen3", "qwen3"), ("gpt-2", "gpt2")])
def test_a_file_gives_the_logits_of_the_model_that_it_was_made_from(name: str, arch: str, tmp_path: Path) -> None:
    theirs, path = made(tmp_path, name, arch)
    stated = unpack(path, tmp_path / "unpacked")
    rows = torch.randint(0, VOCABULARY, (2, 32), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, reference = load_model(tmp_path / "unpacked").logits({"tokens": rows}), theirs(rows).logits
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)
    assert stated == {"name": "A small one", "licence": "apache-2.0"}
    shape = GgufModel(path="model.gguf").shape(Surroundings(tmp_path, tmp_path, tmp_path))
    assert shape.vocabulary == VOCABULARY and not list(shape.network.differences(load_model(tmp_path / "unpacked").config))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_1", "Q5_0"])
def test_weights_of_any_type_are_what_llama_cpp_makes_of_them(kind: str, tmp_path: Path) -> None:
    theirs, path = made(tmp_path, "qwen3", "qwen3", kind)
    unpack(path, tmp_path / "unpacked")
    weights = load_model(tmp_path / "unpacked").state_dict()
    name, quantized = "model.layers.1.mlp.gate_proj.weight", getattr(gguf.GGMLQuantizationType, kind)
    original = theirs.state_dict()[name].numpy()
    rounded = gguf.quants.dequantize(gguf.quants.quantize(original, quantized), quantized)
    np.testing.assert_array_equal(weights[name].numpy(), rounded)


def test_the_tokenizer_is_rebuilt_with_its_template_and_gives_the_same_tokens(tmp_path: Path) -> None:
    _, path = made(tmp_path, "smollm2", "llama")
    unpack(path, tmp_path / "unpacked")
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tmp_path, tmp_path / "unpacked"))
    for text in (WORDS, "It's 12 o’clock — Ἀχιλλεύς.\n\n 你好 <|im_end|>"):
        assert before.encode(text).ids == after.encode(text).ids
    assert (tmp_path / "unpacked" / "chat_template.jinja").read_text() == CHATML
    assert json.loads((tmp_path / "unpacked" / "tokenizer_config.json").read_text())["eos_token"] == "<|im_end|>"


def test_digits_and_marks_are_split_by_the_rule_that_the_file_names(tmp_path: Path) -> None:
    pieces = {}
    for rule in ("gpt-2", "smollm", "llama-bpe", "qwen2"):
        (folder := tmp_path / rule).mkdir()
        _, path = made(folder, "smollm2", "llama", pre=rule)
        unpack(path, folder / "unpacked")
        splitter = Tokenizer.from_file(str(folder / "unpacked" / "tokenizer.json")).pre_tokenizer
        pieces[rule] = [piece for piece, _ in splitter.pre_tokenize_str("In 1234, DON'T!\n\nGo")]
    assert pieces["gpt-2"] == ["In", "Ġ1234", ",", "ĠDON", "'", "T", "!", "Ċ", "Ċ", "Go"]
    assert pieces["smollm"] == ["In", "Ġ", "1", "2", "3", "4", ",", "ĠDON", "'", "T", "!", "Ċ", "Ċ", "Go"]
    assert pieces["llama-bpe"] == ["In", "Ġ", "123", "4", ",", "ĠDON", "'T", "!ĊĊ", "Go"]
    assert pieces["qwen2"] == ["In", "Ġ", "1", "2", "3", "4", ",", "ĠDON", "'T", "!ĊĊ", "Go"]


@pytest.mark.parametrize(
    ("pre", "stated", "begins"),
    [("llama-bpe", None, True), ("tekken", None, True), ("llama-bpe", False, False), ("qwen2", None, False), ("qwen2", True, True)],
)
def test_a_text_begins_as_the_file_says_or_as_its_rule_has_it(pre: str, stated: bool | None, begins: bool, tmp_path: Path) -> None:
    _, path = made(tmp_path, "smollm2", "llama", pre=pre, begins=stated)
    unpack(path, tmp_path / "unpacked")
    ids = Tokenizer.from_file(str(tmp_path / "unpacked" / "tokenizer.json")).encode("a").ids
    assert len(ids) == 1 + begins


def test_a_file_that_names_no_rule_is_read_by_gpt_2_s_only_if_it_is_one(tmp_path: Path) -> None:
    for folder, name, arch in ((tmp_path / "one", "gpt-2", "gpt2"), (tmp_path / "other", "smollm2", "llama")):
        folder.mkdir()
        _, path = made(folder, name, arch, pre="default")
        if arch == "gpt2":
            unpack(path, folder / "unpacked")
        else:
            with pytest.raises(ModelError, match="splits text by the rule 'default'"):
                unpack(path, folder / "unpacked")


def test_sentencepiece_s_pieces_and_scores_give_the_same_tokens(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    before = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    vocabulary = sorted(before.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_uint32("llama.context_length", 32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_scores([-float(number) for _, number in vocabulary])
    writer.add_token_types([2 if n == 0 else 3 if n < 3 else 6 if n < 259 else 1 for _, n in vocabulary])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    (tmp_path / "read").mkdir()
    write_read_tokenizer(GgufFile(tmp_path / "model.gguf"), tmp_path / "read")
    after = Tokenizer.from_file(str(tmp_path / "read" / "tokenizer.json"))
    for text in (WORDS, "the cat 你好 👩\u200d🚀\n the  door"):
        assert before.encode(text).ids == after.encode(text).ids and after.decode(after.encode(text).ids) == text


def test_what_can_not_be_read_is_refused_by_name(tmp_path: Path) -> None:
    _, path = made(tmp_path, "smollm2", "llama", pre="bloom")
    with pytest.raises(ModelError, match=r"splits text by the rule 'bloom'; those that are known are gpt-2"):
        unpack(path, tmp_path / "unpacked")
    with pytest.raises(ModelError, match=r"can't be read as a GGUF file"):
        GgufFile(tmp_path / "tokenizer.json")
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"holds architecture 'mamba'; those that can be read are llama, qwen3, gpt2"):
        GgufFile(tmp_path / "other.gguf")


def test_a_pinned_file_of_other_content_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "smollm2", "llama")
    around = Surroundings(tmp_path, tmp_path / "cache", tmp_path / "scratch")
    with pytest.raises(ModelError, match=r"model.gguf has sha256 [0-9a-f]{64}, and the recipe pins 0000"):
        GgufModel(path="model.gguf", sha256="0" * 64).open(around)
    assert GgufModel(path="model.gguf").open(around).origin["licence"] == "apache-2.0"


def test_every_rule_of_splitting_compiles() -> None:
    from tokenizers import Regex

    assert all(Regex(pattern) for pattern in SPLITS.values() if pattern)


def split(path: Path, count: int = 2) -> list[Path]:
    """Write a file's tensors into parts, the metadata into the first, as gguf-split does."""
    reader = gguf.GGUFReader(path)
    parts = [path.with_name(f"split-{number + 1:05d}-of-{count:05d}.gguf") for number in range(count)]
    for number, part in enumerate(parts):
        writer = gguf.GGUFWriter(part, reader.fields["general.architecture"].contents())
        for field in reader.fields.values() if number == 0 else ():
            if not field.name.startswith(("GGUF.", "general.architecture")):
                kind, *inner = field.types
                writer.add_key_value(field.name, field.contents(), kind, inner[-1] if inner else None)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in reader.tensors[number::count]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return parts


def test_a_model_in_parts_is_the_model_of_the_whole_file_and_a_missing_or_later_part_is_named(tmp_path: Path) -> None:
    _, path = made(tmp_path, "smollm2", "llama")
    first, second = split(path)
    for name, file in (("whole", path), ("parts", first)):
        unpack(file, tmp_path / name)
    whole, parts = (load_model(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(weight.equal(parts[key]) for key, weight in whole.items())
    assert GgufModel(path=first.name).local_files(tmp_path) == [first, second]
    with pytest.raises(ModelError, match=r"is a later part of a model; give its first, split-00001-of-00002\.gguf"):
        GgufFile(second)
    with pytest.raises(ValueError, match="is a part of a model"):
        GgufModel(path=first.name, package="x", version="1", sha256="0" * 64)
    second.write_bytes(first.read_bytes())
    with pytest.raises(ModelError, match="is not part 2 of 2"):
        GgufFile(first)
    second.unlink()
    with pytest.raises(ModelError, match=r"split-00002-of-00002\.gguf does not exist"):
        GgufFile(first)
