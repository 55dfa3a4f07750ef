"""`folio init`: look at a folder of the user's texts and write a recipe that runs without changes.

Model, vocabulary, tokens, batch and rate are the planner's, for this text and this machine; `folio size` proposes the same. About a dozen
texts make a shard: few enough to be cleaned again quickly when one of them changes, enough to learn their words from. The recipe holds what
differs from the defaults, with a reason beside each key. If there is too little text for a model that converses, it has no tuning; if there
is too little text or time for a network that beats counting, the model is the count itself, which takes seconds.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from data.sources.config import FilesSource, IngestConfig
from data.sources.files import FOLDER, HIDDEN, Survey, survey
from data.sources.formats import USUAL, Format, type_from_name
from data.splits.assignment import shortest_cut
from data.splits.config import SplitConfig
from data.tokens.config import PackConfig, TokenizerConfig
from flows.recipe.commented_yaml import differences, short_yaml
from flows.recipe.loading import RECIPE_FILE, new_recipe_file
from flows.recipe.record_files import NO_RECORDS, RecordFiles, look_at_records
from flows.recipe.schema import BaseGate, Evaluations, Gates, Recipe, ReleaseEvaluation, ReleaseGate
from flows.recipe.sizing import estimate_texts, guessed_text, is_blank, present_job, with_measured_speed
from flows.recipe.validation import RecipeError
from model.evaluation.config import EvaluateConfig
from model.evaluation.gate import Bound
from model.networks.config import NgramConfig
from model.planning import proposal
from model.planning.machine import Machine, machine_for
from model.planning.proposal import BASIS, LEAST_BYTES, Proposal, expected_bits_per_byte, may_converse
from model.planning.rules import SCARCE_DROPOUT, SCARCE_WEIGHT_DECAY, short
from model.release.config import CardConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig
from model.training.guards.config import GuardsConfig
from tasks.reporting.wording import seconds
from tasks.stage.system.command_line import folio

SOURCE = FilesSource(paths=(".",))
PROGRAMS: tuple[Format, ...] = ("code",)
UNCOUNTED = {FOLDER, *HIDDEN}
# Beside training, on two cores that tests used, too (load 2 to 3): runs of 0.1 to 0.8 MB took 16 to 33 s, and one of 29 MB 152.
REST_SECONDS, REST_PER_BYTE = 20.0, 4.6e-6
MINUTES = 30.0
# A shard of less would cost more in starting its stages than it saves when one of its texts changes.
TEXTS_PER_SHARD, SHARD_BYTES, MAX_SHARDS = 12, 500_000, 64
MIN_TEXTS_TO_SPLIT = 3
FEW_TEXTS = 40  # a twentieth of fewer is one or two texts, so chance decides how much is held out
HELD_OUT_BYTES = 50_000  # of each held-out split: with less, the interval of bits per byte is as wide as what gates tell apart
LARGEST_SHARE = 0.1
LONG_TEXT = 2 * shortest_cut(SplitConfig(mode="passages"))  # bytes; cleaning may take some
HEAD_WIDTH = 110  # characters of a line of comment
WARM_UP = 20  # steps; at most a tenth of the shortest run that the planner proposes
PATIENCE = 4  # measurements of held-out text
AGAIN, MANY = 2, 6  # times through the text
# Tokens from which models of one's own texts beat n-grams: 1.7 and 1.8 million of 0.4 MB did, 2.4 of 0.8 MB and 3.5 of 2.6 MB; 0.85 of
# 0.4 MB did not, nor 3.9 and 10.2 of 29 MB, since counts get better with text. So they grow by the power of the text that fits those that
# did, and beyond 2.6 MB by one that is drawn on from how little was lacking at 29 MB: there no such model has won yet.
# Programs repeat themselves, which counts are good at: of 1.5 MB, 1.8 million tokens lost and 3.5 tied.
# On 19 kB a network lost however often it read them; between that and 0.4 MB, of which 0.3 are trained on, none was tried.
COUNTED_OUT, LEAST_TEXT = 1_700_000, 300_000
TRIED_TEXT, GROWTH, MOST_TRIED, GROWTH_BEYOND, OF_PROGRAMS = 360_000, 0.38, 2_340_000, 0.6, 2.5
Kind = Literal["auto", "network", "counts"]  # which model is proposed; auto: a network if there is enough text and time for one
LONGER = (2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 240)  # minutes that are proposed

TRIED = (
    "of what was tried, 1.7 M tokens of 0.4 MB of text, 2.4 M of 0.8 MB and 3.5 M of 2.6 MB beat counting words; 0.85 M of 0.4 MB and 10 M "
    "of 29 MB did not"
)
OPENED = "folio init FOLDER --base MODEL"
RECITES = "expect: the texts are too few and short to hold any out, so bits per byte will say how well it recites them and nothing else"
HELD_OUT = {
    "passages": "the end of each text is held out: a whole one would be too much to lose",
    "all_train": "too little to hold any out; val and test are copies of train",
}
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


def write_recipe(
    folder: Path,
    minutes: float = MINUTES,
    machine: Machine | None = None,
    *,
    kind: Kind = "auto",
    measure: bool = False,
    output: Path | None = None,
) -> str:
    """Write `folder/recipe.yaml`, or `output`, and return what was found and what can be expected.

    machine: by default this one. kind: of the model. measure: time a few real updates on the machine, which takes some seconds. Raises
    RecipeError if there are no texts or a recipe is already there.
    """
    found = look_at(folder, output)
    recipe, sized = propose(folder, found.texts, found.size, machine, minutes, kind=kind, measure=measure, records=found.records)
    took = seconds(REST_SECONDS + REST_PER_BYTE * found.size)
    rest = f"besides: about {took} to read, clean and measure the texts, as on two cores beside other work"
    about = f"Written by `folio init`, which found {found.amount}, and for them proposes what `folio size` does:"
    return write_found(
        found, recipe, about, [*expectations(recipe, sized, minutes, found.records), rest], reasons(recipe, found.texts, sized)
    )


class Found(NamedTuple):
    """The texts of a folder, and where its recipe is to be written."""

    folder: Path
    target: Path
    texts: int
    size: int
    amount: str
    unread: str
    records: RecordFiles


def look_at(folder: Path, output: Path | None = None) -> Found:
    """Return what texts a folder holds. Raises RecipeError if there are none, or if a recipe is already there."""
    target = new_recipe_file(folder, output)
    seen = survey(SOURCE, folder, empty=True)
    formats = SOURCE.formats if seen.files else PROGRAMS
    if formats is PROGRAMS:  # a folder of nothing else is of programs on purpose
        seen = survey(SOURCE.model_copy(update={"formats": formats}), folder, empty=True)
    records, unread = look_at_records(seen.files)._replace(formats=formats), unread_entries(seen)
    if formats is not PROGRAMS and any(type_from_name(name).format == "code" for name in seen.others):
        unread += '; programs are read where "code" is among ingest.sources.formats'
    files = [path for name, path in seen.files.items() if name not in records.conversations]
    amounts = estimate_texts(files)
    texts, size = sum(amount.texts for amount in amounts), sum(amount.bytes for amount in amounts)
    if size and all(is_blank(path) for path in files):
        held = f"{len(files)} file{'s' if len(files) > 1 else ''}"
        raise RecipeError(f"{folder} holds nothing but white space in {held}, so there is nothing to learn from; put texts there.")
    if size == 0:
        raise RecipeError(
            f"{folder} holds no files with text in them ({', '.join(USUAL)}, or code, packed or not), so there is nothing to learn from."
            + (f" It holds {unread}." if unread else "")
            + (f" It holds {records.amount}: a model is tuned on them once it knows texts; add some." if records.conversations else "")
        )
    counted, held = (f"{number} {noun}{'s' if number > 1 else ''}" for number, noun in ((texts, "text"), (len(files), "file")))
    count = counted if texts == len(files) else f"about {counted} in {held}"
    return Found(folder.resolve(), target, texts, size, f"{count}, {written_bytes(size)}", unread, records)


def written_bytes(size: float) -> str:
    """Return an amount of text, such as 0.6 MB, 44.1 kB or 8 bytes."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB" if size >= 1e3 else f"{size:.0f} bytes"


