"""What training costs: python -m tests.benchmarks.pretrain [--part step peers waiting ...] [--recipe classics]

Every figure is a ratio of two things measured in turns in one run on this machine, held to a bound; the exit code is 1 when one is missed.

* **step**: tokens a second of our step (the real trainer's batches and engine, one worker), and of a launched job in its steady state,
  against a plain torch loop over the same decoder, rows, micro-batches and optimizer: at least 0.97. All have the environment of launched
  workers, and every round has new processes: equal ones differ by several percent for as long as they live, by where their memory lies.
* **peers**: our step against `transformers.Trainer` and litgpt's `pretrain.fit` on a Llama of the same shape, rows, batch, precision and
  threads, nothing compiled: ahead of both. Neither masks documents in a packed row, so here ours doesn't either. Ours has the environment
  of its workers, theirs is as it is: with GLIBC_TUNABLES in the environment all have the same. They live in an environment below `--work`,
  made once, with torch of the same version; or `--peer-python` names one that has them.
* **memory**: our step with glibc's memory kept, as in launched jobs, against its defaults: ahead.
* **waiting**: our step with threads that wait as launched jobs' do, awake or asleep by the load (`model/hardware/waiting.py`), against
  threads that always spin, as OpenMP's do by default: at least 0.97 on a machine that does nothing else; and beside one busy process
  against the same alone: at least 0.5. It means something on a machine that is otherwise idle alone.
* **tokens**: reading, tokenizing and packing a split against `encode_batch_fast` of its texts, which lie in memory: at least 0.8, since
  reading, converting ids and writing rows take processor time that the tokenizer's threads have in the other. Both open the tokenizer, so
  that its cache of words is empty at first.
* **loader**: rows of packed shards made into tensors against what training eats: at least 50 times.
* **checkpoints**: what saving costs, as a share of the time between two checkpoints at the default interval: under 2 %. Launched jobs that
  save ten times as often are held against jobs that never save.
* **gpu**: model FLOPs utilization in bf16 of decoders of 124 million and about a billion parameters: at least 0.55 of the card's dense
  peak, and against the plain loop. FLOPs a token are 6 N + 12 L D T (PaLM, appendix B). Left out unless it is asked for.
* **gpu-equal**: losses of jobs on 1 card, and on 2 and 8 through NCCL in every ZeRO stage (`--cards` names other numbers), against those
  of one worker on the CPU, step for step: within 1e-3 nats in fp32, 2e-2 in bf16. What wants more cards than there are is missed. Left
  out unless it is asked for.

The model, batch and tokenizer are the recipe's, the optimizer is AdamW and products are in fp32; `--set model.width=64` changes them as in
`folio run`. The text is generated (`tests.benchmarks.pile`), or that of `--text`, a split such as
`.folio/store/split/classics-*/train.parquet`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.tokens.documents import read_documents
from data.tokens.pack import pack
from flows.recipe.loading import load
from model.hardware.waiting import CALM, CHOSEN, SECONDS
from model.networks.meta import count_parameters
from model.training.config import TrainResources
from model.training.job import Job
from model.training.launch.commands import TUNABLES, worker_environment
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines
from tests.benchmarks.contest import Contestant, Renewed, Table, Turn, contest, entered
from tests.benchmarks.pretrain_jobs import Workshop

PARTS = ("step", "peers", "memory", "waiting", "tokens", "loader", "checkpoints", "gpu", "gpu-equal")
CARDS_ONLY = ("gpu", "gpu-equal")
PEERS = ("litgpt==0.5.9", "transformers==5.17.0", "accelerate>=1.1,<2")
STEP, TOKENS, LOADER, CHECKPOINTS, BESIDE = 0.97, 0.8, 50, 0.02, 0.5
SETTLED = SECONDS * (CALM + 2)
"""Seconds after a change of the load until threads wait as they will."""
SKIPPED = 3
"""Steps at the beginning of a launched job that don't count, as in any steady state."""
SAVE_EVERY = 10
ENDLESS = 1_000_000
PLAIN = ("pretrain.optimizer=adamw", "pretrain.precision=fp32", "model.qk_norm=false", "model.zero_outputs=false")
"""What the plain loop and the peers compute and train with, too."""


