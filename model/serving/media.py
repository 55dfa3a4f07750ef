"""Pictures and recordings in messages: from a file in base64 to the tokens of a model that reads it.

The server fetches nothing, so a file comes in the request itself. Its size is compared with the limits before it is decoded, and it is
decoded by what the server is given for that, a process that parsers may crash. A picture is kept as small as the model sees it, and a sound
as its samples, so that a conversation, which brings its files again with every question, decodes each once.

One thread opens the files of a model's requests, so that those with many of them don't hold those of text.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from starlette.requests import Request as HttpRequest

from data.shards.pictures import Picture, PictureGrid, scaled
from data.shards.sounds import SoundGrid
from model.serving.messages import ChatMessage, MediaPart, PicturePart, TextPart
from model.serving.replying import while_heard
from model.serving.schema import ChatRequest
from model.serving.served import ApiError, ServeLimits, busy

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork


class Decode(Protocol):
    """Returns the picture or the sound in a file, for a model that reads those of this grid.

    Raises ValueError for what is none, or one that the model has no room for, and RuntimeError if it can't decode now.
    """

    def __call__(self, content: bytes, reads: PictureGrid | SoundGrid) -> Picture: ...


MediaTokens = Mapping[str, list[int]]  # by the names of pictures and sounds
MEDIA = ("pictures", "sounds")  # the abilities of models that read them
KEPT_BYTES = 64 << 20  # of pictures as small as a model sees them, and of samples
CODES = {"pictures": "image", "sounds": "audio"}  # in the codes of errors
WHERE = "send the picture itself, as data:image/png;base64,..."


class MediaDesk:
    """Opens the pictures or recordings of one model's requests. `padding`: the token that rows have where a patch is."""

    def __init__(self, network: DecodingNetwork, padding: int, decode: Decode, limits: ServeLimits, name: str) -> None:
        reads = network.config.patches
        if reads is None:
            raise ValueError(f"{name} reads no pictures and no sounds: its network has no input of kind pictures or sounds")
        self._network, self._padding, self._decode, self._name = network, padding, decode, name
        self._grid, self._medium, self._limits = reads.grid, reads.MEDIUM, limits
        self._kept, self._kept_bytes = OrderedDict[bytes, Picture](), 0
        self._thread, self._queued = ThreadPoolExecutor(1, thread_name_prefix=f"media-{name}"), 0

    async def open(self, asked: ChatRequest, http: HttpRequest) -> tuple[ChatRequest, MediaTokens]:
        """Return a request whose files are names in its text, and their tokens. Raise ApiError for one that can't be opened."""
        refuse_media(asked, f"{self._name} reads {self._medium}, and no {{medium}}", but=self._medium)
        media = [part for message in asked.messages for part in message.media]
        if len(media) > (most := self._limits.of(self._medium)[0]):
            said = f"messages hold more than {most} {media[0].NOUN}s; leave out those of earlier messages"
            raise ApiError(400, said, param="messages", code=f"too_many_{media[0].NOUN}s")
        if self._queued > self._limits.waiting:
            raise busy(f"{self._queued} requests with {media[0].NOUN}s wait already; try again later")
        self._queued += 1
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._opened, asked)
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                found: tuple[ChatRequest, MediaTokens] = await while_heard(opening, http)
                return found
        except TimeoutError:
            said = f"the {media[0].NOUN}s were not opened within {self._limits.queue_seconds:g} seconds; try again later"
            raise ApiError(503, said) from None
        finally:
            self._queued -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _opened(self, asked: ChatRequest) -> tuple[ChatRequest, MediaTokens]:
        shown: dict[str, list[int]] = {}
        messages = [self._in_words(message, f"messages.{number}", shown) for number, message in enumerate(asked.messages)]
        return asked.model_copy(update={"messages": messages}), shown

    def _in_words(self, message: ChatMessage, param: str, shown: dict[str, list[int]]) -> ChatMessage:
        """Return a message whose files are names, each on a line of its own as in the examples that models are tuned on."""
        if not message.media:
            return message
        text, before = "", False
        for place, part in enumerate(message.content or ()):
            here = isinstance(part, MediaPart)
            if isinstance(part, MediaPart):
                found = self._open(part, f"{param}.content.{place}.{part.PLACE}")
                shown[found.name] = self._network.see(found, self._padding)
                words = found.placeholder
            else:
                words = part.text if isinstance(part, TextPart) else part
            if not words:
                continue
            if text and (here or before) and not text.endswith("\n") and not words.startswith("\n"):
                text += "\n"
            text, before = text + words, here
        return message.model_copy(update={"content": text})

    def _open(self, part: MediaPart, param: str) -> Picture:
        """Return a picture as small as the model sees it, or a sound."""
        try:
            content = file_of(part, self._limits.of(self._medium)[1])
            name = hashlib.sha256(content).digest()
            found = self._kept.pop(name, None)
            if found is not None:
                self._kept_bytes -= len(found.pixels)
            else:
                found = self._decode(content, self._grid)
                found = scaled(found, self._grid) if isinstance(self._grid, PictureGrid) else found
        except ValueError as error:
            raise ApiError(400, f"{param}: {error}", param=param, code=f"invalid_{CODES[part.MEDIUM]}") from None
        except RuntimeError:
            raise ApiError(503, f"{param}: the process that decodes {part.NOUN}s was killed; try again", param=param) from None
        self._kept[name] = found
        self._kept_bytes += len(found.pixels)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1].pixels)
        return found


