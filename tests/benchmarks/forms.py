"""What quantized forms cost: python -m tests.benchmarks.forms RECIPE [--store URL] [--rows 256] [--threads 1]

Quantizes a recipe's newest released model in every way, and measures each form beside it on the test split, in the tool that its users run.
Kinds whose libraries are missing are named and left out. Rounding to nearest and GPTQ or AWQ are compared with embeddings untouched.

Bounds, on bits per byte: INT8 at most 1 % more; 4 bits at most 3 % more; GPTQ or AWQ, the better one, no worse than rounding to nearest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from flows.cli.chat_models import model_directory
from flows.services.home import home, store_url
from model.evaluation.fidelity import measure_fidelity
from model.evaluation.gate import Bound, FidelityConfig, FidelitySettings
from model.networks.directory import ModelError
from model.quantization.compressed.config import AwqConfig, Fp8Config, GptqConfig, W8a8Config
from model.quantization.config import GgufConfig, OnnxConfig, VariantConfig, quantize
from model.quantization.integers import Int4Config, Int8Config
from tasks.lineage.graph import ProvenanceGraph
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.store import open_store

FORMS: dict[str, VariantConfig] = {
    "INT8": Int8Config(kind="int8"),
    "INT4": Int4Config(kind="int4"),
    "INT4, embeddings whole": Int4Config(kind="int4", embeddings=False),
    "GPTQ": GptqConfig(kind="gptq"),
    "AWQ": AwqConfig(kind="awq"),
    "W8A8": W8a8Config(kind="w8a8"),
    "FP8": Fp8Config(kind="fp8"),
    "GGUF Q8_0": GgufConfig(kind="gguf", type="Q8_0"),
    "GGUF Q5_K_M": GgufConfig(kind="gguf", type="Q5_K_M"),
    "GGUF Q4_K_M": GgufConfig(kind="gguf", type="Q4_K_M"),
    "GGUF Q4_0": GgufConfig(kind="gguf", type="Q4_0"),
    "ONNX": OnnxConfig(kind="onnx"),
}
INT8 = ("INT8",)
FOUR_BITS = ("INT4", "GPTQ", "AWQ", "GGUF Q4_K_M", "GGUF Q4_0")
CALIBRATED, NEAREST = ("GPTQ", "AWQ"), "INT4, embeddings whole"
HEADER = ("form", "bits a weight", "bits per byte", "more", "KL, nats a token", "same first", "tokens/s", "MB in memory", "measured in")


def main() -> int:
    """Measure, print; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("recipe")
    arguments.add_argument("--store", default="", help="where the recipe's artifacts are; by default folio's own store")
    arguments.add_argument("--rows", type=int, default=256, help="rows of the test split")
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    directory = model_directory(given.recipe, given.store)
    exported = Artifact.unsealed((directory / RECORD).read_bytes())
    store = open_store(given.store or store_url(), Path.cwd(), home())
    graph = ProvenanceGraph.load(store)
    packs = [made for made in graph.by_address.values() if made.stage == "pack" and made.label == exported.label]
    packed = store.local(max(packs, key=lambda made: made.origin.created))
    model, tokenizer = (Path(directory).parents[1] / exported.inputs[name].location for name in ("model", "tokenizer"))
    print(f"{exported.location}, {exported.metrics['parameters']:,.0f} parameters; {given.rows} rows of test, {given.threads} thread(s)")
    settings = FidelitySettings(rows=given.rows)
    bounds = (Bound(metric="kl", maximum=1e9),)
    found: dict[str, float] = {}
    print(" | ".join(HEADER))
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, config) in enumerate(FORMS.items()):
            form = Path(scratch) / str(number)
            try:
                made = quantize(model, form, config, packed / "train", tokenizer)
                told = measure_fidelity(model, form, packed / "test", form / "told", FidelityConfig(settings=settings, bounds=bounds),
                                        threads=given.threads)  # fmt: skip
            except ModelError as error:
                print(f"{name} | left out: {error}")
                continue
            found[name] = told["bits_per_byte_ratio"]
            bits = made.get("bits_per_weight", 8 * made["bytes_after"] / made["parameters"])
            low, high = (100 * (told[f"bits_per_byte_ratio_{end}"] - 1) for end in ("low", "high"))
            cells = (name, f"{bits:.2f}", f"{told['bits_per_byte']:.4f}", f"{100 * (found[name] - 1):+.2f} % ({low:+.2f} to {high:+.2f})",
                     f"{told['kl']:.5f}", f"{100 * told['top1']:.1f} %", f"{told['tokens_per_second']:.0f}",
                     f"{told['memory_bytes'] / 1e6:.2f}", config.build().runs_in)  # fmt: skip
            print(" | ".join(cells), flush=True)
    return judged(found)


def judged(found: dict[str, float]) -> int:
    """Print each bound and whether it holds; 1 if one does not."""
    checks = [(f"{name} at most 1 % more", found[name] <= 1.01) for name in INT8 if name in found]
    checks += [(f"{name} at most 3 % more", found[name] <= 1.03) for name in FOUR_BITS if name in found]
    calibrated = [found[name] for name in CALIBRATED if name in found]
    if calibrated and NEAREST in found:
        checks.append(("GPTQ or AWQ no worse than rounding to nearest", min(calibrated) <= found[NEAREST]))
    for bound, holds in checks:
        print(f"{'holds' if holds else 'FAILS'}: {bound}")
    return int(not all(holds for _, holds in checks))


if __name__ == "__main__":
    sys.exit(main())
