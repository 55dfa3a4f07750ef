"""Training on rows with pictures: the same bytes after kill -9, and rows that a model can't read refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from data.shards.writer import ShardWriter
from model.inputs.config import PicturesConfig
from model.networks.directory import load_model
from model.training.initial import initial_network
from model.training.launch.launch import launch
from tests.model.inputs.pictures import PICTURES, READS, picture_rows
from tests.model.jobs import CONTEXT, DIGEST, SHAPE, VOCABULARY, JobMaker
from tests.model.training.test_killed import killed_after_a_checkpoint


@pytest.fixture
def make_picture_job(make_job: JobMaker, tmp_path: Path) -> JobMaker:
    folders = []
    for name, count, seed in (("train", 50, 1), ("val", 11, 2)):
        writer = ShardWriter(tmp_path / "pictures" / name, 30)
        writer.add(picture_rows(count, seed))
        writer.close("pretrain", sequence_length=CONTEXT, tokenizer_digest=DIGEST, vocab_size=VOCABULARY)
        folders.append(writer.directory)

    def make(name: str = "run", resources: dict[str, Any] | None = None, **fields: Any) -> Any:
        job = make_job(name, resources, **fields)
        given = {"network": SHAPE.model_copy(update={"inputs": READS}), "train_shards": folders[0], "val_shards": folders[1]}
        return job.model_copy(update=given)

    return make


@pytest.mark.slow
def test_a_run_killed_with_signal_9_ends_with_the_same_bytes_and_has_learned_to_see(make_picture_job: JobMaker, tmp_path: Path) -> None:
    slow = {"steps": 120, "eval_rows": 0}
    undisturbed, killed = (make_picture_job(name, {"checkpoint_every_steps": 10}, **slow) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    step = killed_after_a_checkpoint(killed, tmp_path)
    launch(killed)
    assert 0 < step < 120
    for name in ("model.safetensors", "history.jsonl", "config.json"):
        assert (killed.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name
    fresh, trained = initial_network(undisturbed).state_dict(), load_model(undisturbed.output).state_dict()
    for name in ("model.embed_patches.weight", "model.embed_patches.places"):
        assert (fresh[name] - trained[name]).abs().mean() > 1e-4, name


def test_rows_with_patches_of_another_size_are_refused_and_words_alone_are_not(make_picture_job: JobMaker, shards: Path) -> None:
    rows = make_picture_job().train_shards
    assert rows is not None
    reader = ShardReader(rows)
    with pytest.raises(ShardError, match="the model reads patches of 9 numbers"):
        PicturesConfig(height=6, width=6, patch=3).require(reader)
    PICTURES.require(reader)
    PICTURES.require(ShardReader(shards / "train"))
