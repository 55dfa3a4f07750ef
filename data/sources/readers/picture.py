"""Pictures, to pixels as they are shown: turned as their EXIF says, and without it; transparent parts on white.

A file says its size before its pixels, so one that would be too large is refused unread. What a file holds besides its first frame is told.
Pillow parses the bytes, in the process that parsers have. The record's text is the pixels in base64, its title their mode and size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from data.shards.pictures import Picture
from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats that Pillow parses itself or by the usual libraries; others call programs.
PARSED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
GRAY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
CLEAR = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def read_picture(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record with the first frame's pixels, and how many frames follow it."""
    from PIL import Image as pillow
    from PIL import ImageOps, UnidentifiedImageError

    pillow.MAX_IMAGE_PIXELS = None  # what follows refuses by the recipe's own limit, and at once
    try:
        opened = pillow.open(io.BytesIO(read_whole(stream, options)), formats=PARSED)
    except UnidentifiedImageError as error:
        raise Unreadable(f"no picture: not one of {', '.join(PARSED)}") from error
    width, height = opened.size
    if width * height > options.most_pixels:
        raise Unreadable(f"too large: {width} x {height} pixels, the limit is {options.most_pixels}")
    # A camera's JPEG may hold previews of the same picture behind it.
    frames, gray = 1 if opened.format == "MPO" else int(getattr(opened, "n_frames", 1)), opened.mode in GRAY
    opened.load()
    shown: Image = ImageOps.exif_transpose(opened)
    if shown.mode.startswith(("I", "F")):
        shown = _sixteen_bits(shown)
    if shown.mode in CLEAR or "transparency" in shown.info:
        shown = pillow.alpha_composite(pillow.new("RGBA", shown.size, "white"), shown.convert("RGBA"))
    plain = shown.convert("L" if gray else "RGB")
    pixels = Picture(plain.mode, *plain.size, plain.tobytes())
    yield Record(base64.b64encode(pixels.pixels).decode("ascii"), title=f"{pixels.mode} {pixels.width} {pixels.height}")
    left = LeftOut()
    left.count("frames after the first", frames - 1, unit="frames")
    yield from left.rows()


def picture_of(record: Record) -> Picture:
    """Return the picture of a record that `read_picture` yielded."""
    mode, width, height = record.title.split()
    return Picture(mode, int(width), int(height), base64.b64decode(record.text))


def _sixteen_bits(image: Image) -> Image:
    """Return a picture of more than 8 bits a pixel with the upper 8 of 16; Pillow's own conversion would cut off whatever exceeds 255."""
    import numpy as np
    from PIL.Image import fromarray

    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65_535:
        raise Unreadable("values that are no shades: below 0 or above 65,535")
    return fromarray((values.astype(np.uint32) >> 8).astype(np.uint8))
