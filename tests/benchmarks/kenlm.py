"""Our n-gram baseline against KenLM: python -m tests.benchmarks.kenlm TEXT --bin FOLDER [--order 5]

TEXT is plain text, of which every line is a sentence of words; the last twentieth is scored by models of the rest: ours, and that of
`lmplz` and `query`, which FOLDER holds as `bin/` of a KenLM build does. Both smooth by modified Kneser-Ney (Chen and Goodman, 1999) and
spread what is left over words seen, the end of a sentence and one unknown word. Bound: perplexities within 0.1 %.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.shards.ngrams import Targets, kneser_ney, targets_of

UNKNOWN, BEGIN, END, FIRST = range(4)
BOUND = 0.001


def main() -> int:
    """Measure, print; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("text", type=Path)
    arguments.add_argument("--bin", type=Path, required=True, help="where lmplz and query are")
    arguments.add_argument("--order", type=int, default=5)
    given = arguments.parse_args()
    lines = [words for line in given.text.read_text(encoding="utf-8").splitlines() if (words := line.split())]
    held_out = max(1, len(lines) // 20)
    train, scored = lines[:-held_out], lines[-held_out:]
    print(f"{sum(map(len, train)):,} words to count, {sum(map(len, scored)):,} to score, order {given.order}")
    began = time.perf_counter()
    own = ours(train, scored, given.order)
    took = time.perf_counter() - began
    began = time.perf_counter()
    theirs = kenlm(train, scored, given.order, given.bin)
    print(f"perplexity {own:.4f} in {took:.1f} s, KenLM {theirs:.4f} in {time.perf_counter() - began:.1f} s: {own / theirs - 1:+.4%}")
    return int(abs(own / theirs - 1) > BOUND)


def ours(train: Sequence[Sequence[str]], scored: Sequence[Sequence[str]], order: int) -> float:
    """Return the perplexity of a target, the ends of sentences among them."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(word for line in train for word in line), start=FIRST)}
    known, asked = (_targets([[numbers.get(word, UNKNOWN) for word in line] for line in lines]) for lines in (train, scored))
    # Its support is that of KenLM: the words, the end of a sentence and the unknown word.
    size = len(numbers) + 2
    return math.exp(kneser_ney(known, asked, vocab_size=size + 1, order=order, beginning=BEGIN).mean())


def _targets(lines: Sequence[Sequence[int]]) -> Targets:
    width = max(map(len, lines)) + 2
    tokens, document = (np.zeros((len(lines), width), dtype=np.int32) for _ in range(2))
    loss = np.zeros((len(lines), width), dtype=np.bool_)
    for row, line in enumerate(lines):
        tokens[row, : len(line) + 2] = [BEGIN, *line, END]
        document[row, len(line) + 2 :] = 1
        loss[row, 1 : len(line) + 2] = True
    return targets_of(tokens, document, loss)


def kenlm(train: Sequence[Sequence[str]], scored: Sequence[Sequence[str]], order: int, binaries: Path) -> float:
    """Return KenLM's perplexity of the same targets."""
    with tempfile.TemporaryDirectory() as folder:
        text, asked, model = (Path(folder) / name for name in ("train.txt", "scored.txt", "model.arpa"))
        for path, lines in ((text, train), (asked, scored)):
            path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
        counting = [str(binaries / "lmplz"), "-o", str(order), "--text", str(text), "--arpa", str(model), "-T", folder, "-S", "2G"]
        subprocess.run([*counting, "--discount_fallback"], check=True, capture_output=True)
        told = subprocess.run(
            [str(binaries / "query"), "-v", "summary", str(model)], stdin=asked.open("rb"), check=True, capture_output=True
        )
    found = next(line for line in told.stdout.decode().splitlines() if line.startswith("Perplexity including OOVs"))
    return float(found.rpartition("\t")[2] or found.rpartition(":")[2])


if __name__ == "__main__":
    sys.exit(main())
