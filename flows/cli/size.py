"""`folio size`: how big a model for a corpus on a machine."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.store import AsJson, Changes, RecipeName

size_app = typer.Typer()


@size_app.command()
def size(
    recipe: RecipeName = "universe",
    changes: Changes = None,
    device: Annotated[str, typer.Option(help="accelerator by name such as h100-sxm, cpu, or here: what this machine has")] = "here",
    devices: Annotated[int, typer.Option(min=0, help="how many, or on a processor worker processes; 0: as in the recipe")] = 0,
    budget_hours: Annotated[float | None, typer.Option(min=0.001, help="longest training; hours of the whole machine")] = None,
    params: Annotated[float | None, typer.Option(min=1e4, help="parameters, where they are decided already: 124e6")] = None,
    text_bytes: Annotated[float | None, typer.Option("--bytes", min=1, help="how much text there is, instead of looking; bytes")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="time a few real updates here first, half a minute at most")] = False,
    as_json: AsJson = False,
) -> None:
    """Propose a model's size for a corpus and a machine, with memory, time and cost, and warn of what is too big or too small."""
    from flows.cli.sizing import Asked, size_recipe

    asked = Asked(device, devices, budget_hours, params, text_bytes, measure)
    print(size_recipe(recipe, tuple(changes or ()), asked, as_json=as_json))
