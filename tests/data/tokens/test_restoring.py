"""The round trip is verified and counted shard by shard, and the tokenizer is the one that a single shard would give."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.documents.rows import DOCUMENTS
from data.tokens import encoder, tokenizer
from data.tokens.config import TOKENIZER_FILE, Kind, RestoreConfig, TokenizerConfig
from data.tokens.encoder import TokenizerError
from data.tokens.kinds import fit
from data.tokens.tokenizer import SAMPLES, Counts, fit_tokenizer, join, restore
from tests.data.dedup.books import bytes_of
from tests.data.tokens.corpora import prose
from tests.data.tokens.sampled import fit_shards

KINDS: tuple[Kind, ...] = ("byte_level_bpe", "bpe", "unigram", "character", "wordpiece", "word")
Document = tuple[str, str, str]  # id, source, text

texts = st.builds(prose, st.integers(0, 99), st.integers(0, 9)) | st.text(st.sampled_from("ab A\n\t.1é城🙂<|end>\x85\u2028▁"), max_size=300)
corpora = st.lists(st.tuples(st.sampled_from("xyz"), texts, st.integers(0, 7)), min_size=1, max_size=12)


def write_shards(folder: Path, shards: list[list[Document]]) -> list[Path]:
    """Write the training split of each shard, and how many bytes it has."""
    files = [folder / f"{number}.parquet" for number in range(len(shards))]
    for path, documents in zip(files, shards, strict=True):
        rows = [
            {"id": i, "title": "", "source": source, "text": text, "metadata": "{}", "synthetic": False} for i, source, text in documents
        ]
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), path)
        path.with_suffix(".json").write_text(json.dumps({"bytes": sum(len(text.encode()) for _, _, text in documents)}))
    return files


def made_of(folder: Path, shards: list[list[Document]], config: TokenizerConfig) -> tuple[dict[str, float], dict[str, str]]:
    """Make the tokenizer of shards, as the flow does; return its metrics and the digests of its files."""
    train = write_shards(folder / "shards", shards)
    metrics = fit_shards(train, [path.with_suffix(".json") for path in train], folder / "steps", folder / "made", config)
    return metrics, bytes_of(folder / "made")


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_is_fitted_and_any_number_of_shards_gives_the_files_of_one(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "CHUNK_CHARACTERS", 100)
    monkeypatch.setattr(encoder, "BATCH_CHARACTERS", 900)
    monkeypatch.setattr(tokenizer, "SAMPLE_CHARACTERS", 40)

    @given(corpus=corpora, count=st.integers(1, 8), seed=st.integers(0, 9), sweep=st.booleans())
    @example(corpus=[("x", prose(number, 3), number % 8) for number in range(12)], count=8, seed=0, sweep=True)
    @example(corpus=[("x", f"{'▁▁ ab ' * 200}▁é▁ {''.join(map(chr, range(0x4E00, 0x4EC8)))}", 3)], count=4, seed=0, sweep=False)
    @example(corpus=[("x", "", 0), ("y", "", 1), ("z", prose(1, 2), 7)], count=8, seed=0, sweep=False)
    @settings(deadline=None, max_examples=12)
    def law(corpus: list[tuple[str, str, int]], count: int, seed: int, sweep: bool) -> None:
        config = TokenizerConfig(kind=kind, vocab_size=330, sweep=(275,) if sweep else (), sample_bytes=1024, seed=seed)
        documents = [(f"{number:016x}", source, text) for number, (source, text, _) in enumerate([*corpus, ("x", prose(5, 3), 0)])]
        places = [place % count for _, _, place in corpus] + [0]
        shards = [[document for document, place in zip(documents, places, strict=True) if place == shard] for shard in range(count)]
        with TemporaryDirectory() as folder:
            assert made_of(Path(folder) / "many", shards, config) == made_of(Path(folder) / "one", [documents], config)

    law()


def test_the_stages_make_what_one_function_makes(tmp_path: Path) -> None:
    documents = [(f"{number:016x}", "xyz"[number % 3], prose(number, 3)) for number in range(9)]
    config = TokenizerConfig(vocab_size=330, sweep=(275,))
    expected = fit_tokenizer(write_shards(tmp_path / "whole", [documents]), tmp_path / "expected", config)
    made = made_of(tmp_path, [documents[:4], [], documents[4:]], config)
    assert made == (expected, bytes_of(tmp_path / "expected"))
    report = json.loads((tmp_path / "made" / "report.json").read_text())
    assert list(report["sources"]) == ["x", "y", "z"] and len(report["samples"]) == SAMPLES


def test_what_is_counted_of_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [[("a", "x", prose(1, 3)), ("b", "y", "")], []])
    fit(shards, tmp_path / "fitted", TokenizerConfig(vocab_size=300))
    for number, (path, shown) in enumerate(zip(shards, (["a", "b"], []), strict=True)):
        metrics = restore(path, tmp_path / "fitted" / "tokenizer.json", tmp_path / str(number), RestoreConfig(seed=0))
        counts = Counts.load(tmp_path / str(number))
        counts.save(tmp_path / "again")
        assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / str(number))
        assert sorted(beginning.id for beginning in counts.beginnings) == shown
        assert metrics["tokens"] == counts.whole.tokens == counts.uses.sum()
        assert metrics["train_bytes"] == counts.whole.bytes == sum(len(text.encode()) for text in [prose(1, 3)] * (not number))


def test_a_chunk_that_is_not_restored_is_refused_with_the_name_of_its_document(tmp_path: Path) -> None:
    plain = [(f"{number:016x}", "x", f"the cat sat under the river {number}") for number in range(4)]
    config, loud = TokenizerConfig(vocab_size=300), "THE CAT"
    shards = [[plain[0]], [plain[1], (plain[2][0], "x", loud)], [(plain[3][0], "x", loud)]]
    train = write_shards(tmp_path / "shards", shards)
    fit(train, tmp_path / "fitted", config)
    fitted = tmp_path / "fitted" / TOKENIZER_FILE
    fitted.write_text(json.dumps({**json.loads(fitted.read_text()), "normalizer": {"type": "Lowercase"}}))
    counted = [tmp_path / f"counted{number}" for number in range(3)]
    failures = [
        restore(path, tmp_path / "fitted" / "tokenizer.json", folder, config.restoring)["round_trip_errors"]
        for path, folder in zip(train, counted, strict=True)
    ]
    assert failures == [0, 1, 1]
    for order in (counted, counted[::-1]):
        with pytest.raises(TokenizerError, match=f"2 chunks .* document {plain[2][0]};"):
            join(tmp_path / "fitted", order, tmp_path / "made", config.describing)
    assert not (tmp_path / "made").exists()