def write_found(found: Found, recipe: Recipe, about: str, expected: list[str], why: dict[str, str]) -> str:
    """Write a recipe with `about` and `expected` at its head and `why` beside its keys; return the lines to print."""
    shown = shlex.quote(str(found.target))
    if found.target.parent != found.folder:
        recipe = recipe.model_copy(update={"root": str(found.folder)})
        why = {"name": why["name"], "root": "where your texts are", **why}
    head = "\n".join(
        (
            recipe.description,
            about,
            *(line for sentence in expected for line in textwrap.wrap(sentence, HEAD_WIDTH, subsequent_indent="  ")),
            f"Only what differs from the defaults is here. Every key with its meaning: folio recipe show {shown}",
            f"Run it with: folio run {shown}",
        )
    )
    try:
        with found.target.open("x", encoding="utf-8") as file:
            file.write(short_yaml(recipe, head, why))
    except FileExistsError:  # written while this machine was timed
        new_recipe_file(found.folder, found.target)  # says so
        raise
    told = [*([f"not read: {found.unread}"] if found.unread else []), found.amount, *found.records.unread()]
    return "\n".join((*told, *expected, f"wrote {found.target}", f"run it with: {folio('run', str(found.target))}"))


def unread_entries(found: Survey) -> str:
    """Say how many entries below the folder are skipped, by kind, or unreadable; ignores hidden files and a recipe. "" for none."""
    kinds = Counter(kind for name, kind in found.others.items() if kind not in UNCOUNTED and name != RECIPE_FILE)
    kinds += Counter(fault.removeprefix("not a file: a ").partition(":")[0] for fault in found.faults.values())
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])))


