"""Quantized forms in a release: those that are near enough, and how the card says to use them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from model.evaluation.fidelity import measure_fidelity
from model.evaluation.gate import Bound, FidelityConfig, FidelitySettings
from model.inference.open_model import open_model
from model.quantization.config import GgufConfig, quantize
from model.quantization.integers import Int4Config
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export

CARD = ModelCard(name="tiny", summary="A test.", recipe="test", intended_use=("Tests.",), limits=("It knows nothing.",))


@pytest.fixture(scope="module")
def made(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release whose GGUF form is near enough, and whose INT4 form is not."""
    folder = tmp_path_factory.mktemp("forms")
    for name, config, most in (("q8", GgufConfig(type="Q8_0"), 1.0), ("small", Int4Config(), 1e-6)):
        quantize(model_dir, folder / name, config, tokenizer=tokenizer_dir)
        compared = FidelityConfig(
            settings=FidelitySettings(rows=8, resamples=100, speed_tokens=0), bounds=(Bound(metric="kl", maximum=most),)
        )
        measure_fidelity(model_dir, folder / name, packed / "val", folder / f"{name}_fidelity", compared, threads=1)
    variants = {name: folder / name for name in ("q8", "small")}
    fidelity = {name: folder / f"{name}_fidelity" for name in variants}
    for output in ("release", "again"):
        metrics = export(model_dir, tokenizer_dir, folder / output, ExportConfig(), CARD, variants=variants, fidelity=fidelity)
        assert (metrics["variants"], metrics["variants_withheld"]) == (1, 1)
    return folder


def test_what_is_too_far_from_the_model_is_not_released_and_the_rest_is(made: Path) -> None:
    assert open_model(made / "release" / "q8").vocab_size and not (made / "release" / "small").exists()
    card = (made / "release" / "README.md").read_text().replace("\\", "")
    assert re.search(r"\| GGUF Q8_0 in `q8/` \|.*\| llama\.cpp \| yes \|", card)
    assert re.search(r"\| INT4 in `small/` \|.*\| folio \| no: kl is \S+, bound <= 1e-06 \|", card)
    assert "--variant q8" in card and "--variant small" not in card


def test_the_same_measurements_give_the_same_card_and_drawing(made: Path) -> None:
    assert "](variants.svg)" in (made / "release" / "README.md").read_text()
    for file in ("README.md", "variants.svg"):
        assert (made / "release" / file).read_bytes() == (made / "again" / file).read_bytes()


def test_the_card_s_code_for_llama_cpp_runs(made: Path) -> None:
    codes = re.findall(r"```python\n(.*?)```", (made / "release" / "README.md").read_text(), re.DOTALL)
    (code,) = (code for code in codes if "llama_cpp" in code)
    done = subprocess.run([sys.executable, "-c", code], cwd=made / "release", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
