"""A recipe that can't be accepted is refused before anything starts, with key, value and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from flows.recipe.gate_checks import metrics_of
from flows.recipe.loading import BUILT_IN, built_in, load
from flows.recipe.validation import RecipeError


def recipe_file(folder: Path, **changes: object) -> Path:
    """The universe's recipe with other sections, as a file."""
    data = yaml.safe_load((BUILT_IN / "universe.yaml").read_text(encoding="utf-8"))
    (folder / "mine.yaml").write_text(yaml.safe_dump({**data, **changes}), encoding="utf-8")
    return folder / "mine.yaml"


def test_a_recipe_is_found_by_name_by_path_and_by_folder(tmp_path: Path) -> None:
    recipe_file(tmp_path).rename(tmp_path / "recipe.yaml")
    named, by_folder, by_path = load("universe"), load(str(tmp_path)), load(str(tmp_path / "recipe.yaml"))
    assert by_folder == by_path == named.model_copy(update={"root": str(tmp_path)})


def test_relative_places_are_taken_from_the_recipes_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load(str(recipe_file(tmp_path, root="texts"))).root == str(tmp_path / "texts")
    assert load("../mine.yaml", ("root=/books",)).root == "/books"


SETTINGS = [
    ("sft.learning_rate=1e-3", lambda r: r.tuning[0].learning_rate, 0.001),
    ("pretrain.tokens=2e6", lambda r: r.pretrain.tokens, 2_000_000),
    ("ingest.sources[0].books=7", lambda r: r.ingest.sources[0].books, 7),
    ("ingest.sources.0.books=7", lambda r: r.ingest.sources[0].books, 7),
    ("dedup.paragraph.enabled=false", lambda r: r.dedup.paragraph.enabled, False),
    ("gates.base.overrule=we know why", lambda r: r.gates.base.overrule, "we know why"),
    ("gates.base.overrule=null", lambda r: r.gates.base.overrule, None),
    ("evaluate.chat.splits=[val]", lambda r: r.evaluate.chat.splits, ("val",)),
    ("description=inf", lambda r: r.description, "inf"),
    ("description=a=b", lambda r: r.description, "a=b"),
]


@pytest.mark.parametrize(("change", "read", "value"), SETTINGS, ids=[change for change, _, _ in SETTINGS])
def test_a_change_from_the_command_line_reaches_its_field(change: str, read: object, value: object) -> None:
    assert read(load("universe", (change,))) == value  # type: ignore[operator]