def propose(
    folder: Path,
    texts: int,
    size: int,
    machine: Machine | None = None,
    minutes: float = MINUTES,
    *,
    kind: Kind = "auto",
    measure: bool = False,
    records: RecordFiles = NO_RECORDS,
) -> tuple[Recipe, Proposal]:
    """Return a recipe for `size` bytes in `texts` texts, and the plan of a network that its sizes come from."""
    split = split_for(texts, size)
    title = folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "books"
    blank = Recipe(
        name=name,
        description=f"A model of the texts in {title}.",
        ingest=IngestConfig(
            sources=records.text_sources(name),
            shards=shards_for(texts, size),
        ),
        split=split,
        pretrain=PretrainConfig(warmup_steps=WARM_UP),
        gates=LIMITS if split.mode == "all_train" else Gates(),
        card=CardConfig(summary=f"A small language model trained on {texts} texts."),
    )
    text, job = guessed_text(blank, size), present_job(blank, 1)
    machine = machine or machine_for("here", 1, job.train.precision.kind)
    plan = partial(proposal.propose, text, hours=minutes / 60)
    sized = plan(machine, job)
    if sized.proposed.epochs > MANY:
        job = job.model_copy(update={"network": job.network.model_copy(update={"dropout": SCARCE_DROPOUT})})
        sized = plan(machine, job)
    if measure and kind != "counts":
        sized = plan(with_measured_speed(machine, sized.proposed.job), job)
    job = sized.proposed.job
    if kind == "counts" or (kind == "auto" and loses_to_counting(sized, records)):
        return _counted(blank, job.vocab_size), sized
    converses = may_converse(sized.proposed.parameters, text.tokens(job.vocab_size))
    memorizes = sized.proposed.epochs > MANY and blank.split.mode != "all_train"
    changes = {
        "tokenizer": TokenizerConfig(vocab_size=job.vocab_size),
        "model": job.network,
        "pretrain": blank.pretrain.model_copy(
            update={
                "tokens": job.train.tokens,
                "global_batch": job.train.global_batch,
                "learning_rate": job.train.learning_rate,
                **({"weight_decay": SCARCE_WEIGHT_DECAY} if sized.proposed.epochs > AGAIN else {}),
                **({"select": "best", "guards": GuardsConfig(patience=PATIENCE)} if memorizes else {}),
            }
        ),
        "tuning": (SftConfig(steps=100, global_batch=16), DpoConfig(steps=30, global_batch=16)) if converses else (),
        "evaluate": Evaluations(
            base=EvaluateConfig(rows=256, copying=True, copy_prompts=32),
            chat=EvaluateConfig(rows=256, questions=converses),
            release=ReleaseEvaluation(rows=256, questions=converses),
        ),
        **({} if converses else {"pack": PackConfig(instruction_fraction=0.0)}),
        **({"examples": records.examples} if converses else {}),
        **({"encode": blank.encode.model_copy(update={"too_long": "shorten"})} if converses and records.conversations else {}),
    }
    return blank.model_copy(update=changes), sized


def _counted(blank: Recipe, vocab_size: int) -> Recipe:
    """Return the recipe of a model that is counted."""
    measured = {"rows": 256, "questions": False}
    return Recipe(
        **{name: getattr(blank, name) for name in ("name", "description", "ingest", "split")},
        tokenizer=TokenizerConfig(vocab_size=vocab_size),
        pack=PackConfig(instruction_fraction=0.0),
        model=NgramConfig(),
        evaluate=Evaluations(
            base=EvaluateConfig(rows=256, copying=True, copy_prompts=32),
            chat=EvaluateConfig(**measured),
            release=ReleaseEvaluation(**measured),
        ),
        card=blank.card.model_copy(update={"summary": blank.card.summary.replace("A small language model trained", "N-grams counted")}),
    )


