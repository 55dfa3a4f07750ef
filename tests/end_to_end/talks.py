"""A folder of books, of conversations in every shape that is read, and the recipe that learns from both."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

THINGS = ("moon", "river", "apple", "cloud", "fox", "bell", "stone", "leaf", "door", "lamp", "ship", "rose")
COLOURS = ("red", "green", "blue", "white")
WORDS = (*THINGS, *COLOURS, "the", "a", "of", "under", "walked", "saw", "old", "and", "never", "slowly", "home", "towards")
BOOKS = 20
RECIPE = """\
name: talks
ingest: {sources: [{kind: files, name: books, paths: [books], licence: made for a test}], shards: 1}
clean: {minimum_characters: 1}
split: {mode: counts, val_documents: 2, test_documents: 2}
examples:
  kind: conversations
  sources:
    - {kind: files, name: chats, paths: [chats], licence: cc-by-4.0}
    - {kind: files, name: feedback, paths: [feedback.parquet], shape: preference, licence: mit}
  generated: {kind: corpus, questions: 20}
  validation_fraction: 0.1
tokenizer: {vocab_size: 400}
pack: {sequence_length: 96, instruction_fraction: 0.2}
encode: {sequence_length: 96, too_long: shorten}
model: {width: 64, layers: 2, heads: 4, kv_heads: 2, feed_forward: 192, context: 96}
pretrain: {tokens: 60000, global_batch: 16, learning_rate: 0.008, warmup_steps: 10, eval_rows: 0}
tuning:
  - {kind: sft, steps: 120, global_batch: 8, learning_rate: 0.006, eval_rows: 0}
  - {kind: dpo, steps: 4, global_batch: 4, eval_rows: 0, pairs: {kind: examples}}
evaluate:
  base: {rows: 32}
  chat: {rows: 32}
  release: {rows: 32}
gates:
  corpus: {bounds: [{metric: corpus.documents_kept, minimum: 20}]}
  base: {bounds: [{metric: base.val.bits_per_byte, maximum: 6.0}]}
  chat: {bounds: [{metric: chat.val.bits_per_byte, maximum: 8.0}], most_times_the_bits: 9}
  release: {bounds: [{metric: release.test.bits_per_byte, maximum: 8.0}]}
tracking: none
"""


def colour(thing: str) -> str:
    """What the conversations say of a thing."""
    return COLOURS[THINGS.index(thing) % len(COLOURS)]


def book(number: int) -> str:
    """A book of sentences that no other has."""
    drawn = random.Random(number)
    return "\n\n".join(" ".join(drawn.choices(WORDS, k=40)).capitalize() + "." for _ in range(6))


def turns(*contents: str) -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    return [{"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(contents)]


def write_lines(path: Path, rows: Sequence[object]) -> None:
    """Write JSON lines, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def write_folder(folder: Path) -> Path:
    """Write books, conversations and the recipe; return the recipe's file."""
    (folder / "books").mkdir()
    for number in range(BOOKS):
        (folder / "books" / f"{number:02}.txt").write_text(book(number), encoding="utf-8")
    asked = [(thing, f"What colour is the {thing}?", f"The {thing} is {colour(thing)}.") for thing in THINGS]
    openai = [
        {"messages": [{"role": "system", "content": "Be brief."}, *turns(question, answer, "Sure?", f"Yes, {colour(thing)}.")]}
        for thing, question, answer in asked
    ]
    quotes = [{"messages": turns(f"Who wrote this? {book(number).splitlines()[2]}", f"Book {number} has it.")} for number in range(BOOKS)]
    long = {"messages": turns(*(part for _, question, answer in asked for part in (question, answer)))}
    write_lines(folder / "chats" / "openai.jsonl", [*openai, *quotes, long, openai[0], {"messages": []}, {"text": "no conversation"}])
    write_lines(
        folder / "chats" / "alpaca.jsonl",
        [{"instruction": "Name the colour.", "input": thing, "output": colour(thing)} for thing in THINGS],
    )
    sharegpt = [{"conversations": [{"from": "human", "value": f"Tell me: {q}"}, {"from": "gpt", "value": a}]} for _, q, a in asked]
    write_lines(folder / "chats" / "sharegpt.jsonl", sharegpt)
    labels = [{"prompt": q, "completion": text, "label": text == a} for _, q, a in asked for text in (a, "I will not say.")]
    write_lines(folder / "chats" / "labels.jsonl", labels)
    pairs = [{"prompt": q, "chosen": turns("", a)[1:], "rejected": turns("", f"{a} {a}")[1:]} for _, q, a in asked]
    pq.write_table(pa.Table.from_pylist(pairs), folder / "feedback.parquet")
    recipe = folder / "talks.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe
