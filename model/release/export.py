"""Export a model as a release directory.

In format `huggingface`, `transformers` loads it and computes the same logits and token ids; in format `folio` only folio opens it, as the
card says; it alone keeps heads that predict further ahead. float32 weights are exported bit by bit, to rounding where the class of
transformers holds other numbers that compute the same; the same inputs give the same bytes. The result is loaded again as users would load
it, and its logits are compared with the source's before the function returns.

Files: model.safetensors, config.json, generation_config.json (of a network that writes text), the tokenizer's files, README.md, and
card.json, from which the card is rendered again when more is known; for each quantized variant a folder of its name, a complete directory
with its own tokenizer, which `folio chat --variant NAME` opens; and for each adapter that was trained on the model adapters/NAME/, which
`folio chat --adapter NAME` adds. A model whose own adapter does not merge into the weights has format `folio`, and that adapter in
adapter/. With `sentence_transformers` there are modules.json, config_sentence_transformers.json and a folder for each module beside them:
the mean of the hidden vectors, without the begin token, of length 1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.adapters.opening import adapter_apart, load_adapted
from model.adapters.protocol import FOLDER
from model.inference.chat_format import ROLES_FILE, ChatFormat
from model.networks.directory import (
    APART,
    CONFIG,
    TOKENIZER_DIGEST,
    WEIGHTS,
    ModelError,
    config_fields,
    map_model,
    read_config,
    require_tokenizer,
    write_weights,
)  # fmt: skip
from model.quantization.config import quantizer_of
from model.release.adapters import BESIDE, adapter_facts, copy_adapter
from model.release.card import ModelCard, render_card, write_facts
from model.release.config import ExportConfig, sentences_refusal
from model.release.variants import draw_variants, full_precision, read_variants

if TYPE_CHECKING:
    from torch import Tensor

    from model.inference.chat_format import ChatFormat

ROUNDING = 1e-4  # of logits, where weights are stored as other numbers that compute the same
SENTENCES = "sentence_transformers"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def export(
    model_dir: Path,
    tokenizer_dir: Path,
    output: Path,
    config: ExportConfig,
    card: ModelCard,
    *,
    variants: Mapping[str, Path] | None = None,
    fidelity: Mapping[str, Path] | None = None,
    adapters: Mapping[str, Path] | None = None,
) -> dict[str, float]:
    """Write the release of `model_dir` into `output`, with each quantized variant in a folder of its name; return its metrics.

    fidelity: of variants, by name, what was measured of them; one whose bounds failed is left out, and the card says why. adapters: folders
    of adapters that were trained on the model, each copied into adapters/ under its name.

    Metrics: parameters, variants and variants_withheld (count), bytes (of all files), logits_difference (largest between source and
    release: 0 for float32 bit by bit, else rounding). Raise ModelError if the format does not suit the model, model and tokenizer do not
    match, or the release computes other logits than the source. The weights are held in memory once.
    """
    import torch

    if quantizer_of(model_dir) is not None:
        raise ModelError(f"{model_dir} is quantized: export the full-precision model, and pass this one as a variant")
    quantized = read_variants(variants or {}, fidelity or {})
    apart = adapter_apart(model_dir)
    heads, kept = read_config(model_dir)[0].heads_ahead, config.format == "folio"
    (network, tensors), chat_format = map_model(model_dir, bare=True, heads=kept), ChatFormat(tokenizer_dir)
    form, refusal = network.config.hub_form(), network.config.hub_refusal()
    if apart is not None:
        form, refusal = None, f"it computes with an adapter that does not merge into its weights (adapter.kind={apart.kind})"
    if form is None and config.format == "huggingface":
        raise ModelError(f"no class of transformers computes what {model_dir} does: {refusal}; export it with format: folio")
    if form is not None and config.format == "folio":
        raise ModelError(f"{model_dir} is a {form.hub.NAME}, which more tools open: export it with format: huggingface")
    if config.sentence_transformers and (why := sentences_refusal(form)):
        raise ModelError(f"{model_dir}: {why}; leave {SENTENCES} out")
    tokens = chat_format.tokenizer.get_vocab_size(with_added_tokens=True)
    if tokens > network.vocab_size:
        raise ModelError(f"{tokenizer_dir} has {tokens} tokens but {model_dir} has {network.vocab_size}: they do not match")
    require_tokenizer(model_dir, chat_format.digest)
    output.mkdir(parents=True, exist_ok=True)
    special = special_ids(chat_format)
    parameters, before = _computed(model_dir, heads=kept)
    write_weights(tensors, form, output / WEIGHTS, getattr(torch, config.dtype))
    fields = config_fields(network.config, network.vocab_size, form)
    if apart is not None:
        fields[APART] = apart.model_dump(mode="json")
        copy_adapter(model_dir / FOLDER, output / FOLDER)
    # transformers 4 reads torch_dtype; transformers 5 writes dtype and reads both.
    _write_json(output / CONFIG, {**fields, **special, "torch_dtype": config.dtype, "dtype": config.dtype})
    if "generation" in network.config.SUPPORTS:
        _write_json(
            output / "generation_config.json",
            {**special, "do_sample": False, "max_new_tokens": min(config.max_new_tokens, network.config.context // 2)},
        )
    copy_tokenizer(tokenizer_dir, output)
    if config.sentence_transformers:
        write_sentence_modules(output, chat_format, network.config.width, network.config.context)
    for variant in quantized:
        if variant.released:
            copy_variant(variant.directory, variant.quantizer.files, tokenizer_dir, output / variant.name, special)
    for name, folder in (adapters or {}).items():
        copy_adapter(folder, output / BESIDE / name)
    facts = {
        "parameters": parameters,
        "vocabulary": network.vocab_size,
        "context": network.config.context,
        "dtype": "int32, counts" if network.config.counted else config.dtype,
        "variants": [variant.card_facts(parameters) for variant in quantized],
        "full": full_precision(quantized, (output / WEIGHTS).stat().st_size, parameters),
        "plot": draw_variants(quantized, (output / WEIGHTS).stat().st_size, output),
        "hub_class": "" if form is None else form.hub.NAME,
        "opened_by": "" if form is None else form.hub.OPENED_BY,
        "refusal": refusal,
        **({"heads": heads, "heads_kept": kept} if heads else {}),
        "supports": network.config.SUPPORTS,
        **({"sentences": True} if config.sentence_transformers else {}),
        "adapters": adapter_facts(
            adapters or {}, own_names=form is not None and tensors.keys() <= form.to_hub(network.state_dict()).keys()
        ),
    }
    (output / "README.md").write_text(render_card(card, facts), encoding="utf-8")
    write_facts(card, facts, output)
    difference = float((before - _computed(output)[1]).abs().max())
    if config.dtype == "float32" and difference > (0 if form is None or form.exact else ROUNDING):
        raise ModelError(f"{output} computes other logits than {model_dir}, by up to {difference}; do not use it")
    size = sum(path.stat().st_size for path in sorted(output.rglob("*")) if path.is_file())
    released = sum(variant.released for variant in quantized)
    counts = {"variants": float(released), "variants_withheld": float(len(quantized) - released)}
    return {"parameters": float(parameters), "bytes": float(size), "logits_difference": difference, **counts}


def special_ids(chat_format: ChatFormat) -> dict[str, Any]:
    """Return the ids that generation needs (begin, stop, padding) and the digest of the tokenizer they belong to."""
    return {"bos_token_id": chat_format.bos_id, "eos_token_id": sorted(chat_format.stop_ids, reverse=True),
            "pad_token_id": chat_format.pad_id, TOKENIZER_DIGEST: chat_format.digest}  # fmt: skip


def copy_tokenizer(tokenizer_dir: Path, output: Path) -> None:
    """Copy the tokenizer's files and no others."""
    for name in TOKENIZER_FILES:
        if not (tokenizer_dir / name).is_file():
            raise ModelError(f"{tokenizer_dir / name} does not exist: a release needs the tokenizer's whole directory")
        shutil.copyfile(tokenizer_dir / name, output / name)
    if (tokenizer_dir / ROLES_FILE).is_file():
        shutil.copyfile(tokenizer_dir / ROLES_FILE, output / ROLES_FILE)


