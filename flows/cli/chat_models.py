"""Choose the model that `folio chat` opens, a directory or a recipe's newest export, and the judge of its replies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.shards.model_folder import JSON_BYTES, present, read_bytes
from data.tokens.config import TOKENIZER_FILE
from flows.recipe.loading import built_in, find_recipe, load, recipe_argument
from flows.recipe.validation import RecipeError
from flows.services.home import home, store_url
from model.adapters.protocol import FIELDS
from model.networks.directory import CONFIG, HEADS
from model.release.adapters import BESIDE
from tasks.lineage.graph import ProvenanceGraph, release_objection
from tasks.reporting.wording import model_form, rough, size
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store, open_store
from tasks.stage.system.command_line import did_you_mean, folio


def model_directory(model: str, store: str = "") -> Path:
    """Return a model's directory as given, or a recipe's newest released export. Raises LookupError."""
    path = Path(model)
    if present(path / "config.json"):
        return path
    name, opened = _store_of(model, store)
    graph = ProvenanceGraph.load(opened)
    exports = sorted((a for a in graph.by_address.values() if a.stage == "export" and a.label == name), key=lambda a: a.origin.created)
    # The newest export may have failed its gate or been refused; an older one is still released.
    for artifact in reversed(exports):
        if not release_objection(graph, artifact):
            return opened.local(artifact)
    if exports:
        anyway = folio("chat", str(opened.local(exports[-1])))
        raise LookupError(f"{name} was exported, but {release_objection(graph, exports[-1])}. To talk to it anyway: {anyway}")
    released = [a.label for a in graph.by_address.values() if a.stage == "export"]
    raise LookupError(_no_model(f"There is no released model {model!r} in {opened.url}", model, released))


def unreleased_directory(model: str, store: str = "") -> Path:
    """Return a folder with the model that a recipe's newest run got to, whatever its gates said, and its tokenizer.

    Raises LookupError if no run made one.
    """
    name, opened = _store_of(model, store)
    graph = ProvenanceGraph.load(opened)
    models = (_last_model(graph, run) for run in Journal(opened).newest() if run.recipe == name)
    made = next(filter(None, models), None)
    if made is None:
        raise LookupError(_no_model(f"There is no model {name!r}, released or not, in {opened.url}", model, []))
    words = next((found for a in graph.ancestors(made) if (found := _folder_with(opened, a, TOKENIZER_FILE))), None)
    weights = _folder_with(opened, made, CONFIG)
    if words is None or weights is None:
        raise LookupError(f"{made.location}, or the tokenizer that it was made with, is no longer in {opened.url}; run the recipe again")
    # Links to the store's files, beside each other as a release has them.
    folder = home() / "cache" / "unreleased" / made.address[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for file in [*words.iterdir(), *weights.iterdir(), opened.local(made) / RECORD]:
        if file.is_file():
            (folder / file.name).unlink(missing_ok=True)
            (folder / file.name).symlink_to(file)
    return folder


def _folder_with(store: Store, artifact: Artifact, name: str) -> Path | None:
    """Return the folder of an artifact that holds a file of this name; None if none does."""
    return next(((store.local(artifact) / file.path).parent for file in artifact.files if Path(file.path).name == name), None)


def _last_model(graph: ProvenanceGraph, run: RunRecord) -> Artifact | None:
    """Return the model of a run that nothing trained on; None if it has none. A judge of replies is not a model to talk to."""
    stages = [position for position in run.positions if position in ("adopt", "pretrain") or position.startswith("tune.")]
    models = filter(None, (graph.by_address.get(run.positions[position].address) for position in reversed(stages)))
    return next((one for one in models if one.stage != "tune" or one.config["train"]["kind"] != JUDGING), None)


def _no_model(missing: str, model: str, released: list[str]) -> str:
    """Return why there is no model and how to make it. `missing`: what there isn't, and where."""
    try:
        return f"{missing}; make one with: {folio('run', recipe_argument(model))}"
    except RecipeError:
        if Path(model).is_dir():
            return f"{model} is a folder without config.json, so it is not a model; give an exported model's folder or a recipe's name."
        instead = did_you_mean(model, [*released, *built_in()]) or f"; the recipes are {', '.join(built_in())}."
        return f"{missing}, and no recipe of that name{instead}"


def variant_directory(directory: Path, name: str) -> Path:
    """Return the folder of an exported model's quantized variant. Raises LookupError listing the variants."""
    names = sorted(path.parent.name for path in directory.glob("*/config.json"))
    if name not in names:
        raise LookupError(f"{directory} has no variant {name!r}; it has {', '.join(names) or 'none'}.")
    return directory / name


def adapter_directory(directory: Path, name: str) -> Path:
    """Return an adapter's folder: the path given, or a model's adapter of that name. Raises LookupError listing the adapters."""
    for path in (directory / BESIDE / name, Path(name)):
        if (path / FIELDS).is_file():
            return path
    names = sorted(path.parent.name for path in directory.glob(f"{BESIDE}/*/{FIELDS}"))
    raise LookupError(
        f"{directory} has no adapter {name!r}, and there is no folder {name} with {FIELDS}; it has {', '.join(names) or 'none'}."
    )


