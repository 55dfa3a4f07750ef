"""Bind a model to its tokenizer by the tokenizer's SHA-256 in config.json.

Code that uses a model with a tokenizer checks it, so a model trained here never sees another tokenizer's ids, even where the
vocabularies have the same size. A model from elsewhere names no tokenizer and passes unchecked.
"""

from __future__ import annotations

import json
from pathlib import Path

from model.networks.directory import CONFIG, TOKENIZER_DIGEST, ModelError


def read_tokenizer_digest(directory: Path) -> str | None:
    """Return the SHA-256 (hex) of the tokenizer.json that the model in `directory` was trained with; None if not recorded."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is not a model directory")
    digest = json.loads(path.read_text(encoding="utf-8")).get(TOKENIZER_DIGEST)
    return None if digest is None else str(digest)


def require_tokenizer(directory: Path, digest: str) -> None:
    """Raise ModelError if the model in `directory` was trained with another tokenizer than the one with this SHA-256."""
    trained_with = read_tokenizer_digest(directory)
    if trained_with is not None and trained_with != digest:
        raise ModelError(
            f"{directory} was trained with tokenizer {trained_with[:12]}, but tokenizer {digest[:12]} is in use, so the same ids mean "
            "different text; use the tokenizer that it was trained with, or train it again with this one"
        )
