"""Chat: the chat format, streamed text and the conversation's history."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data.tokens.chat_template import Chat, ChatTemplate
from model.inference.chat import ChatModel, fit_prompt
from model.inference.chat_format import ChatFormat, ChatFormatError, Message
from model.inference.config import SamplingConfig
from model.inference.grammar import TokenBytes
from model.inference.reply import TextStream
from model.networks.decoder import Decoder
from model.networks.directory import ModelError
from tests.model.opening.tiny import write_sentencepiece

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
HOSTILE = st.lists(st.text(max_size=8) | st.sampled_from(SPECIAL), max_size=5).map("".join)


@settings(max_examples=100, deadline=None)
@given(contents=st.lists(HOSTILE, min_size=1, max_size=4))
def test_content_never_becomes_structure_and_decodes_unchanged(chat_format: ChatFormat, contents: list[str]) -> None:
    roles = ["user", "assistant"]
    messages = [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]
    ids = chat_format.encode_chat(messages, reply_next=False)
    expected = [1]
    for message in messages:
        expected += [4 if message["role"] == "user" else 5, *chat_format.encode_text(message["content"]), 6]
    assert ids == expected
    assert sum(token < 7 for token in ids) == 1 + 2 * len(contents)
    assert chat_format.decode(ids) == "".join(contents)


def test_the_ids_match_transformers(chat_format: ChatFormat, tokenizer_dir: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tokenizer_dir, local_files_only=True)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Who walked\nto Avel? \u00e9\u4e16 "},
        {"role": "assistant", "content": "Ada."},
        {"role": "user", "content": "And then?"},
    ]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert chat_format.encode_chat(messages) == ids


def test_prompts_with_tools_calls_and_results_are_those_that_training_reads(chat_format: ChatFormat, tokenizer_dir: Path) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {"who": "<|end|> Ada"}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be <|bos|> brief."},
        {"role": "user", "content": "Where is Ada?\n"},
        {"role": "assistant", "content": "", "thinking": "Who is <|user|>?", "tool_calls": [call]},
        {"role": "tool", "content": "\n\n At Avel.\n"},
        {"role": "assistant", "content": "Avel."},
    ]
    tools = [{"type": "function", "function": {"name": "find", "description": "Find <|end|> someone"}}]
    (trained,) = ChatTemplate(tokenizer_dir).encode([Chat(1, messages, tools)])
    assert chat_format.encode_chat(messages, tools=tools, reply_next=False) == trained.ids.tolist()
    begin, _ = trained.answers[-1]
    assert chat_format.encode_chat(messages[:-1], tools=tools) == trained.ids[:begin].tolist()


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer as Llama 2's."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    write_sentencepiece(folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 319), max_size=30))
def test_streamed_text_equals_decoded_text_and_never_ends_inside_a_character(chat_format: ChatFormat, ids: list[int]) -> None:
    ids = [token % chat_format.tokenizer.get_vocab_size() for token in ids]
    stream = TextStream(chat_format.tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert not any(piece.endswith("\ufffd") for piece in pieces)
    assert "".join(pieces) + stream.finish() == chat_format.decode(ids)


def test_a_character_of_several_tokens_comes_out_whole(chat_format: ChatFormat) -> None:
    ids = chat_format.encode_text("\U0001f400\u4e16!")
    stream = chat_format.stream()
    pieces = [piece for piece in map(stream.push, ids) if piece]
    assert len(ids) > 3 and pieces == ["\U0001f400", "\u4e16", "!"]


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(3, 329) | st.sampled_from([3 + byte for byte in "é🙂".encode()]), max_size=30), cut=st.integers(0, 30))
def test_what_goes_on_a_text_is_the_rest_of_it_also_where_a_tokenizer_drops_a_space_at_the_beginning(
    sentencepiece: Tokenizer, ids: list[int], cut: int
) -> None:
    ids = [token % sentencepiece.get_vocab_size() for token in ids]
    stream = TextStream(sentencepiece, ids[:cut])
    whole, begun = sentencepiece.decode(ids), sentencepiece.decode(ids[:cut])
    if whole.startswith(begun):  # not where a character is cut in two
        assert begun + "".join(map(stream.push, ids[cut:])) + stream.finish() == whole


def test_tokens_alone_keep_their_space(sentencepiece: Tokenizer) -> None:
    ids = sentencepiece.encode("the cat sat on the mat", add_special_tokens=False).ids
    assert b"".join(map(TokenBytes(sentencepiece).of, ids)) == b" the cat sat on the mat"


def test_a_template_cannot_escape_its_sandbox(tokenizer_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tokenizer_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("{{ messages.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ChatFormatError, match="refuses"):
        ChatFormat(tmp_path).encode_chat([{"role": "user", "content": "x"}])


def test_a_template_that_drops_a_message_is_refused(tokenizer_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tokenizer_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("<|bos|>{{ messages[-1].content }}")
    with pytest.raises(ChatFormatError, match="must place each once"):
        ChatFormat(tmp_path).encode_chat([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}])


def test_an_unknown_role_is_refused_with_its_name(chat_format: ChatFormat) -> None:
    with pytest.raises(ChatFormatError, match="wizard"):
        chat_format.encode_chat([{"role": "wizard", "content": "x"}])


def test_a_directory_without_its_tokenizer_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer_config\.json does not exist"):
        ChatFormat(tmp_path)


def test_the_history_holds_the_conversation_as_it_was_streamed(decoder: Decoder, chat_format: ChatFormat) -> None:
    chat = ChatModel(decoder.decoding(), chat_format, system="Hi.")
    said = "".join(chat.say("Who?", SamplingConfig(max_new_tokens=8)))
    assert [message["role"] for message in chat.history] == ["system", "user", "assistant"]
    assert chat.history[-1]["content"] == said
    chat.reset()
    assert [message["content"] for message in chat.history] == ["Hi."]


def test_a_reply_that_is_stopped_early_is_kept_as_far_as_it_was_streamed(decoder: Decoder, chat_format: ChatFormat) -> None:
    chat = ChatModel(decoder.decoding(), chat_format)
    reply = chat.say("Who?", SamplingConfig(max_new_tokens=20, temperature=1), seed=4)
    heard = next(reply)
    reply.close()
    assert chat.history[-1] == {"role": "assistant", "content": heard}


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ("<think>\nShe lives there.\n</think>\n\nIn Brack.", "In Brack."),
        ("<think>\nShe lives", None),
        ("In Brack.", "In Brack."),
        ("", None),
    ],
)
def test_thoughts_are_not_part_of_what_the_model_is_told_next(
    decoder: Decoder, chat_format: ChatFormat, reply: str, kept: str | None
) -> None:
    class Scripted(ChatModel):
        def stream(self, messages: Sequence[Message], config: SamplingConfig, seed: int = 0) -> Generator[str, None, None]:
            yield from reply

    chat = Scripted(decoder.decoding(), chat_format)
    assert "".join(chat.say("Where does she live?", SamplingConfig())) == reply
    asked = {"role": "user", "content": "Where does she live?"}
    assert chat.history == ([asked, {"role": "assistant", "content": kept}] if kept else [])


def test_a_long_conversation_loses_its_oldest_turns_and_never_its_system_message(chat_format: ChatFormat) -> None:
    turns = [{"role": role, "content": f"{role[0]}{n}"} for n in range(20) for role in ("user", "assistant")]
    messages = [{"role": "system", "content": "S"}, *turns, {"role": "user", "content": "last"}]
    ids = fit_prompt(chat_format, messages, context=64, max_new_tokens=16)
    kept = next(n for n in range(0, 41, 2) if chat_format.encode_chat([messages[0], *messages[1 + n :]]) == ids)
    assert kept > 0 and len(ids) <= 48
    assert len(chat_format.encode_chat([messages[0], *messages[1 + kept - 2 :]])) > 48


def test_a_message_that_is_too_long_is_refused_and_not_added_to_the_history(decoder: Decoder, chat_format: ChatFormat) -> None:
    chat = ChatModel(decoder.decoding(), chat_format)
    with pytest.raises(ValueError, match="the context's 64"):
        list(chat.say("walk " * 100, SamplingConfig(max_new_tokens=16)))
    assert chat.history == []


def test_a_reply_gets_at_most_half_of_the_context(chat_format: ChatFormat) -> None:
    ids = fit_prompt(chat_format, [{"role": "user", "content": "hello"}], context=64, max_new_tokens=10_000)
    assert len(ids) <= 32


@pytest.mark.parametrize("system", [True, False])
def test_a_long_conversation_is_cut_with_few_tries_at_the_first_beginning_that_fits(
    chat_format: ChatFormat, monkeypatch: pytest.MonkeyPatch, system: bool
) -> None:
    turns = [{"role": role, "content": f"day {n}"} for n in range(150) for role in ("user", "assistant")]
    messages = [*([{"role": "system", "content": "Be brief."}] if system else []), *turns, {"role": "user", "content": "Who?"}]
    expected = next(
        ids
        for start in range(int(system), len(messages), 2)
        if len(ids := chat_format.encode_chat([*messages[: int(system)], *messages[start:]])) <= 48
    )
    encode, calls = chat_format.encode_chat, list[int]()

    def counted(messages: Sequence[Message], **more: Any) -> list[int]:
        calls.append(len(messages))
        return encode(messages, **more)

    monkeypatch.setattr(chat_format, "encode_chat", counted)
    assert fit_prompt(chat_format, messages, context=64, max_new_tokens=16) == expected
    assert len(calls) <= 12
