"""GGUF files, served by real llama.cpp: xllamacpp, which comes with `pip install -e '.[llama]'`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from model.opening.gguf.files import GgufHeader, parts_of
from model.serving.child import ChildModel
from model.serving.process import KEY, PARENT, Child, ChildError, python
from model.serving.served import About, ServeLimits

NAMES: dict[str, str | None] = {
    "repetition_penalty": "repeat_penalty", "guided_regex": None, "guided_grammar": None, "truncation": None,
}  # fmt: skip
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}


def gguf_file(path: Path) -> Path | None:
    """Return the GGUF file that a path is, or that is alone in a folder; None if there is none."""
    if path.suffix == ".gguf" and path.is_file():
        return path
    found = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(found) > 1:
        raise ChildError(f"{path} holds {', '.join(file.name for file in found)}; give one of these files")
    return found[0] if found else None


def serve_gguf(file: Path, about: About, limits: ServeLimits, threads: int) -> ChildModel:
    """Start llama.cpp on a file. Raise ChildError if it is not installed or does not start."""
    if find_spec("xllamacpp") is None:
        raise ChildError(f"{file} is served by llama.cpp, and xllamacpp is not installed; install it with: pip install -e '.[llama]'")
    for part in parts_of(file):
        GgufHeader(part)  # what contradicts itself is named here, since llama.cpp just ends
    command = python("model.serving.llama", str(file), "{port}", str(min(limits.rows, 64)), str(threads), about.id, str(about.context or 0))
    return ChildModel(Child(command, "llama.cpp"), about, limits, NAMES, DEFAULTS)


def main(file: str, port: str, rows: str, threads: str, name: str, context: str) -> None:
    """Run llama.cpp's server until the process is told to end, or its parent is gone.

    context: of one row; 0 if not known, and all rows then share the one that the file names.
    """
    import xllamacpp

    # Asked for only now, its number would be that of whoever adopted this process if the parent has ended meanwhile.
    parent = int(os.environ[PARENT])
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.model_alias = file, {name}
    settings.hostnames, settings.port, settings.api_keys = ["127.0.0.1"], int(port), [os.environ[KEY]]
    settings.n_parallel, settings.cpuparams.n_threads, settings.cpuparams_batch.n_threads = int(rows), int(threads), int(threads)
    settings.n_ctx, settings.kv_unified = int(context) * int(rows), context == "0"
    settings.verbosity, settings.endpoint_slots, settings.ui = -1, False, False
    server = xllamacpp.Server(settings)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: done.set())
    while not done.wait(1) and os.getppid() == parent:
        pass
    del server
    # Its threads may outlive the interpreter and abort it.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
