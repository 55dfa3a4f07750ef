"""Shell completion of recipes, stages and runs. Imports nothing heavy, since the shell waits for it at each key press."""

from __future__ import annotations

from pathlib import Path

from flows.services.home import home

ROOT = Path(__file__).resolve().parents[3]
CHAPTERS = ("corpus", "base", "chat", "release")
NO_STAGES = {"__init__"}


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that come with folio, and recipe files."""
    shipped = sorted(path.stem for path in (ROOT / "flows" / "recipe").glob("*.yaml"))
    folder, _, beginning = incomplete.rpartition("/")
    files = sorted(path for path in Path(folder or ".").glob(f"{beginning}*") if path.suffix in (".yaml", ".yml") or path.is_dir())
    return [name for name in shipped if name.startswith(incomplete)] + [f"{path}{'/' if path.is_dir() else ''}" for path in files]


def complete_stage(incomplete: str) -> list[str]:
    """Return the stages."""
    tasks = ROOT / "tasks"
    found = {path.stem for folder in (tasks, *(tasks / chapter for chapter in CHAPTERS)) for path in folder.glob("*.py")} - NO_STAGES
    return sorted(name for name in found if name.startswith(incomplete))


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in the home's own store, the newest first."""
    ids = sorted((path.stem for path in (home() / "store" / ".runs").glob(f"{incomplete}*.json") if "." not in path.stem), reverse=True)
    return ids[:100]


def complete_live_run(incomplete: str) -> list[str]:
    """Return the runs that are going on."""
    return sorted(path.name for path in (home() / "live").glob(f"{incomplete}*") if path.suffix != ".lock")
