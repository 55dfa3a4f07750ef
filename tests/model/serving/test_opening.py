"""What can't be served says so before anything listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.networks.base import ModelError
from model.serving.opening import Backend, Offer, open_served
from model.serving.served import ServeLimits


@pytest.mark.parametrize("backend", ["folio", "vllm"])
def test_a_file_is_left_to_llama_cpp(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=rf"a\.gguf is a file, and backend={backend} opens folders"):
        open_served(Offer("a", tmp_path / "a.gguf"), ServeLimits(), backend=backend)


def test_a_folder_without_a_gguf_file_is_not_for_llama_cpp(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no GGUF file"):
        open_served(Offer("a", tmp_path), ServeLimits(), backend="llama.cpp")
