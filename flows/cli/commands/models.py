"""`folio chat`, `folio generate` and `folio serve`: talk to a model, answer a file of prompts, and serve models over OpenAI's API.

What loads torch is imported inside the commands, so that help and a mistyped option take no seconds.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

app = typer.Typer()


@app.command()
def chat(
    model: Annotated[
        str, typer.Argument(metavar="RECIPE|FOLDER", help="a recipe, to talk to its newest released model, or the folder of a model")
    ] = "universe",
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="NAME", help="talk to a quantized form, by its name in the recipe")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", metavar="NAME|FOLDER", help="talk to the model with an adapter that was trained on it")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="short for --variant int8")] = False,
    temperature: Annotated[float, typer.Option(metavar="NUMBER", help="randomness of a reply; 0 always takes the likeliest word")] = 0.0,
    top_k: Annotated[int | None, typer.Option(metavar="COUNT", help="draw among this many of the likeliest tokens only")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="SHARE", help="draw among the likeliest tokens that add up to this probability, above 0 to 1")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="COUNT", help="longest reply, in tokens; by default as long as the context has room")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="makes sampling repeatable; 0 by default")] = None,
    best_of: Annotated[
        int, typer.Option("--best-of", metavar="COUNT", help="sample so many replies and show the one that a reward model scores highest")
    ] = 1,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="NAME|FOLDER", help="which reward model chooses; by default the only one of the recipe")
    ] = None,
    unreleased: Annotated[
        bool, typer.Option("--unreleased", help="talk to the recipe's newest model although no gate released it; it is marked so")
    ] = False,
    documents: Annotated[
        bool, typer.Option("--documents", help="answer from the passages that the recipe's index finds, and cite them")
    ] = False,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="show it a picture before the first message, if it reads pictures")
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option("--audio", metavar="FILE", help="play it a recording (WAV, FLAC, OGG) before the first message, if it reads sounds"),
    ] = None,
    question: Annotated[str | None, typer.Option("--ask", metavar="TEXT", help="ask one question, print the reply, and end")] = None,
    store: StoreUrl = "",
) -> None:
    """Talk to a model.

    Say /forget to start over; an empty line ends. Arrow keys edit a line and bring back earlier ones.

    Examples: `folio chat universe --ask "Who lives in Arlen?"`, `folio chat ./model --temperature 0.8 --top-k 20`
    """
    from flows.cli.chat_session import talk

    if int8:
        if variant is not None:
            raise ValueError(f"--int8 is short for --variant int8, and --variant {variant} is given too; keep one")
        variant = "int8"
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "max_new_tokens": max_new_tokens}
    for option, file in (("--image", image), ("--audio", audio)):
        if documents and file is not None:
            raise ValueError(f"--documents and {option} {file}: passages are found by the words of a message alone; keep one of the two")
    if unreleased and variant is not None:
        raise ValueError(f"--unreleased and --variant {variant}: forms are made of released models alone; keep one of the two")
    talk(
        *(model, variant, options, seed, question, store, adapter, best_of, judge),
        unreleased=unreleased,
        documents=documents,
        image=image,
        audio=audio,
    )


@app.command()
def generate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="a recipe, for its newest released model, RECIPE:VARIANT, or the folder of a model")
    ],
    prompts: Annotated[
        Path,
        typer.Argument(
            metavar="PROMPTS.jsonl", help='a prompt a line: {"prompt": TEXT} or {"messages": [...]}, and id, seed, settings if wanted'
        ),
    ],
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS.jsonl", help="one answer per line, in the prompts' order, and a ledger")],
    temperature: Annotated[float, typer.Option(metavar="NUMBER", help="randomness; 0 always takes the likeliest token")] = 0.0,
    top_k: Annotated[int | None, typer.Option(metavar="COUNT", help="draw among this many of the likeliest tokens only")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="SHARE", help="draw among the likeliest tokens that add up to this probability")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(metavar="SHARE", help="draw among tokens at least this share as likely as the likeliest")
    ] = None,
    repetition_penalty: Annotated[float, typer.Option(metavar="FACTOR", help="above 1: repeated tokens become less likely")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(metavar="COUNT", help="longest answer, in tokens")] = 256,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="makes what is drawn repeatable")] = 0,
    stop: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="end an answer before this text (repeatable)")] = None,
    json_schema: Annotated[Path | None, typer.Option(metavar="FILE", help="a JSON schema that every answer follows")] = None,
    beams: Annotated[int, typer.Option(min=1, help="search for the likeliest answer with this many beams, and return the others too")] = 1,
    draft: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="a smaller model that proposes tokens, or self: the model's own heads; answers stay the same"),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="prompts answered at once")] = 32,
    threads: Annotated[int | None, typer.Option(min=1, help="threads that compute; by default one for each core")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="start over, replacing what was written")] = False,
    store: StoreUrl = "",
) -> None:
    """Answer a file of prompts. After a kill, the same command continues where it was, and ends with the same bytes.

    Example: `folio generate universe questions.jsonl answers.jsonl --temperature 0.8`
    """
    from flows.cli.generating import answer_file

    options = {
        "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
    }  # fmt: skip
    answer_file(
        model, prompts, answers, options,
        seed=seed, stop=tuple(stop or ()), json_schema=json_schema, beams=beams, draft=draft, batch=batch, threads=threads, restart=restart,
        store=store,
    )  # fmt: skip


class BackendName(StrEnum):
    """The device and library that compute the models."""

    AUTO = "auto"
    FOLIO = "folio"
    LLAMA = "llama.cpp"
    VLLM = "vllm"


@app.command()
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="each a recipe, for its newest released model with its adapters, the folder of a model, or a GGUF file; RECIPE:NAME is a "
            "quantized form or an adapter alone",
        ),
    ],
    host: Annotated[str, typer.Option(help="address to listen on; one beyond this machine needs a key")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any that is free")] = 8000,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="file with the key that clients must send; or set FOLIO_SERVE_KEY")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="replies that each model writes at once")] = 16,
    waiting: Annotated[int, typer.Option(min=0, help="replies that may wait for each model before others are turned away")] = 64,
    max_tokens: Annotated[int, typer.Option(min=1, help="longest reply, in tokens")] = 4096,
    reply_seconds: Annotated[float, typer.Option(min=1, help="longest time for a reply; it is then cut off")] = 300,
    pictures: Annotated[
        int | None, typer.Option(min=0, max=1024, help="pictures in one request, to models that read them; 0: none; 8 by default")
    ] = None,
    picture_bytes: Annotated[
        int | None, typer.Option(min=1, max=32 << 20, help="largest picture as a file, in bytes; 4 MiB by default")
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(min=0, max=1024, help="recordings in one request, to models that read sounds; 0: none; 4 by default")
    ] = None,
    recording_bytes: Annotated[
        int | None, typer.Option(min=1, max=32 << 20, help="largest recording as a file, in bytes; 8 MiB by default")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="threads that compute; by default one for each core")] = None,
    draft: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="a smaller model with the same tokenizer that proposes tokens, or self: the model's own heads; replies stay the same",
        ),
    ] = None,
    documents: Annotated[
        bool, typer.Option("--documents", help="answer conversations from the passages that each recipe's index finds, and cite them")
    ] = False,
    backend: Annotated[BackendName, typer.Option(help="what computes them; auto: llama.cpp for GGUF files, else folio")] = BackendName.AUTO,
    store: StoreUrl = "",
) -> None:
    """Serve models on this machine: an OpenAI-compatible API under /v1, and a page to talk to them at /.

    Example: `folio serve universe universe:int8`, then open the address that it prints.
    """
    from flows.cli.serving import serve_models

    limits = {
        "rows": rows, "waiting": waiting, "max_tokens": max_tokens, "reply_seconds": reply_seconds, "pictures": pictures,
        "picture_bytes": picture_bytes, "recordings": recordings, "recording_bytes": recording_bytes,
    }  # fmt: skip
    serve_models(
        models, host, port, key_file, limits, threads=threads, draft=draft, backend=backend.value, store=store, documents=documents
    )
