"""Reading token rows as text: with the vocabulary of the tokenizer that wrote them, without loading a model or the rows' other columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from data.shards.kinds import KINDS
from data.shards.schema import Array
from data.tokens.encoder import token_spellings

ROWS = 4096
NUMBERED = frozenset(name for kind in KINDS.values() for name in kind.documents)  # stored as tokens are, but no tokens


@dataclass(frozen=True)
class Vocabulary:
    """What each token id writes, in UTF-8; a special token separates. `digest`: the sha256 of its tokenizer.json."""

    digest: str
    spellings: tuple[bytes, ...]

    @classmethod
    def read(cls, content: bytes) -> Vocabulary:
        """Read a tokenizer.json. Raise ValueError if it is none."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"it is not a tokenizer ({error})") from error
        return cls(hashlib.sha256(content).hexdigest(), tuple(spelling or b"\n" for spelling in token_spellings(tokenizer)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that its ids are stored as."""
        return np.dtype(np.uint16 if len(self.spellings) <= 65_536 else np.uint32)

    def text(self, ids: Array) -> str:
        """Return what ids write; an id beyond the vocabulary separates."""
        spellings, size = self.spellings, len(self.spellings)
        return b"".join(spellings[i] if i < size else b"\n" for i in ids.tolist()).decode("utf-8", "replace")


def row_texts(tokens: Array, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield rows [rows, width] as one text: a document may continue in the next row, which may repeat the last token."""
    for start in range(0, len(tokens), ROWS):
        rows = tokens[max(start - 1, 0) : start + ROWS]
        kept = np.ones(rows.shape, dtype=np.bool_)
        kept[1:, 0] = rows[1:, 0] != rows[:-1, -1]
        yield vocabulary.text(rows[kept])


def token_columns(stream: Any) -> Iterator[Array]:
    """Yield the columns of an Arrow file that hold token ids in rows: [rows, width]."""
    import pyarrow as pa

    with pa.ipc.open_file(stream) as file:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            for name, column, kind in zip(batch.schema.names, batch.columns, batch.schema.types, strict=True):
                if name not in NUMBERED and pa.types.is_fixed_size_list(kind) and pa.types.is_unsigned_integer(kind.value_type):
                    values: Any = column
                    yield np.asarray(values.flatten()).reshape(len(column), kind.list_size)


def stream_texts(stream: IO[bytes], vocabularies: Iterable[Vocabulary]) -> Iterator[str]:
    """Yield bare token ids, as packing keeps them while it works, as text of each vocabulary."""
    for vocabulary in vocabularies:
        stream.seek(0)
        while block := stream.read(vocabulary.dtype.itemsize << 20):
            whole = len(block) - len(block) % vocabulary.dtype.itemsize
            yield vocabulary.text(np.frombuffer(block[:whole], vocabulary.dtype))
