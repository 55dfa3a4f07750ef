"""Pictures in messages: from a data: URL to the tokens of a model that reads pictures.

The server fetches nothing, so a picture comes in the request itself. Its size is compared with the limits before it is decoded, and it is
decoded by what the server is given for that, a process that parsers may crash. A picture is kept as small as the model sees it, so that a
conversation, which brings its pictures again with every question, decodes each once.

One thread opens the pictures of a model, so that requests with many of them don't hold those of text.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.requests import Request as HttpRequest

from data.shards.pictures import Picture, scaled
from model.serving.messages import ChatMessage, PicturePart, TextPart
from model.serving.replying import while_heard
from model.serving.schema import ChatRequest
from model.serving.served import ApiError, ServeLimits, busy

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork

Decode = Callable[[bytes], Picture]
"""Returns the picture in a file; raises ValueError for what is none, and RuntimeError if it can't decode now."""
PictureTokens = Mapping[str, list[int]]  # by the pictures' names
ABILITY = "pictures"  # of a served model
KEPT = 1024  # pictures as small as a model sees them
WHERE = "send the picture itself, as data:image/png;base64,..."


class PictureDesk:
    """Opens the pictures of one model's requests. `padding`: the token that rows have where a patch is."""

    def __init__(self, network: DecodingNetwork, padding: int, decode: Decode, limits: ServeLimits, name: str) -> None:
        grid = network.config.pictures
        if grid is None:
            raise ValueError(f"{name} reads no pictures: its network has no input of kind pictures")
        self._network, self._padding, self._decode, self._limits, self._grid = network, padding, decode, limits, grid
        self._kept: OrderedDict[bytes, Picture] = OrderedDict()
        self._thread, self._queued = ThreadPoolExecutor(1, thread_name_prefix=f"pictures-{name}"), 0

    async def open(self, asked: ChatRequest, http: HttpRequest) -> tuple[ChatRequest, PictureTokens]:
        """Return a request whose pictures are names in its text, and their tokens. Raise ApiError for one that can't be shown."""
        if sum(len(message.pictures) for message in asked.messages) > self._limits.pictures:
            said = f"messages hold more than {self._limits.pictures} pictures; leave out those of earlier messages"
            raise ApiError(400, said, param="messages", code="too_many_pictures")
        if self._queued > self._limits.waiting:
            raise busy(f"{self._queued} requests with pictures wait already; try again later")
        self._queued += 1
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._opened, asked)
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                found: tuple[ChatRequest, PictureTokens] = await while_heard(opening, http)
                return found
        except TimeoutError:
            raise ApiError(503, f"the pictures were not opened within {self._limits.queue_seconds:g} seconds; try again later") from None
        finally:
            self._queued -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _opened(self, asked: ChatRequest) -> tuple[ChatRequest, PictureTokens]:
        shown: dict[str, list[int]] = {}
        messages = [self._in_words(message, f"messages.{number}", shown) for number, message in enumerate(asked.messages)]
        return asked.model_copy(update={"messages": messages}), shown

    def _in_words(self, message: ChatMessage, param: str, shown: dict[str, list[int]]) -> ChatMessage:
        """Return a message whose pictures are names, each on a line of its own as in the examples that models are tuned on."""
        if not message.pictures:
            return message
        text, before = "", False
        for place, part in enumerate(message.content or ()):
            here = isinstance(part, PicturePart)
            if isinstance(part, PicturePart):
                picture = self._picture(part, f"{param}.content.{place}.image_url.url")
                shown[picture.name] = self._network.see(picture, self._padding)
                words = picture.placeholder
            else:
                words = part.text if isinstance(part, TextPart) else part
            if not words:
                continue
            if text and (here or before) and not text.endswith("\n") and not words.startswith("\n"):
                text += "\n"
            text, before = text + words, here
        return message.model_copy(update={"content": text})

    def _picture(self, part: PicturePart, param: str) -> Picture:
        """Return a picture as small as the model sees it."""
        try:
            content = file_of(part.image_url.url, self._limits.picture_bytes)
            name = hashlib.sha256(content).digest()
            picture = self._kept.pop(name, None) or scaled(self._decode(content), self._grid)
        except ValueError as error:
            raise ApiError(400, f"{param}: {error}", param=param, code="invalid_image") from None
        except RuntimeError:
            raise ApiError(503, f"{param}: the process that decodes pictures was killed; try again", param=param) from None
        self._kept[name] = picture
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture


def file_of(url: str, most: int) -> bytes:
    """Return the file in a data: URL. Raise ValueError for any other address, for another type, and for more than `most` bytes."""
    scheme, colon, rest = url[:5].partition(":")
    if scheme.lower() != "data" or not colon or rest:
        raise ValueError(f"{url[:80]!r} is no data: URL, and this server fetches nothing; {WHERE}")
    head, comma, body = url[5:].partition(",")
    kind, *settings = head[:200].split(";")
    if not comma or not settings or settings[-1].strip().lower() != "base64":
        raise ValueError(f"{url[:40]!r} is not in base64; {WHERE}")
    if not kind.strip().lower().startswith("image/"):
        raise ValueError(f"{kind[:80]!r} is the type of no picture; {WHERE}")
    size = len(body) * 3 // 4 - body[-2:].count("=")
    if size > most:
        raise ValueError(f"the picture has {size} bytes, and this server takes {most}; send a smaller one")
    try:
        content = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"what follows {url[:40]!r} is no base64: {error}") from None
    if not content:
        raise ValueError("the picture is empty")
    return content


def require_few_words(asked: ChatRequest, size: int, limits: ServeLimits) -> None:
    """Raise ApiError if a request of `size` bytes is longer than one without pictures may be, its pictures left out."""
    size -= sum(len(part.image_url.url) for message in asked.messages for part in message.pictures)
    if size > limits.body_bytes:
        raise ApiError(413, f"the request is larger than {limits.body_bytes} bytes, its pictures left out")


def refuse_pictures(asked: ChatRequest, why: str) -> None:
    """Raise ApiError for a request with a picture. why: a clause that says why none is read."""
    if any(message.pictures for message in asked.messages):
        raise ApiError(400, f"a part of type image_url: {why}; leave it out", param="messages", code="unsupported_image")
