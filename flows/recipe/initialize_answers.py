"""`folio init FOLDER --base MODEL --goal answers`: a recipe whose model answers about the folder's documents, and cites them.

A teacher behind an address writes questions about passages; the model reads the documents, is tuned on the questions alone and with
passages shown, and is measured beside the untouched model, each alone and with documents. Its gate asks that tuning beats the untouched
model with the same passages: where it does not, retrieval alone is enough, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from data.examples.config import DocumentExamples
from data.shards.address import Teacher
from data.tokens.config import EncodeConfig
from flows.recipe.schema import PassageIndex, Recipe, ReleaseGate
from flows.recipe.sizing import ADAPTERS
from flows.recipe.validation import RecipeError
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.evaluation.config import ConsultConfig
from model.evaluation.gate import Bound
from model.opening.source import Shape
from model.planning.machine import Machine
from model.planning.rules import gibibytes

TEACHER = "llama3.2@http://127.0.0.1:11434/v1"  # where Ollama listens, and a model that it has
PASSAGE, SHOWN = 400, 3  # characters of a passage, and how many are shown: so that small models have room for them
MOST_PASSAGES, QUESTIONS = 300, 2  # passages that are asked about, and questions for each
ROOM = 160  # tokens of a prompt's other words, the question and the answer
LETTERS = 3  # characters of a token, few rather than many, so that rows are rather too long
ASKING, CHECKING = 80, 60  # tokens of a request for questions, and of one for an answer, without their passage
WRITTEN = 40  # tokens of a question and its answer
SECONDS = 2.0  # of a request, assumed: only the address knows
FULL = 0.8  # share of a machine's memory that training may take


class Asking(NamedTuple):
    """The most that asking a teacher takes: requests, tokens, and minutes if one takes `SECONDS`."""

    calls: int
    tokens: int
    minutes: float


def named_teacher(text: str) -> Teacher:
    """Return the teacher that MODEL@ADDRESS names. Raise RecipeError for anything else."""
    model, at, url = text.partition("@")
    if not (model and at and url):
        raise RecipeError(f"--teacher {text}: give MODEL@ADDRESS, such as {TEACHER}")
    try:
        return Teacher(url=url, model=model)
    except ValueError as error:
        raise RecipeError(f"--teacher {text}: {error}") from error


def for_answers(blank: Recipe, shape: Shape, size: int, teacher: str) -> Recipe:
    """Return a recipe of an open model that is taught from its documents. `size`: of the documents, in bytes."""
    passages = max(8, min(MOST_PASSAGES, round(size * 0.9 / PASSAGE)))
    length = min(SHOWN * PASSAGE // LETTERS + ROOM, shape.network.context - 1)
    gated = blank.gates.release.model_copy(update={"bounds": _bounds(blank.gates.release)})
    return blank.model_copy(
        update={
            "description": f"{blank.description.rstrip('.')} and answers questions about them.",
            "examples": DocumentExamples(
                teacher=named_teacher(teacher), passages=passages, questions=QUESTIONS, passage_characters=PASSAGE, shown=SHOWN
            ),
            "encode": EncodeConfig(sequence_length=length),
            "index": PassageIndex(passage_characters=PASSAGE, evaluate=ConsultConfig(passages=SHOWN, declined=True)),
            "gates": blank.gates.model_copy(update={"release": gated}),
        }
    )


def _bounds(given: ReleaseGate) -> tuple[Bound, ...]:
    """Require that the tuned model with documents certainly beats the untouched one with the same documents."""
    kept = given.bounds if given != ReleaseGate() else ()
    return (*kept, Bound(metric="documents.tuning.documents", minimum=0.0, certain=True))


def asking_of(examples: DocumentExamples) -> Asking:
    """Return what asking takes at most."""
    passage = examples.passage_characters // LETTERS
    calls = examples.passages * (1 + 2 * examples.questions)
    each = ASKING + passage + examples.questions * (WRITTEN + 2 * (CHECKING + WRITTEN) + passage)
    at_once = examples.teacher.at_once if isinstance(examples.teacher, Teacher) else 1
    return Asking(calls, examples.passages * each, calls * SECONDS / at_once / 60)


def adapter_for(needed: Mapping[str, int], machine: Machine) -> LoraConfig | QLoraConfig:
    """Return the first adapter that the machine has room for, LoRA before QLoRA, which computes longer; else QLoRA."""
    return next((adapter for adapter in ADAPTERS if needed[adapter.kind] <= FULL * machine.memory), ADAPTERS[-1])


def answer_expectations(recipe: Recipe, needed: Mapping[str, int], machine: Machine) -> Iterator[str]:
    """Yield what teaching will take, and how the recipe is judged, a sentence each."""
    assert isinstance(recipe.examples, DocumentExamples), "a teacher writes them"
    teacher, asking = recipe.examples.teacher, asking_of(recipe.examples)
    assert isinstance(teacher, Teacher), "init writes none else"
    yield (
        f"teacher: {teacher.model} at {teacher.url} is asked at most {asking.calls:,} times, about {asking.tokens:,} tokens, about "
        f"{max(1, round(asking.minutes))} min if a request takes {SECONDS:g} s; examples.max_calls, max_tokens and max_cost limit it"
    )
    lora, qlora = (gibibytes(needed[adapter.kind]) for adapter in ADAPTERS)
    kind, room = recipe.pretrain.adapter.kind, gibibytes(machine.memory)
    yield f"adapter: {kind}, since LoRA takes about {lora} of memory, QLoRA about {qlora}, and this machine has {room}"
    yield (
        "judged: held-out questions are asked of the untouched and of the tuned model, alone and with passages; the gate of the release "
        "passes only if tuning certainly beats the untouched model with the same passages, else retrieval alone is enough"
    )
