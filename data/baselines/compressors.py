"""Compress a text with general compressors: zstd alone, zstd with the training text as dictionary, and xz alone.

A model has read the training text before it predicts another, so it compares with the compressor that has, too; zstd
and xz alone show how much of the text repeats itself. Documents are joined by a zero byte, so their ends cost something, as a model's do.
"""

from __future__ import annotations

import lzma

from data.documents.merged import merged
from data.documents.stream import Files

WINDOW_LOG = 27
"""zstd reaches back 128 MiB: of a longer training text it has read the end."""


def read_text(split: Files) -> bytes:
    """Return the documents of a split's files, by id, as one text."""
    return b"\0".join(str(text).encode() for table in merged(split, ("text",)) for text in table["text"].to_pylist())


def compressed_sizes(text: bytes, train: bytes, level: int) -> dict[str, int]:
    """Return the bytes that each compressor needs for a text."""
    import zstandard

    alone = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG)
    reaching = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG, enable_ldm=True)
    read = zstandard.ZstdCompressionDict(train[-(1 << WINDOW_LOG) :], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return {
        "zstd": len(zstandard.ZstdCompressor(compression_params=alone).compress(text)),
        "zstd_after_train": len(zstandard.ZstdCompressor(dict_data=read, compression_params=reaching).compress(text)),
        "xz": len(lzma.compress(text, preset=9)),
    }
