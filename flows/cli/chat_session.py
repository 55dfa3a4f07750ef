"""`folio chat`: a conversation on the terminal, or one question. Replies appear as they are written; Ctrl-C ends only the reply."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.shards.pictures import Picture
from data.sources.errors import Unreadable
from data.sources.pictures import open_given
from flows.cli.chat_models import adapter_directory, description, judge_directory, model_directory, unreleased_directory, variant_directory
from flows.cli.searching import RecipeDocuments, open_passages
from flows.cli.views.diff_rendering import printable
from flows.recipe.validation import given, sentence
from model.hardware.waiting import watch
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inference.documents import Citation

WAITING, ERASED = "…", "\r\x1b[K"
HELP = "Ask something. /forget starts over, Ctrl-C ends a reply, an empty line ends the conversation."


def talk(
    model: str,
    variant: str | None,
    options: Mapping[str, Any],
    seed: int | None,
    question: str | None,
    store: str = "",
    adapter: str | None = None,
    best_of: int = 1,
    judge: str | None = None,
    *,
    unreleased: bool = False,
    documents: bool = False,
    image: Path | None = None,
    audio: Path | None = None,
) -> None:
    """Talk on the terminal until the input ends, or ask one question. `best_of`: replies of which the reward model `judge` takes one.

    documents: answer from the passages that the recipe's index finds, and cite them.
    unreleased: talk to the recipe's newest model, though no gate released it. image, audio: a picture, or a recording, that stands before
    the first message.
    `options`: settings of sampling; without `max_new_tokens` a reply ends where the model ends it, or the context does.

    Raises ValueError for options that don't fit together, and LookupError for an unknown model.
    """
    sampling = sampling_of({option: value for option, value in options.items() if value is not None}, seed)
    directory = unreleased_directory(model, store) if unreleased else model_directory(model, store)
    if variant is not None:
        directory = variant_directory(directory, variant)
        if adapter is not None:
            raise ValueError(f"--variant {variant} and --adapter {adapter}: adapters were trained on full precision; keep one of the two")
    given = {option: file for option, file in (("--image", image), ("--audio", audio)) if file is not None}
    if given and best_of > 1:
        option, file = next(iter(given.items()))
        raise ValueError(f"{option} {file} and --best-of {best_of}: reward models read words alone; keep one of the two")
    chosen_by = _judge_of(directory if variant is None else directory.parent, best_of, judge, sampling)
    folder = None if adapter is None else adapter_directory(directory, adapter)
    watch()
    session = ChatModel.open(directory, adapter=folder)
    if options.get("max_new_tokens") is None:
        sampling = sampling.model_copy(update={"max_new_tokens": session.network.context})
    if unreleased:
        print(f"{model}: NOT RELEASED. This is its newest model, whatever its gates said of it.", file=sys.stderr, flush=True)
    print("\n".join(description(directory, session.network, folder)), file=sys.stderr, flush=True)
    if chosen_by is not None:
        session.choose_by(chosen_by, best_of)
        print(f"  of {best_of} replies the one that {chosen_by.absolute()} scores highest is shown", file=sys.stderr, flush=True)
    shown = "".join(f"{session.show(_given(option, file, model, session))}\n" for option, file in given.items())
    with open_passages(model, store) if documents else nullcontext() as opened:
        session.documents = RecipeDocuments(opened) if opened is not None else None
        if question is not None:
            show(session.say(shown + question, sampling, seed or 0))
            if documents:
                show_citations(session.citations)
            return
        print(HELP, file=sys.stderr, flush=True)
        with suppress(ImportError):
            import readline  # noqa: F401  # `input` edits the line and keeps a history once this is there
        _converse(session, sampling, seed or 0, shown)


def _given(option: str, file: Path, model: str, session: ChatModel) -> Picture:
    """Return the picture or the sound in a file. Raises ValueError naming the file and what is wrong with it, or with the model."""
    reads, medium = session.network.config.patches, "pictures" if option == "--image" else "sounds"
    if reads is None or medium != reads.MEDIUM:
        other = "" if reads is None else f", but {reads.MEDIUM}"
        raise ValueError(f"{option} {file}: {model} reads no {medium}{other}; leave it out, or give a model with an input of kind {medium}")
    try:
        return open_given(file.read_bytes(), reads.grid)
    except OSError as error:
        raise ValueError(f"{option} {file}: {error.strerror}") from error
    except Unreadable as error:
        raise ValueError(f"{option} {file}: {error}") from error


def _judge_of(directory: Path, best_of: int, judge: str | None, sampling: SamplingConfig) -> Path | None:
    """Return the folder of the reward model that chooses; None if one reply is written. Raises ValueError for options that don't fit."""
    if best_of < 1:
        raise ValueError(f"--best-of {best_of}: must be at least 1.")
    if best_of == 1:
        if judge is not None:
            raise ValueError(f"--judge {judge} chooses among several replies; give --best-of 4 too.")
        return None
    if sampling.temperature == 0:
        raise ValueError(f"--best-of {best_of} needs replies that differ, and --temperature 0 draws nothing; give one such as 0.8.")
    return judge_directory(directory, judge)


def _converse(session: Any, sampling: SamplingConfig, seed: int, shown: str = "") -> None:
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not text:
            return
        if text == "/forget":
            session.reset()
            continue
        try:
            show(session.say(shown + text, sampling, seed))
            shown = ""
            if session.documents is not None:
                show_citations(session.citations)
        except KeyboardInterrupt:
            print(" (stopped)")
        except ValueError as error:
            print(f"folio: {error}", file=sys.stderr)
        # A new seed each turn, or the same question would get the same answer.
        seed += 1


def show(pieces: Iterable[str]) -> None:
    """Print a reply as it is written; on a terminal, show dots until the first word comes."""
    waiting = sys.stdout.isatty()
    if waiting:
        print(WAITING, end="", flush=True)
    for piece in pieces:
        if waiting:
            print(ERASED, end="")
            waiting = False
        print(printable(piece), end="", flush=True)
    print(ERASED if waiting else "")


def show_citations(citations: Sequence[Citation]) -> None:
    """Print the document and place of each passage that a reply cites, marked if the passage does not have its words."""
    for citation in citations:
        if not citation.cited:
            continue
        where = f"{citation.document}, characters {citation.start:,} to {citation.end:,}" if citation.document else "no such passage"
        fault = "" if citation.supported or not citation.document else "; NOT SUPPORTED: it lacks these words"
        print(printable(f"  [{citation.number}] {where}{fault}"))
    if not citations:
        print("  no passage was found, or none fits into the model's context beside a reply")
    elif not any(citation.cited for citation in citations):
        print(printable(f"  no passage is cited; it was shown {', '.join(dict.fromkeys(one.document for one in citations))}"))


def sampling_of(options: Mapping[str, Any], seed: int | None) -> SamplingConfig:
    """Return the settings that the options ask for. Raises ValueError naming the option, its value and what it takes."""
    try:
        sampling = SamplingConfig(**options)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = str(wrong["loc"][0]).replace("_", "-")
        raise ValueError(f"--{option} {given(wrong['input'])}: {sentence(wrong)}.") from None
    if sampling.temperature == 0 and (sampling.top_k, sampling.top_p, sampling.min_p, seed) != (None, None, None, None):
        raise ValueError(
            "--seed, --min-p, --top-k and --top-p choose what is drawn, and --temperature 0 draws nothing; give one such as 0.8."
        )
    if seed is not None and seed < 0:
        raise ValueError(f"--seed {seed}: must be at least 0.")
    return sampling
