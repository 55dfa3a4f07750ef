"""Open a tokenizer.json as it should read text: whole, without padding, whatever was set when it was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def parse_tokenizer(content: bytes) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json's content.

    Truncation and padding that were saved with it are reset, as transformers does: documents would be cut to 512 tokens in silence.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
