"""Encodes conversations, preference pairs and labelled answers into rows for tuning.

The loss covers what the assistant wrote and the token that ends it, nothing else. Conversations are never cut within an exchange, and share
rows as separate documents; both answers of a pair follow the same prompt. Labelled answers stand one to a row: those of labels_*.jsonl,
where it exists, and after them both answers of every pair, the chosen one desirable and the rejected one not. Equal inputs give equal
bytes. Memory holds the encoded conversations.

A missing file of conversations or pairs raises FileNotFoundError. Conversations longer than a row are dropped or shortened (`too_long`) and
invalid lines are quarantined: each has a line in ledger.jsonl and is counted. A file of which nothing is left gives a shard directory
without rows.

Files: sft/train, sft/val, preference/train, preference/val, labels/train, labels/val (shard directories), ledger.jsonl.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.conversations.records import conversation_fault, label_fault, preference_fault
from data.shards.pictures import PARTS, named_pictures
from data.tokens.chat import EncodedConversation, LineLedger, chat_of, fitting_conversations, fitting_groups, read_lines
from data.tokens.config import EncodeConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TextEncoder
from data.tokens.rows import Columns, best_fit, fill_rows
from data.tokens.token_shards import TokenShardWriter

SIDES = ("chosen", "rejected")
WITH_PICTURES = "a pair with pictures: rows of pairs have no column for them"
# Metric -> the action in the ledger that it counts.
ACTIONS = {"removed": "removed", "shortened": "changed", "quarantined": "quarantined"}


def encode(conversations: Path, tokenizer: Path, output: Path, config: EncodeConfig) -> dict[str, float]:
    """Encode `instructions_{train,val}.jsonl`, `preferences_{train,val}.jsonl` and `labels_{train,val}.jsonl` of a directory.

    Return metrics with the kind and split as prefix, such as sft_train_: rows, tokens, targets, bytes, padding_fraction, kept, removed and
    shortened (too long), quarantined; of labels also desirable (the number of rows so labelled); and removed, shortened and quarantined in
    total, where a pair counts once.
    """
    encoder = TextEncoder(tokenizer, (config.grid, [conversations / PARTS]) if config.grid else None)
    total = LineLedger("encode")
    metrics: dict[str, float] = {}
    output.mkdir(parents=True, exist_ok=True)
    for kind, write in (("sft", _write_sft), ("preference", _write_pairs), ("labels", _write_labels)):
        for part in ("train", "val"):
            ledger = LineLedger("encode")
            counts = write(
                conversations,
                part,
                TokenShardWriter(output / kind / part, kind, config.sequence_length, encoder, config.shard_rows),
                config,
                ledger,
            )
            counts |= {name: float(ledger.counted(action)) for name, action in ACTIONS.items()}
            metrics |= {f"{kind}_{part}_{name}": value for name, value in counts.items()}
            total.lines += ledger.lines
    metrics |= {name: float(total.counted(action)) for name, action in ACTIONS.items()}
    total.write(output / "ledger.jsonl")
    return metrics


def _write_sft(conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write conversations, several to a row as separate documents, in the order of a hash of (seed, line)."""
    path = conversations / f"instructions_{part}.jsonl"
    chats = [chat_of(number, value) for number, value in read_lines(path, conversation_fault, ledger)]
    kept = fitting_conversations(writer.encoder, chats, writer.width, path.name, ledger, config.too_long)
    kept.sort(key=lambda conversation: shuffle_key(config.seed, "sft", conversation.line))
    plan = best_fit([len(conversation.ids) for conversation in kept], writer.width)
    for start in range(0, len(plan), config.shard_rows):
        rows = [[(kept[n].ids, kept[n].answer) for n in numbers] for numbers in plan[start : start + config.shard_rows]]
        writer.add(fill_rows(rows, writer.width, writer.encoder.dtype, writer.encoder.roles.padding))
    return {**writer.close(), "kept": float(len(kept))}


def _write_pairs(conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write preference pairs, one to a row, in the order of the file; the loss covers only the two answers."""
    kept = _read_pairs(conversations, part, writer, config, ledger)
    for start in range(0, len(kept), config.shard_rows):
        columns: Columns = {}
        for index, side in enumerate(SIDES):
            filled = _last_answers([pair[index] for pair in kept[start : start + config.shard_rows]], writer)
            columns |= {side: filled["tokens"], f"{side}_loss": filled["loss"]}
        writer.add(columns)
    return {**writer.close(), "kept": float(len(kept))}


def _write_labels(conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write answers with a label, one to a row, in the order of the files; the loss covers only the answer."""
    path = conversations / f"labels_{part}.jsonl"
    lines = read_lines(path, label_fault, ledger) if path.is_file() else []
    wanted = {number: bool(value["label"]) for number, value in lines}
    chats = [chat_of(number, value, value["completion"]) for number, value in lines]
    answers = fitting_conversations(writer.encoder, chats, writer.width, path.name, ledger, config.too_long)
    labelled: list[tuple[EncodedConversation, bool]] = [(one, wanted[one.line]) for one in answers]
    # What is wrong with a pair is in the ledger already.
    for pair in _read_pairs(conversations, part, writer, config, LineLedger("encode")):
        labelled += zip(pair, (True, False), strict=True)
    for start in range(0, len(labelled), config.shard_rows):
        chunk = labelled[start : start + config.shard_rows]
        filled = _last_answers([conversation for conversation, _ in chunk], writer)
        desirable = np.array([label for _, label in chunk], dtype=np.bool_)
        writer.add({"tokens": filled["tokens"], "loss": filled["loss"], "desirable": desirable})
    return {**writer.close(), "kept": float(len(labelled)), "desirable": float(sum(label for _, label in labelled))}


def _read_pairs(
    conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger
) -> list[tuple[EncodedConversation, ...]]:
    """Return the chosen and rejected side of every pair whose sides both fit a row, each as a whole conversation."""
    path = conversations / f"preferences_{part}.jsonl"
    known = writer.encoder.pictures is not None
    lines = read_lines(path, lambda v: preference_fault(v) or (WITH_PICTURES if known and named_pictures(str(v)) else None), ledger)
    sides = [[chat_of(number, value, value[side]) for side in SIDES] for number, value in lines]
    return fitting_groups(writer.encoder, sides, writer.width, path.name, ledger, config.too_long)


def _last_answers(conversations: list[EncodedConversation], writer: TokenShardWriter) -> Columns:
    """Fill a row with each conversation, whose last message alone counts."""
    rows, encoder = [[(one.ids, one.last_answer)] for one in conversations], writer.encoder
    return fill_rows(rows, writer.width, encoder.dtype, encoder.roles.padding)
