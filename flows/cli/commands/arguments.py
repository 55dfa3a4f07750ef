"""Arguments and options that several commands share, and how a shell completes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from flows.services.home import home

ROOT = Path(__file__).resolve().parents[3]
STAGE = re.compile(r"^@stage\(.*?^def (\w+)", re.MULTILINE | re.DOTALL)


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that come with folio, and recipe files."""
    shipped = sorted(path.stem for path in (ROOT / "flows" / "recipe").glob("*.yaml"))
    folder, _, beginning = incomplete.rpartition("/")
    files = sorted(path for path in Path(folder or ".").glob(f"{beginning}*") if path.suffix in (".yaml", ".yml") or path.is_dir())
    return [name for name in shipped if name.startswith(incomplete)] + [f"{path}{'/' if path.is_dir() else ''}" for path in files]


def complete_stage(incomplete: str) -> list[str]:
    """Return the stages."""
    # Read, not imported: a shell waits for the answer.
    found = {name for path in (ROOT / "tasks").glob("*.py") for name in STAGE.findall(path.read_text(encoding="utf-8"))}
    return sorted(name for name in found if name.startswith(incomplete))


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in the home's own store, the newest first."""
    ids = sorted((path.stem for path in (home() / "store" / ".runs").glob(f"{incomplete}*.json") if "." not in path.stem), reverse=True)
    return ids[:100]


def complete_live_run(incomplete: str) -> list[str]:
    """Return the runs that are going on."""
    return sorted(path.name for path in (home() / "live").glob(f"{incomplete}*") if path.suffix != ".lock")


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="a recipe that comes with folio, by its name, or the path of a recipe file or its folder",
        autocompletion=complete_recipe,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe, such as sft.learning_rate=0.001 (repeatable)"),
]
Refresh = Annotated[
    list[str] | None,
    typer.Option(metavar="STAGE", help="run this stage even if nothing changed (repeatable)", autocompletion=complete_stage),
]
Verify = Annotated[bool, typer.Option("--verify", help="read everything that is reused again, and compare it with its checksum")]
StageName = Annotated[
    str,
    typer.Argument(
        metavar="STAGE", help="a stage, or one of its positions such as evaluate.base or clean[3]", autocompletion=complete_stage
    ),
]
StoreUrl = Annotated[
    str, typer.Option("--store", metavar="PATH|URL", help="another store than the one in folio's home, such as s3://bucket/store")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
