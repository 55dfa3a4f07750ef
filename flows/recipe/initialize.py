"""`folio init`: look at a folder of someone's own texts and write a recipe for it that runs as it is.

Sizes follow from the amount of text: about twenty tokens for each parameter where the text and half an hour on two cores allow it, and at
most a dozen passes over the text. About a dozen texts make a shard: few enough to be cleaned again quickly when one of them changes,
enough to learn their words from. The recipe holds what differs from the defaults, with a reason beside each key.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.files import find_files
from data.sources.formats import FORMATS, PACKED, type_from_name
from data.splits.config import SplitConfig
from data.tokens.config import TokenizerConfig
from flows.recipe.commented_yaml import short_yaml
from flows.recipe.differences import differences
from flows.recipe.schema import BaseGate, Evaluations, Gates, Recipe, ReleaseEvaluation, ReleaseGate
from flows.recipe.validation import RecipeError
from model.evaluation.config import EvaluateConfig
from model.evaluation.gate import Bound
from model.networks.decoder_config import DecoderConfig
from model.networks.meta import count_parameters
from model.release.config import CardConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig
from tasks.stage.system.command_line import folio

SOURCE = FilesSource(paths=(".",))
BYTES_PER_TOKEN = 3.5
MAX_PASSES = 12
MIN_TOKENS, MAX_TOKENS = 150_000, 6_000_000
TEXTS_PER_SHARD = 12
MAX_SHARDS = 64
MIN_TEXTS_TO_SPLIT = 3
# Where nothing is held out no baseline compares: 8 bits per byte is what guessing bytes at random costs.
LIMITS = Gates(
    base=BaseGate(bounds=(Bound(metric="base.val.bits_per_byte", maximum=6.0),)),
    release=ReleaseGate(
        bounds=(
            Bound(metric="release.test.bits_per_byte", maximum=7.0),
            Bound(metric="int8.test.bits_per_byte", relative_to="release.test.bits_per_byte", maximum=1.02),
        )
    ),
)
# Text in a file for each of its bytes, where that is far from 1; a guess that decides sizes and no more.
TEXT_PER_BYTE = {"epub": 2.0, "html": 0.3, "pdf": 0.1, "parquet": 2.0, "warc": 0.1}
TEXT_PER_PACKED_BYTE = 3.0
BYTES_PER_RECORD = 4000


def write_recipe(folder: Path) -> str:
    """Write `folder/recipe.yaml` and return what was found. Raises RecipeError if there are no texts or a recipe is already there."""
    if not folder.is_dir():
        raise RecipeError(f"{folder} is not a folder; give the folder that holds your texts.")
    target = folder.resolve() / "recipe.yaml"
    if target.exists():
        raise RecipeError(f"{target} is already there; move it away to have a new one written.")
    try:
        files = list(find_files(SOURCE, folder).values())
    except SourceError:
        files = []
    estimates = [estimate_text(path) for path in files]
    texts, size = sum(number for number, _ in estimates), sum(characters for _, characters in estimates)
    if size == 0:
        raise RecipeError(
            f"{folder} holds no files with text in them ({', '.join(FORMATS)}, packed or not), so there is nothing to learn from."
        )
    amount = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
    count = f"{texts} texts" if texts == len(files) else f"about {texts} texts in {len(files)} file{'s' if len(files) > 1 else ''}"
    found = f"{count}, {amount}"
    recipe = propose(folder, texts, size)
    parameters = count_parameters(recipe.model, recipe.tokenizer.vocab_size)
    head = f"""{recipe.description}
