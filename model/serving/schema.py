"""Requests of the OpenAI-compatible API. Unsupported parameters are refused by name, unless their value changes nothing.

`top_k`, `min_p`, `repetition_penalty`, `truncation`, `guided_regex` and `guided_grammar` are not OpenAI's; the official client sends them
as `extra_body`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.inference.config import Penalty, Temperature
from model.serving.messages import ChatMessage, Text, Tool, ToolNamed, orphan

# Unsupported parameters, with the values that are accepted because they change nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "num_beams": (1,),
    "use_beam_search": (False,),
    "echo": (False,),
    "suffix": ("",),
    "store": (False,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "dimensions": (),
}
Ids = Annotated[list[Annotated[int, Field(ge=0, le=1 << 31)]], Field(min_length=1)]
Several = (
    Text | Ids | Annotated[list[Text], Field(min_length=1, max_length=2048)] | Annotated[list[Ids], Field(min_length=1, max_length=2048)]
)


class Asked(BaseModel):
    """The fields of every request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    user: Text | None = None  # who asks; ignored
    metadata: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, given: Any) -> Any:
        """Drop what is null or changes nothing."""
        if not isinstance(given, dict):
            return given
        neutral = {name: values for name, values in NEUTRAL.items() if name not in cls.model_fields}
        return {name: value for name, value in given.items() if value is not None and value not in neutral.get(name, ())}


class StreamOptions(BaseModel):
    """The options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class JsonSchema(BaseModel):
    """A named JSON schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = "reply"
    description: str | None = None
    strict: bool | None = None  # a reply always follows the schema
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """Text, any JSON object, or JSON of a schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError(f"type={self.type} and json_schema={'given' if self.json_schema else 'absent'} do not go together")
        return self


class Generating(Asked):
    """The fields that chat and completions have in common."""

    temperature: Temperature = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: Penalty = Field(1.0, le=10)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]] = Field(
        default_factory=dict, max_length=1024
    )
    max_tokens: int | None = Field(None, ge=1, le=1 << 31)
    n: int = Field(1, ge=1, le=128)
    seed: int | None = Field(None, ge=-(1 << 63), lt=1 << 64)
    stop: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(default_factory=list, max_length=16)
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    guided_regex: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    guided_grammar: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _fits(self) -> Generating:
        formats = [self.response_format and self.response_format.type != "text", self.guided_regex, self.guided_grammar]
        if sum(map(bool, formats)) > 1:
            raise ValueError("response_format, guided_regex and guided_grammar exclude each other")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream=true")
        return self


class ChatRequest(Generating):
    """POST /v1/chat/completions. truncation: `auto` leaves out the oldest messages that do not fit; `disabled` refuses them."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1 << 31)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    truncation: Literal["auto", "disabled"] = "disabled"
    tools: list[Tool] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ToolNamed | None = None
    parallel_tool_calls: bool = True

    @model_validator(mode="after")
    def _asks_once(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs=true")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same thing; give one")
        return self

    @model_validator(mode="after")
    def _calls_what_is_there(self) -> ChatRequest:
        names = [tool.function.name for tool in self.tools]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"tools has {twice!r} twice; give each function a name of its own")
        if self.tool_choice not in (None, "none", "auto") and not names:
            raise ValueError("tool_choice needs tools")
        if isinstance(self.tool_choice, ToolNamed) and self.tool_choice.function.name not in names:
            raise ValueError(f"tool_choice names {self.tool_choice.function.name!r}, and tools has {', '.join(names)}")
        held = self.response_format is not None and self.response_format.type != "text"
        asked = {name: getattr(self, name) for name in ("guided_regex", "guided_grammar", "logprobs")} | {"response_format": held}
        if self.offered and (other := next((name for name, given in asked.items() if given), "")):
            raise ValueError(f"{other} and tools are not offered together; leave one out, or set tool_choice to none")
        if unasked := orphan(self.messages):
            raise ValueError(f"messages holds a tool's result for {unasked[:200]!r}, and no call before it has that id")
        return self

    @property
    def offered(self) -> list[Tool]:
        """The tools that the model is told of: none if it may call none."""
        return [] if self.tool_choice == "none" else self.tools

    @property
    def callable(self) -> list[Tool]:
        """The tools that it may call: all it is told of, or the one that is named."""
        named = self.tool_choice.function.name if isinstance(self.tool_choice, ToolNamed) else None
        return [tool for tool in self.offered if named in (None, tool.function.name)]

    @property
    def speaks_of_calls(self) -> bool:
        """Whether the chat template must know tools: some are offered, or the messages hold calls or results."""
        return bool(self.offered) or any(message.tool_calls or message.role == "tool" for message in self.messages)

    @property
    def longest(self) -> int | None:
        """The requested limit on the reply."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(Generating):
    """POST /v1/completions."""

    prompt: Several = Field(union_mode="left_to_right")
    max_tokens: int | None = Field(16, ge=1, le=1 << 31)
    logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, one or several."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class EmbeddingRequest(Asked):
    """POST /v1/embeddings."""

    input: Several = Field(union_mode="left_to_right")
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def inputs(self) -> list[str | list[int]]:
        """The texts, one or several."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and isinstance(self.input[0], int):
            return [[token for token in self.input if isinstance(token, int)]]
        return [text for text in self.input if not isinstance(text, int)]
