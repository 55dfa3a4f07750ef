"""A tokenizer from elsewhere keeps its ids and template; rows, bytes and loss masks are right whatever its special tokens are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, normalizers

from data.shards.reader import ShardReader
from data.tokens.adopt import TEMPLATE, adopt_tokenizer
from data.tokens.config import EncodeConfig, PackConfig
from data.tokens.encode import encode
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.pack import pack
from data.tokens.special import read_roles
from tests.model.opening.tiny import CHATML, WORDS, write_sentencepiece, write_tokenizer

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def adopted(folder: Path, vocabulary: int = 320, **roles: str) -> Path:
    adopt_tokenizer(folder, folder / "adopted", vocabulary, **roles)
    return folder / "adopted"


def split(folder: Path, texts: list[str]) -> Path:
    rows = [{"id": f"{n:016x}", "title": "t", "source": "s", "text": text, "metadata": "{}"} for n, text in enumerate(texts)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    return folder / "train.parquet"


def test_documents_end_with_the_token_that_models_write_there_and_begin_with_it_if_nothing_stands_before_a_text(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    roles = read_roles(adopted(tmp_path))
    assert roles is not None and (roles.document_begin, roles.document_end, roles.padding, roles.vocabulary) == (0, 0, 2, 320)
    assert (tmp_path / "adopted" / "chat_template.jinja").read_text() == CHATML
    assert (tmp_path / "adopted" / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


def test_a_recipe_may_say_which_tokens_begin_and_end_a_document(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    roles = read_roles(adopted(tmp_path, begin="<|im_start|>", end="<|im_end|>"))
    assert roles is not None and (roles.document_begin, roles.document_end) == (1, 2)
    with pytest.raises(TokenizerError, match=r"has no token '<s>'; give base.document_begin one that it has"):
        adopted(tmp_path, begin="<s>")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("special_tokens_map.json", {"eos_token": {"content": "<|endoftext|>"}}),
        ("config.json", {"eos_token_id": 0}),
        ("config.json", {"eos_token_id": [0, 2]}),
    ],
)
def test_what_the_tokenizer_s_settings_leave_out_is_taken_from_the_model_s(tmp_path: Path, file: str, content: dict[str, Any]) -> None:
    write_tokenizer(tmp_path, chat=False)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    with pytest.raises(TokenizerError, match="eos_token is None"):
        adopted(tmp_path)
    (tmp_path / file).write_text(json.dumps(content))
    written = json.loads((adopted(tmp_path) / "tokenizer_config.json").read_text())
    assert written == {"model_max_length": 1024, "eos_token": "<|endoftext|>"}


def test_a_model_without_a_template_gets_a_plain_one_that_ends_each_message(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, chat=False)
    roles = read_roles(adopted(tmp_path))
    assert (tmp_path / "adopted" / "chat_template.jinja").read_text() == TEMPLATE
    assert roles is not None and roles.padding == roles.document_end == roles.document_begin == 0


@pytest.mark.parametrize("method", ["cut", "best_fit"])
@pytest.mark.parametrize("chat", [True, False], ids=["own-padding", "one-token-for-all"])
def test_rows_tell_beginnings_ends_and_padding_by_position(method: Any, chat: bool, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, chat=chat)
    texts = [WORDS[:200], "the cat <|endoftext|> sat", "", "dog\n" * 30]
    config = PackConfig(sequence_length=16, method=method, instruction_fraction=0.0)
    metrics = pack({"train": split(tmp_path, texts)}, adopted(tmp_path), None, tmp_path / "packed", config)
    reader, encoder = ShardReader(tmp_path / "packed" / "train"), TextEncoder(tmp_path / "adopted")
    rows = reader.rows(np.arange(len(reader)))
    lengths = [len(ids) for ids in encoder.encode(texts)]
    assert metrics["train_targets"] == sum(lengths) + len(texts), "each token and each end counts once, no beginning does"
    assert metrics["train_bytes"] == sum(len(text.encode()) for text in texts)
    assert metrics["train_tokens"] == sum(lengths) + 2 * len(texts)
    assert int(rows["loss"].sum()) == metrics["train_targets"] and reader.metadata.begin == 0
    first = rows["tokens"][0, : len(encoder.encode([texts[0]]).__next__()) + 1]
    assert rows["document"].max() < 16 and first[0] == 0


def test_the_chunks_of_a_long_text_give_the_tokens_of_the_whole(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, splitter=LLAMA3)
    encoder = TextEncoder(adopted(tmp_path))
    text = (WORDS + '"No!"\n\n\nHe said 12345 things...\r\n\r\n— and\t\tleft. ') * 30
    assert len(text) > 3 * 16_384
    (ids,) = encoder.encode([text])
    assert ids.tolist() == encoder.tokenizer.encode(text, add_special_tokens=False).ids
    assert encoder.decode(ids) == text and int(encoder.token_bytes[ids].sum()) == len(text.encode())


def test_a_space_before_every_text_and_bytes_for_rare_characters_are_read_as_llama_2_means_them(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    encoder = TextEncoder(adopted(tmp_path, 400))
    assert (encoder.roles.document_begin, encoder.roles.document_end, encoder.roles.padding, encoder.vocab_size) == (1, 2, 2, 400)
    text = WORDS * 12 + "Ἀχιλλεύς 👩\u200d🚀\n"
    (ids,) = encoder.encode([text])
    assert ids.tolist() == encoder.tokenizer.encode(text, add_special_tokens=False).ids and encoder.decode(ids) == text
    assert int(encoder.token_bytes[ids].sum()) == len(text.encode()) + 1, "one byte more: the space that it puts before a text"


def test_a_tokenizer_that_loses_text_or_has_tokens_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match=r"has a token of id \d+, but the model knows 270"):
        adopted(tmp_path, 270)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": "the"}))
    with pytest.raises(TokenizerError, match="eos_token is 'the', which isn't a special token"):
        adopted(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match=r"loses text: .* comes back as"):
        adopted(tmp_path)


def test_conversations_follow_the_models_own_template_and_what_ends_a_reply_is_learned(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "talk").mkdir()
    line = json.dumps({"messages": [{"role": "user", "content": "the cat?"}, {"role": "assistant", "content": "sat <|im_end|>"}]})
    for name in ("instructions", "preferences"):
        for part in ("train", "val"):
            (tmp_path / "talk" / f"{name}_{part}.jsonl").write_text(f"{line}\n" if name == "instructions" else "")
    encode(tmp_path / "talk", adopted(tmp_path), tmp_path / "rows", EncodeConfig(sequence_length=63))
    rows = ShardReader(tmp_path / "rows" / "sft" / "train").rows(np.arange(1))
    words = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    words.encode_special_tokens = True
    learned = rows["tokens"][0][rows["loss"][0]].tolist()
    assert learned == [*words.encode("sat <|im_end|>").ids, 2], "content is text; the token that ends the reply is the template's"
