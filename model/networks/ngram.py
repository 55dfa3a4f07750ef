"""A model of counted n-grams: the tables of `data.shards.ngrams`, and the logits that they give to all tokens of the vocabulary.

Its hidden vector at a token is where the tables know what precedes the next one: the number of the context of each length from 0 to
order - 1, -1 where it was never seen or reaches beyond the document. Logits are the logarithms of probabilities, those of the baseline
to fp32 rounding. Guarantee: tables are whole numbers, so the file, and what is exported of it, holds exactly what was counted.
Cost: a write of the vocabulary for each token and level that knows its context; memory of 4 bytes a number, and 8 to 12 more for what
follows from them.

Making one is a pass over the packed training rows, in this process: the same rows and config give the same bytes. Nothing is kept of a pass
that was killed, since a million tokens take about two seconds. Its step log is empty, as there are no steps.

Generation keeps the last order - 1 tokens of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from data.shards.durable import write_atomically
from data.shards.ngrams import Level, count_ngrams, read_targets, spread
from data.shards.reader import ShardReader
from model.layers.decoding.state import KeptRow
from model.layers.positions import positions_in_documents
from model.networks.config import NgramConfig
from model.networks.decoding import DecodingNetwork, DecodingState
from model.networks.directory import TOKENIZER_DIGEST, save_model
from model.networks.network import Inputs, Network

TABLES = ("shorter", "first", "starts", "token", "count")
READ_AT_ONCE = 4096  # tokens whose n-grams are listed together: each has as many as different tokens followed its contexts


class Table(nn.Module):
    """The n-grams of one length: what `Level` holds, as parameters, and what follows from it, as buffers that are not saved.

    key_C: shorter x vocabulary + first, ascending. own_G and back_C: the shares of `Level.shares`.
    """

    shorter: Tensor
    first: Tensor
    starts: Tensor
    token: Tensor
    count: Tensor
    key_C: Tensor
    own_G: Tensor
    back_C: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        none = torch.zeros(0, dtype=torch.int32)
        self._fill({name: none for name in TABLES} | {"starts": torch.zeros(1, dtype=torch.int32)})

    def fill(self, level: Level) -> None:
        """Take what was counted."""
        self._fill({name: torch.from_numpy(getattr(level, name)) for name in TABLES})

    def _fill(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.to(torch.int32, copy=True), requires_grad=False))
        own, back = np.zeros(0), np.zeros(0)
        if len(tensors["token"]):
            own, back = Level(**{name: tensor.cpu().numpy() for name, tensor in tensors.items()}).shares()
        key_C = self.shorter.long() * self.vocab_size + self.first.long()
        for name, found in (("key_C", key_C), ("own_G", torch.from_numpy(own).float()), ("back_C", torch.from_numpy(back).float())):
            self.register_buffer(name, found, persistent=False)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take tables of any length, which the config does not tell; say in `error_msgs` which are not those of a count."""
        tensors = {name: state_dict[f"{prefix}{name}"] for name in TABLES if f"{prefix}{name}" in state_dict}
        missing_keys += [f"{prefix}{name}" for name in TABLES if name not in tensors]
        unexpected_keys += [name for name in state_dict if name.startswith(prefix) and name.removeprefix(prefix) not in TABLES]
        if len(tensors) < len(TABLES):
            return
        if problem := self._problem(tensors):
            error_msgs.append(f"{prefix}{problem}")
        elif not tensors["token"].is_meta:  # shapes alone are asked about before memory is taken
            self._fill(tensors)

    def _problem(self, tensors: dict[str, Tensor]) -> str:
        """Return which table can't be one of n-grams, and why; empty if all can."""
        for name, tensor in tensors.items():
            if tensor.dtype != torch.int32 or tensor.dim() != 1:
                return f"{name} is {tensor.dtype} of {tensor.dim()} dimensions, and a count has int32 of one"
        contexts, grams, starts = len(tensors["shorter"]), len(tensors["token"]), tensors["starts"]
        for name, wanted in (("first", contexts), ("starts", contexts + 1), ("count", grams)):
            if len(tensors[name]) != wanted:
                return f"{name} has {len(tensors[name])} entries, and {wanted} belong to the others"
        if starts.is_meta:
            return ""
        if starts[0] != 0 or starts[-1] != grams or (contexts and (starts.diff() < 1).any()):
            return "starts does not divide the n-grams among their contexts"
        for name, least, most in (("shorter", 0, 2**31), ("first", 0, self.vocab_size), ("token", 0, self.vocab_size), ("count", 1, 2**31)):
            if len(tensors[name]) and not (least <= int(tensors[name].min()) and int(tensors[name].max()) < most):
                return f"{name} has numbers that are none of {least} to {most - 1}"
        return ""

    def find(self, shorter_M: Tensor, first_M: Tensor) -> Tensor:
        """Return the numbers of contexts by those of the shorter ones and the tokens before them; -1 where either is or none was seen."""
        if not len(self.key_C):
            return torch.full_like(shorter_M, -1)
        key_M = shorter_M * self.vocab_size + first_M
        place_M = torch.searchsorted(self.key_C, key_M).clamp(max=len(self.key_C) - 1)
        return torch.where((shorter_M >= 0) & (first_M >= 0) & (self.key_C[place_M] == key_M), place_M, -1)

    def interpolate(self, lower_MV: Tensor, context_M: Tensor) -> None:
        """Turn the probabilities of the level below into those of this one, in place, where a context was seen."""
        row_R = (context_M >= 0).nonzero()[:, 0]
        if not len(row_R):
            return
        context_R = context_M[row_R]
        scale_M = torch.ones(len(context_M), device=lower_MV.device).index_copy(0, row_R, self.back_C[context_R])
        lower_MV *= scale_M[:, None]
        begin_R, end_R = self.starts[context_R].long(), self.starts[context_R + 1].long()
        size_R = end_R - begin_R
        each_L = torch.repeat_interleave(size_R)  # which of R each listed n-gram belongs to
        gram_L = begin_R[each_L] + torch.arange(len(each_L), device=each_L.device) - (size_R.cumsum(0) - size_R)[each_L]
        # A token follows a context once in the list, so no two additions meet.
        lower_MV[row_R[each_L], self.token[gram_L].long()] += self.own_G[gram_L]


