"""Fits the tokenizer on the training split and writes it as a directory that Hugging Face opens as its own.

Guarantee: byte-level BPE, so every text has ids and comes back from them byte for byte; that is proven on the whole
training split each time. Special tokens have the ids of `special.py`. Same split and config, same
bytes, whatever the threads. Only the training split is read.
Cost: memory for the distinct words of the sample; one pass over the split to fit, one to prove.
When it can't: a corpus with little to merge gives fewer tokens than asked for (bytes and special tokens are always
there): the metric `vocab_size` says how many. An empty split and a failed round trip raise TokenizerError.

Files: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja, and sample.parquet, which
records every piece of text that the tokenizer was fitted on (document id, number of the piece, bytes).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from data.tokens.config import TokenizerConfig
from data.tokens.documents import hash_place, read_documents
from data.tokens.encoder import TextEncoder, TokenizerError, pieces, text_groups
from data.tokens.special import CHAT_TEMPLATE, SPECIAL_TOKENS


def fit_tokenizer(train: Path, output: Path, config: TokenizerConfig) -> dict[str, float]:
    """Fit on the split at `train`, write the tokenizer directory `output`, prove the round trip.

    Returns vocab_size (tokens reached), tokens and train_bytes of the split, bytes_per_token, sample_bytes (what it
    was fitted on), sample_fraction, and round_trip_errors, which is 0 or the function raises TokenizerError.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    total = sum(len(document.text.encode()) for document in read_documents(train))
    if not total:
        raise TokenizerError(f"{train} holds no text: nothing to fit a tokenizer on; look at what cleaning removed")
    record: list[tuple[str, int, int]] = []
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        max_token_length=config.max_token_bytes,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(train, total, config, record), trainer=trainer)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(output / "tokenizer.json"))
    encoder = TextEncoder(output)
    tokens, errors = prove_round_trip(encoder, train)
    if errors:
        raise TokenizerError(f"{errors} pieces of {train} do not come back from their ids; the tokenizer is unusable")
    write_hugging_face_files(output)
    _write_record(output / "sample.parquet", record)
    fitted = sum(size for _, _, size in record)
    return {
        "vocab_size": float(encoder.vocab_size),
        "tokens": float(tokens),
        "train_bytes": float(total),
        "bytes_per_token": total / tokens,
        "sample_bytes": float(fitted),
        "sample_fraction": fitted / total,
        "round_trip_errors": float(errors),
    }


def sample(train: Path, total: int, config: TokenizerConfig, record: list[tuple[str, int, int]]) -> Iterator[str]:
    """Pieces of the split, at most `sample_bytes` of them, each noted in `record` as (document, piece, bytes).

    Rule: everything when it fits. Otherwise a piece is taken when a hash of (seed, document, piece) falls below
    sample_bytes / total, until the cap: each book gives a part in proportion to its length, and adding a book
    leaves the choice among the others nearly as it was.
    """
    everything = total <= config.sample_bytes
    bound = int(2**64 * config.sample_bytes / total)
    room = config.sample_bytes
    for document in read_documents(train):
        for number, piece in enumerate(pieces(document.text)):
            size = len(piece.encode())
            if size > room or not (everything or hash_place(config.seed, document.id, number) < bound):
                continue
            room -= size
            record.append((document.id, number, size))
            yield piece


def prove_round_trip(encoder: TextEncoder, split: Path) -> tuple[int, int]:
    """Encode and decode every piece of a split; (tokens, pieces that came back changed or with special tokens)."""
    tokens = errors = 0
    for group in text_groups(document.text for document in read_documents(split)):
        ids = [encoding.ids for encoding in encoder.tokenizer.encode_batch_fast(group, add_special_tokens=False)]
        back = encoder.tokenizer.decode_batch(ids, skip_special_tokens=True)  # a special token would go missing here
        tokens += sum(map(len, ids))
        errors += sum(one != other for one, other in zip(group, back, strict=True))
    return tokens, errors


def write_hugging_face_files(output: Path) -> None:
    """Write what `transformers.AutoTokenizer` needs beside tokenizer.json: config, special tokens, chat template.

    Applied by transformers, the template makes one string and parses it: there, unlike in `chat.py`, a user who writes
    a special token gets one. Serving must encode content as `chat.py` does.
    """
    pad, bos, eos = SPECIAL_TOKENS[:3]
    names = {"bos_token": bos, "eos_token": eos, "pad_token": pad}
    extra = list(SPECIAL_TOKENS[3:])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": CHAT_TEMPLATE,
    }
    _write_json(output / "tokenizer_config.json", config)
    _write_json(output / "special_tokens_map.json", {**names, "additional_special_tokens": extra})
    (output / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_record(path: Path, record: list[tuple[str, int, int]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, numbers, sizes = zip(*record, strict=True) if record else ((), (), ())
    columns = {
        "id": pa.array(ids, pa.string()),
        "piece": pa.array(numbers, pa.int32()),
        "bytes": pa.array(sizes, pa.int64()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")
