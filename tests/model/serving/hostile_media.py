"""Pictures and recordings that somebody might send, as the parts of messages that hold them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from data.shards.sounds import RATE


def part(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def sent(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    """A file, as OpenAI's client sends it."""
    return part(f"data:{kind};base64,{base64.b64encode(content).decode()}")


def picture_file(form: str = "PNG", mode: str = "L", size: tuple[int, int] = (6, 4), **keys: Any) -> bytes:
    """A picture whose upper left quarter is dark, as a file."""
    light: dict[str, int | tuple[int, ...]] = {"1": 1, "CMYK": (0, 0, 0, 0), "RGB": (255, 255, 255), "P": 1}
    image = Image.new(mode, size, light.get(mode, 255))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.paste({"CMYK": (0, 0, 0, 255), "RGB": (0, 0, 0)}.get(mode, 0), (0, 0, size[0] // 2, size[1] // 2))
    out = io.BytesIO()
    image.save(out, form, **keys)
    return out.getvalue()


def png(width: int, height: int, pixels: bytes, depth: int = 8) -> bytes:
    """A PNG of any claims, with a correct checksum for each chunk."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def moving(form: str, frames: int) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.new("L", (6, 4), 10 * number) for number in range(frames)]
    first.save(out, form, save_all=True, append_images=others)
    return out.getvalue()


def turned() -> bytes:
    """The upright picture, stored on its side, with the note that says how it is to be turned."""
    upright = Image.open(io.BytesIO(picture_file()))
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(out, "PNG", exif=exif)
    return out.getvalue()


GOOD = picture_file()
SAME: dict[str, dict[str, Any]] = {  # forms of one picture
    "a PNG": sent(GOOD),
    "a GIF": sent(picture_file("GIF"), "image/gif"),
    "a BMP": sent(picture_file("BMP"), "image/bmp"),
    "a TIFF in CMYK": sent(picture_file("TIFF", "CMYK"), "image/tiff"),
    "a palette": sent(picture_file("PNG", "P")),
    "one bit a pixel": sent(picture_file("PNG", "1")),
    "a WEBP without loss": sent(picture_file("WEBP", "RGB", lossless=True), "image/webp"),
    "turned by its EXIF": sent(turned()),
    "type in capitals": part(f"DATA:IMAGE/PNG;BASE64,{base64.b64encode(GOOD).decode()}"),
    "type of another format": sent(GOOD, "image/jpeg"),
}
# what is sent -> what the answer says
HOSTILE: dict[str, tuple[Any, str]] = {
    "a bomb of 10 billion pixels": (sent(png(100_000, 100_000, b"\0")), "too large: 100000 x 100000 pixels"),
    "a bomb within its claims": (sent(png(5_000, 5_000, bytes(5_001 * 5_000))), "too large: 5000 x 5000 pixels"),
    "a TIFF that claims to be large": (
        sent(picture_file("TIFF", size=(5_000, 5_000), compression="tiff_deflate")),
        "too large: 5000 x 5000",
    ),
    "no height": (sent(png(6, 0, b"\0")), "no picture"),
    "cut off": (sent(GOOD[:-30]), "damaged picture"),
    "damaged in the middle": (sent(GOOD[:45] + b"\xff\xff\xff\xff" + GOOD[49:]), "damaged picture"),
    "pixels that are missing": (sent(png(6, 4, b"\0")), "damaged picture"),
    "random bytes": (sent(bytes(range(256)) * 4), "no picture: not one of PNG"),
    "words": (sent(b"not a picture at all"), "no picture: not one of PNG"),
    "PostScript, which a program would run": (sent(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "no picture: not one of PNG"),
    "SVG": (sent(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "image/svg+xml"), "no picture: not one of PNG"),
    "a PDF": (sent(b"%PDF-1.7\n", "application/pdf"), "'application/pdf' is the type of no picture"),
    "a page": (sent(b"<html>", "text/html"), "'text/html' is the type of no picture"),
    "no type": (part("data:;base64,AAAA"), "'' is the type of no picture"),
    "an empty file": (sent(b""), "the picture is empty"),
    "a huge file": (sent(GOOD + bytes(70_000)), "this server takes 65536"),
    "base64 with a stranger in it": (part("data:image/png;base64,iVBO Rw0*"), "is no base64"),
    "base64 that is cut off": (part("data:image/png;base64,iVBOR"), "is no base64"),
    "base64 of other letters": (part("data:image/png;base64,Кошка"), "is no base64"),
    "percent signs": (part("data:image/png,%89PNG"), "is not in base64"),
    "no comma": (part("data:image/png;base64"), "is not in base64"),
    "an address": (part("http://127.0.0.1:1/cat.png"), "is no data: URL, and this server fetches nothing"),
    "an address of files": (part("file:///etc/passwd"), "is no data: URL, and this server fetches nothing"),
    "an address of the cloud": (part("https://169.254.169.254/latest/meta-data"), "is no data: URL, and this server fetches nothing"),
    "a path": (part("/etc/passwd"), "is no data: URL, and this server fetches nothing"),
    "a number": (part(7), "image_url.url: Input should be a valid string"),
    "bare base64": (part(base64.b64encode(GOOD).decode()), "is no data: URL, and this server fetches nothing"),
    "a moving GIF": (sent(moving("GIF", 3), "image/gif"), "more than one picture: not read: frames after the first, 2 frames"),
    "a TIFF of pages": (sent(moving("TIFF", 3), "image/tiff"), "more than one picture: not read: frames after the first, 2 frames"),
    "shades below none": (sent(picture_file("TIFF", "F")[:-4] + struct.pack("<f", -9.0), "image/tiff"), "values that are no shades"),
    "a size of the model's choice": (part("data:image/png;base64,AAAA", detail="high"), "image_url.detail: Input should be 'auto'"),
    "a part without its picture": ({"type": "image_url"}, "image_url: Field required"),
    "a file": ({"type": "file", "file": {}}, "a part of type file: this server takes text, image_url and input_audio alone"),
    "an unknown part": ({"type": "smell"}, "'smell'"),
}


def played(content: bytes, form: str = "wav") -> dict[str, Any]:
    """A recording, as OpenAI's client sends it."""
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": form}}


def tone(seconds: float = 0.2, form: str = "WAV", rate: int = RATE, subtype: str | None = None, loudness: float = 0.5) -> bytes:
    """A tone that rises, as a file."""
    wave = loudness * np.sin(400 * np.pi * (1 + np.arange(int(seconds * rate)) / rate) ** 2)
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=form, subtype=subtype)
    return out.getvalue()


def claims(content: bytes, at: int, value: int) -> bytes:
    """A WAV file with another number of four bytes in its header."""
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


TONE = tone()
SAME_TONES: dict[str, dict[str, Any]] = {  # forms of one recording
    "a WAV": played(TONE),
    "a FLAC": played(tone(form="FLAC"), "flac"),
    "WAV with extensions": played(tone(form="WAVEX")),
    "format of another": played(tone(form="FLAC"), "ogg"),
}
HOSTILE_TONES: dict[str, tuple[Any, str]] = {
    "too long": (played(tone(0.5)), "too long: 0.50 seconds, the limit is 0.32"),
    "a bomb": (played(tone(30.0, "FLAC", loudness=0), "flac"), "too long: 30.00 seconds, the limit is 0.32"),
    "a FLAC that claims days": (played(tone(form="FLAC")[:22] + b"\xff" * 4 + tone(form="FLAC")[26:], "flac"), "too long: 268435"),
    "cut off": (played(TONE[:-30]), "damaged sound: it ends 30 bytes before its samples do"),
    "no samples": (played(tone(0.0)), "no sound: it has no samples"),
    "a rate of nobody": (played(claims(TONE, 24, 7)), "odd sound: 1 channels at 7 Hz"),
    "samples that are no numbers": (played(tone(subtype="FLOAT")[:-4] + struct.pack("<f", float("nan"))), "samples that are no numbers"),
    "random bytes": (played(bytes(range(256)) * 4), "no sound, or a damaged one"),
    "words": (played(b"not a recording at all"), "no sound, or a damaged one"),
    "a picture": (played(GOOD), "no sound, or a damaged one"),
    "AIFF": (played(tone(form="AIFF")), "no sound: a file of form AIFF, and WAV, FLAC and OGG are read"),
    "MP3 by name": ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, "Input should be 'wav', 'flac' or 'ogg'"),
    "no format": ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "input_audio.format: Field required"),
    "a part without its recording": ({"type": "input_audio"}, "input_audio: Field required"),
    "an address": ({"type": "input_audio", "input_audio": {"data": "http://127.0.0.1:1/x.wav", "format": "wav"}}, "data is no base64"),
    "base64 that is cut off": ({"type": "input_audio", "input_audio": {"data": "UklGR", "format": "wav"}}, "data is no base64"),
    "an empty file": (played(b""), "the recording is empty"),
    "a huge file": (played(TONE + bytes(70_000)), "the recording has 76444 bytes, and this server takes 65536"),
    "a picture that is sent as one": (sent(GOOD), "a part of type image_url: listening reads sounds, and no pictures; leave it out"),
}
