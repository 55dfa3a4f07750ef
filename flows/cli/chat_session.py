"""`folio chat`: find a recipe's released model, or open a model directory, and talk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.recipe.loading import find_recipe, load
from flows.recipe.validation import RecipeError
from flows.services.home import home, store_url
from tasks.lineage.graph import ProvenanceGraph
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store


def talk(model: str, variant: str | None, sampling: dict[str, Any], seed: int | None, question: str | None) -> None:
    """Talk on the terminal until the input ends, or ask one question. Raises LookupError if there is no such model."""
    if sampling["temperature"] == 0 and (sampling["top_k"], sampling["top_p"], seed) != (None, None, None):
        raise ValueError("--seed, --top-k and --top-p choose what is drawn, and --temperature 0 draws nothing; give one such as 0.8.")
    directory = model_directory(model)
    from model.inference.chat import ChatModel
    from model.inference.config import SamplingConfig

    session = ChatModel.open(directory if variant is None else variant_directory(directory, variant))
    config, seed = SamplingConfig(**sampling), seed or 0
    if question is not None:
        _reply(session, question, config, seed)
        return
    print(f"{directory.name}: ask something. /forget starts over, an empty line ends.")
    turn = 0
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
        # Another seed each turn, or the same question would be drawn the same answer.
        _reply(session, text, config, seed + turn)
        turn += 1


def _reply(session: Any, text: str, config: Any, seed: int) -> None:
    for piece in session.say(text, config, seed):
        print(piece, end="", flush=True)
    print()


def model_directory(model: str) -> Path:
    """Return a model's directory as given, or a recipe's newest export whose release gate passed. Raises LookupError."""
    path = Path(model)
    if (path / "config.json").is_file():
        return path
    name, store = _store_of(model)
    graph = ProvenanceGraph.load(store)
    exports = sorted((a for a in graph.by_address.values() if a.stage == "export" and a.label == name), key=lambda a: a.origin.created)
    # The newest export may have failed its gate; an older one that passed is still released.
    for artifact in reversed(exports):
        if is_released(graph, artifact):
            return store.local(artifact)
    if exports:
        newest = store.local(exports[-1])
        raise LookupError(f"{name} was exported but did not pass its release gate. To talk to it anyway: folio chat {newest}")
    if path.is_dir():
        raise LookupError(f"{model} is a folder without config.json, so no model; give an exported model's folder or a recipe's name.")
    raise LookupError(f"There is no released model {name!r} in {store.url}; make one with: folio run {model}")


def variant_directory(directory: Path, name: str) -> Path:
    """Return the folder of a quantized variant beside an exported model. Raises LookupError naming those there are."""
    names = sorted(path.parent.name for path in directory.glob("*/config.json"))
    if name not in names:
        raise LookupError(f"{directory} has no variant {name!r}; it has {', '.join(names) or 'none'}.")
    return directory / name


def _store_of(model: str) -> tuple[str, Store]:
    """Return the label of a recipe's artifacts and their store. A name that is no recipe is looked for in folio's own store."""
    try:
        find_recipe(model)
    except RecipeError:
        return model, open_store(store_url(), Path.cwd(), home())
    settings = load(model).run_settings()
    return settings["name"], open_store(settings["store"], settings["root"], settings["home"])


def is_released(graph: ProvenanceGraph, exported: Artifact) -> bool:
    """Return whether the newest release gate after this export passed or was overruled."""
    gates = [a for a in graph.descendants(exported) if a.stage == "gate"]
    return bool(gates) and 1.0 in (gates[-1].metrics["passed"], gates[-1].metrics["overruled"])
