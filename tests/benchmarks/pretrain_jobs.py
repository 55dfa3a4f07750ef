"""Jobs for `tests.benchmarks.pretrain`: text, its tokenizer and shards as the pipeline makes them, and what is to be trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.documents.rows import DOCUMENTS
from data.shards.metadata import read_metadata
from data.shards.reader import ShardReader
from data.tokens.documents import read_documents
from data.tokens.pack import pack
from data.tokens.special import TokenRoles
from data.tokens.token_shards import TokenShardWriter
from data.tokens.tokenizer import fit_tokenizer
from flows.recipe.schema import Recipe
from model.networks.config import NetworkConfig
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from tests.benchmarks.pile import Pile

DIGEST = "0" * 64


@dataclass(frozen=True)
class Workshop:
    """A folder with `text.parquet`, `tokenizer/` and `packed/train/`."""

    folder: Path
    recipe: Recipe

    @property
    def text(self) -> Path:
        """Documents, as a split has them."""
        return self.folder / "text.parquet"

    @property
    def tokenizer(self) -> Path:
        """A directory with `tokenizer.json`."""
        return self.folder / "tokenizer"

    @property
    def shards(self) -> Path:
        """What is trained on."""
        return self.folder / "packed" / "train"

    def write_text(self, megabytes: float, given: Path | None) -> float:
        """The first megabytes of the split `given`, or of a pile; how many they are, of UTF-8."""
        size, rows = 0, list[dict[str, Any]]()
        for identity, text in _documents(given) if given else Pile().documents(megabytes):
            rows.append({"id": identity, "title": "", "source": "benchmark", "text": text, "metadata": "{}", "synthetic": False})
            size += len(text.encode())
            if size >= megabytes * 1e6:
                break
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), self.text, compression="zstd", row_group_size=128)
        return size / 1e6

    def write_tokenizer(self) -> None:
        """Fitted as the recipe says."""
        fit_tokenizer(self.text, self.tokenizer, self.recipe.tokenizer)

    def write_shards(self) -> None:
        """Packed as the recipe says, without conversations."""
        pack({"train": self.text}, self.tokenizer, None, self.folder / "packed", self.recipe.pack)

    def job(self, name: str, *, threads: int, steps: int, resources: dict[str, Any] | None = None, **train: Any) -> Job:
        """The recipe's model, pretraining and resources over the shards, for so many steps, on so many threads and without validation."""
        fields = {**self.recipe.pretrain.model_dump(), "tokens": 0, "steps": steps, "eval_every": 0, "eval_rows": 0, **train}
        return make_job(
            self.folder / name,
            self.shards,
            self.recipe.model,
            PretrainConfig.model_validate(fields),
            {**self.recipe.resources.training.model_dump(), "threads": threads, **(resources or {})},
        )

    def write_job(self, job: Job) -> Path:
        """The job as a file, its micro-batch spelt out; the rows of tokens lie beside it as `rows.npy`."""
        rows = self.folder / "rows.npy"
        if not rows.exists():
            assert job.train_shards is not None, "pretraining has rows"
            reader = ShardReader(job.train_shards)
            np.save(rows, reader.rows(np.arange(min(len(reader), 20_000)))["tokens"])
        path = self.folder / f"{job.output.parent.name}.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        return path


def make_job(folder: Path, shards: Path, network: NetworkConfig, train: PretrainConfig, resources: dict[str, Any]) -> Job:
    """A job that trains on `shards`, with its output and checkpoints below `folder`."""
    metadata = read_metadata(shards)
    job = Job(
        network=network,
        vocab_size=metadata.vocab_size,
        train=train,
        resources=TrainResources.model_validate(resources),
        tokenizer_digest=metadata.tokenizer_digest,
        train_shards=shards,
        output=folder / "output",
        checkpoints=folder / "checkpoints",
    )
    return job.model_copy(update={"resources": job.resources.model_copy(update={"micro_batch": job.micro_batch})})


class VocabularyOnly:
    """What a shard writer asks of a tokenizer, of a vocabulary without one."""

    def __init__(self, size: int) -> None:
        self.vocab_size, self.digest, self.unknown = size, DIGEST, None
        self.dtype = np.dtype(np.uint16 if size <= 65_535 else np.uint32)
        self.token_bytes: NDArray[np.int64] = np.ones(size, dtype=np.int64)
        self.roles = TokenRoles()


def write_random_shards(directory: Path, vocabulary: int, context: int, rows: int) -> Path:
    """Rows of tokens drawn at random, a document each: where speed alone is asked for, any vocabulary will do."""
    words = VocabularyOnly(vocabulary)
    writer = TokenShardWriter(directory, "pretrain", context, words, rows)  # type: ignore[arg-type]
    drawn = np.random.default_rng(0).integers(7, vocabulary, (rows, context + 1)).astype(words.dtype)
    writer.add({"tokens": drawn, "document": np.zeros_like(drawn), "loss": np.ones(drawn.shape, dtype=np.bool_)})
    writer.close()
    return directory


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    return ((document.id, document.text) for document in read_documents(path))
