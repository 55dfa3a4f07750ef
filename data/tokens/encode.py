"""Encodes conversations, preference pairs and labelled answers into rows for tuning.

The loss covers the assistant's words and the `<|end|>` that closes them, nothing else. Conversations are never cut, and share rows as
separate documents; both answers of a pair follow the same prompt. Labelled answers stand one to a row: those of labels_*.jsonl, where it
exists, and after them both answers of every pair, the chosen one desirable and the rejected one not. Equal inputs give equal bytes. Memory
holds the encoded conversations. A missing file of conversations or pairs raises FileNotFoundError. Conversations longer than a row are
dropped and invalid lines are quarantined: each has a line in ledger.jsonl and is counted. A file of which nothing is left gives a shard
directory without rows.

Files: sft/train, sft/val, preference/train, preference/val, labels/train, labels/val (shard directories), ledger.jsonl.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.tokens.chat import (
    EncodedConversation,
    LineLedger,
    Messages,
    conversation_fault,
    encode_conversations,
    label_fault,
    preference_fault,
    read_lines,
)
from data.tokens.config import EncodeConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TextEncoder
from data.tokens.rows import Columns, best_fit, fill_rows
from data.tokens.token_shards import TokenShardWriter

TOO_LONG = "longer than a row"
SIDES = ("chosen", "rejected")


def encode(conversations: Path, tokenizer: Path, output: Path, config: EncodeConfig) -> dict[str, float]:
    """Encode `instructions_{train,val}.jsonl`, `preferences_{train,val}.jsonl` and `labels_{train,val}.jsonl` of a directory.

    Return metrics with the kind and split as prefix, such as sft_train_: rows, tokens, targets, bytes, padding_fraction, kept, removed (too
    long), quarantined; of labels also desirable (the number of rows so labelled); and removed and quarantined in total, where a pair counts
    once.
    """
    encoder = TextEncoder(tokenizer)
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
            counts["removed"] = float(ledger.counted("removed"))
            counts["quarantined"] = float(ledger.counted("quarantined"))
            metrics |= {f"{kind}_{part}_{name}": value for name, value in counts.items()}
            total.lines += ledger.lines
    metrics["removed"] = float(total.counted("removed"))
    metrics["quarantined"] = float(total.counted("quarantined"))
    total.write(output / "ledger.jsonl")
    return metrics


def _write_sft(conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write conversations, several to a row as separate documents, in the order of a hash of (seed, line)."""
    path = conversations / f"instructions_{part}.jsonl"
    lines = [(number, value["messages"]) for number, value in read_lines(path, conversation_fault, ledger)]
    kept: list[EncodedConversation] = []
    for conversation in encode_conversations(writer.encoder, lines):
        if len(conversation.ids) > writer.width:
            ledger.note(path.name, conversation.line, "removed", TOO_LONG, len(conversation.ids))
        else:
            kept.append(conversation)
    kept.sort(key=lambda conversation: shuffle_key(config.seed, "sft", conversation.line))
    plan = best_fit([len(conversation.ids) for conversation in kept], writer.width)
    for start in range(0, len(plan), config.shard_rows):
        rows = [[(kept[n].ids, kept[n].answer) for n in numbers] for numbers in plan[start : start + config.shard_rows]]
        writer.add(fill_rows(rows, writer.width, writer.encoder.dtype))
    return {**writer.close(), "kept": float(len(kept))}


def _write_pairs(conversations: Path, part: str, writer: TokenShardWriter, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write preference pairs, one to a row, in the order of the file; the loss covers only the two answers."""
    kept = _read_pairs(conversations, part, writer, ledger)
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
    labelled: list[tuple[EncodedConversation, bool]] = []
    answered: list[tuple[int, Messages]] = [(number, _answered(value["messages"], value["completion"])) for number, value in lines]
    for conversation in encode_conversations(writer.encoder, answered):
        if len(conversation.ids) > writer.width:
            ledger.note(path.name, conversation.line, "removed", TOO_LONG, len(conversation.ids))
        else:
            labelled.append((conversation, wanted[conversation.line]))
    # What is wrong with a pair is in the ledger already.
    for pair in _read_pairs(conversations, part, writer, LineLedger("encode")):
        labelled += zip(pair, (True, False), strict=True)
    for start in range(0, len(labelled), config.shard_rows):
        chunk = labelled[start : start + config.shard_rows]
        filled = _last_answers([conversation for conversation, _ in chunk], writer)
        desirable = np.array([label for _, label in chunk], dtype=np.bool_)
        writer.add({"tokens": filled["tokens"], "loss": filled["loss"], "desirable": desirable})
    return {**writer.close(), "kept": float(len(labelled)), "desirable": float(sum(label for _, label in labelled))}


def _read_pairs(
    conversations: Path, part: str, writer: TokenShardWriter, ledger: LineLedger
) -> list[tuple[EncodedConversation, EncodedConversation]]:
    """Return both sides of every pair that fits a row, each as a whole conversation."""
    path = conversations / f"preferences_{part}.jsonl"
    lines = read_lines(path, preference_fault, ledger)
    sides = [
        list(encode_conversations(writer.encoder, [(n, _answered(value["messages"], value[side])) for n, value in lines])) for side in SIDES
    ]
    kept: list[tuple[EncodedConversation, EncodedConversation]] = []
    for chosen, rejected in zip(*sides, strict=True):
        longest = max(len(chosen.ids), len(rejected.ids))
        if longest > writer.width:
            ledger.note(path.name, chosen.line, "removed", TOO_LONG, longest)
        else:
            kept.append((chosen, rejected))
    return kept


def _answered(messages: Messages, answer: str) -> Messages:
    return [*messages, {"role": "assistant", "content": answer}]


def _last_answers(conversations: list[EncodedConversation], writer: TokenShardWriter) -> Columns:
    """Fill a row with each conversation, whose last message alone counts."""
    return fill_rows([[(one.ids, one.last_answer)] for one in conversations], writer.width, writer.encoder.dtype)
