"""Which tokenizer a model's ids belong to: its SHA-256 stands in the model's config.json, and whoever joins the two asks for it.

Guarantee: a model that was trained here is never used with another tokenizer's ids, whatever the sizes of their vocabularies.
When it can't: a model from elsewhere names no tokenizer, and is taken as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

from model.networks.directory import CONFIG, TOKENIZER_DIGEST, ModelError


def tokenizer_of(directory: Path) -> str | None:
    """SHA-256 (hex) of the tokenizer.json that the model in `directory` was trained with; None where it does not say."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is no model directory")
    named = json.loads(path.read_text(encoding="utf-8")).get(TOKENIZER_DIGEST)
    return None if named is None else str(named)


def expect_tokenizer(directory: Path, digest: str) -> None:
    """ModelError when the model in `directory` was trained with another tokenizer than the one with this SHA-256."""
    named = tokenizer_of(directory)
    if named is not None and named != digest:
        raise ModelError(
            f"{directory} was trained with tokenizer {named[:12]}, but tokenizer {digest[:12]} is in use: the same ids mean other "
            "text; give the tokenizer that it was trained with, or train it again with this one"
        )