def main() -> int:
    """Measure, print; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS[:-2]), help="what to measure; all that need no card")
    arguments.add_argument("--cards", nargs="+", type=int, default=[2, 8], help="numbers of cards that gpu-equal divides a job over")
    arguments.add_argument("--recipe", default="classics", help="whose model, batch and tokenizer")
    arguments.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    arguments.add_argument("--text", type=Path, help="a split to read instead of generated text")
    arguments.add_argument("--megabytes", type=float, default=20, help="of text")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--rounds", type=int, default=7, help="turns of each; the median ratio counts")
    arguments.add_argument("--updates", type=int, default=8, help="optimizer steps in a turn")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-benchmark", help="peers live here")
    arguments.add_argument("--peer-python", type=Path, help="a Python that has litgpt, transformers and accelerate")
    arguments.add_argument("--peak", type=float, help="the card's dense bf16 peak, TFLOP/s, when it is not one of those known here")
    arguments.add_argument("--micro-batch", type=int, default=0, help="sequences at once in the gpu part; 0: chosen by size")
    given = arguments.parse_args()
    # Both are read when the tokenizer's library is loaded.
    os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"] = str(given.threads), "true"
    table = Table()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "deepspeed", "tokenizers"))
    print(f"{given.threads} threads, {platform.machine()}, Python {platform.python_version()}, {libraries}", flush=True)
    with tempfile.TemporaryDirectory(prefix="folio-benchmark-") as folder:
        if "gpu" in given.part:
            from tests.benchmarks.pretrain_gpu import gpu

            gpu(table, Path(folder), peak=given.peak, micro_batch=given.micro_batch, rounds=given.rounds, updates=given.updates)
        if "gpu-equal" in given.part:
            from tests.benchmarks.pretrain_gpu_equal import gpu_equal

            gpu_equal(table, Path(folder), tuple(given.cards))
        if parts := [part for part in given.part if part not in CARDS_ONLY]:
            measure(table, Path(folder), parts, given)
    return table.verdict()


def measure(table: Table, folder: Path, parts: list[str], given: argparse.Namespace) -> None:
    """Whatever runs on any machine."""
    recipe = load(given.recipe, (*PLAIN, *given.changes))
    shop = Workshop(folder, recipe)
    size = shop.write_text(given.megabytes, given.text)
    shop.write_tokenizer()
    print(f"{size:.1f} MB of {'text in ' + str(given.text) if given.text else 'generated text'}")
    if "tokens" in parts:
        tokens(table, shop, size, given.rounds)
    if parts != ["tokens"]:
        shop.write_shards()
        trained: list[str] = [part for part in ("step", "peers", "memory", "waiting", "loader", "checkpoints") if part in parts]
        Training(table, shop, given).run(trained)


def tokens(table: Table, shop: Workshop, size: float, rounds: int) -> None:
    """Tokenize and pack against the tokenizer's own batch call."""
    from tokenizers import Tokenizer

    texts = [document.text for document in read_documents(shop.text)]

    def packed(_: int) -> float:
        with tempfile.TemporaryDirectory(dir=shop.folder) as place:
            return timed(lambda: pack({"train": shop.text}, shop.tokenizer, None, Path(place), shop.recipe.pack))

    def raw(_: int) -> float:
        return timed(lambda: Tokenizer.from_file(str(shop.tokenizer / "tokenizer.json")).encode_batch_fast(texts, add_special_tokens=False))

    table.head(f"tokenize and pack, {len(texts):,} documents", "kB/s")
    raw(1)
    speeds = contest({"pack": packed, "encode_batch_fast": raw}, 1, rounds, round(size * 1000))
    table.against("pack against encode_batch_fast", speeds["pack"], speeds["encode_batch_fast"], least=TOKENS)


