"""Encodes conversations and preference pairs into rows for tuning.

The loss covers the assistant's words and the `<|end|>` that closes them, nothing else. Conversations are never cut, and share rows as
separate documents; both answers of a pair follow the same prompt. Equal inputs give equal bytes. Memory holds the encoded conversations.
A missing file raises FileNotFoundError. Conversations longer than a row are dropped and invalid lines are quarantined: each has a line in
ledger.jsonl and is counted. A file of which nothing is left gives a shard directory without rows.

Files: sft/train, sft/val, preference/train, preference/val (shard directories), ledger.jsonl.
"""

from __future__ import annotations

from pathlib import Path

from data.tokens.chat import (
    EncodedConversation,
    LineLedger,
    Messages,
    conversation_fault,
    encode_conversations,
    preference_fault,
    read_lines,
)
from data.tokens.config import EncodeConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TextEncoder
from data.tokens.rows import Columns, best_fit, fill_rows
from data.tokens.token_shards import TokenShardWriter

TOO_LONG = "longer than a row"


def encode(conversations: Path, tokenizer: Path, output: Path, config: EncodeConfig) -> dict[str, float]:
    """Encode `instructions_{train,val}.jsonl` and `preferences_{train,val}.jsonl` of the directory `conversations`.

    Return metrics with the prefix sft_train_, sft_val_, preference_train_ or preference_val_: rows, tokens, targets, bytes,
    padding_fraction, kept, removed (too long), quarantined; and removed and quarantined in total.
    """
    encoder = TextEncoder(tokenizer)
    total = LineLedger("encode")
    metrics: dict[str, float] = {}
    output.mkdir(parents=True, exist_ok=True)
    for kind, stem, write in (("sft", "instructions", _write_sft), ("preference", "preferences", _write_pairs)):
        for part in ("train", "val"):
            ledger = LineLedger("encode")
            counts = write(conversations / f"{stem}_{part}.jsonl", output / kind / part, encoder, config, ledger)
            counts["removed"] = float(ledger.counted("removed"))
            counts["quarantined"] = float(ledger.counted("quarantined"))
            metrics |= {f"{kind}_{part}_{name}": value for name, value in counts.items()}
            total.lines += ledger.lines
    metrics["removed"] = float(total.counted("removed"))
    metrics["quarantined"] = float(total.counted("quarantined"))
    total.write(output / "ledger.jsonl")
    return metrics


def _write_sft(path: Path, directory: Path, encoder: TextEncoder, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write conversations, several to a row as separate documents, in the order of a hash of (seed, line)."""
    width = config.sequence_length + 1
    lines = [(number, value["messages"]) for number, value in read_lines(path, conversation_fault, ledger)]
    kept: list[EncodedConversation] = []
    for conversation in encode_conversations(encoder, lines):
        if len(conversation.ids) > width:
            ledger.note(path.name, conversation.line, "removed", TOO_LONG, len(conversation.ids))
        else:
            kept.append(conversation)
    kept.sort(key=lambda conversation: shuffle_key(config.seed, "sft", conversation.line))
    writer = TokenShardWriter(directory, "sft", config.sequence_length, encoder, config.shard_rows)
    plan = best_fit([len(conversation.ids) for conversation in kept], width)
    for start in range(0, len(plan), config.shard_rows):
        rows = [[(kept[n].ids, kept[n].answer) for n in numbers] for numbers in plan[start : start + config.shard_rows]]
        writer.add(fill_rows(rows, width, encoder.dtype))
    return {**writer.close(), "kept": float(len(kept))}


def _write_pairs(path: Path, directory: Path, encoder: TextEncoder, config: EncodeConfig, ledger: LineLedger) -> dict[str, float]:
    """Write preference pairs, one to a row, in the order of the file; the loss covers only the two answers."""
    width = config.sequence_length + 1
    lines = read_lines(path, preference_fault, ledger)
    sides: dict[str, list[EncodedConversation]] = {}
    for side in ("chosen", "rejected"):
        whole: list[tuple[int, Messages]] = [
            (number, [*value["messages"], {"role": "assistant", "content": value[side]}]) for number, value in lines
        ]
        sides[side] = list(encode_conversations(encoder, whole))
    kept: list[tuple[EncodedConversation, EncodedConversation]] = []
    for chosen, rejected in zip(sides["chosen"], sides["rejected"], strict=True):
        longest = max(len(chosen.ids), len(rejected.ids))
        if longest > width:
            ledger.note(path.name, chosen.line, "removed", TOO_LONG, longest)
        else:
            kept.append((chosen, rejected))
    writer = TokenShardWriter(directory, "preference", config.sequence_length, encoder, config.shard_rows)
    for start in range(0, len(kept), config.shard_rows):
        part = kept[start : start + config.shard_rows]
        columns: Columns = {}
        for index, side in enumerate(("chosen", "rejected")):
            filled = fill_rows([[(pair[index].ids, pair[index].last_answer)] for pair in part], width, encoder.dtype)
            columns |= {side: filled["tokens"], f"{side}_loss": filled["loss"]}
        writer.add(columns)
    return {**writer.close(), "kept": float(len(kept))}
