"""Synthetic texts in the corpus: named by their content, marked in every row, made from observed files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.ingest import IngestInputs, ingest
from data.synthetic.config import ModelMaker, SyntheticSource, TemplatesMaker, read_prompts, synthetic_state
from data.synthetic.text_table import read_texts, write_texts
from tasks.stage.stage import ShardIndex

SOURCE = SyntheticSource(maker=TemplatesMaker(templates=("x",), count=1))


def _texts(folder: Path, *texts: str) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder, "templates", texts)
    return {text: path for path, _, text in read_texts(folder, lambda path: True)}


def test_a_text_s_name_depends_on_its_content_alone(tmp_path: Path) -> None:
    few, many = _texts(tmp_path / "few", "one text", "two texts"), _texts(tmp_path / "many", "none", "two texts", "one text")
    assert all(many[text] == path for text, path in few.items())


def test_a_text_that_comes_again_and_an_empty_one_are_counted_and_left_out(tmp_path: Path) -> None:
    counts = write_texts(tmp_path, "model", ["again", " \n", "again", "other"])
    assert counts == {"texts": 2, "characters": 10, "repeated": 1, "empty": 1}
    assert [(maker, text) for _, maker, text in read_texts(tmp_path, lambda path: True)] == [("model", "again"), ("model", "other")]


def test_rows_of_synthetic_texts_are_marked_and_no_others(tmp_path: Path) -> None:
    texts = [f"A text of number {number}, that a machine wrote." for number in range(40)]
    _texts(tmp_path / "made", *texts)
    (tmp_path / "book.txt").write_text("A book that a person wrote.")
    config = IngestConfig(sources=(FilesSource(paths=("book.txt",)), SOURCE))
    rows = []
    for number in range(3):
        around = IngestInputs(tmp_path, tmp_path, synthetic=tmp_path / "made")
        metrics = ingest(
            config, tmp_path / str(number), around, ShardIndex(number, 3), threads=1, memory="300MB", scratch=tmp_path / "scratch"
        )
        rows += pq.read_table(tmp_path / str(number) / "documents.parquet").to_pylist()
        assert metrics["documents.synthetic"] > 0
    assert sorted(row["text"] for row in rows if row["synthetic"]) == sorted(texts)
    for row in rows:
        metadata = json.loads(row["metadata"])
        assert row["synthetic"] == (row["source"] == "synthetic") == (metadata.get("maker") == "templates")
        assert "title_mismatch" not in metadata
    assert len({row["id"] for row in rows}) == 41


def test_a_synthetic_source_without_its_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="as stage synthesize makes it"):
        ingest(
            IngestConfig(sources=(SOURCE,)),
            tmp_path / "out",
            IngestInputs(tmp_path, tmp_path),
            threads=1,
            memory="300MB",
            scratch=tmp_path / "scratch",
        )


def test_two_synthetic_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="two are of kind synthetic; a corpus can hold one"):
        IngestConfig(sources=(SOURCE, SOURCE.model_copy(update={"name": "other"})))


def test_a_model_s_files_and_prompts_are_observed_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "release" / "int8").mkdir(parents=True)
    for name in ("config.json", "int8/model.safetensors"):
        (tmp_path / "release" / name).write_text(name)
    (tmp_path / "begin.txt").write_text("Once upon\n\n a time\n")
    maker = ModelMaker(directory="release", prompts_file="begin.txt")
    source = SyntheticSource(maker=maker)
    assert synthetic_state(source, tmp_path, None, lambda paths: {path: path.name for path in paths}) == {
        "model/config.json": "config.json", "model/int8/model.safetensors": "model.safetensors", "prompts": "begin.txt",
    }  # fmt: skip
    assert list(read_prompts(maker, tmp_path)) == ["Once upon", " a time"]
    assert synthetic_state(SOURCE, tmp_path, None, lambda paths: {}) == {}
    with pytest.raises(FileNotFoundError, match=r"directory .*lost does not exist; correct it in ingest.sources"):
        synthetic_state(SyntheticSource(maker=ModelMaker(directory="lost", prompts=("",))), tmp_path, None, lambda paths: {})
    with pytest.raises(NotADirectoryError, match="is a file; name the directory that folio exported"):
        synthetic_state(SyntheticSource(maker=ModelMaker(directory="begin.txt", prompts=("",))), tmp_path, None, lambda paths: {})


@pytest.mark.parametrize(("more", "given"), [({}, "none is given"), ({"prompts": ("a",), "prompts_file": "b"}, "both are given")])
def test_prompts_come_from_the_recipe_or_a_file_and_not_both(more: dict[str, object], given: str) -> None:
    with pytest.raises(ValueError, match=given):
        ModelMaker.model_validate({"directory": "release", **more})
