"""Models in transformers' form, served by vLLM where it is installed, on a GPU. This path has never run: no GPU was at hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from model.serving.child import KEY, Child, ChildError, ChildModel
from model.serving.limits import ServeLimits
from model.serving.served import About

NAMES: dict[str, str | None] = {"guided_grammar": None, "truncation": None}
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


def serve_vllm(directory: Path, about: About, limits: ServeLimits) -> ChildModel:
    """Start vLLM on a directory. Raise ChildError if it is not installed or does not start."""
    if find_spec("vllm") is None:
        raise ChildError("--backend vllm: vLLM is not installed in this environment; install it, or leave the option out")
    # The key reaches vLLM by its environment, never by its command line, which others on the machine can see.
    serve = 'VLLM_API_KEY="$' + KEY + '" exec vllm serve "$0" --host 127.0.0.1 --port {port} --served-model-name "$1" --max-num-seqs "$2"'
    return ChildModel(Child(["sh", "-c", serve, str(directory), about.id, str(limits.rows)], "vLLM"), about, limits, NAMES, DEFAULTS)
