"""A release directory. In format `huggingface`, `transformers` loads it and computes the logits and token ids that we compute; in
format `folio` only folio opens it, which the card says.

Guarantee: float32 weights are exported bit by bit; same inputs, same bytes. What was written is opened again through
the loader that users take, and its logits are compared with the source's before the function returns.
Cost: the weights in memory twice, and two short forward passes.
When it can't: a model that is no Llama in format huggingface, or is one in format folio, a tokenizer with more tokens than the
model, a quantized source, or a file that reads back otherwise raises an error that names it; nothing counts as exported then.

Files: model.safetensors, config.json, generation_config.json, the tokenizer's files, README.md; with a quantized model
also `int8/`, a directory of its own that `folio chat` opens.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.networks.binding import expect_tokenizer
from model.networks.directory import CONFIG, TOKENIZER_DIGEST, WEIGHTS, ModelError, load_model, model_config
from model.quantization.int8 import INT8_WEIGHTS, quantization_of
from model.release.card import ModelCard, render_card
from model.release.config import ExportConfig

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoder import Decoder

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
INT8_FOLDER = "int8"


def export(
    model_dir: Path,
    tokenizer_dir: Path,
    output: Path,
    config: ExportConfig,
    card: ModelCard,
    *,
    quantized: Path | None = None,
) -> dict[str, float]:
    """Write the release of `model_dir` into `output`, with the INT8 model `quantized` beside it if given.

    Metrics: parameters (count), bytes (of all files), logits_difference (largest, source against what was written: 0 for
    float32, rounding for bfloat16).
    """
    from model.inference.chat_format import ChatFormat

    if quantization_of(model_dir) is not None:
        raise ModelError(f"{model_dir} is quantized: export the full-precision model and give this one as quantized")
    if quantized is not None and quantization_of(quantized) is None:
        raise ModelError(f"{quantized} is not quantized: quantize it, or leave it out")
    decoder, chat_format = load_model(model_dir), ChatFormat(tokenizer_dir)
    differences = decoder.config.llama_differences()
    if differences and config.format == "huggingface":
        raise ModelError(f"{model_dir} is no Hugging Face Llama: {', '.join(differences)}; export it with format: folio")
    if not differences and config.format == "folio":
        raise ModelError(f"{model_dir} is a Hugging Face Llama, which more tools open: export it with format: huggingface")
    tokens = chat_format.tokenizer.get_vocab_size(with_added_tokens=True)
    if tokens > decoder.vocab_size:
        raise ModelError(f"{tokenizer_dir} has {tokens} tokens, {model_dir} knows {decoder.vocab_size}: they do not match")
    expect_tokenizer(model_dir, chat_format.digest)
    output.mkdir(parents=True, exist_ok=True)
    special = special_ids(chat_format)
    _write_weights(decoder, output / WEIGHTS, config)
    fields = model_config(decoder.config, decoder.vocab_size)
    # transformers 5 writes dtype and 4 reads torch_dtype; both are understood.
    _write_json(output / CONFIG, {**fields, **special, "torch_dtype": config.dtype, "dtype": config.dtype})
    _write_json(
        output / "generation_config.json",
        {**special, "do_sample": False, "max_new_tokens": min(config.max_new_tokens, decoder.config.context // 2)},
    )
    copy_tokenizer(tokenizer_dir, output)
    if quantized is not None:
        copy_quantized(quantized, tokenizer_dir, output / INT8_FOLDER, special)
    parameters = sum(parameter.numel() for parameter in decoder.parameters())
    facts = {
        "parameters": parameters,
        "vocabulary": decoder.vocab_size,
        "context": decoder.config.context,
        "dtype": config.dtype,
        "int8": quantized is not None,
        "differences": differences,
    }
    (output / "README.md").write_text(render_card(card, facts), encoding="utf-8")
    difference = read_back(decoder, output)
    if config.dtype == "float32" and difference != 0:
        raise ModelError(f"{output} computes other logits than {model_dir}, by {difference}: do not use it")
    size = sum(path.stat().st_size for path in sorted(output.rglob("*")) if path.is_file())
    return {"parameters": float(parameters), "bytes": float(size), "logits_difference": difference}


def special_ids(chat_format: ChatFormat) -> dict[str, Any]:
    """The ids that generation needs: begin, stop (end of message and of document) and padding; and whose ids they are."""
    pad = chat_format.tokenizer.token_to_id("<|pad|>")
    return {"bos_token_id": chat_format.bos_id, "eos_token_id": sorted(chat_format.stop_ids, reverse=True),
            "pad_token_id": pad, TOKENIZER_DIGEST: chat_format.digest}  # fmt: skip


def copy_tokenizer(tokenizer_dir: Path, output: Path) -> None:
    """Copy the tokenizer's files, and those only."""
    for name in TOKENIZER_FILES:
        if not (tokenizer_dir / name).is_file():
            raise ModelError(f"{tokenizer_dir / name} does not exist: a release needs the tokenizer's whole directory")
        shutil.copyfile(tokenizer_dir / name, output / name)


def copy_quantized(quantized: Path, tokenizer_dir: Path, output: Path, special: dict[str, Any]) -> None:
    """A directory for the INT8 model that needs no other beside it."""
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(quantized / INT8_WEIGHTS, output / INT8_WEIGHTS)
    fields = json.loads((quantized / CONFIG).read_text(encoding="utf-8"))
    _write_json(output / CONFIG, {**fields, **special})
    copy_tokenizer(tokenizer_dir, output)


def read_back(decoder: Decoder, output: Path) -> float:
    """Largest difference between the decoder's logits and those of the directory, over tokens from all the vocabulary."""
    import torch

    length = min(decoder.config.context, 64)
    tokens_BT = torch.linspace(0, decoder.vocab_size - 1, length).round().long()[None]
    with torch.no_grad():
        difference = decoder(tokens_BT) - load_model(output)(tokens_BT)
    return float(difference.abs().max())


def _write_weights(decoder: Decoder, path: Path, config: ExportConfig) -> None:
    import torch
    from safetensors.torch import save_file

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.dtype]
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in decoder.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
