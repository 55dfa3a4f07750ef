"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.commands.completion import complete_recipe, complete_stage

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
