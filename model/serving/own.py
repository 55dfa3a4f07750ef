"""Serve a model that folio computes itself, with replies held to a grammar where a request asks for one."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from model.inference.batch import Batch, PrefixCache
from model.inference.chat import fit_prompt
from model.inference.chat_format import ChatFormat, ChatFormatError
from model.inference.config import SamplingConfig
from model.inference.documents import Documents
from model.inference.generation import request_for
from model.inference.grammar import ANY_OBJECT, AT_ONCE, Grammar, GrammarCompiler, GrammarError, GrammarKind, TokenBytes
from model.inference.reply import ReplyText
from model.inference.speculation import SpeculativeBatch
from model.inference.tool_calls import CallForm
from model.serving.answers import Form
from model.serving.citing import Shown, with_citations, with_documents
from model.serving.engine import Engine, Event, Generation
from model.serving.media import Decode, MediaDesk, MediaTokens, refuse_media
from model.serving.messages import ToolNamed
from model.serving.replying import reply
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest, Generating
from model.serving.served import About, ApiError, ServeLimits, longest_reply
from model.serving.vectors import Vectors

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork


class Constraining:
    """Makes the grammars of one model's requests. The compiler is made when the first one is asked for."""

    def __init__(self, chat_format: ChatFormat, vocab_size: int) -> None:
        self._format, self._vocab_size = chat_format, vocab_size
        self._compiler: GrammarCompiler | None = None
        self._form: CallForm | None = None
        self._one = threading.Lock()

    def call_form(self, asked: ChatRequest) -> CallForm | None:
        """Return how calls are written, if the request speaks of them. Raise ApiError for a template that does not know them."""
        if not asked.speaks_of_calls:
            return None
        try:
            self._form = self._form or CallForm.of(self._format)
        except ChatFormatError as error:
            raise ApiError(400, str(error), param="tools" if asked.offered else "messages") from None
        return self._form

    def grammars(self, asked: Generating, count: int) -> list[Grammar | None]:
        """Return a grammar for each of `count` replies; None if they are free. Raise ApiError for one that can't be read."""
        wanted = self._wanted(asked)
        if wanted is None:
            return [None] * count
        kind, source, param = wanted
        try:
            with self._one:
                compiler = self._compiler = self._compiler or GrammarCompiler(self._format, self._vocab_size)
            return [*compiler.grammars(kind, source, count)]
        except GrammarError as error:
            raise ApiError(400, f"{param}: {error}", param=param) from None

    def close(self) -> None:
        """End the compiler."""
        if self._compiler is not None:
            self._compiler.close()

    def _wanted(self, asked: Generating) -> tuple[GrammarKind, str | dict[str, Any], str] | None:
        """Return kind and source of the grammar, and the parameter that asks for it."""
        if asked.guided_regex is not None:
            return "regex", asked.guided_regex, "guided_regex"
        if asked.guided_grammar is not None:
            return "lark", asked.guided_grammar, "guided_grammar"
        if asked.response_format is not None and asked.response_format.type != "text":
            schema = asked.response_format.json_schema
            return "json_schema", ANY_OBJECT if schema is None else schema.schema_, "response_format"
        if isinstance(asked, ChatRequest) and asked.offered and (form := self.call_form(asked)) is not None:
            functions = [tool.function.model_dump(include={"name", "parameters"}) for tool in asked.callable]
            several = asked.parallel_tool_calls and not isinstance(asked.tool_choice, ToolNamed)
            return "lark", form.grammar(functions, required=asked.tool_choice not in (None, "auto"), several=several), "tools"
        return None