WRONG = [
    ("sft.lerning_rate=0.001", "sft.lerning_rate: unknown key (value 0.001); did you mean learning_rate"),
    ("stf.learning_rate=0.001", 'stf: unknown key (value {"learning_rate": 0.001}); did you mean sft'),
    ("resources.training.parallel.worker=2", "resources.training.parallel.worker: unknown key (value 2); did you mean workers?"),
    ("ingest.sources[0].boks=2", "ingest.sources.0.universe.boks: unknown key (value 2); did you mean books"),
    ("gates.base.bounds[0].minimun=2", "minimun: unknown key (value 2); did you mean minimum"),
    (
        "quantize.zzz=2",
        "quantize.zzz: unknown key (value 2); known keys here: embeddings, kind, most_bits_per_byte, most_kl, name, overrule.",
    ),
    ("sft.steps=many", "sft.steps: needs a whole number, such as 8 (given: 'many')"),
    ("sft.learning_rate=-1", "sft.learning_rate: must be more than 0 (given: -1)"),
    ("ingest.sources[0].kind=web", "ingest.sources.0.kind: there is no 'web' here; choose one of files"),
    (
        "name=My Model",
        "name: takes small letters, digits and _, beginning with a letter or a digit, such as my_model (given: 'My Model')",
    ),
    ("ingest.sources=[]", "ingest.sources: needs at least 1 entry, and has none (given: [])"),
    ("dedup.near.enabled=perhaps", "dedup.near.enabled: needs true or false (given: 'perhaps')"),
    ("split=train", "split: needs keys of its own, such as {key: value} (given: 'train')"),
    ("examples={kind: conversations, critiques: 0.1}", "critiques: unknown key (value 0.1); only kind universe has it."),
    ("learning_rate=1", "write it as pretrain.learning_rate or sft.learning_rate or dpo.learning_rate."),
    ("ocr=true", "ocr: unknown key (value true); write it as clean.ocr."),
    ("sft.learning_rate", "--set 'sft.learning_rate': write key=value, such as sft.learning_rate=0.001."),
    ("seed.more=1", "--set 'seed.more=1': 'seed' is a single value, so nothing can be set inside it."),
    ("ingest.sources[3].books=7", "--set 'ingest.sources[3].books=7': '3' is not one of the 1 entries; they count from 0."),
    ("evaluate.base.splits=[train", "--set 'evaluate.base.splits=[train': '[train' is not a YAML value"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[change for change, _ in WRONG])
def test_an_impossible_change_names_key_value_and_what_to_do(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", (change,))
    assert message in str(error.value)


ENDPOINT = (
    "tuning.0={kind: dpo, pairs: {kind: constitution, principles: [{critique: a, revision: b}], "
    "critic: {kind: endpoint, model: m, url: URL}}}"
)


@pytest.mark.parametrize("url", ["https://ann:hunter2@host/v1", "https://host/v1?api_key=hunter2", "https://hunter2@host/v1?x=1#y"])
@pytest.mark.parametrize(
    "change", [ENDPOINT, "ingest.sources=[{kind: remote, url: URL, sha256: 00}]", "ingest.sources=[{kind: remote, url: URL}]", "urll=URL"]
)
def test_a_refusal_shows_no_secret_of_an_address(change: str, url: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", (change.replace("URL", f"'{url}'"),))
    assert "hunter2" not in str(error.value)
    assert "host" in str(error.value)


CONTRADICTIONS = [
    (
        ("pretrain.optimizer={kind: muon, head_learning_rate: 0.1}",),
        "pretrain.optimizer.head_learning_rate=0.1 does nothing: this network has no such parameters; leave it out",
    ),
    (("gates.corpus.confidence=0.9",), "confidence=0.9 does nothing: no bound has beats, above or no_worse_than; give it its default"),
    (("pretrain.initial=models/one", "model.initial_std=0.03"), "model.initial_std=0.03 does nothing with pretrain.initial='models/one'"),
    (("model.pattern=sliding", "model.window=128", "export.format=folio"), "window=128 hides nothing of context=128; lower it, or pattern"),
    (("model.pattern=block_sparse", "model.block=64", "export.format=folio"), "show 192 tokens, which hides nothing of context=128"),
    (("pretrain.batch_warmup_steps=9", "pretrain.batch_warmup_from=16"), "batch_warmup_from=16 equals global_batch, so batch_w"),
    (("model.context=256",), "pack.sequence_length=128 and model.context=256 differ"),
    (("model.context=256", "pack.sequence_length=256"), "encode.sequence_length=128 and model.context=256 differ"),
    (("model.heads=3",), "heads"),
    (("split.train=0.5",), "split.train + split.val + split.test is 0.6; the three shares must add up to 1"),
    (
        ("model.norm=layer", "model.qk_norm=true"),
        "computes this model: Qwen3ForCausalLM lacks norm=layer; StableLmForCausalLM lacks qk_norm=true; set export.",
    ),
    (("model.norm=layer", "model.qk_norm=true", "export.format=folio", "export.sentence_transformers=true"), "computes it; leave it out"),
    (("export.format=folio",), "transformers can't open, and this one is a LlamaForCausalLM; set export.format: huggingface"),
    (
        ("model.norm=batch", "export.format=folio", "resources.training.parallel.workers=2"),
        "model.norm=batch with resources.training.parallel.workers=2: each would normalize its own part; use one worker, or another norm",
    ),
    (
        ("model.norm=batch", "export.format=folio", "resources.training.micro_batch=4"),
        "model.norm=batch with micro_batch=4: each micro-batch of pretrain.global_batch=16 would have its own statistics",
    ),
    (
        ("pretrain.optimizer=adafactor", "resources.training.parallel.zero_stage=2"),
        "pretrain.optimizer=adafactor needs whole matrices, which resources.training.parallel.zero_stage=2 divides; set",
    ),
    (("dpo.optimizer=sophia",), "optimizer=sophia estimates curvature from sampled next tokens"),
    (
        ("pretrain.batch_warmup_steps=3", "pretrain.batch_warmup_from=3"),
        "batch_warmup_from=3 does not divide global_batch=16, the batch after batch_warmup_steps=3; choose a divisor",
    ),
    (("resources.training.parallel.workers=3",), "pretrain.global_batch=16 does not divide among resources.training.parallel.workers=3"),
    (("pretrain.mixture=[{until: 1, weights: {universe: 1}}]",), "pretrain.mixture weighs sources, but with pack.by_source=false"),
    (
        ("pack.by_source=true", "pretrain.mixture=[{until: 1, weights: {universe: 1}}]"),
        "pretrain.mixture gives no weight to the source 'conversations' in any phase; give it one, 0 to leave it out",
    ),
    (
        ("pack.by_source=true", "pack.instruction_fraction=0", "pretrain.mixture=[{until: 1, weights: {universe: 1, conversations: 1}}]"),
        "pretrain.mixture gives a weight to 'conversations', but the sources are universe",
    ),
    (("pretrain.mixture=[{until: 0.5, weights: {universe: 1}}]",), "each must end after the one before it, and the last at 1"),
]


# Each of these ended a run at the stage that it concerns, or did nothing without a word, before it was looked at here.
LATE = [
    (
        ("gates.chat.bounds=[{metric: chat.questions.sen, minimum: 1}]",),
        "gates.chat.bounds[0] names 'chat.questions.sen', which nothing measures; did you mean chat.questions.seen",
    ),
    (
        ("gates.corpus.bounds=[{metric: corpus.document_kept, minimum: 1}]",),
        "names 'corpus.document_kept', which nothing measures; did you mean corpus.documents_kept",
    ),
    (
        ("gates.corpus.bounds=[{metric: corpus.documents_removed_filter, maximum: 3}]",),
        "names 'corpus.documents_removed_filter', which nothing measures",
    ),
    (
        ("gates.base.bounds=[{metric: chat.val.loss, maximum: 3}]",),
        "gates.base.bounds[0] names 'chat.val.loss', but what is measured there is base, baseline and pack; begin the name",
    ),
    (
        ("gates.base.bounds=[{metric: base.val.bits_per_byte, beats: baseline.ngrams}]",),
        "names 'baseline.ngrams.val.bits_per_byte', which nothing measures; did you mean baseline.ngram.val.bits_per_byte",
    ),
    (
        ("gates.base.bounds=[{metric: base.train.bits_per_byte, beats: baseline.ngram}]",),
        "names 'baseline.ngram.train.bits_per_byte', which takes baseline.splits with train; set that",
    ),
    (
        ("gates.base.bounds=[{metric: base.val.bits_per_byte, beats: baseline.zstd}]",),
        "compares base.val.bits_per_byte row by row, and of the baselines ngram and unigram are kept so",
    ),
    (
        ("split={mode: all_train}", "gates.base.bounds=[{metric: base.val.bits_per_byte, beats: baseline.ngram}]"),
        "with a baseline, and split.mode=all_train lets that count the text that it then predicts",
    ),
    (
        ("gates.chat.bounds=[{metric: chat.questions.heldout, no_worse_than: bas}]",),
        "names 'bas.questions.heldout', but what is measured there is chat, base and baseline",
    ),
    (("baseline.splits=[vall]",), "baseline.splits names 'vall', and there are train, val, test; correct it"),
    (
        ("gates.base.bounds=[{metric: pack.train_token, minimum: 3}]",),
        "names 'pack.train_token', which nothing measures; did you mean pack.train_tokens",
    ),
    (
        ("gates.chat.bounds=[{metric: chat.test.loss, maximum: 3}]",),
        "names 'chat.test.loss', which takes evaluate.chat.splits with test; set that, or drop the bound",
    ),
    (
        ("evaluate.release.questions=false",),
        "gates.release.bounds[1] names 'release.questions.seen', which takes evaluate.release.questions=true; set that",
    ),
    (
        ("gates.release.bounds=[{metric: int8.test.loss, relative_to: release.test.los, maximum: 3}]",),
        "names 'release.test.los', which nothing measures; did you mean release.test.loss",
    ),
    (
        ("gates.base.bounds=[{metric: base.probe.the_cat.sat, minimum: 0.1}]",),
        "names 'base.probe.the_cat.sat', which takes an entry of evaluate.base.probes",
    ),
    (
        ("gates.base.bounds=[{metric: base.val.rows, minimum: 1, certain: true}]",),
        "gates.base.bounds[0] has certain=true, but base.val.rows has no interval; leave out certain",
    ),
    (("sft.warmup_steps=41",), "sft.warmup_steps=41 is longer than steps=40, so the learning rate never gets to its peak"),
    (
        ("pretrain.tokens=20480", "pretrain.warmup_steps=100"),
        "pretrain.warmup_steps=100 is longer than the 10 steps of tokens=20480, so the learning rate never gets",
    ),
    (
        ("pretrain.batch_warmup_steps=9000", "pretrain.batch_warmup_from=4", "pretrain.warmup_steps=0"),
        "pretrain.batch_warmup_steps=9000 is longer than the ",
    ),
    (("evaluate.base.splits=[train, valid]",), "evaluate.base.splits names 'valid', and there are train, val, test; correct it"),
    (("split.train=0.95", "split.val=0"), "evaluate.base.splits has val, and split.val=0 leaves that empty; raise it, or take val out"),
    (
        ("split.mode=counts", "split.train=0.9", "split.test_documents=5"),
        "evaluate.base.splits has val, and split.val_documents=0 leaves that empty",
    ),
    (
        ("resources.training.mfu_peak=t4", "pretrain.precision=bf16"),
        "resources.training.mfu_peak=t4 has no peak for pretrain.precision=bf16; it has fp32, fp16; name another device",
    ),
    (("evaluate.base.copy_tokens=120",), "copy_tokens=120 are 136 tokens, longer than model.context=128; lower them"),
    (("examples.minimum_books=101",), "examples.minimum_books=101 is more than the 100 books of the universe; lower it"),
    (
        ("tuning=[{kind: sft}, {kind: grpo, rollouts: {max_new_tokens: 128}}]",),
        "tuning[1].rollouts.max_new_tokens=128 leaves no room for a question in model.context=128; lower it",
    ),
]


@pytest.mark.parametrize(("changes", "message"), LATE, ids=lambda given: given if isinstance(given, str) else "")
def test_what_would_fail_late_is_refused_when_the_recipe_is_read(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", changes)
    assert message in str(error.value)


def test_every_recipe_that_comes_with_folio_bounds_what_its_gates_are_given() -> None:
    for name in built_in():
        recipe = load(name)
        for chapter in ("corpus", "base", "chat", "release"):
            assert {bound.metric for bound in getattr(recipe.gates, chapter).bounds} <= set(metrics_of(recipe, chapter))


@pytest.mark.parametrize(("changes", "message"), CONTRADICTIONS, ids=lambda given: given if isinstance(given, str) else "")
def test_sections_that_contradict_each_other_are_refused_with_both_values(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", changes)
    assert message in str(error.value)


def test_a_source_cannot_have_the_name_of_conversation_rows_when_rows_are_packed_by_source() -> None:
    load("four_books", ("ingest.sources[0].name=conversations",))
    with pytest.raises(RecipeError, match=r"pack\.by_source=true, and ingest\.sources has one called conversations"):
        load("four_books", ("ingest.sources[0].name=conversations", "pack.by_source=true"))


def test_examples_about_a_world_need_a_world(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, ingest={"sources": [{"kind": "files", "paths": ["books"]}]})
    with pytest.raises(RecipeError, match=r"examples.kind=universe needs a source of kind universe in ingest.sources; use kind corpus"):
        load(str(path))


def test_all_errors_of_a_recipe_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load(str(recipe_file(tmp_path, name="A B", seeds=1, quantize={"embeddings": "perhaps"})))
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'mine.yaml'} is not a valid recipe:\n")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == ["name", "quantize.embeddings", "seeds"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no keys; give it at least `name` and `ingest.sources`, as"),
        ("- a list", "holds no keys"),
        ("name: [", "mine.yaml, line 1, column 8: "),
        (
            "name: one\ndescription: a book: two\n",
            "line 2, column 20: a second colon in one line; quote a text that holds one, or indent this line as the one above\n",
        ),
        ("name: one\nsft:\n\tsteps: 1\n", "line 3, column 1: a tab; indent with spaces\n  \tsteps: 1\n  ^"),
        ("[a, b]: c\n", "a key must be a word"),
        ("name: one\nsft:\n  steps: 1\nname: two\n", "the key 'name' is given twice; keep one"),
        ("sft:\n  steps: 1\n  steps: 2\n", "the key 'steps' is given twice; keep one"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load(str(tmp_path / "mine.yaml"))
    assert str(tmp_path / "mine.yaml") in str(error.value)
    assert message in str(error.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match=r"mine.yaml is not UTF-8 text: byte 6 is 0xff; save it as UTF-8"):
        load(str(tmp_path / "mine.yaml"))


def test_an_unknown_recipe_is_answered_with_the_nearest_and_the_command_that_lists_all() -> None:
    with pytest.raises(
        RecipeError, match=r"There is no recipe 'univers', and no file of that name; did you mean universe\? .*folio recipes$"
    ):
        load("univers")


WRITTEN_ELSEWHERE = [
    *("learning_rate=0.1", "precision=fp32", "optimizer=adamw", "vocab_size=512", "rank=3", "lr=0.1", "batch_size=8", "epochs=3"),
    *("dropout=0.1", "model.learning_rate=0.1", "hidden_size=64", "evaluate.splits=[val]", "pretrain.dropout=0.1", "gpus=1"),
]


@pytest.mark.parametrize("name", ["universe", "four_books", "adapters", "reasoner"])
@pytest.mark.parametrize("key", WRITTEN_ELSEWHERE)
def test_a_key_that_a_hint_names_is_accepted_there(name: str, key: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load(name, (key,))
    hints = re.findall(r"[\w.\[\]]+?(?= or|\.$)", str(refused.value).partition("write it as ")[2])
    assert hints or key == "rank=3"
    for hint in hints:
        try:
            load(name, (f"{hint}={key.partition('=')[2]}",))
        except RecipeError as error:
            assert "unknown key" not in str(error) and "both are given" not in str(error)


def test_no_hint_names_a_section_that_the_recipe_leaves_without_effect(tmp_path: Path) -> None:
    counted = recipe_file(tmp_path, model={"kind": "ngram"})
    opened = tmp_path / "opened.yaml"
    opened.write_text("extends: universe\nname: opened\nbase: {kind: directory, path: nowhere}\n", encoding="utf-8")
    for recipe, key, without in (
        (counted, "learning_rate=1", "pretrain.learning_rate"),
        (opened, "layers=3", "model.layers"),
        (opened, "vocab_size=300", "tokenizer.vocab_size"),
    ):
        with pytest.raises(RecipeError) as refused:
            load(str(recipe), (key,))
        assert "unknown key" in str(refused.value) and without not in str(refused.value)


def test_a_setting_of_an_optimizer_is_named_where_the_chosen_one_takes_it() -> None:
    with pytest.raises(RecipeError, match=r"momentum: unknown key .*write it as pretrain\.optimizer\.momentum"):
        load("four_books", ("pretrain.optimizer=muon", "momentum=0.9"))
    found = load("four_books", ("pretrain.optimizer=muon", "pretrain.optimizer.momentum=0.9")).pretrain.optimizer
    assert (found.kind, getattr(found, "momentum", None)) == ("muon", 0.9)
