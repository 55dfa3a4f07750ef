"""Scores of reasoning-gym's data sets, computed in a process that may be ended: python -m data.shards.gym_scores

A reply is anything that a model writes, and scorers are not written for that: one hands `1e999999999` to a fraction, which C computes
for ever, and one pays for anything where it asks for a word. So a score has one second of processor time, at whose end its process is ended
whatever it does, and the reply earns nothing; time on the clock only ends a process that sleeps. One process reads the library once, and
forks the one that scores, and another after it. That writes no file, and has two gigabytes.

`refusal` tries a data set's scorer on replies that nobody should be paid for.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

CPU_SECONDS = 1.0
"""Processor time of one score. Those of replies that are not hostile take milliseconds; the first of a data set imports it before."""
WAIT_SECONDS = 300.0
"""Longest wait on the clock, for a process that sleeps or starves."""
MEMORY_BYTES = 2 << 30
MODULE = "data.shards.gym_scores"
ENDED = {
    **{
        "SIGPROF": f"it takes {CPU_SECONDS:g} second of the processor and more",
        "SIGALRM": f"it takes {WAIT_SECONDS:g} seconds and more on the clock",
    },
    **{f"SIG{name}": f"it ends in SIG{name}" for name in ("SEGV", "ABRT", "BUS", "FPE", "ILL")},
}
"""The endings that a reply may bring on a process. Any other, such as a person's, is no score."""
PROBED = 6
"""Problems of a data set whose scorer is tried."""
MOST_FOR_GARBAGE = 0.25
"""Mean score of one such reply. Many scorers pay 0.01 for saying anything, and a share for letters or digits that are right by chance."""
GARBAGE: tuple[str, ...] = (
    *("", " ", "\n\n", "\0", "garbage", "asdf qwerty zxcv", "I do not know.", "The answer is", "null", "nan", "inf", "-inf"),
    *("1e999999999", "-1e999999999", "1e-999999999", "9" * 5000, "0x" + "f" * 5000, "9**9**9**9", "1e400", "\u0663/\u0660"),
    *("(", "[", "{", "{}", "[]", "[[]]", "[[[[", "(" * 5000, "[" * 5000, '{"a":' * 5000, '"', "'", "\\", "\\boxed{", "%s%n", "{0}", "$"),
    *("a" * 20_000, "a " * 10_000, "\n" * 10_000, ", " * 10_000, "\ud7ff\uffff\u202e", "\u0301" * 1000, "<answer></answer>", "<think>"),
    *("__import__('os').getpid()", "lambda: 0", "exit()", "import time; time.sleep(9)", "[0] * 10**12", "'x' * 10**12", "range(10**12)"),
)


class Scorer:
    """The process that scores, started at its first score. Safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def score(self, answer: str, entry: Mapping[str, Any]) -> tuple[float, str]:
        """Return the score of an answer, and what it did to its process if that had to end. Raise RuntimeError if none can be asked."""
        line = b""
        with self._lock, suppress(BrokenPipeError):
            process = self._process = self._process or _started()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps({"answer": answer, "entry": entry}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("what scores replies ended, its error is above; reasoning-gym may be missing: pip install -e '.[gym]'")
        return (0.0, ENDED[line.strip().decode()]) if line.startswith(b"SIG") else (float(line), "")

    def close(self) -> None:
        """End the process."""
        with self._lock, suppress(BrokenPipeError):
            process, self._process = self._process, None
            if process is not None:
                process.communicate()  # the end of its input ends it


def _started() -> subprocess.Popen[bytes]:
    # What a scorer does must not depend on this process, such as on its order of sets.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-m", MODULE], cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@lru_cache(maxsize=1)
def _scorer(process: int) -> Scorer:
    """The scorer of this process: one that was forked has its own."""
    scorer = Scorer()
    atexit.register(scorer.close)
    return scorer


def score_entry(answer: str, entry: Mapping[str, Any]) -> float:
    """Return what the scorer of an entry's data set gives an answer, 0 to 1: 0 where it fails or does not end."""
    return _scorer(os.getpid()).score(answer, entry)[0]


def refusal(dataset: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return why the scorer of a data set is not to be trusted, tried on some problems of it; empty if it is."""
    scorer = _scorer(os.getpid())
    for reply in GARBAGE:
        paid = 0.0
        for entry in entries:
            found, ended = scorer.score(reply, entry)
            if ended:
                return f"the scorer of dataset={dataset} does not come through the reply {reply[:20]!r}: {ended}; choose another data set"
            paid += found / len(entries)
        if paid > MOST_FOR_GARBAGE:
            return f"the scorer of dataset={dataset} pays {paid:.2f} of 1 for the reply {reply[:20]!r}; choose another data set"
    return ""


def main() -> None:
    """Answer each line of the standard input, {"answer", "entry"}, by a line with its score, or with the signal that ended it."""
    import reasoning_gym  # noqa: F401  # once, and before memory and time are counted

    # Neither what a scorer prints nor what it reads may come between.
    asked, told, nothing = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        if (child := os.fork()) == 0:
            code = 1
            try:
                _serve(asked, told)
                code = 0
            except BaseException:  # noqa: BLE001  # it must not go on where it was forked
                traceback.print_exc()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code >= 0 or (how := signal.Signals(-code).name) not in ENDED:
            sys.exit(code if code >= 0 else f"a process that scored was ended by {signal.Signals(-code).name}, which no reply does")
        os.write(told, f"{how}\n".encode())


def _serve(asked: int, told: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES, size + MEMORY_BYTES))
    for line in os.fdopen(asked, "rb"):  # one at a time is sent, so none is read ahead and lost
        question = json.loads(line)
        scorer = _function(question["entry"]["metadata"]["source_dataset"])
        random.seed(0)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
        found = _scored(scorer, question["answer"], question["entry"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(told, f"{found!r}\n".encode())


@lru_cache(maxsize=256)
def _function(dataset: str) -> Callable[[str, dict[str, Any]], Any]:
    import reasoning_gym

    found: Callable[[str, dict[str, Any]], Any] = reasoning_gym.get_score_answer_fn(dataset)
    return found


def _scored(scorer: Callable[[str, dict[str, Any]], Any], answer: str, entry: dict[str, Any]) -> float:
    try:
        found = float(scorer(answer.strip(), entry))
    except (Exception, SystemExit):  # noqa: BLE001  # scorers raise anything for a reply of another form; such a reply earns nothing
        return 0.0
    return min(1.0, max(0.0, found)) if math.isfinite(found) else 0.0


if __name__ == "__main__":
    main()
