"""Other processes: programs started by name, workers of all kinds, what they import, and what they do as they end."""

from __future__ import annotations

from tests.identity.edits.case import QUIET, edit, program

PROGRAMS = (
    program(
        """
import subprocess, sys
def work():
    run = subprocess.run([sys.executable, "-m", "data.tool", "3"], capture_output=True, text=True, input="4")
    return run.stdout, run.returncode
--- tool.py
import atexit, sys
from data.deep import scale
def main():
    print(scale(int(sys.argv[1])), sys.stdin.read())
def never():
    return scale(0)
atexit.register(print, "bye")
if __name__ == "__main__":
    main()
    sys.exit(2)
--- deep.py
FACTOR = 2
def scale(n):
    return n * FACTOR
def unscale(n):
    return n / FACTOR
""",
        edit("constant that a started program imports", "deep.py", "FACTOR = 2", "FACTOR = 3"),
        edit("what a started program prints", "tool.py", "sys.stdin.read())", "sys.stdin.read()[::-1] + '.')"),
        edit("what a started program does as it ends", "tool.py", '"bye"', '"gone"'),
        edit("code with which a started program ends", "tool.py", "exit(2)", "exit(3)"),
        edit("function of a started program that it doesn't call", "tool.py", "scale(0)", "scale(1)", QUIET),
        edit("function that a started program imports and doesn't call", "deep.py", "n / FACTOR", "n // FACTOR", QUIET),
    ),
    program(
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from data.far import square, begin, name
def work():
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=begin, initargs=(3,)) as pool:
        found = list(pool.map(square, [1, 2]))
    with ThreadPoolExecutor(2) as threads:
        found += threads.map(name, [1, 2])
    return found
--- far.py
import threading
HELD = {"base": 0}
class Local(threading.local):
    label = "t"
local = Local()
def begin(base):
    HELD["base"] = base
def square(n):
    from data.worker_only import shift
    return shift(n * n) + HELD["base"]
def name(n):
    return local.label * n
def never(n):
    return n
--- worker_only.py
def shift(n):
    return n + 1
def unshift(n):
    return n - 1
""",
        edit("function that a spawned worker runs", "far.py", "n * n", "n * n * n"),
        edit("module that only a spawned worker imports", "worker_only.py", "n + 1", "n + 2"),
        edit("initializer of workers", "far.py", '["base"] = base', '["base"] = -base'),
        edit("function that threads run", "far.py", "label * n", "label + str(n)"),
        edit("attribute of a thread's local object", "far.py", '"t"', '"u"'),
        edit("function that no worker runs", "worker_only.py", "n - 1", "n - 2", QUIET),
        edit("function beside the workers'", "far.py", "return n\n", "return n + 1\n", QUIET),
    ),
    program(
        """
import multiprocessing, os
from data.far import send, exchange
def work():
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=send, args=(theirs, 2))
    process.start()
    told = ours.recv()
    process.join()
    with fork.Pool(1) as pool:
        return told, pool.apply(exchange, (3,)), forked(), process.exitcode
def forked():
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        from data.deep import answer
        os.write(writing, answer().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reading, 99)
--- far.py
def send(pipe, n):
    pipe.send(n + 1)
def exchange(n):
    return n * 2
def never(n):
    return n
--- deep.py
def answer():
    return "deep"
def question():
    return "deep?"
""",
        edit("target of a forked process", "far.py", "n + 1", "n + 2"),
        edit("function that a pool applies", "far.py", "n * 2", "n * 3"),
        edit("module that only a bare fork imports", "deep.py", '"deep"', '"deeper"'),
        edit("function that a bare fork doesn't call", "deep.py", '"deep?"', '"how deep?"', QUIET),
    ),
    program(
        """
import subprocess, sys, os
from pathlib import Path
def work():
    env = os.environ | {"ROOM": "hall"}
    run = subprocess.run([sys.executable, "-c", "import data.far; print(data.far.go())"], capture_output=True, text=True, env=env)
    shell = subprocess.run(f"{sys.executable} -m data.second", shell=True, capture_output=True, text=True)
    return run.stdout, shell.stdout
--- far.py
import os
def go():
    return os.environ["ROOM"], 1
def never():
    return 2
--- second.py
from data import third
print(third.VALUE)
--- third.py
VALUE = 3
""",
        edit("module that a text given to Python imports", "far.py", '["ROOM"], 1', '["ROOM"], 2'),
        edit("module that a program started by a shell imports", "third.py", "VALUE = 3", "VALUE = 4"),
        edit("function that the text doesn't call", "far.py", "return 2", "return 3", QUIET),
    ),
    program(
        """
import subprocess, sys
def work():
    return [subprocess.run([sys.executable, *how, "-m", "data.tool"], capture_output=True, text=True, **more).stdout for how, more in HOW]
HOW = [(["-I"], {}), ([], {"env": {}}), (["-S"], {}), ([], {"cwd": "/"})]
--- tool.py
print("tool")
""",
        edit("program started in several environments", "tool.py", '"tool"', '"other"'),
    ),
)