def shards_for(texts: int, size: int) -> int:
    """Return in how many shards texts of `size` bytes in all are worked on."""
    return min(MAX_SHARDS, max(1, round(min(texts / TEXTS_PER_SHARD, size / SHARD_BYTES))))


def split_for(texts: int, size: int) -> SplitConfig:
    """Return how to hold texts out: the last passages of a few long ones, some of many whole, none of a handful of short ones.

    Of little text more than the usual twentieth goes to validation and to test, so that a gate can be sure of something."""
    share = round(min(LARGEST_SHARE, max(SplitConfig().val, HELD_OUT_BYTES / max(size, 1))), 2)
    shares = {"train": round(1 - 2 * share, 2), "val": share, "test": share}
    if texts < FEW_TEXTS and size / texts >= LONG_TEXT:
        return SplitConfig(mode="passages", **shares)
    return SplitConfig(mode="all_train") if texts < MIN_TEXTS_TO_SPLIT else SplitConfig(**shares)


def expectations(recipe: Recipe, sized: Proposal, minutes: float, records: RecordFiles = NO_RECORDS) -> Iterator[str]:
    """Yield what can be expected of the recipe, and why, a sentence each."""
    if isinstance(recipe.model, NgramConfig):
        yield from _expected_of_counting(recipe, recipe.model, sized, minutes, records)
        return
    plan, text = sized.proposed, sized.text
    trained = f"{short(plan.tokens)} tokens, {times(plan.epochs)} through the text, in about {max(1, round(plan.seconds / 60))} min"
    yield f"model: {short(plan.parameters)} parameters, trained on {trained} ({sized.reason}; speed {sized.machine.utilization_source})"
    low, high = expected_bits_per_byte(text, plan.epochs)
    if recipe.split.mode == "all_train":
        yield RECITES
    elif text.bytes < LEAST_BYTES:
        yield (
            f"expect: it will recite. {written_bytes(text.bytes)} to learn from is far less than the least that was tried, "
            "0.5 MB, so no figure is promised for what it has not read; add texts"
        )
    else:
        passages = recipe.split.mode == "passages"
        unread = "the last passages of each text, which it does not read" if passages else "texts that it has not read"
        yield f"expect: {low:.1f} to {high:.1f} bits per byte on {unread} ({BASIS})"
    if recipe.tuning and records.conversations:
        yield records.tuned_on
    elif recipe.tuning:
        yield "chat: it can be tuned to converse; of facts that the texts tell once or twice it will know few"
    else:
        yield (
            "chat: none. It will write in the manner of the texts, and would not answer questions: models below ten million parameters and "
            "two hundred million tokens of text lose the thread even of simple stories; so the recipe has no tuning"
        )
        if records.conversations:
            yield f"mind: {records.amount} are not used; start from an open model to tune one on them: folio init FOLDER --base MODEL"
    if recipe.split.mode != "all_train" and loses_to_counting(sized, records):
        longer = enough_time(sized, minutes, records) or "There is too little text for a longer run: add texts"
        yield f"mind: this may end at gate.base without a model: {TRIED}. {longer}; or start from an open model: {OPENED}"
    yield from (f"mind: {warning}" for warning in plan.warnings)
    if round(plan.seconds / 60) > minutes:
        yield f"mind: longer than the {minutes:g} min asked for: no smaller model is proposed; lower pretrain.tokens to end sooner"


def _expected_of_counting(recipe: Recipe, model: NgramConfig, sized: Proposal, minutes: float, records: RecordFiles) -> Iterator[str]:
    """Yield what can be expected of counts, why they are proposed, and what would give a network."""
    yield (
        f"model: no network but counts, made in seconds: which tokens follow which, in runs of up to {model.order} (n-grams, modified "
        "Kneser-Ney)"
    )
    if recipe.split.mode == "all_train":
        yield RECITES
    yield "chat: it goes on from what you write in the manner of the texts, a few words at a time, and answers no questions"
    if records.conversations:
        yield f"mind: {records.amount} are not used; start from an open model to tune one on them: {OPENED}"
    tokens = short(sized.proposed.tokens)
    if not loses_to_counting(sized, records):
        yield f"network: there is text and time enough for one of {tokens} tokens, which should beat counting: leave --kind out"
        return
    lacking = "text" if sized.text.bytes < LEAST_TEXT else "time"
    more = enough_time(sized, minutes, records) or "add texts"
    yield (
        f"why: so little {lacking} that a network, trained on {tokens} tokens, would hardly beat these counts, and end without a model: "
        f"{TRIED}. For a network: {more}; or start from an open model: {OPENED}; or have the small one all the same: "
        "folio init FOLDER --kind network"
    )