def _store_of(model: str, store: str) -> tuple[str, Store]:
    """Return the label of a recipe's artifacts and their store. A name that is not a recipe is looked up in folio's own store."""
    try:
        find_recipe(model)
    except RecipeError:
        return model, open_store(store or store_url(), Path.cwd(), home())
    settings = load(model).run_settings()
    if store:
        return settings["name"], open_store(store, Path.cwd(), home())
    return settings["name"], open_store(settings["store"], settings["root"], settings["home"])


def _read(record: Path | None) -> Artifact | None:
    try:
        return Artifact.unsealed(read_bytes(record, JSON_BYTES)) if record is not None else None
    except ValueError:
        return None


def _lineage(made: Artifact, directory: Path) -> str:
    """Return the command that shows a model's lineage in the store that contains its folder."""
    root = str(directory).removesuffix(made.location).rstrip("/")
    elsewhere = str(directory).endswith(made.location) and root != store_url()
    return folio("lineage", made.location, *(("--store", root) if elsewhere else ()))


def lineage_of(directory: Path) -> tuple[str | None, str]:
    """Return the artifact that a model's folder belongs to, and its store unless it is folio's own; None without a record."""
    record = next((found for found in (directory / RECORD, directory.parent / RECORD) if found.is_file()), None)
    made = _read(record)
    if made is None or record is None:
        return None, ""
    root = str(record.parent.absolute()).removesuffix(made.location).rstrip("/")
    return made.location, "" if root == store_url() else root


def description(directory: Path, network: Any, adapter: Path | None = None) -> Iterator[str]:
    """Yield lines that say what is loaded: kind, size, location, and when and from what it was made."""
    record = next((found for found in (directory / RECORD, directory.parent / RECORD) if found.is_file()), None)
    form = "" if record is None or record.parent == directory else f", its {model_form(directory.name)} form, computed in fp32"
    weights = sum(file.stat().st_size for ending in ("safetensors", "gguf") for file in directory.glob(f"*.{ending}"))
    made = _read(record)
    parameters = made.metrics.get("parameters", 0) if made else 0
    parameters = parameters or network.parameters
    name = made.label if made else directory.name
    yield f"{name}: {network.config.kind} of {rough(parameters)} parameters{form}, {size(weights)} of weights"
    yield f"  in {directory.absolute()}"
    if adapter is not None:
        yield f"  with the adapter in {adapter.absolute()}, {size(sum(file.stat().st_size for file in adapter.iterdir()))}"
    if made is None or record is None:
        why = "no record of folio's lies beside it" if record is None else f"{record} is damaged or not folio's"
        yield f"  of unknown making: {why}"
    else:
        when = made.origin.created[:16].replace("T", " ")
        verb = "exported" if made.stage == "export" else "made"
        yield f"  {verb} {when} UTC; what it was made of: {_lineage(made, record.parent.absolute())}"


JUDGING = "reward"  # the kind of training that makes a judge


def judge_directory(directory: Path, named: str | None) -> Path:
    """Return the folder of a reward model: as given, or the one of that name, or the only one, that the model in `directory` was made with.

    Raises LookupError naming those there are.
    """
    if named is not None and (Path(named) / HEADS).is_file():
        return Path(named)
    location, store = lineage_of(directory)
    made: dict[str, Path] = {}
    if location is not None:
        opened = open_store(store or store_url(), Path.cwd(), home())
        graph = ProvenanceGraph.load(opened)
        released = [artifact for artifact in graph.by_address.values() if artifact.location == location]
        for artifact in graph.ancestors(*released):
            step = artifact.config["train"] if artifact.stage == "tune" else {}
            if step.get("kind") == JUDGING:
                made[step.get("name", JUDGING)] = opened.local(artifact)
    if named is None and len(made) == 1:
        return next(iter(made.values()))
    if named in made:
        return made[str(named)]
    there = f"it was made with {', '.join(sorted(made))}" if made else "it was made with none"
    asked = f"no reward model {named!r}" if named is not None else "not one reward model"
    raise LookupError(f"{directory} has {asked}: {there}; give --judge the name of one, or its folder.")


def find_model(name: str, store: str = "") -> Path:
    """Return the folder or GGUF file of a model: as given, a recipe's newest released one, or one of its forms. Raises LookupError."""
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise LookupError(f"{name} is not a file{did_you_mean(path.name, [file.name for file in path.parent.glob('*.gguf')])}")
        return path
    if path.is_dir() and (any(path.glob("*.gguf")) or present(path / "config.json")):
        return path
    model, _, variant = name.partition(":")
    directory = model_directory(model, store)
    return variant_directory(directory, variant) if variant else directory
