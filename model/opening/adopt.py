"""An open model written as one of folio's: weights in fp32, bound to its tokenizer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data.shards.model_folder import TOKENIZER_BYTES, read_bytes
from model.networks.base import ModelError
from model.networks.directory import TOKENIZER_DIGEST, load_model, save_model


def adopt_model(directory: Path, output: Path) -> dict[str, float]:
    """Write the model in a Hugging Face directory into `output`; return parameters, vocab_size, context.

    Raise ModelError for one that folio can't compute, and for one that can't be trained by next tokens. Memory: the model in fp32, twice.
    """
    network = load_model(directory)
    if "causal" not in network.config.SUPPORTS:
        raise ModelError(f"{directory} is of kind {network.config.kind}, which does not predict next tokens; start from one that does")
    digest = hashlib.sha256(read_bytes(directory / "tokenizer.json", TOKENIZER_BYTES)).hexdigest()
    save_model(network, output, extra={TOKENIZER_DIGEST: digest})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": float(parameters), "vocab_size": float(network.vocab_size), "context": float(network.config.context)}


def write_origin(output: Path, origin: dict[str, object]) -> None:
    """Write where a model is from, for the card and the report."""
    (output / "origin.json").write_text(json.dumps(origin, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