def tokens_to_beat_counting(size: float, *, programs: bool = False) -> float:
    """Return how many tokens a network has to read, of `size` bytes of text, to beat n-grams of the same text."""
    within = min(max(size, TRIED_TEXT), MOST_TRIED)
    grown: float = (within / TRIED_TEXT) ** GROWTH * max(1.0, size / MOST_TRIED) ** GROWTH_BEYOND
    return COUNTED_OUT * grown * (OF_PROGRAMS if programs else 1.0)


def _enough(sized: Proposal, records: RecordFiles) -> float:
    return tokens_to_beat_counting(sized.text.bytes, programs=records.formats == PROGRAMS)


def loses_to_counting(sized: Proposal, records: RecordFiles = NO_RECORDS) -> bool:
    """Return whether there is less text or training than that from which models were seen to beat n-grams."""
    return sized.text.bytes < LEAST_TEXT or sized.proposed.tokens < _enough(sized, records)


def enough_time(sized: Proposal, minutes: float, records: RecordFiles = NO_RECORDS) -> str:
    """Return which --minutes are enough to beat counting; empty if there is too little text for that."""
    enough = enough_minutes(sized, minutes, records) if sized.text.bytes >= LEAST_TEXT else 0
    return f"`--minutes {enough}` trains on enough" if enough else ""


def enough_minutes(sized: Proposal, minutes: float, records: RecordFiles = NO_RECORDS) -> int:
    """Return the least minutes of those in `LONGER` for which a model is proposed that reads enough tokens; 0 if none is."""
    for longer in LONGER:
        if longer > minutes:
            plan = proposal.propose(sized.text, sized.machine, sized.present.job, hours=longer / 60)
            if plan.proposed.tokens >= _enough(sized, records):
                return longer
    return 0


def times(epochs: float) -> str:
    """Return how often a text is read, in words."""
    return f"{epochs:,.0f} times" if epochs >= 10 else f"{epochs:.1f} times"


def reasons(recipe: Recipe, texts: int, sized: Proposal) -> dict[str, str]:
    """Return why each key that differs from its default has its value, in the order in which they are written."""
    plan, counted = sized.proposed, recipe.model.counted
    why = {
        "name": "names the run, its artifacts and its MLflow experiment",
        "description": "",
        "ingest.sources": "every text below the folder",
        "ingest.shards": "parts of the texts that are worked on apart, so a changed text means little work",
        "examples": "your conversations, and questions about your texts",
        "split.mode": HELD_OUT.get(recipe.split.mode, ""),
        "split.train": "a larger part than usual is held out, as a gate can't be sure of anything with a few kilobytes",
        "split.val": "",
        "split.test": "",
        "model": "counts, made in seconds, in place of a network",
        "tokenizer.vocab_size": f"for {sized.text.bytes:,.0f} bytes of text to learn from",
        "pack.instruction_fraction": "no conversations, since it is not tuned to converse",
        "encode.too_long": "of a conversation longer than a row the last exchanges are learned",
        **{f"model.{key}": "" for key in type(recipe.model).SIZES},
        "model.width": f"{short(plan.parameters)} parameters: {sized.reason}",
        "model.dropout": "against learning by heart, too",
        "pretrain.tokens": f"{times(plan.epochs)} through the text",
        "pretrain.global_batch": "",
        "pretrain.learning_rate": "grows as the run gets shorter (DeepSeek LLM's rule)",
        "pretrain.warmup_steps": "a short run warms up briefly",
        "pretrain.weight_decay": "ten times the usual, against learning by heart what is read again and again",
        "pretrain.select": "it would memorize so little text: the weights that do best on held-out text are kept",
        "pretrain.guards.patience": "and training ends when they get no better",
        "tuning": "a few passes over the examples"
        if recipe.tuning
        else "counts can't be tuned"
        if counted
        else "too little text for a model that converses",
        "evaluate.base.rows": "enough for an interval, in seconds",
        "evaluate.base.copying": "small models of little text recite it; this shows how much",
        "evaluate.base.copy_prompts": "",
        "evaluate.chat.rows": "",
        "evaluate.chat.questions": "questions about your texts, written from them",
        "evaluate.release.rows": "",
        "evaluate.release.questions": "",
        "gates.base.bounds": "no more bits than a model of single tokens"
        if counted
        else "with nothing held out, only a limit that holds for any model that learned something",
        "gates.chat.bounds": "",
        "gates.release.bounds": "",
        "release.variants": "",
        "export.format": "only folio opens it",
        "card.summary": "edit this and what else you want to say of your model",
    }
    differing = {difference.path for difference in differences(recipe)}
    return {key: reason for key, reason in why.items() if key in differing}