class OwnModel:
    """A network that writes, its chat format and its engine. A `ServedModel`. `draft`: what proposes tokens.

    decode: opens pictures or recordings for a network that reads them; None: messages have text alone.
    documents: passages of them go into each conversation, and its answer says what it cites; None: conversations are as they are.
    """

    documents: Documents | None = None

    def __init__(
        self,
        network: DecodingNetwork,
        chat_format: ChatFormat,
        about: About,
        limits: ServeLimits,
        draft: DecodingNetwork | None = None,
        decode: Decode | None = None,
    ) -> None:
        self.network, self.format, self._about, self._limits = network, chat_format, about, limits
        self._desk = None if decode is None else MediaDesk(network, chat_format.pad_id or 0, decode, limits, about.id)
        self._spell = TokenBytes(chat_format.tokenizer).of
        self._constraining = Constraining(chat_format, network.vocab_size)
        self._compiling = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"grammars-{about.id}")
        self._vectors = Vectors(network, chat_format, about.id, limits)

        def batch() -> Batch:
            prefixes = PrefixCache(limits.prefix_tokens, limits.prefix_bytes) if limits.prefix_tokens and limits.prefix_bytes else None
            return Batch(network, prefixes) if draft is None else SpeculativeBatch(network, draft, prefixes=prefixes)

        self.engine = Engine(batch, limits, about.id)

    @property
    def about(self) -> About:
        return self._about

    @property
    def alive(self) -> bool:
        return self.engine.alive

    def load(self) -> tuple[int, int]:
        computed, queued = self._vectors.load()
        return self.engine.running + computed, self.engine.waiting + queued

    def close(self) -> None:
        self.engine.close()
        self._compiling.shutdown(wait=False, cancel_futures=True)
        self._constraining.close()
        if self._desk is not None:
            self._desk.close()

    async def chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        if self.documents is None:
            return await self._chat(asked, http)
        refuse_media(asked, "passages are found by the words of a message alone, and this server answers from documents")
        told, shown = await asyncio.to_thread(self._with_documents, asked, self.documents)
        answer = await self._chat(told, http)
        return await asyncio.to_thread(with_citations, answer, shown) if shown else answer

    def _with_documents(self, asked: ChatRequest, documents: Documents) -> tuple[ChatRequest, Shown | None]:
        try:
            return with_documents(asked, documents, self.format, self.network.context)
        except ChatFormatError as error:
            raise ApiError(400, str(error), param="messages") from None

    async def _chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        known = await asyncio.to_thread(self._constraining.call_form, asked)
        shown: MediaTokens = {}
        if self._desk is None:
            refuse_media(asked, f"{self.about.id} reads no {{medium}} here; ask a model whose abilities in /v1/models name {{medium}}")
        elif any(message.media for message in asked.messages):
            asked, shown = await self._desk.open(asked, http)
        prompt = await asyncio.to_thread(self._conversation, asked, shown)
        alternatives = asked.top_logprobs if asked.logprobs else None
        calls = known if asked.offered else None
        form = Form(self.about.id, self.about.fingerprint, self._spell, chat=True, scored=asked.logprobs, calls=calls)
        return await self._reply(asked, http, [prompt], asked.longest, alternatives, form)

    async def complete(self, asked: CompletionRequest, http: HttpRequest) -> Response:
        prompts = await asyncio.to_thread(lambda: [self._document(prompt) for prompt in asked.prompts])
        form = Form(self.about.id, self.about.fingerprint, self._spell, chat=False, scored=asked.logprobs is not None)
        return await self._reply(asked, http, prompts, asked.max_tokens, asked.logprobs, form)

    async def embed(self, asked: EmbeddingRequest, http: HttpRequest) -> Response:
        return await self._vectors.answer(asked)

    async def _reply(
        self,
        asked: Generating,
        http: HttpRequest,
        prompts: Sequence[list[int]],
        longest: int | None,
        alternatives: int | None,
        form: Form,
    ) -> Response:
        config = self._sampling(asked, longest_reply(asked, len(prompts), longest, self._limits))
        # Threads of their own: large grammars that wait for each other must not hold those that read plain requests.
        grammars = await asyncio.get_running_loop().run_in_executor(
            self._compiling, self._constraining.grammars, asked, asked.n * len(prompts)
        )
        seed = secrets.randbits(63) if asked.seed is None else asked.seed
        try:
            requests = [
                request_for(self.network, prompt, config, self.format.stop_ids, seed + index)
                for prompt in prompts
                for index in range(asked.n)
            ]
        except ValueError as error:
            param = "logit_bias" if "logit_bias" in str(error) else "messages" if form.chat else "prompt"
            raise ApiError(400, str(error), param=param, code="context_length_exceeded" if param != "logit_bias" else None) from None

        def make(deliver: Callable[[Event], None]) -> list[Generation]:
            made = []
            for index, (request, grammar) in enumerate(zip(requests, grammars, strict=True)):
                request.constraint, request.alternatives, request.isolated = grammar, alternatives, True
                stream = self.format.stream(() if form.chat else request.prompt)
                made.append(Generation(index, request, ReplyText(stream, asked.stop), deliver))
            return made

        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return await reply(self.engine, make, form, http, each=asked.n, stream=asked.stream, usage=usage)

    def _conversation(self, asked: ChatRequest, shown: MediaTokens) -> list[int]:
        messages, tools = [message.plain for message in asked.messages], [tool.told for tool in asked.offered]
        try:
            if asked.truncation == "auto":
                return fit_prompt(self.format, messages, self.network.context, asked.longest or self.network.context, tools, shown)
            return self.format.encode_chat(messages, tools=tools, pictures=shown)
        except ValueError as error:  # the template refuses them, or they do not fit
            raise ApiError(400, str(error), param="messages") from None

    def _document(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            return self.format.encode_document(prompt)
        unknown = [token for token in prompt if token >= self.network.vocab_size]
        if unknown:
            raise ApiError(
                400, f"prompt holds token {unknown[0]}, and this model has tokens 0 to {self.network.vocab_size - 1}", param="prompt"
            )
        return prompt

    def _sampling(self, asked: Generating, longest: int) -> SamplingConfig:
        return SamplingConfig(
            temperature=asked.temperature,
            top_k=asked.top_k,
            top_p=asked.top_p if asked.top_p < 1 else None,
            min_p=asked.min_p or None,
            repetition_penalty=asked.repetition_penalty,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
            logit_bias=tuple(sorted((int(token), bias) for token, bias in asked.logit_bias.items())),
            max_new_tokens=longest,
        )
