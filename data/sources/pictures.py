"""Pictures and sounds among words, from a folder or from a package: captioned ones, and pages of Markdown, HTML and EPUB that show them.

A captioned picture is a document: the picture, a blank line, and its caption, from a text file of its name or a row of a table, which may
hold the picture itself if it is Parquet. So is a page, with its pictures where it shows them; addresses are followed below the source's
paths alone, of a book inside its archive alone, never to a network. One picture may be in several documents. A picture that no page
shows and nothing describes is set aside, as is whatever can't be read; of a page the words stay. Sounds are read so, too, where a file or
a table says what is said in them.

Each shard looks at all pages and tables of its source, since any may speak of any picture, and decodes the pictures of its own documents.
Decoding runs in the parsers' process. Memory: one picture and all captions; decoded pictures wait in a file.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Lock
from types import TracebackType
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

from data.documents.sharding import document_id
from data.shards.pictures import SOUND, Part, Picture, PictureGrid
from data.shards.sounds import FRAMES_A_SECOND, SoundGrid
from data.sources.config import CaptionedSource, PicturesSource, SoundsSource
from data.sources.document_store import DocumentStore
from data.sources.errors import Unreadable
from data.sources.extraction import Extractor
from data.sources.files import observed_name, pictures_state, survey
from data.sources.formats import ENDINGS
from data.sources.readers.media import picture_of
from data.sources.readers.parquet import read_part_rows
from data.sources.readers.record import MARK, BrokenRecord, EmbeddedFile, ReaderOptions, Record
from data.sources.readers.registry import READERS
from data.sources.reading import UNREADABLE, changed
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.sharing import WorkGrouping
from data.sources.unpacked import Fault, SourceText

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_GIVEN = 32 << 20  # bytes of a file that somebody gives
GIVEN_FRAMES = 256  # of a moving picture that somebody gives to a model that reads frames
GIVEN_SECONDS = 10  # of processor time that it may take: somebody waits
DARKEST = 16  # of the shades in scikit-learn's digits, from 0


class MediaOpener:
    """Opens pictures and recordings that people give, one at a time, in a parsers' process that stays until `close`. Any thread may ask."""

    def __init__(self) -> None:
        self._sandbox, self._one = ParserSandbox(GIVEN_SECONDS), Lock()

    def __call__(self, content: bytes, reads: PictureGrid | SoundGrid) -> Picture:
        """Return the picture in a file, or the sound, for a model that reads those of a grid: all frames, if it reads several.

        Raise Unreadable for a broken one, for one of more frames than are looked at, for a bomb, and for a sound longer than the grid.
        """
        if isinstance(reads, SoundGrid):
            kind, options = "sound", ReaderOptions(limit=MOST_GIVEN, most_seconds=reads.frames / FRAMES_A_SECOND)
        else:
            kind, options = "picture", ReaderOptions(limit=MOST_GIVEN, most_frames=GIVEN_FRAMES if reads.frames > 1 else 1)
        with self._one:
            rows = list(self._sandbox.read(kind, content, options, None))
        if more := next((row for row in rows if isinstance(row, BrokenRecord)), None):
            raise Unreadable(f"more than one picture: {more.reason}; save what is meant as a file of its own")
        return next(picture_of(row) for row in rows if isinstance(row, Record))

    def close(self) -> None:
        """End the process."""
        self._sandbox.close()

    def __enter__(self) -> MediaOpener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_given(content: bytes, reads: PictureGrid | SoundGrid) -> Picture:
    """Return the picture or the sound in a file that somebody gave. Raise Unreadable as `MediaOpener` does."""
    with MediaOpener() as opened:
        return opened(content, reads)


class PartStore:
    """The parts of a shard's documents; their pixels wait in a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._parts: list[tuple[Part, int, int]] = []
        self._pixels = (folder / "pixels").open("w+b")

    def add(self, part: Part) -> None:
        """Add a part."""
        start, size = self._pixels.tell(), 0
        if part.picture is not None:
            size = self._pixels.write(part.picture.pixels)
            part = part._replace(picture=part.picture._replace(pixels=b""))
        self._parts.append((part, start, size))

    def read(self, without: Collection[str]) -> Iterator[Part]:
        """Yield the parts, by document and path; those of documents in `without` by name alone."""
        for part, start, size in sorted(self._parts, key=lambda one: one[0][:3]):
            if part.picture is None or part.id in without:
                yield part._replace(picture=None)
            else:
                self._pixels.seek(start)
                yield part._replace(picture=part.picture._replace(pixels=self._pixels.read(size)))

    def close(self) -> None:
        """Close the file."""
        self._pixels.close()


class Caption(NamedTuple):
    """A picture's caption, the file that it is from, and where that says it."""

    text: str
    file: str
    place: str


