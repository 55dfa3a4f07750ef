"""Speculative decoding (Leviathan et al. 2023): a small draft proposes tokens, and the network reads them all in one pass.

The network chooses each token as it would without a draft, with the same settings and the same random number, and continues as long as it
chooses the proposed tokens; so the texts are the same, up to rounding. A draft uses the same random numbers and so is often right even at a
high temperature. It pays off where the draft's pass is far cheaper than the network's, as is likely with few rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from model.inference.batch import Batch, PrefixCache
from model.inference.request import Request
from model.inference.sampling import next_tokens, write_tokens
from model.networks.decoding import DecodingNetwork, DecodingState


class DraftError(ValueError):
    """A network can't draft for another."""


class SpeculativeBatch(Batch):
    """A batch whose `draft` proposes up to `ahead` tokens of each reply at a time.

    proposed, accepted: how many tokens so far.
    """

    def __init__(self, network: DecodingNetwork, draft: DecodingNetwork, ahead: int = 4, prefixes: PrefixCache | None = None) -> None:
        super().__init__(network, prefixes)
        self._draft, self._ahead, self._draft_state = draft, ahead, draft.new_state()
        self.proposed = self.accepted = 0
        if ahead < 1:
            raise DraftError(f"ahead={ahead}: a draft proposes at least 1 token")
        if draft.vocab_size != network.vocab_size:
            raise DraftError(f"the draft has {draft.vocab_size} tokens and the model {network.vocab_size}; use one with the same tokenizer")
        if draft.context < network.context:
            raise DraftError(f"the draft's context is {draft.context} tokens and the model's {network.context}; use one of at least that")
        for name, state, kind in (("draft", self._draft_state, draft.config.kind), ("model", self._state, network.config.kind)):
            if not state.cuts:
                raise DraftError(f"the {name} is of kind={kind}, whose state can't go back to an earlier token; drafts need one that can")

    def join(self, requests: Sequence[Request]) -> list[Request]:
        """See `Batch`."""
        return super().join(requests)

    def step(self) -> list[Request]:
        """Write up to `ahead` + 1 tokens of each reply; return the requests that are finished."""
        requests, lengths = list(self.requests), self._state.lengths
        if not requests:
            return []
        room = min(self._network.context - max(lengths) - 1, max(request.limit - len(request.tokens) for request in requests) - 1)
        proposals = self._propose(max(0, min(self._ahead, room)))
        ahead = len(proposals[0])
        tokens_NT = torch.tensor([[request.tokens[-1], *proposed] for request, proposed in zip(requests, proposals, strict=True)])
        logits_NTV = self._network.step_all(tokens_NT.to(self._network.device), [ahead + 1] * len(requests), self._state)
        going = list(range(len(requests)))
        for place in range(ahead + 1):
            write_tokens(logits_NTV[torch.tensor(going, device=logits_NTV.device), place], [requests[row] for row in going])
            right = [row for row in going if place < ahead and requests[row].tokens[-1] == proposals[row][place]]
            self.accepted += len(right)
            going = [row for row in right if not requests[row].finished]
            if not going:
                break
        self.proposed += ahead * len(requests)
        for row, request in enumerate(requests):
            length = len(request.prompt) + len(request.tokens) - 1
            self._state.cut(row, length)
            self._draft_state.cut(row, min(self._draft_state.lengths[row], length))
        return self._release(0)

    def _propose(self, ahead: int) -> list[list[int]]:
        """Return the next `ahead` tokens of each reply as the draft would write them."""
        # A draft is not told what constrains a reply: what it proposes wrongly is not taken.
        shadows = [
            replace(request, tokens=list(request.tokens), log_probabilities=[], scores=[], constraint=None, watch=None, alternatives=None)
            for request in self.requests
        ]
        for _ in range(ahead):
            unread = [[*shadow.prompt, *shadow.tokens][length:] for shadow, length in zip(shadows, self._draft_state.lengths, strict=True)]
            logits_NV = read(self._draft, self._draft_state, unread)
            for shadow, (token, _) in zip(shadows, next_tokens(logits_NV, shadows), strict=True):
                shadow.tokens.append(token)
        return [shadow.tokens[len(request.tokens) :] for shadow, request in zip(shadows, self.requests, strict=True)]

    def _begin(self, request: Request) -> int:
        self._draft_state.add(1)
        return super()._begin(request)

    def _remove(self, row: int) -> None:
        self._draft_state.remove(row)
        super()._remove(row)


def read(network: DecodingNetwork, state: DecodingState, unread: Sequence[Sequence[int]]) -> torch.Tensor:
    """Read 1 or more tokens into each row of a state; return logits_NV after the last token of each."""
    longest = max(map(len, unread))
    padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in unread], device=network.device)
    return network.step(padded, list(map(len, unread)), state)
