"""`folio init`: a folder of texts gets a recipe that loads and finds those texts; anything else one clear error."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.config import FilesSource
from data.sources.files import find_files
from flows.cli.sizing import SizeRequest, size_recipe
from flows.recipe import initialize
from flows.recipe.initialize import propose, split_for, tokens_to_beat_counting, write_recipe
from flows.recipe.loading import load
from flows.recipe.sizing import guessed_text, present_job
from flows.recipe.validation import RecipeError
from model.networks.meta import count_parameters
from model.planning import proposal
from model.planning.machine import Machine
from model.planning.proposal import may_converse
from model.training.job import Job
from tests.flows.recipe.machines import MACHINE_AT_HAND


def library(folder: Path, names: tuple[str, ...], size: int = 2000) -> Path:
    """A folder with texts of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("It was a dark night. " * (size // 21), encoding="utf-8")
    return folder


NAMES = ("one.txt", "deep/er/two.txt", "SHOUTED.TXT", "four.txt")
MANY = ("a.html", "b.epub", "c.pdf", "d.jsonl", "e.csv", "f.tsv", "g.parquet", "h.warc.gz", "i.txt.zst", "j.zip", "k.tar.xz", "l.tgz")


@pytest.mark.parametrize("names", [NAMES, (*NAMES, "five.md"), ("alone.md",), MANY], ids=["txt", "both", "md", "many"])
def test_the_recipe_loads_finds_exactly_these_texts_and_says_what_was_seen(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = library(tmp_path / "My Books", names)
    library(folder, (".hidden/no.txt", "picture.png"))
    said = write_recipe(folder, machine=MACHINE_AT_HAND)
    recipe = load(str(folder))
    (source,) = recipe.ingest.sources
    assert isinstance(source, FilesSource)
    assert set(find_files(source, Path(recipe.root))) == set(names)
    assert said.startswith(f"not read: 1 .png\n{len(names)} text{'s' if len(names) > 1 else ''}, ")
    assert f"folio run {shlex.quote(str(folder / 'recipe.yaml'))}" in said
    assert recipe.name == "my_books"
    assert recipe.split.mode == ("all_train" if len(names) < 3 else "fractions")


def test_a_recipe_that_is_written_elsewhere_finds_the_folder_s_texts_and_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder, elsewhere = library(tmp_path / "books", NAMES), tmp_path / "recipes"
    elsewhere.mkdir()
    said = write_recipe(folder, machine=MACHINE_AT_HAND, output=elsewhere / "mine.yaml")
    recipe = load(str(elsewhere / "mine.yaml"))
    (source,) = recipe.ingest.sources
    assert isinstance(source, FilesSource)
    assert set(find_files(source, Path(recipe.root))) == set(NAMES)
    assert said.endswith(str(elsewhere / "mine.yaml")) and not (folder / "recipe.yaml").exists()
    write_recipe(folder, machine=MACHINE_AT_HAND, output=elsewhere)
    assert load(str(elsewhere)) == recipe
    write_recipe(folder, machine=MACHINE_AT_HAND)
    assert "not read" not in write_recipe(folder, machine=MACHINE_AT_HAND, output=tmp_path / "another.yaml"), "its own recipe"


@pytest.mark.parametrize(("size", "time"), [(100_000, "20.5 s"), (29_000_000, "2:33 min")])
def test_the_time_that_the_texts_take_besides_training_is_said(tmp_path: Path, size: int, time: str) -> None:
    folder = sparse(tmp_path / "books", [size])
    assert f"besides: about {time} to read, clean and measure the texts" in write_recipe(folder, machine=MACHINE_AT_HAND)


def test_a_folder_of_blank_texts_is_refused_and_one_with_a_word_is_not(tmp_path: Path) -> None:
    for name in ("one.txt", "two.md"):
        (tmp_path / name).write_text("\n \u00a0\t\n" * 50_000)
    with pytest.raises(RecipeError, match="holds nothing but white space in 2 files, so there is nothing to learn from"):
        write_recipe(tmp_path, machine=MACHINE_AT_HAND)
    (tmp_path / "two.md").write_text(" " * 200_000 + "word")
    assert "2 texts" in write_recipe(tmp_path, machine=MACHINE_AT_HAND)


def test_a_folder_of_programs_alone_is_read_as_such_and_beside_texts_they_are_named_with_the_way_to_read_them(tmp_path: Path) -> None:
    folder = library(tmp_path / "code", ("one.py", "deep/two.sql", "three.c"))
    assert "3 texts" in write_recipe(folder, machine=MACHINE_AT_HAND)
    recipe = load(str(folder))
    (source,) = recipe.ingest.sources
    assert isinstance(source, FilesSource)
    assert set(find_files(source, Path(recipe.root))) == {"one.py", "deep/two.sql", "three.c"}
    mixed = library(tmp_path / "mixed", ("one.py", "readme.md"))
    said = write_recipe(mixed, machine=MACHINE_AT_HAND)
    assert said.startswith('not read: 1 .py; programs are read where "code" is among ingest.sources.formats\n1 text')


def test_a_folder_that_may_not_be_written_is_named_with_the_way_round_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library(tmp_path / "books", NAMES)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    with pytest.raises(RecipeError, match="books can't be written by this user; have the recipe written elsewhere with --output FILE"):
        write_recipe(folder, machine=MACHINE_AT_HAND)
    write_recipe(folder, machine=MACHINE_AT_HAND, output=tmp_path / "mine.yaml")


@pytest.mark.parametrize(("texts", "size", "shards"), [(1, 50, 1), (30, 50, 2), (100, 50, 8), (10_000, 50, 64), (500, 1, 1), (500, 10, 10)])
def test_about_a_dozen_texts_and_half_a_megabyte_make_a_shard_up_to_a_limit(tmp_path: Path, texts: int, size: int, shards: int) -> None:
    assert propose(tmp_path, texts, texts * size * 1000, MACHINE_AT_HAND)[0].ingest.shards == shards


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet", ".zip", ".tar.xz"])
def test_one_file_of_many_texts_is_split_and_sharded_as_many_are(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"all{ending}").write_bytes(b"x" * 1_000_000)
    assert re.match(r"about \d{3} texts in 1 file, \d\.\d MB", write_recipe(tmp_path, machine=MACHINE_AT_HAND))
    recipe = load(str(tmp_path))
    assert recipe.split.mode == "fractions" and recipe.ingest.shards > 1


def test_more_text_makes_a_larger_model(tmp_path: Path) -> None:
    sizes = {}
    for name, size in (("small", 10_000), ("large", 3_000_000)):
        write_recipe(library(tmp_path / name, NAMES, size), machine=MACHINE_AT_HAND)
        recipe = load(str(tmp_path / name))
        sizes[name] = (count_parameters(recipe.model, recipe.tokenizer.vocab_size), recipe.tokenizer.vocab_size)
    assert sizes["small"] < sizes["large"]


@pytest.mark.parametrize("called", ["Книги", "Été 2024", "_9 lives_", "100"])
def test_a_folder_of_any_name_gets_a_recipe_that_loads(tmp_path: Path, called: str) -> None:
    folder = library(tmp_path / called, NAMES)
    write_recipe(folder, machine=MACHINE_AT_HAND)
    assert called in load(str(folder)).description


def test_the_current_folder_gives_the_recipe_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(library(tmp_path / "tales", NAMES))
    write_recipe(Path(), machine=MACHINE_AT_HAND)
    assert load("recipe.yaml").description == "A model of the texts in tales."


def sparse(folder: Path, sizes: list[int]) -> Path:
    """A folder of text files of these sizes, which take no room; `init` and `size` look at sizes alone."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        with (folder / f"{number:03}.txt").open("wb") as stream:
            stream.truncate(size)
    return folder


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(
    texts=st.integers(1, 40),
    scale=st.floats(4, 9),
    minutes=st.sampled_from((1.0, 30.0, 600.0)),
)
def test_init_writes_what_size_proposes(texts: int, scale: float, minutes: float) -> None:
    with TemporaryDirectory() as home:
        folder = sparse(Path(home) / "books", [round(10**scale / texts)] * texts)
        said = write_recipe(folder, minutes, MACHINE_AT_HAND, kind="network")
        recipe, written = load(str(folder)), (folder / "recipe.yaml").read_text()
        text = guessed_text(recipe, sum(path.stat().st_size for path in folder.glob("*.txt")))
        sized = proposal.propose(text, MACHINE_AT_HAND, present_job(recipe, 1), hours=minutes / 60)
    assert sized.present.job == sized.proposed.job and sized.present.warnings == sized.proposed.warnings
    assert all(warning in said for warning in sized.present.warnings)
    assert (round(sized.proposed.seconds / 60) > minutes) == ("min asked for" in said)
    different = text.tokens(recipe.tokenizer.vocab_size)
    assert bool(recipe.tuning) == ("chat: none" not in said) == may_converse(sized.proposed.parameters, different)
    memorizes = sized.proposed.epochs > initialize.MANY and recipe.split.mode != "all_train"
    assert (recipe.pretrain.select == "best") == (recipe.pretrain.guards.patience > 0) == memorizes
    assert len(written.splitlines()) <= 60


def test_a_model_is_to_be_trained_by_muon_in_the_numbers_that_the_machine_multiplies_in(tmp_path: Path) -> None:
    write_recipe(library(tmp_path / "books", NAMES), machine=MACHINE_AT_HAND)
    train = load(str(tmp_path / "books")).pretrain
    assert (train.optimizer.kind, train.precision.kind) == ("muon", "auto")


@pytest.mark.parametrize(
    ("sizes", "mode"),
    [([400_000] * 6, "passages"), ([600_000], "passages"), ([900] * 500, "fractions"), ([900] * 2, "all_train"), ([900] * 6, "fractions")],
    ids=["novels", "one_long", "notes", "two_notes", "six_notes"],
)
def test_a_few_long_texts_lose_their_last_passages_and_not_whole_texts(tmp_path: Path, sizes: list[int], mode: str) -> None:
    folder = sparse(tmp_path / "books", sizes)
    write_recipe(folder, machine=MACHINE_AT_HAND)
    assert load(str(folder)).split.mode == mode


@pytest.mark.parametrize(("size", "share"), [(100_000, 0.1), (500_000, 0.1), (700_000, 0.07), (1_000_000, 0.05), (10**9, 0.05)])
def test_of_little_text_more_is_held_out(size: int, share: float) -> None:
    for texts in (5, 500):
        split = split_for(texts, size)
        assert (split.val, split.test) == (share, share)
        assert split.train == pytest.approx(1 - 2 * share)


def test_of_too_little_text_no_figure_is_promised(tmp_path: Path) -> None:
    folder = sparse(tmp_path / "books", [900] * 6)
    said = write_recipe(folder, machine=MACHINE_AT_HAND, kind="network")
    assert "expect: it will recite. 4.3 kB to learn from is far less" in said
    assert "bits per byte on" not in said


def test_size_does_not_condemn_what_init_wrote_for_six_novels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    folder = sparse(tmp_path / "novels", [420_000] * 6)
    said = write_recipe(folder, machine=MACHINE_AT_HAND)
    assert "chat: none" in said and re.search(r"expect: \d\.\d to \d\.\d bits per byte", said)
    found = json.loads(size_recipe(str(folder), (), SizeRequest(), as_json=True))
    assert found["present"]["warnings"] == [] and found["present"]["model"] == found["proposed"]["model"]


def test_files_that_are_not_read_are_counted_by_kind(tmp_path: Path) -> None:
    library(tmp_path, ("a.png", "deep/b.PNG", "c.xls", "Makefile", ".hidden/d.png"))
    with pytest.raises(RecipeError, match=r"nothing to learn from\. It holds 2 \.png, 1 \.xls, 1 without an ending\."):
        write_recipe(tmp_path)


@pytest.mark.parametrize("empty", [{}, {"picture.png": "x"}, {"a.txt": ""}], ids=["nothing", "no_text", "empty_text"])
def test_a_folder_without_text_is_refused(tmp_path: Path, empty: dict[str, str]) -> None:
    for name, content in empty.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(
        RecipeError,
        match=r"holds no files with text in them \(txt, md, html, .*mediawiki, or code, packed or not\), so there is nothing to learn from",
    ):
        write_recipe(tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()


def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere is not a folder; give the folder"):
        write_recipe(tmp_path / "nowhere")


def test_an_existing_recipe_is_never_overwritten(tmp_path: Path) -> None:
    folder = library(tmp_path, NAMES)
    (folder / "recipe.yaml").write_text("mine")
    with pytest.raises(RecipeError, match=r"recipe.yaml is already there; move it away"):
        write_recipe(folder)
    assert (folder / "recipe.yaml").read_text() == "mine"


def test_a_recipe_that_is_written_while_the_machine_is_timed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library(tmp_path, NAMES)

    def timed(machine: Machine, job: Job) -> Machine:
        (folder / "recipe.yaml").write_text("mine")
        return machine

    monkeypatch.setattr(initialize, "with_measured_speed", timed)
    with pytest.raises(RecipeError, match=r"recipe.yaml is already there; move it away"):
        write_recipe(folder, machine=MACHINE_AT_HAND, measure=True)
    assert (folder / "recipe.yaml").read_text() == "mine"


@settings(max_examples=15, deadline=None)
@given(size=st.sampled_from((30_000, 3_000_000)), minutes=st.sampled_from((1.0, 2.0, 5.0, 60.0)))
def test_of_too_little_text_or_time_to_beat_counting_it_counts_and_says_what_would_be_enough(size: int, minutes: float) -> None:
    with TemporaryDirectory() as place:
        folder = library(Path(place), tuple(f"{number}.txt" for number in range(12)), size // 12)
        said = {}
        for kind in ("network", "auto"):
            (folder / "recipe.yaml").unlink(missing_ok=True)
            said[kind] = write_recipe(folder, minutes, MACHINE_AT_HAND, kind=kind)
            if kind == "network":
                tokens = load(str(folder)).pretrain.tokens
        recipe = load(str(folder))
        needed = tokens_to_beat_counting(size * recipe.split.train)
        few = tokens < needed or size < initialize.LEAST_TEXT
        assert recipe.model.counted == ("why: so little " in said["auto"]) == ("without a model" in said["network"]) == few
        assert not few or ("--kind network" in said["auto"] and "--base MODEL" in said["auto"])
        if enough := re.search(r"`--minutes (\d+)` trains on enough", said["auto"]):
            (folder / "recipe.yaml").unlink()
            write_recipe(folder, float(enough[1]), MACHINE_AT_HAND)
            assert load(str(folder)).pretrain.tokens >= needed and not load(str(folder)).model.counted


@pytest.mark.parametrize(
    ("megabytes", "million", "programs", "beat"),
    [(0.36, 1.7, False, True), (0.74, 2.37, False, True), (2.34, 3.5, False, True), (0.36, 0.85, False, False), (26.0, 3.86, False, False),
     (26.0, 10.2, False, False),
     (1.35, 1.76, True, False), (1.35, 3.51, True, False)],
)  # fmt: skip
def test_a_network_is_proposed_where_one_was_seen_to_beat_counting_and_not_where_one_lost(
    megabytes: float, million: float, programs: bool, beat: bool
) -> None:
    assert (million * 1e6 >= tokens_to_beat_counting(megabytes * 1e6, programs=programs)) == beat


def test_counts_are_there_for_the_asking_and_a_machine_is_not_timed_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(initialize, "with_measured_speed")
    folder = sparse(tmp_path / "novels", [420_000] * 6)
    said = write_recipe(folder, machine=MACHINE_AT_HAND, kind="counts", measure=True)
    assert load(str(folder)).model.counted and "text and time enough for" in said
