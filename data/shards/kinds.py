"""What the columns of a kind of rows are for, where their files don't say it themselves.

A kind that stands here is checked: its columns must be in every file. Any other kind of rows needs no entry: its columns describe
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from data.shards.schema import Column


@dataclass(frozen=True)
class RowKind:
    """The columns that rows of a kind always have.

    `targets`: each column of tokens, with the flags of the tokens that count as targets. `documents`: columns that number the documents of
    a row from 0. `labels`: columns with one flag a row.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """The names of all columns."""
        return frozenset({*self.targets, *self.targets.values(), *self.documents, *self.labels})

    def of_no_file(self, sequence_length: int, token_dtype: str) -> tuple[Column, ...]:
        """Return these columns as rows of tokens have them, for a directory without rows, which has no file to describe them."""
        shape = (sequence_length + 1,)
        tokens = (Column(name, np.dtype(token_dtype), shape, "tokens") for name in self.targets)
        flags = (Column(name, np.dtype(np.bool_), shape, "flags") for name in self.targets.values())
        documents = (Column(name, np.dtype(np.uint16), shape, "documents") for name in self.documents)
        labels = (Column(name, np.dtype(np.bool_), (), "flags") for name in self.labels)
        return (*tokens, *flags, *documents, *labels)

    def name_modalities(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return the columns with the modality of those that number documents, which their type does not tell from tokens."""
        return tuple(replace(column, modality="documents") if column.name in self.documents else column for column in columns)


PACKED = RowKind(targets={"tokens": "loss"}, documents=("document",))
PAIRS = RowKind(targets={"chosen": "chosen_loss", "rejected": "rejected_loss"})
LABELLED = RowKind(targets={"tokens": "loss"}, labels=("desirable",))
KINDS: dict[str, RowKind] = {"pretrain": PACKED, "sft": PACKED, "preference": PAIRS, "labels": LABELLED}
