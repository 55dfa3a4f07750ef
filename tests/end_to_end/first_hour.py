"""The first hour of somebody new: `python -m tests.end_to_end.first_hour OUT [--books FOLDER] [--environment VENV]`.

Clones this repository, as it was committed, and types into it what its README says, and nothing else but what folio itself printed, with an
empty home directory. Writes `hour.md` (each command, its seconds and what came) and a picture of each page at the width of a desktop and of
a phone into OUT. `make` installs into the clone, unless VENV is copied for it. Takes ten minutes on two idle cores, and ends with exit
code 1 at the first command that fails.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.readme import ROOT, block, free_port, standing
from tests.end_to_end.test_readme import TEXTS

WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}
SHOWN_LINES = 60


class Newcomer:
    """Somebody with a clone, an empty home and a notebook."""

    def __init__(self, out: Path) -> None:
        self.out, self.clone = out, out / "folio"
        self.notes = out / "hour.md"
        (out / "home").mkdir(parents=True)
        ports = {f"FOLIO_{name}_PORT": str(free_port()) for name in ("PREFECT", "MLFLOW", "PAGE")}
        path = f"{self.clone}/.venv/bin:{os.environ['PATH']}"
        # Of this process's own environment, only what a terminal sets and how packages are reached.
        kept = {name: os.environ[name] for name in ("LANG", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE") if name in os.environ}
        self.environment = {**kept, **ports, "HOME": str(out / "home"), "PATH": path, "COLUMNS": "80", "TERM": "xterm"}

    def types(self, command: str, source: str) -> str:
        """Run a line, note what came of it and return that. `source` says where the line was read."""
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.clone, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        took, lines = time.monotonic() - began, done.stdout.splitlines()
        shown = (
            lines if len(lines) <= SHOWN_LINES else [*lines[:20], f"... {len(lines) - SHOWN_LINES} lines ...", *lines[20 - SHOWN_LINES :]]
        )
        with self.notes.open("a", encoding="utf-8") as notes:
            notes.write(f"## `{command}`\n\n{source}; {took:.1f} s, exit code {done.returncode}\n\n```\n" + "\n".join(shown) + "\n```\n\n")
        print(f"{took:7.1f} s  {command}", flush=True)
        if done.returncode:
            sys.exit(f"{command} ended with exit code {done.returncode}:\n" + "\n".join(shown))
        return done.stdout

    def looks(self, name: str, address: str, wait: float = 3) -> None:
        """Take a picture of a page at each width, of its whole length, and note its height in screens."""
        api = importlib.import_module("playwright.sync_api")  # of the proofs extra
        with api.sync_playwright() as playwright, self.notes.open("a", encoding="utf-8") as notes:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
            )
            for width_name, (width, height) in WIDTHS.items():
                tab = chromium.new_page(viewport={"width": width, "height": height})
                tab.goto(address)
                tab.wait_for_timeout(wait * 1000)
                tab.screenshot(path=self.out / f"{name}-{width_name}.png", full_page=True)
                long, wide = tab.evaluate("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]")
                notes.write(f"Picture {name}-{width_name}.png: {long / height:.1f} screens{', wider than the window' * (wide > width)}\n\n")
            chromium.close()


def printed(text: str, label: str) -> str:
    """Return what folio printed behind a label at the start of a line. Raises ValueError if it printed no such line."""
    found = re.search(rf"^{label} +(\S.*?)(?:   .*)?$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"folio printed no line '{label}'")
    return found[1]


def settle(newcomer: Newcomer, venv: Path | None) -> None:
    """Clone the repository; copy an environment that is installed, if one is given, which then points to the clone."""
    subprocess.run(["git", "clone", "--quiet", ROOT, newcomer.clone], check=True)
    if venv is not None:
        own = newcomer.clone / ".venv"
        subprocess.run(["cp", "-al", venv, own], check=True)
        finders = own.glob("lib/python*/site-packages/__editable__*")
        for file in (*finders, own / "bin" / "folio", own / "bin" / "activate", own / "pyvenv.cfg"):
            text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
            file.unlink()  # the copy is of links
            file.write_text(text.replace(str(venv.parent), str(newcomer.clone)), encoding="utf-8")
            file.chmod(mode)
        script = own / "bin" / "folio"
        script.write_text(re.sub(r"^#!.*", f"#!{own}/bin/python", script.read_text(encoding="utf-8"), count=1), encoding="utf-8")
        for mark in (own / "installed", own / "installed-dev"):
            mark.unlink(missing_ok=True)
            mark.touch()


def main() -> None:
    """Live the hour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--books", type=Path, help="a folder of one's own texts; without it, ten short ones")
    parser.add_argument("--environment", type=Path, help="an installed .venv to copy instead of installing")
    given = parser.parse_args()
    newcomer = Newcomer(given.out.resolve())
    settle(newcomer, given.environment and given.environment.resolve())
    install, _ = block("Install")
    ended = newcomer.types(install, "README, Install")
    newcomer.looks("report", f"file://{printed(ended, 'the report')}")
    newcomer.types(f"{printed(ended, 'talk to it')} --ask 'Where does Emil live?'", "printed by make run, with README's --ask")
    newcomer.types("folio doctor", "README, Commands")
    for command in block("Try it in seconds")[1:]:
        newcomer.types(command, "README, Try it in seconds")
    books = newcomer.clone / "my_books"
    if given.books:
        shutil.copytree(given.books, books)
    else:
        books.mkdir()
        for name, text in TEXTS.items():
            (books / name).write_text(text, encoding="utf-8")
    for command in block("Your own books"):
        said = newcomer.types(command, "README, Your own books")
    newcomer.types(f"{printed(said, 'talk to it')} --ask 'On that day'", "printed by folio run, with README's --ask")
    newcomer.looks("own-report", f"file://{printed(said, 'the report')}")
    port = free_port()
    with standing(f"cd {newcomer.clone} && exec folio serve universe --port {port}", newcomer.environment):
        until_answers(f"http://127.0.0.1:{port}/health")
        newcomer.looks("chat", f"http://127.0.0.1:{port}/")
    up = newcomer.types("folio up", "README, Commands")
    for name, address in zip(("page", "prefect", "mlflow"), re.findall(r"http://127\.0\.0\.1:\d+\S*", up), strict=False):
        newcomer.looks(name, address, 8)
    newcomer.types("folio down", "README, Commands")


def until_answers(address: str, timeout: float = 120) -> None:
    """Wait until a server answers with success. Raises TimeoutError."""
    import httpx

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise TimeoutError(f"{address} did not answer within {timeout:.0f} s")


if __name__ == "__main__":
    main()
