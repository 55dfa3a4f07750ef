"""What a model card says to type is typed: each block of code of a real release's card runs in the release's folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from model.networks.config import DecoderConfig
from model.networks.directory import save_model
from model.quantization.config import GgufConfig, quantize
from model.quantization.integers import Int8Config
from model.quantization.protocol import QuantizerConfig
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export
from tests.end_to_end.readme import free_port
from tests.model.conftest import write_split

CARD = ModelCard(name="tiny", summary="A test.", recipe="test", intended_use=("Tests.",), limits=("It knows nothing.",))
ADDRESS = "http://127.0.0.1:8000"  # where the card says that folio serves
NOT_OURS = ("llama-server ", "ollama ")  # programs of others, which are not installed with folio


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with a folder of INT8 and one of GGUF."""
    folder = tmp_path_factory.mktemp("card")
    fit_tokenizer(write_split(folder / "train.parquet", range(6)), folder / "tokenizer", TokenizerConfig(vocab_size=320))
    network = DecoderConfig(width=64, layers=2, heads=4, kv_heads=2, feed_forward=96, context=128, initial_std=0.3).build(330, seed=3)
    save_model(network.eval(), folder / "model")
    forms: dict[str, QuantizerConfig] = {"int8": Int8Config(), "f16": GgufConfig(type="F16")}
    for name, config in forms.items():
        quantize(folder / "model", folder / name, config, tokenizer=folder / "tokenizer" if config.TOKENIZES else None)
    variants = {name: folder / name for name in forms}
    export(folder / "model", folder / "tokenizer", folder / "tiny", ExportConfig(), CARD, variants=variants)
    return folder / "tiny"


def blocks(release: Path, language: str) -> list[str]:
    """Return the card's blocks of code in one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (release / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def run(release: Path, *words: str) -> str:
    """Run a command in the release's folder; return what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, cwd=release, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def served(release: Path) -> Iterator[str]:
    """The card's `folio serve` on a port of its own; its address."""
    (command,) = (line for block in blocks(release, "sh") for line in block.splitlines() if line.startswith("folio serve"))
    port = free_port()
    words = [str(Path(sys.executable).parent / "folio"), *command.split()[1:], "--port", str(port)]
    process = subprocess.Popen(words, cwd=release, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and "serving tiny" in process.stdout.readline()
        client = httpx.Client(transport=httpx.HTTPTransport(retries=5))  # it says where it serves just before it listens
        assert client.get(f"http://127.0.0.1:{port}/health").status_code == 200
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_every_block_of_python_on_the_card_writes_a_reply(release: Path, served: str) -> None:
    found = blocks(release, "python")
    tools = [next(tool for tool in ("transformers", "openai", "llama_cpp_py_sync") if f"from {tool} " in code) for code in found]
    assert tools == ["transformers", "openai", "llama_cpp_py_sync"]
    for code in found:
        assert run(release, sys.executable, "-c", code.replace(ADDRESS, served)).strip(), code


@pytest.mark.slow
def test_every_command_of_folio_on_the_card_runs(release: Path) -> None:
    lines = [line for block in blocks(release, "sh") for line in block.splitlines()]
    ours = [line for line in lines if not line.startswith((*NOT_OURS, "folio serve"))]
    assert ours == ['folio chat . --ask "Who are you?"']
    for line in ours:
        assert run(release, "bash", "-c", line).strip(), line