class PictureReader:
    """Reads the documents of one shard from a source's files. `observed`: their states when the key was made; None: not checked."""

    def __init__(
        self, source: CaptionedSource, extractor: Extractor, parts: PartStore, root: Path, observed: Mapping[str, str] | None
    ) -> None:
        self._source, self._extractor, self._parts, self._medium = source, extractor, parts, source.MEDIUM
        found = survey(source, root)
        self._files, self._faults = found.files, found.faults
        if observed is not None:
            self._states = {name: observed.get(observed_name(source.label, name), "") for name in (*self._files, *self._faults)}
            known = pictures_state(source, root, lambda paths: dict.fromkeys(paths, ""))
            prefix = observed_name(source.label, "")
            if other := sorted({name for name in observed if name.startswith(prefix)} ^ known.keys()):
                raise changed(other[0])
        else:
            self._states = {}
        self._shown = set[str]()
        self._captions: defaultdict[str, list[Caption]] = defaultdict(list)

    def read(self) -> None:
        """Read all files. Raise SourceError for one that has changed."""
        for name, fault in self._faults.items():
            self._set_aside(name, name, fault)
        kinds = {name: ENDINGS.get(PurePosixPath(name.lower()).suffix, self._medium) for name in self._files}
        pictures = {name for name, kind in kinds.items() if kind == self._medium}
        for name, kind in kinds.items():
            try:
                if kind in ("md", "html") and kind in self._source.formats:
                    self._read_page(name, kind, pictures)
                elif kind == "epub" and kind in self._source.formats:
                    self._read_book(name, kind)
                elif kind == "txt":
                    self._read_caption(name, pictures)
                elif kind in self._source.formats[1:]:
                    self._read_table(name, kind, pictures)
                elif kind != self._medium:
                    raise Unreadable(f"no {self._medium}, and nothing that is said of one: a file of format {kind}")
            except Unreadable as error:
                self._set_aside(name, name, str(error))
        for name in sorted(pictures):
            self._read_captioned(name)

    def _read_captioned(self, name: str) -> None:
        """Read a picture with its caption; each further caption is set aside."""
        captions = self._captions.get(name, [])
        if not captions:
            if name not in self._shown:
                shown = "no page shows it, " if "html" in self._source.formats else ""
                self._set_aside(name, name, f"no caption: {shown}no table names it and no text file has its name")
            return
        for other in captions[1:]:
            self._set_aside(name, other.place, f"a second caption of {name}")
        caption = captions[0]
        if self._extractor.works.includes_place(name):
            self._add_part(name, caption.file)
        if not self._extractor.works.includes_work(name):
            return
        try:
            picture, told = self._decode(name, self._bytes(name), name)
        except Unreadable as error:
            self._set_aside(name, name, str(error))
            return
        self._add_part(name, name, picture)
        self._add_text(name, "record", f"{picture.placeholder}\n\n{caption.text}", self._medium, "", told)

    def _read_page(self, name: str, kind: str, pictures: Collection[str]) -> None:
        """Read a page; of one that belongs to another shard, only which pictures it shows."""
        options = ReaderOptions(limit=self._extractor.options.limit, pictures=True)
        rows = list(self._extractor.sandbox.read(kind, self._bytes(name), options, None))
        mine = self._extractor.works.includes_work(name)
        for row in rows:
            if isinstance(row, BrokenRecord):
                self._set_aside(name, f"{name}#{row.name}", row.reason)
                continue
            if not isinstance(row, Record):
                continue
            shown = {address: self._resolve(name, address, pictures) for address in MARK.findall(row.text)}
            self._shown |= {path for path in shown.values() if path}
            if mine:
                self._add_page(name, kind, row, {address: self._place(name, address, path) for address, path in shown.items()})
            elif self._extractor.works.includes_place(name):  # a page that the recipe excludes, with its pictures
                for path in filter(None, shown.values()):
                    self._add_part(name, path)

    def _read_book(self, name: str, kind: str) -> None:
        """Read a book of the shard, with the pictures that it holds."""
        if not self._extractor.works.includes_work(name):
            return
        options = ReaderOptions(limit=self._extractor.options.limit, pictures=True)
        rows = list(self._extractor.sandbox.read(kind, self._bytes(name), options, None))
        held = {str(number): row for number, row in enumerate(row for row in rows if isinstance(row, EmbeddedFile))}
        for row in rows:
            if isinstance(row, BrokenRecord):
                self._set_aside(name, f"{name}#{row.name}", row.reason)
            elif isinstance(row, Record):
                self._add_page(name, kind, row, {number: self._place_held(name, file) for number, file in held.items()})

    def _add_page(self, name: str, kind: str, page: Record, placed: Mapping[str, str]) -> None:
        """Add a page or a book, with what is `placed` for each mark. One that has nothing else is Unreadable."""
        text = MARK.sub(lambda mark: placed.get(mark[1], mark[0]), page.text)
        if not text.strip():
            raise Unreadable("no text: it holds pictures alone, and none of them can be read")
        self._add_text(name, "file", text, kind, page.title)

    def _place_held(self, book: str, file: EmbeddedFile) -> str:
        """Return what stands for a picture that a book holds: its placeholder, or nothing where it can't be read."""
        place = f"{book}#{file.name}"
        try:
            picture, _ = self._decode(book, file.content, place)
        except Unreadable as error:
            self._set_aside(book, place, str(error))
            return ""
        self._add_part(book, place, picture)
        return picture.placeholder

    def _place(self, page: str, address: str, path: str) -> str:
        """Return what stands for a picture in a page: its placeholder, or nothing where there is none."""
        if not path:
            reason = "a picture elsewhere: pictures are read below the source's paths alone"
            self._set_aside(page, f"{page}#{address[:200]}", reason)
            return ""
        try:
            picture, _ = self._decode(page, self._bytes(path), f"{page}#{path}")
        except Unreadable as error:
            self._set_aside(page, path, str(error))
            return ""
        self._add_part(page, path, picture)
        return picture.placeholder

    def _resolve(self, page: str, address: str, pictures: Collection[str]) -> str:
        """Return the name of the picture at an address; "" if it is not one of the source's."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return ""
        if parts.scheme or parts.netloc:
            return ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
        return path if path in pictures else ""

    def _read_caption(self, name: str, pictures: Collection[str]) -> None:
        """Read a text file as the caption of the pictures that share its name."""
        stem = str(PurePosixPath(name).with_suffix(""))
        named = [path for path in sorted(pictures) if str(PurePosixPath(path).with_suffix("")) == stem]
        if not named:
            raise Unreadable(f"no {self._medium}: it is no caption, since no {self._medium} has its name")
        for row in READERS["txt"](io.BytesIO(self._bytes(name)), self._extractor.options, lambda _: True):
            for path in named if isinstance(row, Record) else ():
                self._captions[path].append(Caption(row.text.strip(), name, name))  # type: ignore[union-attr]
            if isinstance(row, BrokenRecord):
                self._set_aside(name, f"{name}#{row.name}", row.reason)

    def _read_table(self, name: str, kind: str, pictures: Collection[str]) -> None:
        """Read a table of captions. Rows of a Parquet table may hold the pictures, each of which is a document of its own."""
        if kind == "parquet":
            with self._opened(name) as stream:
                self._read_rows(name, stream, pictures)
            return
        count = 0
        for row in READERS[kind](io.BytesIO(self._bytes(name)), self._extractor.options, lambda _: True):
            place = f"{name}#{row.name}"
            if isinstance(row, BrokenRecord):
                self._set_aside(place, place, row.reason)
            elif isinstance(row, Record):
                count += self._add_caption(name, place, row.name, row.text, pictures)
        if not count:
            raise Unreadable(f"no captions: none of its rows names a {self._medium} by {self._source.path_field}")

    def _read_rows(self, name: str, stream: IO[bytes], pictures: Collection[str]) -> None:
        """Read the rows of a Parquet table: those that hold a file, if they are the shard's, and the captions of those that name one."""
        works = self._extractor.works
        for row in read_part_rows(stream, self._extractor.options, lambda number: works.includes_place(f"{name}#{number}")):
            place = f"{name}#{row.name}"
            if row.fault:
                self._set_aside(place, place, row.fault)
            elif row.content is None:
                self._add_caption(name, place, row.path, row.caption, pictures)
            else:
                self._add_part(place, name)
                if works.includes_work(place):
                    self._add_held(place, row.content, row.caption)

    def _add_held(self, place: str, content: bytes, caption: str) -> None:
        """Add the picture that a row of a table holds, and what is said of it."""
        try:
            picture, told = self._decode(place, content, place)
        except Unreadable as error:
            self._set_aside(place, place, str(error))
            return
        self._add_part(place, place, picture)
        self._add_text(place, "record", f"{picture.placeholder}\n\n{caption}", self._medium, "", told)

    def _add_caption(self, table: str, place: str, named: str, caption: str, pictures: Collection[str]) -> bool:
        """Note what a row of a table says of the picture that it names; return whether that is there."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(table), named))
        if path not in pictures:
            self._set_aside(place, place, f"no such {self._medium}: the table names it, and no file of this name is there")
            return False
        self._captions[path].append(Caption(caption.strip(), table, place))
        return True

    def _bytes(self, name: str) -> bytes:
        """Return a file's bytes. Raise SourceError if they have changed, and Unreadable."""
        limit = self._extractor.options.limit
        with self._opened(name) as stream:
            if (size := stream.seek(0, 2)) > limit:
                raise Unreadable(f"too large: {size} bytes, the limit is {limit}")
            stream.seek(0)
            return stream.read()

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file. Raise SourceError if it proves to have changed when it has been read, and Unreadable."""
        expected = self._states.get(name)
        try:
            stream = self._files[name].open("rb")
        except OSError as error:
            if expected is not None and not expected.startswith(UNREADABLE):
                raise changed(observed_name(self._source.label, name)) from error
            raise Unreadable(f"{UNREADABLE}: {error.strerror}") from error
        with stream:
            try:
                yield stream
            finally:  # what a file that has changed makes of itself may look like damage
                stream.seek(0)
                if expected is not None and expected != hashlib.file_digest(stream, "sha256").hexdigest():
                    raise changed(observed_name(self._source.label, name))

    def _decode(self, work: str, content: bytes, place: str) -> tuple[Picture, str]:
        """Return the picture or sound in a file's bytes, and what form that had; what it holds besides is set aside at `place`.

        Raise Unreadable for one that is broken."""
        rows = list(self._extractor.sandbox.read(self._medium, content, self._extractor.options, None))
        for row in rows:
            if isinstance(row, BrokenRecord):
                self._set_aside(work, f"{place}#{row.name}", row.reason)
        return next((picture_of(row), row.encoding) for row in rows if isinstance(row, Record))

    def _add_text(self, work: str, kind: str, text: str, form: str, title: str, told: str = "") -> None:
        self._extractor.contents.add(SourceText(self._source.label, work, work, kind, text, form, told, title=title))

    def _add_part(self, work: str, path: str, picture: Picture | None = None) -> None:
        label = self._source.label
        self._parts.add(Part(document_id(label, work), label, path, picture))

    def _set_aside(self, work: str, path: str, reason: str) -> None:
        """Record a fault, in the shard of the work that has it."""
        if self._extractor.works.includes_work(work):
            self._extractor.contents.quarantine(Fault(self._source.label, work, path, reason))


def read_collection(source: CaptionedSource, works: WorkGrouping, store: DocumentStore, parts: PartStore) -> None:
    """Read pictures or sounds that need no files: a document each, the picture and what is said of it."""
    made = _digits() if source.collection == "digits" else _drawn(source) if isinstance(source, PicturesSource) else _said(source)
    for number, (picture, caption, title) in enumerate(made):
        work = f"{number:04}"
        if works.includes_work(work):
            parts.add(Part(document_id(source.label, work), source.label, work, picture))
            text = f"{picture.placeholder}\n\n{caption}"
            store.add(SourceText(source.label, work, work, "record", text, source.MEDIUM, title=f"{title} {work}"))


def _digits() -> Iterator[tuple[Picture, str, str]]:
    """Yield scikit-learn's handwritten digits, 8 x 8 pixels of gray, each with its name as caption."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for image, target in zip(found.images, found.target, strict=True):
        yield Picture("L", 8, 8, (image * (255 / DARKEST)).round().astype("uint8").tobytes()), DIGITS[int(target)], "Digit"


def _said(source: CaptionedSource) -> Iterator[tuple[Picture, str, str]]:
    from data.universe.speech import speeches  # as _drawn says

    assert isinstance(source, SoundsSource)
    for samples, sentence in speeches(source.seed, source.sentences):
        yield Picture(SOUND, len(samples) // 2, 1, samples), sentence, "Sentence"


def _drawn(source: PicturesSource) -> Iterator[tuple[Picture, str, str]]:
    from data.universe.pictures import illustrations, walks  # else every corpus would count its letters as code that made it

    for picture, scene in (illustrations if source.collection == "universe" else walks)(source.seed, source.scenes):
        yield picture, scene.caption, "Scene" if source.collection == "universe" else "Walk"
