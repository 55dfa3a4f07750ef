"""Pictures and sounds among words: how a text names one, the table that keeps them, and the patches that rows and models have of them.

Where a picture stands, the text has a placeholder, `[picture:NAME]`; where a sound stands, `[sound:NAME]`. The name follows from the pixels
alone, so equal pictures have one name wherever they come from, and stages that compare words compare pictures too. It is of consonants:
rules for misread words, page numbers and personal data see nothing of theirs in it. A text that has such words of its own, of a
picture that no table knows, keeps them as words. The table also keeps a fingerprint, which what is nearly equal has nearly equal.

Pixels are kept as they are shown, without a file's format or its EXIF. A sound is kept as a picture of one row, of mode `S16`: its samples
at 16 kHz, and its patches are log-mel frames (`data.shards.sounds`). Memory: `read_pictures` holds all that it reads.

As input a picture is scaled to one size, whatever its proportions, and cut into square patches, row by row. The vector of a patch has its
pixels row by row, the channels of each together, from -1 for black to 1: the patches of a Vision Transformer (Dosovitskiy et al. 2021),
which Fuyu reads among tokens. In a row each patch is a token that stands for nothing else, with its vector in `patches` and its place in
the picture, from 1, in `patch_places`; all other tokens have zeros in both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from data.shards.sounds import WINDOW, SoundGrid, log_mel, sound_patches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LETTERS = "bcdfghjklmnpqrst"  # a letter for each half of a byte
NAME_BYTES = 8
PARTS = "parts.parquet"
"""The parts of a shard's documents, of an example's conversations, or of anything else that has texts with placeholders."""
PLACEHOLDER = re.compile(rf"\[(?:picture|sound):([{LETTERS}]{{{2 * NAME_BYTES}}})\]")
SOUND = "S16"  # the mode of a sound: samples of 16 bits, at 16 kHz, of one channel
CHANNELS = {"L": 1, "RGB": 3}  # gray, or red, green and blue: a byte each, row by row
TEXTS = ("id", "source", "path", "picture", "mode")
FINGERPRINT_BITS = 256
FAINTEST = 32  # bits that a fingerprint must have set; fewer tell nothing, as those of a blank page
STEP = 4  # of 255: a smaller difference between neighbours is noise
SHOWN_FRAMES = 4  # of a moving picture, side by side
VOICED = 28  # of 40 mel bands: up to 3.4 kHz, which survives a telephone's rate
LOUDNESS = 1.5  # that 255 shades stand for, in units of log-mel frames: 60 dB
GROUP_BYTES = 1 << 24  # of pixels in a row group
PATCHES, PLACES = "patches", "patch_places"  # the columns of rows


class Picture(NamedTuple):
    """A picture's pixels, or a sound's samples. `mode`: L or RGB, as Pillow has them, or S16 for a sound, whose width is its samples.

    `frames`: of a moving picture, all of one size, one after another."""

    mode: str
    width: int
    height: int
    pixels: bytes
    frames: int = 1

    @property
    def name(self) -> str:
        """Its name, which equal pictures share."""
        moving = f" {self.frames}" if self.frames > 1 else ""
        digest = hashlib.sha256(f"{self.mode} {self.width} {self.height}{moving}\n".encode() + self.pixels).digest()[:NAME_BYTES]
        return "".join(LETTERS[byte >> 4] + LETTERS[byte & 15] for byte in digest)

    @property
    def placeholder(self) -> str:
        """The placeholder of a picture in a text."""
        return placeholder(self.name, sound=self.mode == SOUND)

    @property
    def stills(self) -> list[bytes]:
        """The pixels of each frame."""
        size = len(self.pixels) // self.frames
        return [self.pixels[at : at + size] for at in range(0, len(self.pixels), size)]


class Part(NamedTuple):
    """A file that a document is made of: the document's id and source, the file's path, and its picture; None: words, as a caption."""

    id: str
    source: str
    path: str
    picture: Picture | None = None


def placeholder(name: str, *, sound: bool = False) -> str:
    """Return what stands for the picture, or the sound, of this name."""
    return f"[{'sound' if sound else 'picture'}:{name}]"


def is_sound(mark: str) -> bool:
    """Return whether a placeholder stands for a sound."""
    return mark.startswith("[sound:")


def named_pictures(text: str) -> list[str]:
    """Return the names of the pictures in a text, in order."""
    return PLACEHOLDER.findall(text)


def without_pictures(text: str) -> str:
    """Return the words of a text alone."""
    return PLACEHOLDER.sub("", text)


def divide(text: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a text in order, each as (words, "") or ("", the name of a picture that is known)."""
    at = 0
    for found in PLACEHOLDER.finditer(text):
        if found[1] in known:
            if found.start() > at:
                yield text[at : found.start()], ""
            yield "", found[1]
            at = found.end()
    if at < len(text):
        yield text[at:], ""


