"""Text is read out of files of every kind, and what gives none is listed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from tokenizers import Tokenizer, models, pre_tokenizers

from data.searching.decoding import FileFindings, Wanted, search_file
from data.searching.phrases import Phrases
from data.searching.tables import Vocabulary
from data.shards.writer import write_shards
from data.tokens.special import EOS, SPECIAL_TOKENS

TEXT = "Nobody in the village had ever seen a lamp that burned without any oil."
WANTED = Wanted(Phrases.of([TEXT]), ("0123456789abcdef",))


def searched(path: Path, *vocabularies: Vocabulary) -> FileFindings:
    """Search a file on disk."""
    with path.open("rb") as stream:
        return search_file(WANTED, stream, path.name, vocabularies, path)


def zipped(content: bytes, name: str = "inner.txt") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def tarred(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("books/inner.txt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": lambda content: zstandard.ZstdCompressor().compress(content),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "tar.gz": tarred,
    "gz in zip": lambda content: zipped(gzip.compress(content), "inner.txt.gz"),
    "utf-16": lambda content: content.decode().encode("utf-16"),
    "pickle": lambda content: pickle.dumps(["It began:", " " + content.decode()]),
    "far inside": lambda content: b"x " * 3_000_000 + content + b" y" * 100,
    "across blocks": lambda content: b"x " * (2 * 1024 * 1024 - 20) + content,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_text_is_found_in(packer: str, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(PACKERS[packer](TEXT.encode()))
    assert len(searched(path).match.hashes) == len(WANTED.phrases)


def test_the_member_of_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "books.tar.gz"
    path.write_bytes(tarred(TEXT.encode()))
    assert list(searched(path).matches) == ["books/inner.txt"]


def test_text_is_found_in_columns_of_parquet_and_arrow_lists_and_lines_among_them(tmp_path: Path) -> None:
    words = TEXT.split()
    tables: dict[str, list[Any]] = {"text": [TEXT], "list": [[TEXT[:20], TEXT[20:]]], "struct": [{"a": {"b": TEXT}}]}
    for name, values in {**tables, "bytes": [TEXT.encode()], "lines": words}.items():
        table = pa.table({"n": range(len(values)), name: pa.array(values)})
        pq.write_table(table, tmp_path / f"{name}.parquet", compression="zstd")
        with pa.ipc.new_file(str(tmp_path / f"{name}.arrow"), table.schema) as writer:
            writer.write_table(table)
        assert list(searched(tmp_path / f"{name}.parquet").matches) == [name]
        assert list(searched(tmp_path / f"{name}.arrow").matches) == [name]


def test_the_table_of_a_database_is_named_and_rows_not_yet_written_back_or_deleted_are_found(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE notes (n INTEGER, note TEXT)")
    connection.execute("INSERT INTO notes VALUES (1, ?)", ('{"said": "' + TEXT + '"}',))
    connection.commit()
    assert "notes" in searched(path).matches
    connection.execute("DELETE FROM notes")
    connection.commit()
    connection.close()
    assert list(searched(path).matches) == [""], "a freed page keeps what it held"


def test_token_rows_are_read_as_text_across_rows_and_only_by_their_own_vocabulary(tmp_path: Path) -> None:
    vocabulary = {token: number for number, token in enumerate((*SPECIAL_TOKENS, *sorted(set(TEXT))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|pad|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    known = Vocabulary.read(tokenizer.to_str().encode())
    ids = [vocabulary[character] for character in TEXT] + [EOS]
    width = 17  # a row is shorter than a phrase, and begins with the last token of the row before
    rows = [ids[start : start + width] for start in range(0, len(ids) - 1, width - 1)]
    tokens = np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.uint16)
    columns = {"tokens": tokens, "loss": tokens > 0, "document": np.zeros_like(tokens)}
    write_shards(tmp_path / "rows", "pretrain", columns, sequence_length=width - 1, tokenizer_digest=known.digest, vocab_size=99)
    file = tmp_path / "rows" / "00000.arrow"
    assert len(searched(file, known).match.hashes) == len(WANTED.phrases)
    assert searched(file).unread == (("", "token rows whose tokenizer is gone"),)
    (tmp_path / "train.tokens").write_bytes(np.array(ids, dtype=np.uint16).tobytes())
    assert searched(tmp_path / "train.tokens", known).match.hashes


def test_what_gives_no_text_is_listed_with_the_reason(tmp_path: Path) -> None:
    truncated = gzip.compress(TEXT.encode() * 100)[:-20]
    contents = {
        "a.safetensors": b"\x08\0\0\0\0\0\0\0{}      ",
        "b.pdf": b"%PDF-1.7 ...",
        "c.gz": truncated,
        "d.parquet": b"PAR1 and no more",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert len(searched(tmp_path / name).unread) == 1, name


def test_a_name_is_found_without_any_phrase(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("read document 0123456789ABCDEF")
    found = searched(tmp_path / "log")
    assert found.named and not found.matches
