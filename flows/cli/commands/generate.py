"""`folio generate`: answer a file of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

generate_app = typer.Typer()


@generate_app.command(rich_help_panel="Make a model")
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
    draft: Annotated[str | None, typer.Option(metavar="MODEL", help="a smaller model that proposes tokens; answers stay the same")] = None,
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
