"""Released models that can be talked to: tiny networks of random weights, laid out as a run leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.data.dedup.books import prose
from tests.tasks.records import committed, ran


def model_files(folder: Path, seed: int, context: int = 256) -> Mapping[str, bytes]:
    """The files of an exported model with random weights, by name. Replies to a question differ between seeds, and end by their length."""
    columns = {name: ["a"] for name in ("id", "title", "source")} | {"text": [prose(1, paragraphs=20)], "metadata": ["{}"]}
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "train.parquet")
    fit_tokenizer(folder / "train.parquet", folder / "model", TokenizerConfig(vocab_size=300))
    config = DecoderConfig(width=32, layers=1, heads=4, kv_heads=2, feed_forward=64, context=context, initial_std=0.4)
    save_model(Decoder(config, ChatFormat(folder / "model").tokenizer.get_vocab_size(), seed=seed), folder / "model")
    return {path.relative_to(folder / "model").as_posix(): path.read_bytes() for path in (folder / "model").rglob("*") if path.is_file()}


def talkative(store: Store, folder: Path, number: int, name: str, *, passed: bool = True, context: int = 256) -> Artifact:
    """Release a model that can be talked to, by a run of its own; what it was exported from is called `NAME-made`."""
    made = committed(store, {"model.bin": name.encode()}, stage="tune", name=name, label=f"{name}-made")
    exported = committed(
        store, model_files(folder / name, number, context), stage="export", name=name, label=name, inputs={"model": made.reference()}
    )
    verdict = {"passed": float(passed), "overruled": 0.0}
    gate = committed(store, {"verdict.json": b"{}"}, stage="gate", name=name, metrics=verdict, inputs={"exported": exported.reference()})
    ran(store, number, made, exported, gate, recipe=name, headline={"gate.passed": float(passed)})
    return exported
