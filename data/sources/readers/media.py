"""Pictures, to pixels as they are shown: turned as their EXIF says, and without it; transparent parts on white.

A file says its size before its pixels, so one that would be too large is refused unread. Of a moving picture as many frames are read as
are asked for; how many follow is told. Pillow parses the bytes, in the process that parsers have. The record's text is the pixels in
base64, its title their mode and size, and the number of frames.

Sounds, to samples as whisper reads them: one channel at 16 kHz, 16 bits each.

A file says its rate, channels and length before its samples, so one that would be too long is refused undecoded; a file that says less than
it holds is cut off by the same limit, and set aside. libsndfile parses the bytes, in the process that parsers have. Channels are averaged,
and other rates filtered and resampled. The record's text is the samples in base64, its title what `picture_of` reads, and its encoding says
what the file was: form, rate, channels and duration.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from math import gcd
from typing import IO, TYPE_CHECKING

from data.shards.pictures import SOUND, Picture
from data.shards.sounds import RATE
from data.sources.errors import Unreadable
from data.sources.readers.record import LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats that Pillow parses itself or by the usual libraries; others call programs.
PARSED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
GRAY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
CLEAR = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def read_picture(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record with the pixels of the frames that are read, and how many follow them."""
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
    count = 1 if opened.format == "MPO" else int(getattr(opened, "n_frames", 1))
    frames = min(count, options.most_frames)
    if width * height * frames > options.most_pixels:
        raise Unreadable(f"too large: {frames} frames of {width} x {height} pixels, the limit is {options.most_pixels}")
    shown = []
    gray = True
    for number in range(frames):
        if frames > 1:
            opened.seek(number)
        opened.load()
        gray &= opened.mode in GRAY
        shown.append(_as_shown(ImageOps.exif_transpose(opened)))
    plain = [one.convert("L" if gray else "RGB") for one in shown]
    if len({one.size for one in plain}) > 1:
        raise Unreadable(f"frames of several sizes: {', '.join(f'{w} x {h}' for w, h in sorted({one.size for one in plain})[:4])}")
    pixels = b"".join(one.tobytes() for one in plain)
    across, down = plain[0].size
    yield Record(base64.b64encode(pixels).decode("ascii"), title=f"{plain[0].mode} {across} {down} {frames}")
    left = LeftOut()
    left.count("frames after the first" if frames == 1 else f"frames after the first {frames}", count - frames, unit="frames")
    yield from left.rows()


def picture_of(record: Record) -> Picture:
    """Return the picture of a record that `read_picture` yielded."""
    mode, width, height, frames = record.title.split()
    return Picture(mode, int(width), int(height), base64.b64decode(record.text), int(frames))


def _as_shown(image: Image) -> Image:
    """Return a picture in 8 bits, its transparent parts on white."""
    from PIL import Image as pillow

    if image.mode.startswith(("I", "F")):
        image = _sixteen_bits(image)
    if image.mode in CLEAR or "transparency" in image.info:
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.copy()


def _sixteen_bits(image: Image) -> Image:
    """Return a picture of more than 8 bits a pixel with the upper 8 of 16; Pillow's own conversion would cut off whatever exceeds 255."""
    import numpy as np
    from PIL.Image import fromarray

    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65_535:
        raise Unreadable("values that are no shades: below 0 or above 65,535")
    return fromarray((values.astype(np.uint32) >> 8).astype(np.uint8))


PARSED_SOUNDS = ("WAV", "WAVEX", "FLAC", "OGG")
RATES = (4_000, 192_000)  # samples a second that people record with
MOST_CHANNELS = 8
BLOCK = 1 << 16  # samples that are decoded at a time
UNKNOWN = 0xFFFFFFFF  # bytes of samples, where a WAV file was written to a pipe


def read_sound(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record with the samples of a sound."""
    content = read_whole(stream, options)
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise Unreadable("no sound can be read: pip install -e '.[sound]'") from error
    import numpy as np

    if missing := _missing(content):
        raise Unreadable(f"damaged sound: it ends {missing} bytes before its samples do")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as opened:
            if opened.format not in PARSED_SOUNDS:
                raise Unreadable(f"no sound: a file of form {opened.format}, and WAV, FLAC and OGG are read")
            rate, channels, count = opened.samplerate, opened.channels, opened.frames
            form = f"{opened.format} {opened.subtype}"
            if not RATES[0] <= rate <= RATES[1] or not 1 <= channels <= MOST_CHANNELS:
                raise Unreadable(f"odd sound: {channels} channels at {rate} Hz; up to {MOST_CHANNELS} at {RATES[0]} to {RATES[1]} are read")
            most = int(options.most_seconds * rate)
            if count > most:
                raise Unreadable(f"too long: {count / rate:.2f} seconds, the limit is {options.most_seconds:g}")
            blocks = []
            found = 0
            while len(block := opened.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float64))
                found += len(block)
                if found > most:
                    raise Unreadable(f"too long: more than {options.most_seconds:g} seconds, the limit, though it says {count / rate:.2f}")
    except soundfile.LibsndfileError as error:
        raise Unreadable(f"no sound, or a damaged one: {error.error_string}") from error
    if found != count:
        raise Unreadable(f"damaged sound: {found} samples of {count}")
    if not found:
        raise Unreadable("no sound: it has no samples")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise Unreadable("damaged sound: samples that are no numbers")
    if rate != RATE:
        from scipy.signal import resample_poly

        shared = gcd(rate, RATE)
        samples = resample_poly(samples, RATE // shared, rate // shared)
    whole = np.clip(np.round(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    told = f"{form}, {rate} Hz, {channels} channel{'s'[: channels != 1]}, {count / rate:.3f} s"
    yield Record(base64.b64encode(whole).decode("ascii"), title=f"{SOUND} {len(whole) // 2} 1 1", encoding=told)


def _missing(content: bytes) -> int:
    """Return how many bytes of samples a WAV file lacks of those that it says it has, which libsndfile passes over."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            return 0 if size == UNKNOWN else max(0, at + 8 + size - len(content))
        at += 8 + size + size % 2  # chunks begin at even places
    return 0
