"""Speculative decoding (Leviathan et al. 2023): a small draft proposes tokens, and the network reads them all in one pass.

The network chooses each token as it would without a draft, with the same settings and the same random number, and continues as long as it
chooses the proposed tokens; so the texts are the same, up to rounding. A draft uses the same random numbers and so is often right even at a
high temperature. It pays off where the draft's pass is far cheaper than the network's, as is likely with few rows at once.

A network trained with heads that predict further ahead (`model.multi_token`) drafts for itself: each head proposes a token. On one thread
of a processor, one row at a time, a pass with one head took 1.4 times as long as one without in 12 layers of width 768, which pays off from
37 % of proposals taken; in 4 layers of width 96, where Python is most of a pass, drafts with 94 % taken wrote a third as fast as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.inference.batch import Batch, PrefixCache
from model.inference.request import Request
from model.inference.sampling import next_tokens, write_tokens
from model.networks.decoder import DecodingDecoder
from model.networks.decoding import DecodingNetwork, DecodingState

OWN_HEADS = "self"  # in place of a draft's name: the model drafts for itself


class DraftError(ValueError):
    """A network can't draft for another."""


class Drafter(Protocol):
    """The interface of a draft model. Its rows are those of the batch, in the same order."""

    def begin(self, length: int) -> None:
        """Append a row, of which the network holds `length` tokens already."""

    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""

    def cut(self, row: int, length: int) -> None:
        """Forget what a row holds beyond `length` tokens."""

    def observe(self, requests: Sequence[Request], x_NTD: Tensor, counts: Sequence[int], first: int) -> None:
        """Learn what the network made, before its last norm, of the tokens that it has read last, `counts` of each row from `first` on.

        The rows' requests hold the token that was chosen after them.
        """

    def propose(self, requests: Sequence[Request], ahead: int) -> list[list[int]]:
        """Return up to `ahead` next tokens of each reply, of all as many."""


class SpeculativeBatch(Batch):
    """A batch for whose replies a draft proposes up to `ahead` tokens at a time: another network, or, where that is the network itself,
    its own heads, of which each proposes one.
    """

    def __init__(self, network: DecodingNetwork, draft: DecodingNetwork, ahead: int = 4, prefixes: PrefixCache | None = None) -> None:
        super().__init__(network, prefixes)
        self._ahead = ahead
        if ahead < 1:
            raise DraftError(f"ahead={ahead}: a draft proposes at least 1 token")
        if draft is network:
            heads = _OwnHeads(network)
            self._state, self._reread = heads.state, len(heads.network.heads)
            self._drafter: Drafter = heads
            return
        if draft.vocab_size != network.vocab_size:
            raise DraftError(f"the draft has {draft.vocab_size} tokens and the model {network.vocab_size}; use one with the same tokenizer")
        if draft.context < network.context:
            raise DraftError(f"the draft's context is {draft.context} tokens and the model's {network.context}; use one of at least that")
        drafter = _OtherNetwork(draft)
        for name, state, kind in (("draft", drafter.state, draft.config.kind), ("model", self._state, network.config.kind)):
            if not state.cuts:
                raise DraftError(f"the {name} is of kind={kind}, whose state can't go back to an earlier token; drafts need one that can")
        self._drafter = drafter

    @torch.inference_mode()
    def step(self) -> list[Request]:
        """Write up to `ahead` + 1 tokens of each reply; return the requests that are finished."""
        requests, lengths = list(self.requests), list(self._state.lengths)
        if not requests:
            return []
        room = min(self._network.context - max(lengths) - 1, max(request.limit - len(request.tokens) for request in requests) - 1)
        proposals = self._drafter.propose(requests, max(0, min(self._ahead, room)))
        ahead = len(proposals[0])
        tokens_NT = torch.tensor([[request.tokens[-1], *proposed] for request, proposed in zip(requests, proposals, strict=True)])
        x_MD = self._network.advance(tokens_NT.to(self._network.device), [ahead + 1] * len(requests), self._state, 0)
        logits_NTV = self._network.read(x_MD).view(*tokens_NT.shape, -1)
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
            self._drafter.cut(row, length)
        written = [after - before for after, before in zip(self._state.lengths, lengths, strict=True)]
        self._drafter.observe(requests, x_MD.view(*tokens_NT.shape, -1), written, 0)
        return self._release(0)

    @torch.inference_mode()
    def _advance(self, tokens: list[list[int]], counts: list[int], first: int) -> list[Request]:
        tokens_NT, requests = torch.tensor(tokens, device=self._network.device), self.requests[first:]
        x_MD = self._network.advance(tokens_NT, counts, self._state, first)
        write_tokens(self._network.read(self._network.last(x_MD, counts, tokens_NT.shape[1])), requests)
        self._drafter.observe(requests, x_MD.view(*tokens_NT.shape, -1), counts, first)
        return self._release(first)

    def _begin(self, request: Request) -> int:
        length = super()._begin(request)
        self._drafter.begin(length)
        return length

    def _remove(self, row: int) -> None:
        self._drafter.remove(row)
        super()._remove(row)


