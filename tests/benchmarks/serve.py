"""How a server holds up under load: python -m tests.benchmarks.serve [--seconds 60] [--clients 32] [--directory DIR]

Clients on loopback ask one model without pause, each question with settings and a seed of its own; then one client does. Every answer is
compared with what the model writes alone. Prints errors, differing answers, latency and throughput. Exit code 1 for an error, for an
answer that belongs to another question, or for a 99th percentile above the bound.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from flows.recipe.loading import load
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.networks.directory import save_model
from tests.end_to_end.readme import ROOT, free_port
from tests.model.conftest import write_split

BOUND = 30.0  # seconds that 99 of 100 answers may take with all clients at once


@dataclass
class Load:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tokens: int = 0
    elapsed: float = 0.0

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / max(self.elapsed, 1e-9)


def main() -> int:
    """Measure, print; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--clients", type=int, default=32)
    arguments.add_argument("--rows", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--directory", type=Path, help="an exported model; by default one of the shape of `universe` with drawn weights")
    arguments.add_argument("--compare", type=int, default=200, help="how many answers are compared with what is written alone")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.directory or drawn(Path(scratch))
        address, process = started(directory, given)
        try:
            many = under_load(address, given.clients, given.seconds)
            one = under_load(address, 1, min(given.seconds, 20))
        finally:
            process.terminate()
            process.wait(30)
        differing, mixed = compared(directory, many, given.compare)
    late = quantile(many.seconds, 0.99)
    print(f"{given.clients} clients: {told(many)}")
    print(f"one client:  {told(one)}")
    print(f"throughput against one client: {many.speed / max(one.speed, 1e-9):.1f}")
    compared_count = min(given.compare, len(many.answers))
    print(f"errors {len(many.errors) + len(one.errors)}; of {compared_count} answers {differing} differ, {mixed} of another question")
    for error in [*many.errors, *one.errors][:3]:
        print("  ", error)
    return int(bool(many.errors or one.errors or mixed) or late > BOUND)


def drawn(folder: Path) -> Path:
    """Return the folder of a model of the shape of `universe`, with drawn weights far enough apart to compare answers."""
    chosen = load("universe")
    fit_tokenizer(write_split(folder / "train.parquet", range(6)), folder / "model", TokenizerConfig(vocab_size=400))
    shape = chosen.model.model_copy(update={"initial_std": 0.2})
    save_model(shape.build(400, seed=1).eval(), folder / "model")
    return folder / "model"


def started(directory: Path, given: argparse.Namespace) -> tuple[str, subprocess.Popen[bytes]]:
    """Start `folio serve` and wait until it answers."""
    port = free_port()
    words = ["serve", str(directory), "--port", str(port), "--rows", str(given.rows), "--threads", str(given.threads)]
    process = subprocess.Popen([sys.executable, "-m", "flows.cli.app", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                return address, process
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def under_load(address: str, clients: int, seconds: float) -> Load:
    """Let clients ask without pause for some seconds."""
    load_, start, lock = Load(), time.monotonic(), threading.Lock()
    end = start + seconds
    (name,) = [model["id"] for model in httpx.get(f"{address}/v1/models", timeout=60).json()["data"]]

    def client(number: int) -> None:
        drawing = random.Random(f"{clients}:{number}")
        with httpx.Client(base_url=address, timeout=120) as http:
            while time.monotonic() < end:
                asked = question(drawing, name)
                began = time.monotonic()
                try:
                    answer = http.post("/v1/chat/completions", json=asked)
                    body = answer.json()
                    if answer.status_code != 200:
                        raise ValueError(f"status {answer.status_code}: {body}")
                    with lock:
                        load_.answers.append((asked, body["choices"][0]["message"]["content"]))
                        load_.tokens += body["usage"]["completion_tokens"]
                        load_.seconds.append(time.monotonic() - began)
                except (httpx.HTTPError, ValueError) as error:
                    with lock:
                        load_.errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load_.elapsed = time.monotonic() - start
    return load_


def question(drawing: random.Random, model: str) -> dict[str, Any]:
    """Return one request."""
    text = f"Where was {drawing.choice(['Ada', 'Bruno', 'Clara', 'Dorian'])} on day {drawing.randrange(1000)}?"
    return {
        "model": model, "messages": [{"role": "user", "content": text}], "seed": drawing.randrange(1 << 32),
        "temperature": drawing.choice([0, 0.5, 1.0]), "max_tokens": drawing.randrange(8, 40),
    }  # fmt: skip


def compared(directory: Path, seen: Load, count: int) -> tuple[int, int]:
    """Return how many answers differ from what the model writes alone, and how many equal that of another question instead."""
    chat = ChatModel.open(directory)
    picked = random.Random(1).sample(seen.answers, min(count, len(seen.answers)))
    alone: list[str] = []
    for asked, _ in picked:
        prompt = chat.format.encode_chat(asked["messages"])
        config = SamplingConfig(temperature=asked["temperature"], max_new_tokens=asked["max_tokens"])
        alone.append(chat.format.decode(list(generate(chat.network, prompt, config, chat.format.stop_ids, asked["seed"]))))
    wrong = [answer for (_, answer), own in zip(picked, alone, strict=True) if answer != own]
    return len(wrong), sum(answer in alone for answer in wrong if answer)


def told(seen: Load) -> str:
    """Return what clients saw, in words."""
    if not seen.seconds:
        return "no answer"
    spread = ", ".join(f"{share:.0%} within {quantile(seen.seconds, share):.2f} s" for share in (0.5, 0.95, 0.99))
    return f"{len(seen.answers)} answers, {seen.speed:.0f} tokens/s, {spread}, none later than {max(seen.seconds):.2f} s"


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of them does not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1] if len(values) > 1 else max(values, default=0.0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