Written by `folio init`, which found {found}: enough for a model of about {parameters / 1e6:.1f} million parameters.
Only what differs from the defaults is here. Every key with its meaning: folio recipe show {shlex.quote(str(target))}
Run it with: folio run {shlex.quote(str(target))}"""
    target.write_text(short_yaml(recipe, head, reasons(recipe, texts, size)), encoding="utf-8")
    return f"{found}\nwrote {target}\nrun it with: {folio('run', str(target))}"


def estimate_text(path: Path) -> tuple[int, int]:
    """Estimate how many texts a file holds and their size together, from its name and size; the file is not read."""
    kind = type_from_name(path.name)
    packed = kind.archive or path.suffix.lower() in PACKED
    size = round(path.stat().st_size * TEXT_PER_BYTE.get(kind.format, 1.0) * (TEXT_PER_PACKED_BYTE if packed else 1.0))
    return (max(1, size // BYTES_PER_RECORD) if kind.may_hold_many else 1), size


def propose(folder: Path, texts: int, size: int) -> Recipe:
    """Return a recipe whose sizes fit `size` bytes in `texts` texts."""
    title = folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "books"
    tokens = size / BYTES_PER_TOKEN
    vocabulary = next((v for v, least in ((8192, 20e6), (4096, 4e6), (2048, 5e5), (1024, 1e5)) if size >= least), 512)
    width, layers = next(((w, n) for w, n, least in ((256, 6, 5e6), (192, 4, 1e6), (128, 4, 2e5)) if tokens >= least), (96, 3))
    train = round(min(MAX_TOKENS, max(MIN_TOKENS, tokens * MAX_PASSES)), -3)
    shards = min(MAX_SHARDS, max(1, round(texts / TEXTS_PER_SHARD)))
    return Recipe(
        name=name,
        description=f"A model of the texts in {title}.",
        ingest=IngestConfig(sources=(SOURCE.model_copy(update={"name": name}),), shards=shards),
        split=SplitConfig(mode="all_train") if texts < MIN_TEXTS_TO_SPLIT else SplitConfig(),
        tokenizer=TokenizerConfig(vocab_size=vocabulary),
        model=DecoderConfig(width=width, layers=layers, feed_forward=round(width * 8 / 3 / 8) * 8),
        pretrain=PretrainConfig(tokens=int(train), global_batch=16, warmup_steps=20),
        tuning=(SftConfig(steps=100, global_batch=16), DpoConfig(steps=30, global_batch=16)),
        evaluate=Evaluations(
            base=EvaluateConfig(rows=256, copying=True, copy_prompts=32),
            chat=EvaluateConfig(rows=256, questions=True),
            release=ReleaseEvaluation(rows=256, questions=True),
        ),
        gates=Gates() if texts >= MIN_TEXTS_TO_SPLIT else LIMITS,
        card=CardConfig(summary=f"A small language model trained on {texts} texts."),
    )


def reasons(recipe: Recipe, texts: int, size: int) -> dict[str, str]:
    """Return why each key that differs from its default has its value, in the order in which they are written."""
    tokens = size / BYTES_PER_TOKEN
    passes = recipe.pretrain.tokens / tokens
    why = {
        "name": "names the run, its artifacts and its MLflow experiment",
        "description": "",
        "ingest.sources": "every text below this file's folder",
        "ingest.shards": f"about {TEXTS_PER_SHARD} texts each, so a changed text means little work",
    }
    if recipe.split.mode == "all_train":
        why["split.mode"] = f"{texts} texts are too few to hold any out; val and test are copies of train"
    why |= {
        "tokenizer.vocab_size": f"for {size:,} bytes of text",
        "model.width": f"sized for about {tokens:,.0f} tokens",
        "model.layers": "",
        "model.feed_forward": "8/3 of the width",
        "pretrain.tokens": f"{passes:.2g} times through the text",
        "pretrain.global_batch": "small batches make more updates of little text",
        "pretrain.warmup_steps": "a short run warms up briefly",
        "tuning": "a few passes over the examples; alignment is brief, so it undoes nothing",
        "evaluate.base.rows": "enough for an interval, in seconds",
        "evaluate.base.copying": "small models of little text recite it; this shows how much",
        "evaluate.base.copy_prompts": "",
        "evaluate.chat.rows": "",
        "evaluate.chat.questions": "questions about your texts, written from them",
        "evaluate.release.rows": "",
        "evaluate.release.questions": "",
        "gates.base.bounds": "with nothing held out, only a limit that holds for any model that learned something",
        "gates.release.bounds": "",
        "card.summary": "edit this and what else you want to say of your model",
    }
    differing = {difference.path for difference in differences(recipe)}
    return {key: reason for key, reason in why.items() if key in differing}
