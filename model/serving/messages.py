"""Messages of a conversation and descriptions of tools, as OpenAI's API has them."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Text = Annotated[str, Field(max_length=1 << 20)]
LEVELS = 64  # of the arguments of a call, which the template writes by recursion
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        """Drop what is null: the official client sends an answer back with all of its fields."""
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class TextPart(_Given):
    """A part of a message that is text."""

    type: Literal["text"]
    text: Text


class PictureUrl(_Given):
    """The picture itself, as a data: URL. detail: only `auto`, since a picture is scaled to the model's own size."""

    url: str
    detail: Literal["auto"] = "auto"


class PicturePart(_Given):
    """A part of a user's message that is a picture. `model/serving/media.py` opens it."""

    MEDIUM: ClassVar = "pictures"
    NOUN: ClassVar = "picture"
    PLACE: ClassVar = "image_url.url"

    type: Literal["image_url"]
    image_url: PictureUrl

    @property
    def given(self) -> str:
        """The file, as a data: URL."""
        return self.image_url.url


class Recording(_Given):
    """The recording itself, in base64. format: one of those that are read; the file may be of another of them, since it says so itself."""

    data: str
    format: Literal["wav", "flac", "ogg"]


class RecordingPart(_Given):
    """A part of a user's message that is a recording. `model/serving/media.py` opens it."""

    MEDIUM: ClassVar = "sounds"
    NOUN: ClassVar = "recording"
    PLACE: ClassVar = "input_audio.data"

    type: Literal["input_audio"]
    input_audio: Recording

    @property
    def given(self) -> str:
        """The file, in base64."""
        return self.input_audio.data


OTHERS = ("file", "refusal")  # parts that OpenAI's API has, too
MediaPart = PicturePart | RecordingPart
Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


def _form(content: Any) -> str:
    return "parts of content" if isinstance(content, list) else "text alone"


class Function(_Given):
    """A function that may be called. parameters: the JSON schema of its arguments, an object; without it there are none."""

    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None  # arguments always follow the schema

    @model_validator(mode="after")
    def _takes_an_object(self) -> Function:
        kind = (self.parameters or {}).get("type", "object")
        if kind != "object":
            raise ValueError(f"the parameters of {self.name} are of type {kind!r}; arguments are always an object")
        return self


class Tool(_Given):
    """A tool: functions are the only kind offered."""

    type: Literal["function"]
    function: Function

    @property
    def told(self) -> dict[str, Any]:
        """The tool as the chat template shows it."""
        return {"type": "function", "function": self.function.model_dump(exclude_none=True, exclude={"strict"})}


class FunctionNamed(_Given):
    """The name of a function."""

    name: FunctionName


class ToolNamed(_Given):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionNamed


class CalledFunction(_Given):
    """The function that was called, with arguments as JSON text."""

    name: FunctionName
    arguments: Text

    @model_validator(mode="after")
    def _is_an_object(self) -> CalledFunction:
        try:
            given = json.loads(self.arguments)
            json.dumps(given, ensure_ascii=False).encode()  # half of a character that JSON writes as two escapes is no text
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict) or not _within(given, LEVELS):
            raise ValueError(f"the arguments of {self.name} are not a JSON object of at most {LEVELS} levels: {self.arguments[:80]!r}")
        return self


class ToolCall(_Given):
    """A call that the assistant made."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["function"] = "function"
    function: CalledFunction


# Told apart by type, or a fault in a part would be told as one of text.
Content = Annotated[
    Annotated[Text, Tag("text alone")] | Annotated[list[Part], Field(max_length=1024), Tag("parts of content")], Discriminator(_form)
]


class ChatMessage(_Given):
    """One message. tool_calls: of the assistant's. tool_call_id: the call whose result a tool's message is.

    name: who of several with one role speaks; the chat template is given it, and shows it to the model if it shows names.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    tool_calls: list[ToolCall] = Field(default_factory=list, max_length=128)
    tool_call_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_known_parts(cls, given: Any) -> Any:
        """Refuse by name what other servers offer."""
        content = given.get("content") if isinstance(given, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") in OTHERS:
                raise ValueError(f"a part of type {part['type']}: this server takes text, image_url and input_audio alone; leave it out")
        return given

    @model_validator(mode="after")
    def _has_what_its_role_has(self) -> ChatMessage:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of the {self.role} has tool_calls, which only the assistant's have")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError(f"role={self.role} and tool_call_id={self.tool_call_id!r} do not go together: a tool's message has one")
        if self.media and self.role != "user":
            raise ValueError(f"a message of the {self.role} has a {self.media[0].NOUN}, which only the user's have")
        if self.content is None and not self.tool_calls:
            raise ValueError(f"a message of the {self.role} has no content")
        return self

    @property
    def media(self) -> list[MediaPart]:
        """Its parts that are pictures and recordings, in order."""
        return [part for part in self.content or [] if isinstance(part, MediaPart)]

    @property
    def plain(self) -> dict[str, Any]:
        """The message as the chat format takes it, its text alone; OpenAI calls the system `developer` too."""
        parts = [part for part in self.content or [] if isinstance(part, TextPart)]
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in parts)
        told: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if self.name is not None:
            told["name"] = self.name
        if self.tool_calls:
            called = [(call.function.name, json.loads(call.function.arguments)) for call in self.tool_calls]
            told["tool_calls"] = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in called]
        return told


def _within(value: Any, levels: int) -> bool:
    """Return whether a JSON value has at most so many lists and objects inside each other."""
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_within(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value))


def orphan(messages: list[ChatMessage]) -> str:
    """Return the first tool_call_id without a call before it whose result it could be; empty: all have one."""
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            open_calls = {call.id for call in message.tool_calls}
        elif message.tool_call_id is not None:
            if message.tool_call_id not in open_calls:
                return message.tool_call_id
            open_calls.discard(message.tool_call_id)
    return ""