class Training:
    """The parts that train the recipe's model."""

    def __init__(self, table: Table, shop: Workshop, given: argparse.Namespace) -> None:
        self.table, self.shop, self.given = table, shop, given
        train = shop.recipe.pretrain
        if train.optimizer.kind != "adamw" or train.ema_decay or train.batch_warmup_steps:
            raise SystemExit(
                f"pretrain.optimizer={train.optimizer.kind}, ema_decay={train.ema_decay}, batch_warmup_steps={train.batch_warmup_steps}: "
                "the loops compared with have AdamW at one batch size and keep no average; choose a recipe like that, or --set them"
            )
        self.threads, self.rounds, self.updates = given.threads, given.rounds, given.updates
        job = shop.job("shape", threads=self.threads, steps=ENDLESS)
        self.tokens = job.train.global_batch * job.network.context
        width, layers, parameters = job.network.width, job.network.layers, count_parameters(job.network, job.vocab_size)
        print(
            f"{parameters:,} parameters (width {width}, {layers} layers, vocabulary {job.vocab_size:,}), {self.tokens:,} tokens an update "
            f"in micro-batches of {job.micro_batch} x {job.network.context}, {job.train.precision.kind}",
            flush=True,
        )

    def run(self, parts: list[str]) -> None:
        """Each of the parts."""
        for part in parts:
            getattr(self, part)()

    def step(self) -> None:
        """Our step, and a launched job, against a plain loop."""
        alike = worker_environment()
        folio, plain = (Renewed(self._ours(kind, environment=alike)) for kind in ("folio", "plain"))
        self.table.head(f"our step, {self.rounds} rounds of {self.updates} updates", "tokens/s")
        turns = {"folio": folio.turn, "launched": self._launched("steady"), "plain": plain.turn}
        speeds = contest(turns, self.updates, self.rounds, self.tokens)
        same_size(folio, plain)
        note = processors(folio, plain)
        self.table.against("Trainer and Engine against a plain loop", speeds["folio"], speeds["plain"], least=STEP, note=note)
        self.table.against("a launched job against a plain loop", speeds["launched"], speeds["plain"], least=STEP)

    def peers(self) -> None:
        """Our step against others' loops."""
        python = self.given.peer_python or peer_python(self.given.work)

        def peer(name: str) -> Callable[[], Contestant]:
            path = self.shop.write_job(self._job("peer"))
            return lambda: Contestant(name, python, "tests.benchmarks.pretrain_peers", (name, str(path)), self.threads)

        ours = self._ours("folio", environment=worker_environment(), within_documents=False)
        with entered([ours, peer("transformers"), peer("litgpt")]) as contestants:
            self.table.head(f"our step against {', '.join(PEERS[:2])}, without document masks", "tokens/s")
            same_size(*contestants)
            turns = {contestant.name: contestant.turn for contestant in contestants}
            speeds = contest(turns, self.updates, self.rounds, self.tokens)
        folio, *others = contestants
        for what, other in zip(("against transformers.Trainer", "against litgpt's pretrain.fit"), others, strict=True):
            note = processors(folio, other)
            self.table.against(what, speeds[folio.name], speeds[other.name], least=1, strictly=True, note=note)

    def memory(self) -> None:
        """Memory that is kept against memory that is returned and asked for again."""
        os.environ.pop(TUNABLES, None)
        with entered([self._ours("folio", environment=worker_environment()), self._ours("folio")]) as (kept, returned):
            self.table.head(f"freed memory kept by the process, {self.rounds} rounds of {self.updates} updates", "tokens/s")
            speeds = contest({"kept": kept.turn, "returned": returned.turn}, self.updates, self.rounds, self.tokens)
        note = processors(kept, returned)
        self.table.against("kept against returned", speeds["kept"], speeds["returned"], least=1, strictly=True, note=note)

    def waiting(self) -> None:
        """Threads that wait by the load against threads that always spin, alone and beside a busy process."""
        for name in CHOSEN:
            os.environ.pop(name, None)
        with entered([self._ours("watched"), self._ours("folio")]) as (watched, spinning):
            self.table.head(f"threads that wait by the load, {self.rounds} rounds of {self.updates} updates", "tokens/s")
            turns = {
                "by load": settled(watched.turn),
                "spinning": settled(spinning.turn),
                "by load, beside": beside(settled(watched.turn)),
                # One update stands for all: it may take thirty times as long.
                "spinning, beside": lambda updates: updates * beside(settled(spinning.turn))(1),
            }
            speeds = contest(turns, self.updates, self.rounds, self.tokens)
        self.table.against("by the load against always spinning", speeds["by load"], speeds["spinning"], least=STEP)
        self.table.against("beside a busy process against alone", speeds["by load, beside"], speeds["by load"], least=BESIDE)
        self.table.against("the same, always spinning", speeds["spinning, beside"], speeds["spinning"], least=None)

    def loader(self) -> None:
        """Reading against training."""
        with entered([self._ours("folio"), self._ours("loader")]) as (folio, loader):
            self.table.head("the loader against what training eats", "tokens/s")
            turns = {"loader": lambda updates: loader.turn(50 * updates) / 50, "folio": folio.turn}
            speeds = contest(turns, self.updates, max(3, self.rounds // 2), self.tokens)
        self.table.against("rows to tensors against our step", speeds["loader"], speeds["folio"], least=LOADER)

    def checkpoints(self) -> None:
        """What a checkpoint costs."""
        usual: int = TrainResources.model_fields["checkpoint_every_steps"].default
        print(f"\ncheckpoints every {SAVE_EVERY} steps against none", flush=True)
        turns = {"saving": self._launched("saving", SAVE_EVERY), "never": self._launched("never")}
        speeds = contest(turns, 3 * SAVE_EVERY, max(3, self.rounds // 2), self.tokens)
        saving, never = ([self.tokens / speed for speed in speeds[name]] for name in ("saving", "never"))
        each = statistics.median(SAVE_EVERY * (a - b) for a, b in zip(saving, never, strict=True))
        between = usual * statistics.median(never)
        self.table.head(f"a checkpoint against the {usual} steps between two", "seconds")
        self.table.share("share of the time", each, between, most=CHECKPOINTS)

    def _job(self, name: str, steps: int = ENDLESS, resources: dict[str, Any] | None = None, **train: Any) -> Job:
        return self.shop.job(name, threads=self.threads, steps=steps, resources=resources, **train)

    def _ours(self, kind: str, *, environment: Mapping[str, str] | None = None, **train: Any) -> Callable[[], Contestant]:
        path = self.shop.write_job(self._job(kind, **train))
        module, arguments = "tests.benchmarks.pretrain_ours", (kind, str(path))
        return lambda: Contestant(kind, Path(sys.executable), module, arguments, self.threads, environment)

    def _launched(self, name: str, every: int = ENDLESS) -> Callable[[int], float]:
        """Launches a job; the seconds of so many updates in its steady state, the work of what falls between them included."""
        count = 0

        def turn(updates: int) -> float:
            nonlocal count
            count += 1
            # The last step's time holds the end of the run.
            steps = SKIPPED + updates + 1
            job = self._job(f"{name}-{count}", steps, {"checkpoint_every_steps": every}, warmup_steps=0)
            launch(job)
            lines = read_lines(job.output / "logs" / "timing.jsonl")
            return sum(float(line["seconds"]) for line in lines[SKIPPED:-1])

        return turn


def processors(ours: Contestant | Renewed, theirs: Contestant | Renewed) -> str:
    """The ratio by the processors' time for as many updates, which other work on the machine disturbs less; it is told, not bound."""
    return f"by processor time {theirs.processor_seconds / ours.processor_seconds:.3f}"


def same_size(*contestants: Contestant | Renewed) -> None:
    """Raises ValueError unless all train as many parameters."""
    sizes = [contestant.facts["parameters"] for contestant in contestants]
    if len(set(sizes)) != 1:
        raise ValueError(f"the contestants train models of different sizes: {sizes}")


def peer_python(work: Path) -> Path:
    """The Python of an environment that has the peers, made once."""
    wanted = "\n".join((f"torch=={version('torch').split('+')[0]}", *PEERS))
    home = work / "peers"
    python, done = home / "bin" / "python", home / "installed.txt"
    if not done.is_file() or done.read_text() != wanted:
        print(f"installing {', '.join(wanted.splitlines())} into {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted.splitlines()], check=True)
        done.write_text(wanted)
    return python


def settled(turn: Turn) -> Turn:
    """A turn that begins once its process has seen that the others sleep."""

    def waited(updates: int) -> float:
        time.sleep(SETTLED)
        return turn(updates)

    return waited


def beside(turn: Turn) -> Turn:
    """A turn beside a process that keeps one processor busy."""

    def crowded(updates: int) -> float:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            return turn(updates)
        finally:
            busy.kill()
            busy.wait()

    return crowded


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
