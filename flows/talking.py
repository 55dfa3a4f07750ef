"""`folio chat`: find the released model of a recipe, or open a directory, and talk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows import services
from tasks.stage.artifact import Artifact
from tasks.stage.lineage import Graph
from tasks.stage.store import Store


def talk(model: str, int8: bool, sampling: dict[str, Any], seed: int, question: str | None) -> None:
    """Talk on the terminal until the input ends; or ask one question. Raises LookupError when there is no such model."""
    directory = model_directory(model)
    from model.inference.chat import ChatModel
    from model.inference.config import SamplingConfig

    session = ChatModel.open(directory / "int8" if int8 else directory)
    config = SamplingConfig(**sampling)
    if question is not None:
        _reply(session, question, config, seed)
        return
    print(f"{directory.name}: ask something; an empty line ends it, /forget starts afresh.")
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
        _reply(session, text, config, seed + turn)
        turn += 1


def _reply(session: Any, text: str, config: Any, seed: int) -> None:
    for piece in session.say(text, config, seed):
        print(piece, end="", flush=True)
    print()


def model_directory(model: str) -> Path:
    """A directory as it is, or the newest export of a recipe whose release gate passed. Raises LookupError."""
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise LookupError(f"{model} is a folder without config.json, so no model; give an exported model's folder or a recipe's name.")
        return path
    store = Store(services.store_url(), services.home() / "cache" / "artifacts")
    graph = Graph.of(store)
    exports = [a for a in graph.by_key.values() if a.stage == "export" and a.label == model]
    for artifact in sorted(exports, key=lambda a: a.origin.created, reverse=True):
        if released(graph, artifact):
            return store.local(artifact)
    if exports:
        raise LookupError(f"{model} was exported but its release gate has not passed; to talk all the same, give the folder {store.local(exports[-1])}.")
    raise LookupError(f"There is no released model {model!r} in {store.url}; make one with: folio run {model}")


def released(graph: Graph, exported: Artifact) -> bool:
    """Whether a release gate below this export passed or was overruled."""
    gates = [a for a in graph.descendants(exported) if a.stage == "gate"]
    return any(gate.metrics["passed"] == 1.0 or gate.metrics["overruled"] == 1.0 for gate in gates)