def write_sentence_modules(output: Path, chat_format: ChatFormat, width: int, context: int) -> None:
    """Write the files by which sentence-transformers makes the vectors of `model.inference.embed`, for texts no longer than the context.

    The begin token is the default prompt, unless the tokenizer adds it, and has weight 0 in the mean: as a prompt it could not be left out,
    since sentence-transformers takes a special token at a prompt's end for the end of a text. Raise ModelError if the tokenizer reads a
    text behind the begin token otherwise than alone.
    """
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    # Opened as others open it: folio's own reads special tokens in a text as plain text.
    tokenizer, begin = Tokenizer.from_file(str(output / "tokenizer.json")), chat_format.bos_id
    words = [tokenizer.id_to_token(token) or f"<{token}>" for token in range(tokenizer.get_vocab_size(with_added_tokens=True))]
    text = "One text, and another."
    prompt = "" if tokenizer.encode(text).ids[:1] == [begin] else words[begin]
    if tokenizer.encode(prompt + text).ids != [begin, *chat_format.encode_text(text)]:
        raise ModelError(f"its tokenizer reads a text behind {words[begin]} otherwise than alone; leave {SENTENCES} out")
    weights = torch.ones(len(words), 1)
    weights[begin] = 0
    modules: dict[str, tuple[str, dict[str, Any]]] = {
        "": ("Transformer", {}),
        "1_WordWeights": ("WordWeights", {"vocab": words, "word_weights": {words[begin]: 0.0}, "unknown_word_weight": 1.0}),
        "2_Pooling": ("Pooling", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True, "include_prompt": True}),
        "3_Normalize": ("Normalize", {}),
    }
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, (kind, _)) in enumerate(modules.items())
    ]
    for path, (_, settings) in list(modules.items())[1:]:
        (output / path).mkdir()
        _write_json(output / path / "config.json", settings)
    save_file({"emb_layer.weight": weights}, output / "1_WordWeights" / WEIGHTS)
    (output / "modules.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    _write_json(output / "sentence_bert_config.json", {"max_seq_length": context, "do_lower_case": False})
    prompts = {"prompts": {"text": prompt}, "default_prompt_name": "text"} if prompt else {}
    _write_json(output / "config_sentence_transformers.json", {"similarity_fn_name": "cosine", **prompts})


def copy_variant(variant: Path, files: tuple[str, ...], tokenizer_dir: Path, output: Path, special: dict[str, Any]) -> None:
    """Write a quantized variant, whose weights are in `files`, as a complete directory with its own tokenizer."""
    output.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copyfile(variant / name, output / name)
    fields = json.loads((variant / CONFIG).read_text(encoding="utf-8"))
    _write_json(output / CONFIG, {**fields, **special})
    copy_tokenizer(tokenizer_dir, output)


def _computed(directory: Path, *, heads: bool = True) -> tuple[int, Tensor]:
    """Return how many parameters the network in a directory has, and its logits of tokens from the whole vocabulary."""
    import torch

    network = load_adapted(directory, heads=heads)
    length = min(network.config.context, 64)  # enough to use every layer and position scheme, and still quick
    tokens_BT = torch.linspace(0, network.vocab_size - 1, length).round().long()[None]
    with torch.no_grad():
        return sum(parameter.numel() for parameter in network.parameters()), network.logits({"tokens": tokens_BT})


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