def file_of(part: MediaPart, most: int) -> bytes:
    """Return the file in a part. Raise ValueError for an address that is no data: URL, for another type, and for more than `most` bytes."""
    told, body = _picture_body(part.given) if isinstance(part, PicturePart) else ("data", part.given)
    size = len(body) * 3 // 4 - body[-2:].count("=")
    if size > most:
        raise ValueError(f"the {part.NOUN} has {size} bytes, and this server takes {most}; send a smaller one")
    try:
        content = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{told} is no base64: {error}") from None
    if not content:
        raise ValueError(f"the {part.NOUN} is empty")
    return content


def _picture_body(url: str) -> tuple[str, str]:
    """Return what the file in a data: URL is called in errors, and the file in base64. Raise ValueError for any other address, or type."""
    scheme, colon, rest = url[:5].partition(":")
    if scheme.lower() != "data" or not colon or rest:
        raise ValueError(f"{url[:80]!r} is no data: URL, and this server fetches nothing; {WHERE}")
    head, comma, body = url[5:].partition(",")
    kind, *settings = head[:200].split(";")
    if not comma or not settings or settings[-1].strip().lower() != "base64":
        raise ValueError(f"{url[:40]!r} is not in base64; {WHERE}")
    if not kind.strip().lower().startswith("image/"):
        raise ValueError(f"{kind[:80]!r} is the type of no picture; {WHERE}")
    return f"what follows {url[:40]!r}", body


def require_few_words(asked: ChatRequest, size: int, limits: ServeLimits) -> None:
    """Raise ApiError if a request of `size` bytes is longer than one without files may be, its files left out."""
    size -= sum(len(part.given) for message in asked.messages for part in message.media)
    if size > limits.body_bytes:
        raise ApiError(413, f"the request is larger than {limits.body_bytes} bytes, its pictures and recordings left out")


def refuse_media(asked: ChatRequest, why: str, but: str = "") -> None:
    """Raise ApiError for a request with a file of another medium than `but`.

    why: a clause that says why none is read, with {medium} where it names the medium.
    """
    for part in (part for message in asked.messages for part in message.media if but != part.MEDIUM):
        said = f"a part of type {part.type}: {why.replace('{medium}', part.MEDIUM)}; leave it out"
        raise ApiError(400, said, param="messages", code=f"unsupported_{CODES[part.MEDIUM]}")