class Ngram(Network):
    """Counted n-grams over `vocab_size` tokens; before anything is counted, every token is as likely."""

    def __init__(self, config: NgramConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.config: NgramConfig = config
        self.levels = nn.ModuleList(Table(vocab_size) for _ in range(config.order))

    def fill(self, counted: Sequence[Level]) -> None:
        """Take what was counted, from n-grams of one token to those of `order`."""
        for table, level in zip(self.tables, counted, strict=True):
            table.fill(level)

    @property
    def tables(self) -> list[Table]:
        """The tables, from n-grams of one token on."""
        return [table for table in self.levels if isinstance(table, Table)]

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTN, int64: the number of the context of each length before the next token, -1 where there is none.

        `tokens` int64 [B, T]. `documents` [B, T]: the document of each token of packed rows; without it each row is one document.
        """
        tokens_BT, documents_BT = inputs["tokens"], inputs.get("documents")
        place_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device).expand_as(tokens_BT)
        place_BT = place_BT if documents_BT is None else positions_in_documents(documents_BT)
        return self.contexts(functional.pad(tokens_BT, (self.config.attended, 0), value=-1), place_BT + 1)

    def contexts(self, tokens_BX: Tensor, known_BT: Tensor) -> Tensor:
        """Return x_BTN for the last T of the tokens. known_BT: how many tokens, itself included, each has of its document."""
        time, padding = known_BT.shape[1], tokens_BX.shape[1] - known_BT.shape[1]
        number_BT = torch.zeros_like(known_BT)
        found = [number_BT if len(self.tables[0].key_C) else number_BT - 1]
        for distance, table in enumerate(self.tables[1:]):
            first_BT = tokens_BX[:, padding - distance : padding - distance + time]
            number_BT = torch.where(known_BT > distance, table.find(found[-1], first_BT), -1)
            found.append(number_BT)
        return torch.stack(found, dim=-1)

    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits over the vocabulary for the contexts of any number of tokens: logarithms of probabilities."""
        context_MN = x_ND.flatten(0, -2)
        lowest, *longer = self.tables
        probability_1V = torch.full((1, self.vocab_size), 1 / self.vocab_size, device=x_ND.device)
        lowest.interpolate(probability_1V, context_MN[:1, 0])
        probability_MV = probability_1V.repeat(len(context_MN), 1)
        for start in range(0, len(context_MN), READ_AT_ONCE):
            part = slice(start, start + READ_AT_ONCE)
            for level, table in enumerate(longer, start=1):
                table.interpolate(probability_MV[part], context_MN[part, level])
        return probability_MV.log_().view(*x_ND.shape[:-1], self.vocab_size)

    def blocks(self) -> nn.ModuleList:
        """Return none: what it repeats are tables."""
        return nn.ModuleList()

    def decoding(self) -> DecodingNetwork:
        return DecodingNgram(self)


def count_model(config: NgramConfig, shards: Path, output: Path) -> dict[str, float]:
    """Count `shards/train` and write a model directory; return how much was counted and what is kept of it.

    Metrics: rows, and rows_counted (fewer where `most_tokens` is less than they hold); targets (tokens that were predicted); ngrams, of
    all lengths; parameters, the numbers that are kept. Raise ValueError for rows without a target.
    """
    reader = ShardReader(shards / "train")
    packed = reader.metadata
    rows = spread(len(reader), config.most_tokens // packed.sequence_length)
    targets = read_targets(reader, rows)
    network = Ngram(config, packed.vocab_size)
    levels = count_ngrams(targets, vocab_size=packed.vocab_size, order=config.order, beginning=packed.begin)
    network.fill(levels)
    save_model(network, output, extra={TOKENIZER_DIGEST: packed.tokenizer_digest})
    write_atomically(output / "history.jsonl", b"")
    return {
        "rows": float(len(reader)),
        "rows_counted": float(len(rows)),
        "targets": float(len(targets.at)),
        "ngrams": float(sum(len(level.token) for level in levels)),
        "parameters": float(sum(parameter.numel() for parameter in network.parameters())),
    }


class NgramState:
    """The last tokens of each row, `kept` of them, -1 where a row has fewer."""

    cuts = False

    def __init__(self, kept: int, device: torch.device) -> None:
        self.lengths: list[int] = []
        self.tokens_NK = torch.zeros((0, kept), dtype=torch.int64, device=device)

    def add(self, rows: int) -> None:
        """Append empty rows."""
        self.lengths += [0] * rows
        self.tokens_NK = functional.pad(self.tokens_NK, (0, 0, 0, rows), value=-1)

    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        self.lengths[row] = self.lengths[-1]
        self.tokens_NK[row] = self.tokens_NK[-1].clone()
        del self.lengths[-1]
        self.tokens_NK = self.tokens_NK[:-1]

    def select(self, rows: Sequence[int]) -> None:
        """Replace the rows by copies of these, in this order."""
        self.lengths = [self.lengths[row] for row in rows]
        self.tokens_NK = self.tokens_NK[torch.tensor(rows, dtype=torch.int64, device=self.tokens_NK.device)]

    def cut(self, row: int, length: int) -> None:
        """Refuse: what came before the last tokens is not kept."""
        raise ValueError(f"a state of the last {self.tokens_NK.shape[1]} of {self.lengths[row]} tokens can't be cut to {length}")

    def keep(self, row: int) -> KeptRow:
        """Return a copy of a row."""
        return KeptRow(self.lengths[row], (self.tokens_NK[row].clone(),))

    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a kept row with all of its tokens."""
        if length != kept.length:
            raise ValueError(f"a state of the last {self.tokens_NK.shape[1]} of {kept.length} tokens can't be cut to {length}")
        self.lengths.append(length)
        self.tokens_NK = torch.cat((self.tokens_NK, kept.tensors[0][None]))


class DecodingNgram(DecodingNetwork):
    """See `DecodingNetwork`; it reads the network's own tables."""

    def __init__(self, network: Ngram) -> None:
        self.network, self.config, self.vocab_size, self.context = network, network.config, network.vocab_size, network.config.context
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.device = next(network.parameters()).device

    def unseen(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(self.vocab_size)).difference(self.network.tables[0].token.tolist())))

    def new_state(self) -> NgramState:
        return NgramState(self.network.config.attended, self.device)

    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        assert isinstance(state, NgramState)
        kept, time = state.tokens_NK.shape[1], tokens_NT.shape[1]
        tokens_NX = torch.cat((state.tokens_NK[first:], tokens_NT), dim=1)
        length_N1 = torch.tensor(state.lengths[first:], device=self.device)[:, None]
        x_NTN = self.network.contexts(tokens_NX, length_N1 + torch.arange(1, time + 1, device=self.device))
        last_NK = torch.tensor(counts, device=self.device)[:, None] + torch.arange(kept, device=self.device)
        state.tokens_NK[first:] = tokens_NX.gather(1, last_NK)
        for row, count in enumerate(counts, start=first):
            state.lengths[row] += count
        return x_NTN.flatten(0, 1)

    def normed(self, x_ND: Tensor) -> Tensor:
        """Refuse: the numbers of contexts are no vectors."""
        raise ValueError(f"a network of kind={self.config.kind} has no hidden vectors, so it embeds no texts")

    def read(self, x_ND: Tensor) -> Tensor:
        return self.network.read(x_ND)
