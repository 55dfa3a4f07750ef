"""Replies that follow a grammar: a JSON value of a schema, a regular expression or a Lark grammar, by llguidance.

Before each token the grammar says which tokens are allowed; stop tokens are where the text is complete. A reply that reaches its limit
first is incomplete. llguidance comes with `pip install 'folio[grammar]'`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from model.inference.chat_format import ChatFormat

GrammarKind = Literal["json_schema", "regex", "lark"]
ANY_OBJECT: dict[str, Any] = {"type": "object"}


class GrammarError(ValueError):
    """A grammar can't be read, or llguidance is not installed."""


class GrammarCompiler:
    """Makes grammars over the tokens of one model. The first costs a look at each token of the vocabulary."""

    def __init__(self, chat_format: ChatFormat, vocab_size: int) -> None:
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise GrammarError("a grammar or JSON schema needs llguidance; install it with: pip install 'folio[grammar]'") from None
        self._stops, self._vocab_size = sorted(chat_format.stop_ids), vocab_size
        self._tokenizer = LLTokenizer(chat_format.tokenizer.to_str(), n_vocab=vocab_size, eos_token=self._stops)

    def grammar(self, kind: GrammarKind, source: str | dict[str, Any]) -> Grammar:
        """Return a grammar at its beginning, for one reply. Raise GrammarError if it can't be read."""
        from llguidance import LLMatcher

        try:
            if kind == "json_schema":
                # Without room to choose white space: a small model would write nothing else.
                text = LLMatcher.grammar_from_json_schema(source, overrides={"whitespace_flexible": False})
            else:
                text = (LLMatcher.grammar_from_regex if kind == "regex" else LLMatcher.grammar_from_lark)(str(source))
            matcher = LLMatcher(self._tokenizer, text, log_level=0)
        except ValueError as error:
            raise GrammarError(f"{kind}: {error}") from None
        if matcher.is_error():
            raise GrammarError(f"{kind}: {matcher.get_error()}")
        return Grammar(matcher, self._stops, self._vocab_size)


class Grammar:
    """How far one reply has come in its grammar. A `Constraint`.

    fault: why the grammar could not be followed on, such as one too complex; the reply then ends. Empty: it could.
    """

    def __init__(self, matcher: Any, stops: list[int], vocab_size: int) -> None:
        self._matcher, self._vocab_size, self.fault = matcher, vocab_size, ""
        self._stop_V = torch.zeros(vocab_size, dtype=torch.bool)
        self._stop_V[stops] = True

    def allowed(self) -> Tensor:
        """Return allowed_V, bool."""
        mask = self._matcher.compute_logit_bias()
        if self._matcher.is_error():
            self.fault = self.fault or str(self._matcher.get_error())
        if self.fault or self._matcher.is_stopped():
            return self._stop_V
        allowed_V: Tensor = torch.from_numpy(np.frombuffer(mask, dtype=np.uint8)[: self._vocab_size] > 0)
        return allowed_V if bool(allowed_V.any()) else self._stop_V

    def accept(self, token: int) -> None:
        """Note the token that was written."""
        if not self.fault and not self._matcher.is_stopped():
            self._matcher.consume_token(token)


SPACE = "\u2581"
"""What SentencePiece's tokens have for a space."""


class TokenBytes:
    """Looks tokens up in one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import decoders

        self._tokenizer = tokenizer
        self._byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
        self._special = set(tokenizer.get_added_tokens_decoder())
        # A decoder drops the space at the beginning of a text, which every token is that is decoded alone.
        self._spaced = tokenizer.decode([space]) == "" if (space := tokenizer.token_to_id(SPACE)) is not None else False

    def of(self, token: int) -> bytes:
        """Return the bytes of a token; for a special token, of its name."""
        name = self._tokenizer.id_to_token(token) or ""
        if token in self._special:
            return name.encode()
        if self._byte_level:
            known = byte_characters()
            return bytes(known[character] for character in name if character in known)
        if len(name) == 6 and name.startswith("<0x"):
            return bytes([int(name[3:5], 16)])
        return (name.replace(SPACE, " ") if self._spaced else str(self._tokenizer.decode([token]))).encode()


@lru_cache(maxsize=1)
def byte_characters() -> dict[str, int]:
    """Return the byte for each character of a byte-level token, in GPT-2's mapping, which keeps printable bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + number): value for number, value in enumerate(others)}
