"""`folio init`: look at a folder of someone's own texts and write a recipe for it that runs as it stands.

The sizes follow from the amount of text: about twenty tokens for each parameter where the text and half an hour on two cores allow it,
and never more than a dozen passes over the text. About a dozen texts make a shard: few enough to be cleaned again in no time when one of
them changes, enough to learn their words from.
"""

from __future__ import annotations

import re
from pathlib import Path

from data.examples.config import CorpusExamples
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.files import find_files
from data.sources.formats import FORMATS, PACKED, type_from_name
from data.splits.config import SplitConfig
from data.tokens.config import EncodeConfig, PackConfig, TokenizerConfig
from flows.recipe.commented_yaml import commented
from flows.recipe.loading import RecipeError
from flows.recipe.schema import Evaluations, Gates, Recipe
from model.evaluation.config import EvaluateConfig
from model.evaluation.gate import Bound, GateConfig
from model.networks.config import DecoderConfig
from model.release.config import CardConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig

SOURCE = FilesSource(paths=(".",))
BYTES_A_TOKEN = 3.5
MOST_PASSES = 12
MOST_TOKENS = 6_000_000
TEXTS_A_SHARD = 12
MOST_SHARDS = 64
# What a file's bytes give in text, where that is far from all of them; a guess that decides sizes and no more.
YIELD = {"epub": 2.0, "html": 0.3, "pdf": 0.1, "parquet": 2.0, "warc": 0.1}
UNPACKED = 3.0
BYTES_A_RECORD = 4000


def write_recipe(folder: Path) -> str:
    """Write `folder/recipe.yaml` and say what was seen. Raises RecipeError when there are no texts or a recipe is already there."""
    if not folder.is_dir():
        raise RecipeError(f"{folder} is not a folder; give the folder that your texts lie in.")
    target = folder / "recipe.yaml"
    if target.exists():
        raise RecipeError(f"{target} is already there; move it away to have a new one written.")
    try:
        texts = list(find_files(SOURCE, folder).values())
    except SourceError:
        texts = []
    held = [holdings(path) for path in texts]
    count, size = sum(number for number, _ in held), sum(characters for _, characters in held)
    if size == 0:
        raise RecipeError(
            f"{folder} holds no files with text in them ({', '.join(FORMATS)}, packed or not), so there is nothing to learn from."
        )
    recipe = propose(folder, count, size)
    shown = size / 1e6 if size >= 1e5 else size / 1e3
    unit = "MB" if size >= 1e5 else "kB"
    said = f"{count} texts" if count == len(texts) else f"about {count} texts in {len(texts)} file{'s' if len(texts) > 1 else ''}"
    parameters = recipe.model.parameters(recipe.tokenizer.vocab_size)
    head = f"""{recipe.description}
Written by `folio init` for {said}, {shown:.1f} {unit}: a model of about {parameters / 1e6:.1f} million parameters.
Run it with: folio run {target}"""
    target.write_text(commented(recipe, head), encoding="utf-8")
    return f"{said}, {shown:.1f} {unit}\nwrote {target}\nrun it with: folio run {target}"


def holdings(path: Path) -> tuple[int, int]:
    """About how many texts a file holds and how large they are together, by its name and size; nothing of it is read."""
    told = type_from_name(path.name)
    packed = told.archive or path.suffix.lower() in PACKED
    size = round(path.stat().st_size * YIELD.get(told.format, 1.0) * (UNPACKED if packed else 1.0))
    return (max(1, size // BYTES_A_RECORD) if told.may_hold_many else 1), size


def propose(folder: Path, texts: int, size: int) -> Recipe:
    """A recipe whose sizes fit `size` bytes in `texts` files."""
    called = folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_") or "books"
    tokens = size / BYTES_A_TOKEN
    vocabulary = next((v for v, least in ((8192, 20e6), (4096, 4e6), (2048, 5e5), (1024, 1e5)) if size >= least), 512)
    width, layers = next(((w, n) for w, n, least in ((256, 6, 5e6), (192, 4, 1e6), (128, 4, 2e5)) if tokens >= least), (96, 3))
    train = round(min(MOST_TOKENS, max(150_000, tokens * MOST_PASSES)), -3)
    few = texts < 3
    return Recipe(
        name=name,
        description=f"A model of the texts in {called}.",
        ingest=IngestConfig(
            sources=(SOURCE.model_copy(update={"name": name}),), shards=min(MOST_SHARDS, max(1, round(texts / TEXTS_A_SHARD)))
        ),
        examples=CorpusExamples(),
        split=SplitConfig(mode="all_train") if few else SplitConfig(),
        tokenizer=TokenizerConfig(vocab_size=vocabulary),
        pack=PackConfig(sequence_length=128),
        encode=EncodeConfig(sequence_length=128),
        model=DecoderConfig(width=width, layers=layers, heads=4, kv_heads=2, feed_forward=round(width * 8 / 3 / 8) * 8, context=128),
        pretrain=PretrainConfig(tokens=int(train), global_batch=16, learning_rate=2e-3, warmup_steps=20),
        sft=SftConfig(steps=100, global_batch=16),
        dpo=DpoConfig(steps=30, global_batch=16),
        evaluate=Evaluations(
            base=EvaluateConfig(splits=("train", "val"), rows=256, copying=True, copy_prompts=32),
            chat=EvaluateConfig(splits=("train", "val"), rows=256, questions=True),
            release=EvaluateConfig(splits=("val", "test"), rows=256, questions=True),
        ),
        gates=Gates(
            corpus=GateConfig(bounds=(Bound(metric="corpus.documents_kept", minimum=1), Bound(metric="corpus.balanced", minimum=1))),
            base=GateConfig(bounds=(Bound(metric="base.val.bits_per_byte", maximum=6.0),)),
            chat=GateConfig(bounds=(Bound(metric="chat.val.bits_per_byte", maximum=7.0),)),
            release=GateConfig(
                bounds=(
                    Bound(metric="release.test.bits_per_byte", maximum=7.0),
                    Bound(metric="int8.test.bits_per_byte", relative_to="release.test.bits_per_byte", maximum=1.02),
                )
            ),
        ),
        card=CardConfig(
            name=name,
            summary=f"A small language model trained on {texts} texts.",
            intended_use=("Looking at what a small model learns from these texts.",),
            limits=("It knows nothing but these texts and is often wrong about them.",),
        ),
    )