def write_parts(path: Path, parts: Iterable[Part]) -> int:
    """Write a row for each part, in the order given; return the number of different pictures. Memory: some megabytes of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, pa.DataType] = dict.fromkeys(TEXTS, pa.string())
    numbers: dict[str, pa.DataType] = {"width": pa.int64(), "height": pa.int64(), "pixels": pa.binary(), "frames": pa.int64()}
    schema = pa.schema(kinds | numbers | {"fingerprint": pa.binary()})
    names, group, size = set[str](), list[dict[str, Any]](), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            picture = part.picture or Picture("", 0, 0, b"")
            name = part.picture.name if part.picture else ""
            names |= {name} - {""}
            told = {"id": part.id, "source": part.source, "path": part.path, "picture": name}
            group.append({**told, **picture._asdict(), "fingerprint": fingerprint(picture) if part.picture else None})
            size += len(picture.pixels) + len(part.path)
            if size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                group, size = [], 0
        writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return len(names)


def read_parts(paths: Sequence[Path], ids: Collection[str] | None = None) -> Iterator[Part]:
    """Yield the parts in these files, a few at a time; `ids`: of these documents alone. A file that is not there has none."""
    import pyarrow.parquet as pq

    for path in (path for path in paths if path.is_file()):
        for batch in pq.ParquetFile(path).iter_batches(8):
            for row in batch.to_pylist():
                if ids is None or row["id"] in ids:
                    picture = Picture(*(row[field] for field in Picture._fields)) if row["picture"] else None
                    yield Part(row["id"], row["source"], row["path"], picture)


def read_pictures(paths: Sequence[Path], names: Collection[str]) -> dict[str, Picture]:
    """Return those of the named pictures that are in these files, by name and in order of name."""
    pictures = (part.picture for part in read_parts(paths) if part.picture is not None)
    return dict(sorted((picture.name, picture) for picture in pictures if picture.name in names))


def fingerprint(picture: Picture) -> bytes | None:
    """Return 256 bits that copies of a picture, or of a sound, share but for a few; None for what is too plain to tell.

    A bit says whether one field of a coarse grid is clearly lighter than its neighbour: 8 x 16 fields beside each other, 16 x 8 below each
    other (a difference hash; Krawetz 2013). It outlives other sizes, formats and colours, not a crop, a mirror or few colours that are
    dithered. Up to four frames of a moving picture are looked at side by side. A sound's is that of its log-mel frames as a picture, from
    where it begins to where it ends, whatever its loudness and its rate.
    """
    import numpy as np
    from PIL import Image

    if picture.mode == SOUND:
        if (drawn := _spectrogram(picture.pixels)) is None:
            return None
    else:
        chosen = picture.stills[:: -(-picture.frames // SHOWN_FRAMES)]
        size = (picture.width, picture.height)
        drawn = np.concatenate([np.asarray(Image.frombytes(picture.mode, size, still).convert("L")) for still in chosen], axis=1)
    found = []
    for axis, fields in ((1, (17, 8)), (0, (8, 17))):
        shades = np.asarray(Image.fromarray(drawn).resize(fields, Image.Resampling.BOX)).astype(np.int16)
        found.append((np.diff(shades, axis=axis) > STEP).ravel())
    bits = np.concatenate(found)
    return np.packbits(bits).tobytes() if bits.sum() >= FAINTEST else None


def _spectrogram(samples: bytes) -> NDArray[np.uint8] | None:
    """Return a sound's frames as shades, [bands, frames], without the quiet before and behind it; None for one too short to have any."""
    import numpy as np

    values: NDArray[np.float32] = np.frombuffer(samples, "<i2").astype(np.float32) / np.float32(32_768)
    if len(values) < WINDOW or not values.any():
        return None
    frames = log_mel(values, 40)[:, :VOICED]
    (heard,) = np.nonzero(frames.max(axis=1) > frames.max() - LOUDNESS / 2)
    frames = frames[heard[0] : heard[-1] + 1]
    shades = np.clip((frames - frames.max() + LOUDNESS) * (255 / LOUDNESS), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(shades.T)


class PictureGrid(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The size that pictures are scaled to, and the patches that they are cut into."""

    height: int = Field(ge=1, le=4096, description="height that every picture is scaled to; pixels")
    width: int = Field(ge=1, le=4096, description="width that every picture is scaled to; pixels")
    patch: int = Field(ge=1, le=256, description="side of a square patch, each of which takes the place of a token; pixels")
    colours: Literal["gray", "rgb"] = Field("gray", description="gray: one number a pixel; rgb: three, red, green and blue")
    frames: int = Field(
        1,
        ge=1,
        le=256,
        description="frames that every picture is brought to, evenly spaced from its first to its last, whatever time each is shown for; a "
        "still picture repeats; count",
    )

    @property
    def across(self) -> int:
        """Patches side by side."""
        return self.width // self.patch

    @property
    def patches(self) -> int:
        """Patches of a picture, of all frames."""
        return self.frames * (self.height // self.patch) * self.across

    @property
    def patch_size(self) -> int:
        """Numbers in the vector of a patch."""
        return self.patch**2 * (3 if self.colours == "rgb" else 1)

    @property
    def grid(self) -> PictureGrid:
        """The same, without what else a section of this form has."""
        return PictureGrid(**{name: getattr(self, name) for name in PictureGrid.model_fields})

    @model_validator(mode="after")
    def _patches_fill_it(self) -> Self:
        for name in ("height", "width"):
            if getattr(self, name) % self.patch:
                raise ValueError(f"{name}={getattr(self, name)} is no multiple of patch={self.patch}; whole patches must fill the picture")
        return self


def scaled(picture: Picture, grid: PictureGrid) -> Picture:
    """Return a picture in the size, colours and frames of a grid; its patches are the same."""
    from PIL import Image

    mode, size = "L" if grid.colours == "gray" else "RGB", (grid.width, grid.height)
    stills, last = picture.stills, max(1, grid.frames - 1)
    chosen = [stills[number * (picture.frames - 1) // last] for number in range(grid.frames)]
    made: dict[bytes, bytes] = {}
    for still in chosen:
        if still not in made:
            image = Image.frombytes(picture.mode, (picture.width, picture.height), still).convert(mode)
            made[still] = (image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)).tobytes()
    return Picture(mode, *size, b"".join(made[still] for still in chosen), grid.frames)


def cut_patches(picture: Picture, grid: PictureGrid | SoundGrid) -> NDArray[np.float16]:
    """Return the vectors of a picture's patches, frame by frame and row by row, or of a sound's in time, float16 [patches, numbers].

    Raise ValueError for a sound where pictures are read, a picture where sounds are, and a sound that is too long."""
    import numpy as np

    if (picture.mode == SOUND) != isinstance(grid, SoundGrid):
        here, there = ("sound", "pictures") if picture.mode == SOUND else ("picture", "sounds")
        raise ValueError(f"a {here} where {there} are read: give it to a model whose input is of kind {here}s")
    if isinstance(grid, SoundGrid):
        return sound_patches(picture.pixels, grid)

    pixels = np.frombuffer(scaled(picture, grid).pixels, dtype=np.uint8).astype(np.float32)
    values = pixels.reshape(grid.frames, grid.height // grid.patch, grid.patch, grid.across, grid.patch, -1)
    return (values.swapaxes(2, 3).reshape(grid.patches, grid.patch_size) / 127.5 - 1).astype(np.float16)
