"""Calls of tools: the form of a template, replies held to it, and what is read out of them."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.batch import Batch
from model.inference.chat_format import ChatFormat, ChatFormatError
from model.inference.config import SamplingConfig
from model.inference.generation import request_for
from model.inference.grammar import GrammarCompiler
from model.inference.tool_calls import CallForm, CallPart, CallReader
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder

FIND: dict[str, Any] = {
    "name": "find",
    "parameters": {
        "type": "object",
        "properties": {"who": {"enum": ["Ada", 'Br}un"o']}, "deep": {"type": "boolean"}},
        "required": ["who", "deep"],
        "additionalProperties": False,
    },
}
NOW: dict[str, Any] = {"name": "now"}
# What is written of a conversation's tools in Hermes' and Qwen's form.
HERMES = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for message in messages %}{{ message.role }}: {{ message.content }}"
    '{% for call in message.tool_calls or [] %}{{ \'\\n<tool_call>\\n{"name": "\' ~ call.function.name ~ \'", "arguments": \' }}'
    "{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}<|end|>{% endfor %}"
)


def with_template(tokenizer_dir: Path, folder: Path, template: str) -> ChatFormat:
    shutil.copytree(tokenizer_dir, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text(template)
    return ChatFormat(folder)


def read(text: str, form: CallForm, cuts: list[int] | None = None) -> tuple[str, list[tuple[str, str]]]:
    """Read a reply cut into pieces; return its content, and the name and arguments of each call."""
    reader, content, calls = CallReader(form), "", list[tuple[str, str]]()
    edges = sorted({0, len(text), *(cut for cut in cuts or [] if cut < len(text))})
    for start, end in pairwise(edges):
        said, parts = reader.push(text[start:end])
        content += said
        for part in parts:
            assert isinstance(part, CallPart)
            calls = [*calls, (part.name, "")] if part.name else calls
            calls[part.number] = (calls[part.number][0], calls[part.number][1] + part.arguments)
    return content + reader.finish(), calls


def test_the_form_is_that_of_the_template(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path) -> None:
    assert CallForm.of(chat_format) == CallForm()
    assert CallForm.of(with_template(tokenizer_dir, tmp_path, HERMES)) == CallForm(
        '<tool_call>\n{"name": ', ', "arguments": ', "}\n</tool_call>", "\n"
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [(HERMES.replace("tools or []", "[]"), "shows no tools"), (HERMES.replace("tool_call>", "call>"), "writes no calls as <tool_call>"),
     (HERMES.replace("message.tool_calls or []", "[]"), "writes no calls as <tool_call>")],
)  # fmt: skip
def test_a_template_that_does_not_know_tools_is_refused_by_name(template: str, said: str, tokenizer_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ChatFormatError, match=said):
        CallForm.of(with_template(tokenizer_dir, tmp_path, template))


ARGUMENTS = st.dictionaries(st.text(max_size=6), st.text(alphabet='}]{"\\</tool_call>', max_size=20))


@settings(max_examples=200, deadline=None)
@given(
    content=st.text(alphabet='<tool_call>/ {}"\n:,ab', max_size=30).filter(lambda text: "<tool_call>" not in text),
    calls=st.lists(st.tuples(st.sampled_from(["find", "a-b_9"]), ARGUMENTS), max_size=3),
    cuts=st.lists(st.integers(0, 300), max_size=20),
)
def test_what_a_template_writes_is_read_back_however_it_is_cut(content: str, calls: list[tuple[str, Any]], cuts: list[int]) -> None:
    form = CallForm()
    written = [f"{form.begin}{json.dumps(name)}{form.middle}{json.dumps(given)}{form.end}" for name, given in calls]
    text = content + (form.between if content and calls else "") + form.between.join(written)
    found, read_calls = read(text, form, cuts)
    assert found == content and [(name, json.loads(given)) for name, given in read_calls] == calls


def test_a_call_that_breaks_off_is_told_as_far_as_it_came() -> None:
    assert read('Well.\n<tool_call>{"name": "find", "arguments": {"who": "A', CallForm()) == ("Well.", [("find", '{"who": "A')])
    assert read('Well.\n<tool_call>{"na', CallForm()) == ("Well.", [])
    assert read("Well.\n<tool_", CallForm()) == ("Well.\n<tool_", [])


@pytest.mark.parametrize("hermes", [False, True])
def test_a_model_of_random_weights_calls_as_the_schema_says(
    chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path, hermes: bool
) -> None:
    pytest.importorskip("llguidance")
    known = with_template(tokenizer_dir, tmp_path, HERMES) if hermes else chat_format
    form, vocabulary = CallForm.of(known), known.tokenizer.get_vocab_size()
    decoder = Decoder(DecoderConfig(width=32, layers=1, heads=4, feed_forward=64, context=512, initial_std=0.4), vocabulary, seed=4).eval()
    compiler, network = GrammarCompiler(known, vocabulary), decoder.decoding()

    def replies(tools: list[dict[str, Any]], **how: bool) -> list[tuple[str, list[tuple[str, str]]]]:
        source, settings = form.grammar(tools, **how), SamplingConfig(temperature=1.0, max_new_tokens=400)
        requests = [request_for(network, known.encode_document("Ada"), settings, known.stop_ids, seed) for seed in range(6)]
        for request in requests:
            request.constraint = compiler.grammar("lark", source)
        batch = Batch(network)
        batch.join(requests)
        while batch.requests:
            batch.step()
        return [read(known.decode(request.tokens), form) for request in requests if request.ended]

    for tools in ([FIND, NOW], [FIND], [NOW]):
        found = replies(tools, required=True, several=False)
        assert len(found) == 6
        for content, calls in found:
            ((name, given),) = calls
            value = json.loads(given)
            assert not content and given == json.dumps(value, ensure_ascii=False)  # written as the template writes it
            assert name in {tool["name"] for tool in tools}
            assert value == {} if name == "now" else value["who"] in FIND["parameters"]["properties"]["who"]["enum"]
    for _, calls in replies([NOW], required=True, several=True):
        assert set(calls) == {("now", "{}")}