class _OtherNetwork:
    """Another network drafts, which has a state of its own."""

    def __init__(self, network: DecodingNetwork) -> None:
        self.network, self.state = network, network.new_state()

    def begin(self, length: int) -> None:
        self.state.add(1)

    def remove(self, row: int) -> None:
        self.state.remove(row)

    def cut(self, row: int, length: int) -> None:
        self.state.cut(row, min(self.state.lengths[row], length))

    def observe(self, requests: Sequence[Request], x_NTD: Tensor, counts: Sequence[int], first: int) -> None:
        """Do nothing: it reads the tokens itself."""

    def propose(self, requests: Sequence[Request], ahead: int) -> list[list[int]]:
        shadows = _shadows(requests)
        for _ in range(ahead):
            unread = [[*shadow.prompt, *shadow.tokens][length:] for shadow, length in zip(shadows, self.state.lengths, strict=True)]
            _write(shadows, read(self.network, self.state, unread))
        return [shadow.tokens[len(request.tokens) :] for shadow, request in zip(shadows, requests, strict=True)]


@dataclass
class _HeadsRow:
    """The heads' state of a row. begin: the first position that they read. proposals: of the next tokens.

    waiting: of each head the vectors that it has yet to read, for good, before those of tokens that come: one at most.
    """

    begin: int
    waiting: list[Tensor]
    proposals: list[int] = field(default_factory=list)


class _OwnHeads:
    """The network's own heads draft, each one token, and keep what they need beside what the network keeps.

    Head k reads at a position also the token k places further on. That of the last positions is itself a proposal, so each head reads its
    last k - 1 positions again once their tokens are known, and what it keeps is what it would keep of the text read at once.
    """

    def __init__(self, network: DecodingNetwork) -> None:
        if not isinstance(network, DecodingDecoder) or not network.heads:
            raise DraftError(
                f"the model, of kind={network.config.kind}, has no heads to draft for itself (multi_token); name another model"
            )
        if network.before is not None:
            raise DraftError("the model computes with a learned prefix, which its heads never saw; name another model as the draft")
        self.network, self.state = network, network.drafting_state()
        self._rows: list[_HeadsRow] = []

    def begin(self, length: int) -> None:
        nothing = torch.empty((0, self.network.table_VD.shape[1]), device=self.network.device)
        self._rows.append(_HeadsRow(length, [nothing] * len(self.network.heads)))

    def remove(self, row: int) -> None:
        self._rows[row] = self._rows[-1]
        self._rows.pop()

    def cut(self, row: int, length: int) -> None:
        """Do nothing: the batch cuts the state, and what lies beyond is written over."""

    def propose(self, requests: Sequence[Request], ahead: int) -> list[list[int]]:
        return [row.proposals[:ahead] for row in self._rows]

    def observe(self, requests: Sequence[Request], x_NTD: Tensor, counts: Sequence[int], first: int) -> None:
        rows, ends, shadows = self._rows[first:], self.state.lengths[first:], _shadows(requests)
        normed_NTD = self.network.normed(x_NTD.flatten(0, 1)).view_as(x_NTD)
        made = [x_TD[:count] for x_TD, count in zip(normed_NTD, counts, strict=True)]
        later = [row.waiting[:1] for row in rows]
        for number, head in enumerate(self.network.heads):
            given = [torch.cat((row.waiting[number], x_TD)) for row, x_TD in zip(rows, made, strict=True)]
            # A reply that failed may have no new token; it leaves, and what is read in its place is forgotten with it.
            given = [x_TD if len(x_TD) else x_NTD.new_zeros(1, x_NTD.shape[2]) for x_TD in given]
            starts = [end - len(x_TD) for end, x_TD in zip(ends, given, strict=True)]
            time = max(map(len, given))
            texts = [[*shadow.prompt, *shadow.tokens][start + head.depth :][:time] for shadow, start in zip(shadows, starts, strict=True)]
            tokens_NT = torch.tensor([[*text, *[0] * (time - len(text))] for text in texts], device=self.network.device)
            out_NTD = self.network.through(head, pad_sequence(given, batch_first=True), tokens_NT, self.state, first, starts)
            made = [out_TD[: len(x_TD)] for out_TD, x_TD in zip(out_NTD, given, strict=True)]
            _write(shadows, self.network.read_normed(torch.stack([out_TD[-1] for out_TD in made])))
            for waiting, row, out_TD, start, end in zip(later, rows, made, starts, ends, strict=True):
                known = end - head.depth  # the last position whose token is no proposal
                waiting.append(out_TD[known - start :][:1] if known >= row.begin else out_TD[:0])
        for row, waiting, shadow, request in zip(rows, later, shadows, requests, strict=True):
            row.waiting, row.proposals = waiting[:-1], shadow.tokens[len(request.tokens) :]


def _shadows(requests: Sequence[Request]) -> list[Request]:
    """Return copies to draft with. They are not told what constrains a reply: what is proposed wrongly is not taken."""
    return [
        replace(request, tokens=list(request.tokens), log_probabilities=[], scores=[], constraint=None, watch=None, alternatives=None)
        for request in requests
    ]


def _write(shadows: Sequence[Request], logits_NV: Tensor) -> None:
    """Add to each shadow the token that it would write."""
    for shadow, (token, _) in zip(shadows, next_tokens(logits_NV, shadows), strict=True):
        shadow.tokens.append(token)


def read(network: DecodingNetwork, state: DecodingState, unread: Sequence[Sequence[int]]) -> Tensor:
    """Read 1 or more tokens into each row of a state; return logits_NV after the last token of each."""
    longest = max(map(len, unread))
    padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in unread], device=network.device)
    return network.step(padded, list(map(len, unread)), state)
