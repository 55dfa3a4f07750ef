"""How fast a model writes: python -m tests.benchmarks.generate [--recipe universe classics] [--batch 1 8] [--directory DIR]

Ours and `transformers.generate` continue the same prompts greedily, in turns in one process with as many threads, and must write the same
tokens. The model has the recipe's shape and vocabulary and weights of its own drawing, which cost what trained ones do; `--directory`
names an exported one instead. Ours reads single tokens by its program, compiled before; `transformers` runs as it comes. Figures are
tokens a second of all rows, prompts included. Where `llama-cpp-py-sync` is there (`pip install -e '.[gguf]'`), real llama.cpp writes one
text beside, from the same weights in F16, asked for each token by Python.

Bound: at least 3 times `transformers.generate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from data.tokens.config import TokenizerConfig
from data.tokens.kinds import fit_kind
from data.tokens.special import write_hugging_face_files
from flows.recipe.loading import load
from model.hardware.transfers import torch_threads
from model.inference.generation import generate_batch
from model.networks.directory import load_model, save_model
from model.networks.network import Network
from model.quantization.gguf.llama_cpp import LlamaCpp
from model.quantization.gguf.quantizer import GgufQuantizer
from tests.benchmarks.contest import Table, contest

BOUND = 3.0
PROMPT = 16


def main() -> int:
    """Measure, print; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", nargs="+", default=["universe", "classics"], help="whose model")
    arguments.add_argument("--directory", type=Path, help="an exported model instead")
    arguments.add_argument("--batch", nargs="+", type=int, default=[1, 8], help="texts at once")
    arguments.add_argument("--tokens", type=int, default=96, help="new tokens of each text")
    arguments.add_argument("--threads", nargs="+", type=int, default=[torch.get_num_threads()])
    arguments.add_argument("--rounds", type=int, default=9, help="turns of each; the median ratio counts")
    given = arguments.parse_args()
    print(f"torch {version('torch')}, transformers {version('transformers')}", flush=True)
    table = Table()
    for name in [str(given.directory)] if given.directory else given.recipe:
        with tempfile.TemporaryDirectory() as scratch:
            network = load_model(given.directory) if given.directory else drawn(name)
            peer = as_transformers(network, Path(scratch))
            file = as_gguf(network, Path(scratch)) if find_spec("llama_cpp_py_sync") else None
            for threads in given.threads:
                shape = f"{sum(weight.numel() for weight in network.parameters()) / 1e6:.1f} M parameters"
                table.head(f"{name}, {shape}, {threads} threads", "tokens/s")
                with torch_threads(threads):
                    for batch in given.batch:
                        compare(table, network, peer, batch, given)
                    if file:
                        compare_llama_cpp(table, network, file, threads, given)
    return table.verdict()


def drawn(recipe: str) -> Network:
    """Return a network of the recipe's shape and vocabulary, with its initial weights."""
    chosen = load(recipe)
    return chosen.model.build(chosen.tokenizer.vocab_size, seed=1).eval()


def as_transformers(network: Network, folder: Path) -> Any:
    """Return the same model as the class of transformers that computes it."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    form = network.config.hub_form()
    if form is None:
        raise SystemExit(f"no class of transformers to compare with: {network.config.hub_refusal()}")
    (folder / "config.json").write_text(json.dumps(form.fields(network.vocab_size)), encoding="utf-8")
    weights = {name: weight.contiguous() for name, weight in form.to_hub(network.state_dict()).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def compare(table: Table, network: Network, peer: Any, batch: int, given: argparse.Namespace) -> None:
    """Write `batch` texts in turns; raise AssertionError where the tokens differ."""
    decoding = network.decoding()
    drawing = torch.Generator().manual_seed(7)
    prompts_BT = torch.randint(1, network.vocab_size, (batch, PROMPT), generator=drawing)

    def ours() -> list[list[int]]:
        return generate_batch(decoding, prompts_BT.tolist(), given.tokens)

    def theirs() -> list[list[int]]:
        with torch.inference_mode():
            whole = peer.generate(
                prompts_BT, attention_mask=torch.ones_like(prompts_BT), max_new_tokens=given.tokens, min_new_tokens=given.tokens,
                do_sample=False, pad_token_id=0,
            )  # fmt: skip
        found: list[list[int]] = whole[:, PROMPT:].tolist()
        return found

    assert ours() == theirs(), "the texts differ"
    speeds = contest({"ours": timed(ours), "theirs": timed(theirs)}, 1, given.rounds, batch * given.tokens)
    table.against(f"batch {batch}", speeds["ours"], speeds["theirs"], least=BOUND)


def as_gguf(network: Network, folder: Path) -> Path:
    """Write the model as a GGUF file in F16; of its vocabulary only bytes and a few pairs have a text."""
    tokenizer = folder / "tokenizer"
    fitted = fit_kind(lambda: iter(["the other the other"]), TokenizerConfig(kind="byte_level_bpe"), 272)
    tokenizer.mkdir()
    fitted.save(str(tokenizer / "tokenizer.json"))
    write_hugging_face_files(tokenizer, unknown=False)
    save_model(network, folder / "own")
    quantizer = GgufQuantizer("F16")
    quantizer.write(folder / "own", folder / "gguf", None, tokenizer)
    return folder / "gguf" / quantizer.file


def compare_llama_cpp(table: Table, network: Network, file: Path, threads: int, given: argparse.Namespace) -> None:
    """Write one text in turns with llama.cpp, whose tokens may differ, since F16 rounds the weights."""
    decoding = network.decoding()
    prompt = torch.randint(1, network.vocab_size, (PROMPT,), generator=torch.Generator().manual_seed(7)).tolist()
    with LlamaCpp(file, PROMPT + given.tokens, threads=threads) as there:
        turns = {
            "ours": timed(lambda: generate_batch(decoding, [prompt], given.tokens)),
            "llama.cpp": timed(lambda: there.greedy(prompt, given.tokens)),
        }
        speeds = contest(turns, 1, given.rounds, given.tokens)
    table.against("batch 1, against llama.cpp", speeds["ours"], speeds["llama.cpp"], least=None)


def timed(write: Callable[[], object]) -> Callable[[int], float]:
    """Return what writes so many times and returns the seconds it took."""

    def turn(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            write()
        return time.perf_counter() - began

    return turn


if __name__ == "__main__":
    sys.exit(main())
