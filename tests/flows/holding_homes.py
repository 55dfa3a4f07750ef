"""Homes whose files hold documents in every way that folio keeps them: corpora of several containers, and all that is left beside."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import shutil
import sqlite3
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.index import Damaged
from tasks.stage.store.store import Store
from tests.flows.test_corpus import make

SYLLABLES = ("bar", "cor", "del", "fen", "gol", "hur", "jam", "kel", "lor", "mun", "nar", "pol", "quin", "rav", "sul", "tor", "vel", "wex")
PLAIN = (
    "the",
    "and",
    "a",
    "of",
    "in",
    "with",
    "under",
    "over",
    "beside",
    "before",
    "after",
    "when",
    "while",
    "then",
    "old",
    "new",
    "great",
)
CONTAINERS = ("folder", "folder/deep", "zip", "tar.gz", "jsonl", "jsonl.gz", "parquet", "csv", "mbox", "zst")


class Text(NamedTuple):
    """A document, the container that it lies in, and what it is called in folio."""

    text: str
    container: str
    name: str

    @property
    def sentences(self) -> list[str]:
        """Its sentences."""
        return [sentence.strip() for sentence in self.text.replace("\n", " ").split(".") if sentence.strip()]

    @property
    def words(self) -> list[str]:
        """Words that no other text has."""
        return sorted({word for word in self.text.lower().replace(".", " ").split() if word not in PLAIN})


class Home(NamedTuple):
    """A home after a run, and its documents."""

    folder: Path
    recipe: Recipe
    texts: list[Text]
    made: dict[str, Artifact]


def story(draw: random.Random) -> str:
    """Return paragraphs of sentences with names that no other text has."""
    own = ["".join(draw.choices(SYLLABLES, k=5)) for _ in range(12)]  # 2.5 million: none twice

    def sentence() -> str:
        words = [draw.choice(own) if number % 3 == 1 else draw.choice(PLAIN) for number in range(draw.randint(9, 15))]
        return " ".join(words).capitalize() + "."

    return "\n\n".join(" ".join(sentence() for _ in range(draw.randint(3, 5))) for _ in range(draw.randint(2, 3))) + "\n"


def write_sources(folder: Path, draw: random.Random) -> list[Text]:
    """Write texts in containers of every kind; return them with what they are called."""
    folder.mkdir(parents=True)
    found: list[Text] = []

    def several(container: str, name: str = "{}") -> list[str]:
        new = [story(draw) for _ in range(draw.randint(2, 3))]
        found.extend(Text(text, container, name.format(number)) for number, text in enumerate(new))
        return new

    for below in ("folder", "folder/deep"):
        (folder / below).mkdir()
        for number, text in enumerate(several(below, below + "/{}.txt")):
            (folder / below / f"{number}.txt").write_text(text)
    with zipfile.ZipFile(folder / "books.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(several("zip")):
            archive.writestr(f"in/{number}.txt", text)
    with tarfile.open(folder / "books.tar.gz", "w:gz") as tar:
        for number, text in enumerate(several("tar.gz")):
            entry = tarfile.TarInfo(f"{number}.txt")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    for name, opened in (("lines.jsonl", open), ("packed.jsonl.gz", gzip.open)):
        lines = [json.dumps({"text": text}) for text in several(name.partition(".")[2])]
        with opened(folder / name, "wb") as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode())
    pq.write_table(pa.table({"text": several("parquet")}), folder / "rows.parquet", compression="zstd")
    quoted = "".join('"' + text.replace('"', '""') + '"\n' for text in several("csv"))
    (folder / "rows.csv").write_text("text\n" + quoted)
    letters = [f"From a@b.c Thu Jan  1 00:00:0{n} 2026\nFrom: a@b.c\nSubject: letter\n\n{text}\n" for n, text in enumerate(several("mbox"))]
    (folder / "letters.mbox").write_text("".join(letters))
    only = story(draw)
    (folder / "alone.txt.zst").write_bytes(zstandard.compress(only.encode()))
    found.append(Text(only, "zst", "alone.txt.zst"))
    return found


def generate(folder: Path, home: Path, seed: int) -> Home:
    """Make a corpus in a home of its own, and leave beside it what runs, services and people leave."""
    draw = random.Random(seed)
    texts = write_sources(folder / "books", draw)
    shards = draw.choice((1, 3))
    (folder / "taken.yaml").write_text(
        "extends: four_books\nname: taken\ningest:\n"
        f"  shards: {shards}\n"
        "  sources: [{kind: files, name: books, paths: [books], formats: [txt, jsonl, parquet, csv, mbox]}]\n"
        "gates: {corpus: {bounds: [{metric: corpus.documents_kept, minimum: 1}]}}\n"
    )
    recipe = load(str(folder / "taken.yaml")).model_copy(update={"store": str(home / "store"), "tracking": "none"})
    made = make(recipe)
    leave(home, recipe, texts, draw)
    return Home(folder, recipe, texts, made)


def leave(home: Path, recipe: Recipe, texts: list[Text], draw: random.Random) -> None:
    """Put copies and pieces of texts in every kind of place, in forms drawn at random."""
    store = Store(recipe.store, home / "cache")
    records = sorted(store.records(), key=lambda artifact: artifact.location)
    for number, artifact in enumerate(draw.sample(records, 3)):
        folder = home / "store" / artifact.location
        aside = home / "store" / artifact.stage / f"taken-aside-{number:012x}"
        shutil.copytree(folder, aside)
        if draw.random() < 0.5:
            (aside / "artifact.json").write_text("{")
        store.quarantine(Damaged(aside.relative_to(home / "store").as_posix(), ("one byte was changed",)))
    places = [
        "store/.staging/clean-0123456789abcdef/scratch/part",
        "store/.staging/pretrain-0123456789abcdef/resume/rows",
        "store/clean/half-0123456789ab/documents",
        "store/notes",
        "reports/taken",
        "mlflow/taken/1/artifacts/samples",
        "prefect-results/abc",
        "logs/runs/one.log",
        "cache/artifacts/abc/documents",
        "cache/pages/one",
        "exported/release/card",
    ]
    for place in places:
        text = draw.choice(texts)
        piece = text.text if draw.random() < 0.5 else ". ".join(draw.sample(text.sentences, 2)) + "."
        write_as(home / place, piece, draw)
    (home / "store/.staging/pretrain-0123456789abcdef/resume/step-1.safetensors").write_bytes(draw.randbytes(4096))
    with sqlite3.connect(home / "mlflow.db") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS tags (value TEXT)")
        connection.execute("INSERT INTO tags VALUES (?)", (draw.choice(texts).text,))


def write_as(path: Path, text: str, draw: random.Random) -> None:
    """Write a text in a form drawn at random: plain, escaped, compressed, in an archive, in a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    kind = draw.choice(("txt", "html", "json", "gz", "bz2", "xz", "zst", "zip", "tar", "zip of gz", "parquet", "arrow"))
    match kind:
        case "html":
            content = ("<p>" + "</b> <i>".join(text.split()) + "</p>").encode()
        case "json":
            content = json.dumps({"one": [{"text": json.dumps(text)}]}).encode()
        case "gz":
            content = gzip.compress(content)
        case "bz2":
            content = bz2.compress(content)
        case "xz":
            content = lzma.compress(content)
        case "zst":
            content = zstandard.compress(content)
        case "zip" | "zip of gz":
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("one.gz" if kind == "zip of gz" else "one.txt", gzip.compress(content) if kind == "zip of gz" else content)
            content = stream.getvalue()
        case "tar":
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w:gz") as tar:
                entry = tarfile.TarInfo("one.txt")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            content = stream.getvalue()
        case "parquet":
            stream = io.BytesIO()
            pq.write_table(pa.table({"rows": [[{"a": text}]]}), stream, compression="zstd")
            content = stream.getvalue()
        case "arrow":
            stream = io.BytesIO()
            table = pa.table({"text": [text]})
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)
            content = stream.getvalue()
    path.write_bytes(content)
