"""The six kinds of tokenizer, each fitted with the library `tokenizers` on the same chunks of text.

Special tokens have the ids of `special.py` in every kind, followed by `<|unk|>` where a kind has it. All kinds split text into words in the
same way (`WORDS`: a word includes the space before it, and nothing is dropped or normalized), so the tokens of known text concatenate to
the text. Equal chunks and settings give an equal tokenizer, for any number of threads. Memory holds the distinct words of the sample.

| kind | how it splits a word | what its vocabulary lacks becomes |
|---|---|---|
| byte_level_bpe | bytes, merged by frequency (Sennrich et al. 2016; Radford et al. 2019) | nothing is lacking |
| bpe | characters, merged by frequency | its UTF-8 bytes, one token each |
| unigram | the most probable pieces (Kudo 2018) | its UTF-8 bytes, one token each |
| wordpiece | the longest known piece first, continuations marked `##` (Schuster and Nakajima 2012) | `<|unk|>` for the whole word |
| word | not at all | `<|unk|>` for the word |
| character | single characters | `<|unk|>` for the character |

Fits the tokenizer on a sample of the training split.

Special tokens have the ids of `special.py`. Equal splits and settings give equal bytes, at any thread count. Memory holds the distinct
words of the sample. Costs a few passes over what was set apart for the sample, or over the split where nothing was. A corpus with little
to learn from gives fewer tokens than asked for; bytes and special tokens are always there. An empty split raises TokenizerError.

Files: tokenizer.json; sample.parquet, which lists every chunk of text that the tokenizer was fitted on (document id, number of the chunk,
bytes); fitted.json, the bytes of the sample and of the split, and the sizes that a sweep tried.

Chooses the size of a vocabulary by measuring: a larger one encodes more bytes in a token, but costs the model more embeddings.

Sizes are fitted in ascending order and measured on text held out of the sample. The gain from one size to the next is (ratio of bytes per
token - 1) / log2(ratio of sizes); bytes lost to unknown tokens don't count. The first size whose successor gains less than `sweep_gain` is
chosen, or else the last. Costs one fit for each size up to the successor of the chosen one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, RESERVED, TOKENIZER_FILE, TokenizerConfig
from data.tokens.encoder import byte_counts, token_spellings
from data.tokens.sampling import Sample, write_record
from data.tokens.special import SPECIAL_TOKENS, UNKNOWN, write_json
from data.tokens.unigram import fit_unigram

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

Texts = Callable[[], Iterator[str]]  # yields the sample from its beginning at each call
WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# WordPiece marks continuations with ##, so a "#" of the text must not begin a longer word: each is a word by itself.
WORDS_WITHOUT_HASH = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?#| ?[^\s\p{L}\p{N}#]+|\s+(?!\S)|\s+"
CONTINUED = "##"
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
LONGEST_WORDPIECE_WORD = 100  # greedy search is quadratic in the length of a word


def fit_kind(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    """Fit a tokenizer of `config.kind` with at most `size` tokens, but at least its bytes and special tokens."""
    fitted = {
        "byte_level_bpe": _byte_level_bpe,
        "bpe": _bpe,
        "unigram": _unigram,
        "wordpiece": _wordpiece,
        "word": _word,
        "character": _character,
    }[config.kind](texts, config, size)
    fitted.add_special_tokens([token for token in (*SPECIAL_TOKENS, UNKNOWN) if fitted.token_to_id(token) is not None])
    return fitted


def _byte_level_bpe(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    apart = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = words if config.digits == "together" else pre_tokenizers.Sequence([apart, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=config.min_frequency,
        max_token_length=config.max_token_length,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer=trainer)
    return tokenizer


def _bpe(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    """Fit BPE over characters. The trainer knows no byte tokens, so they are inserted before the learned ones."""
    import json

    from tokenizers import Tokenizer, decoders, models, trainers

    known = frequent_characters(texts, config, (size - RESERVED["bpe"]) // 2)
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = word_splitter()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(BYTES),
        min_frequency=config.min_frequency,
        max_token_length=config.max_token_length,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    learned.train_from_iterator(mask_unknown(texts, known), trainer=trainer)
    model = json.loads(learned.to_str())["model"]
    ordered = sorted(model["vocab"], key=model["vocab"].get)
    names = (*SPECIAL_TOKENS, *BYTES, *ordered[len(SPECIAL_TOKENS) :])
    vocabulary = {token: index for index, token in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]], byte_fallback=True))
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.decoder = decoders.ByteFallback()
    return tokenizer


def _unigram(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    """Fit the library's model with our own trainer, since the library's gives different pieces each time."""
    from tokenizers import Tokenizer, decoders, models

    known = frequent_characters(texts, config, (size - RESERVED["unigram"]) // 2)
    cut = word_splitter()
    counted = Counter(word for text in mask_unknown(texts, known) for word, _ in cut.pre_tokenize_str(text))
    pieces = fit_unigram(counted, known, size - RESERVED["unigram"], config.max_token_length, config.min_frequency)
    fixed = [(token, 0.0) for token in (*SPECIAL_TOKENS, UNKNOWN, *BYTES)]
    tokenizer = Tokenizer(models.Unigram(vocab=[*fixed, *pieces], unk_id=len(SPECIAL_TOKENS), byte_fallback=True))
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.decoder = decoders.ByteFallback()
    return tokenizer


def _wordpiece(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, trainers

    known = frequent_characters(texts, config, (size - RESERVED["wordpiece"]) // 4)
    learned = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    learned.pre_tokenizer = word_splitter(WORDS_WITHOUT_HASH)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=config.min_frequency,
        # The trainer numbers continuations in the order of a hash table unless they are given in advance.
        special_tokens=[*SPECIAL_TOKENS, UNKNOWN, *known, *(CONTINUED + character for character in known)],
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    learned.train_from_iterator(mask_unknown(texts, known), trainer=trainer)
    model = models.WordPiece(
        vocab=learned.get_vocab(), unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORDPIECE_WORD, continuing_subword_prefix=CONTINUED
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = word_splitter(WORDS_WITHOUT_HASH)
    tokenizer.decoder = decoders.Replace(Regex("^" + CONTINUED), "")
    return tokenizer


def _word(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=config.min_frequency, special_tokens=[*SPECIAL_TOKENS, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer=trainer)
    return tokenizer


def _character(texts: Texts, config: TokenizerConfig, size: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models

    known = frequent_characters(texts, config, size - RESERVED["character"])
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, UNKNOWN, *known))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def word_splitter(pattern: str = WORDS) -> PreTokenizer:
    """Return a pre-tokenizer that splits text into words and drops nothing."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(pattern), "isolated")


def frequent_characters(texts: Texts, config: TokenizerConfig, most: int) -> tuple[str, ...]:
    """Return the `most` frequent characters that occur at least `min_frequency` times, in order of code point."""
    seen: Counter[str] = Counter()
    for text in texts():
        seen.update(text)
    often = sorted((character for character, count in seen.items() if count >= config.min_frequency), key=lambda c: (-seen[c], c))
    return tuple(sorted(often[: max(most, 0)]))


def mask_unknown(texts: Texts, known: tuple[str, ...]) -> Iterator[str]:
    """Yield the texts with unknown characters replaced by line ends, so they are not learned."""
    kept = set(known)
    for text in texts():
        unknown = set(text) - kept
        yield text.translate(dict.fromkeys(map(ord, unknown), "\n")) if unknown else text


@dataclass(frozen=True)
class SizeTrial:
    """The measurement of one size on held-out text; `vocab_size` is the size that the sample allowed.

    `bytes` excludes those lost to unknown tokens. `gain`: relative gain in bytes per token over the previous size, for each doubling; None
    for the first.
    """

    size: int
    vocab_size: int
    bytes: int
    tokens: int
    unknown_rate: float
    gain: float | None

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens


def fit_best(sample: Sample, config: TokenizerConfig) -> tuple[Tokenizer, list[dict[str, Any]]]:
    """Return the tokenizer of the chosen size, and a row for each size that was tried (none without a sweep)."""
    if not config.sweep:
        return fit_kind(sample.texts, config, config.vocab_size), []
    held_out = list(sample.held_out())
    best = fit_kind(sample.texts, config, config.sweep[0])
    tried = [_measure(best, config.sweep[0], held_out, None)]
    chosen = 0
    for size in (*config.sweep[1:], config.vocab_size):
        fitted = fit_kind(sample.texts, config, size)
        tried.append(_measure(fitted, size, held_out, tried[-1]))
        if (tried[-1].gain or 0.0) < config.sweep_gain:
            break
        best, chosen = fitted, chosen + 1
    return best, [asdict(row) | {"bytes_per_token": row.bytes_per_token, "chosen": index == chosen} for index, row in enumerate(tried)]


def _measure(fitted: Tokenizer, size: int, texts: list[str], before: SizeTrial | None) -> SizeTrial:
    fitted.encode_special_tokens = True
    reached, unknown = fitted.get_vocab_size(with_added_tokens=True), fitted.token_to_id(UNKNOWN)
    uses = np.zeros(reached, dtype=np.int64)
    for encoding in fitted.encode_batch_fast(texts, add_special_tokens=False):
        uses += np.bincount(np.array(encoding.ids, dtype=np.int64), minlength=reached)
    tokens, size_in_bytes = int(uses.sum()), int(uses @ byte_counts(token_spellings(fitted)))
    lost = 0 if unknown is None else int(uses[unknown])
    gain = None
    if before is not None:
        doublings = math.log2(reached / before.vocab_size)
        gain = (size_in_bytes / tokens / before.bytes_per_token - 1) / doublings if doublings > 0 else 0.0
    return SizeTrial(size, reached, size_in_bytes, tokens, lost / tokens, gain)


def fit(train: Files, output: Path, config: TokenizerConfig, sizes: Sequence[Path] = (), drawn: Sequence[Path] = ()) -> dict[str, float]:
    """Fit on the split in the files `train`, and write the files into `output`.

    `sizes`, `drawn`: how many bytes of text each shard has, and what was set apart of it for the sample. Without them the split is read
    once more, and as often as the sample is. The files are the same.
    Return vocab_size (tokens reached), sample_bytes (of the text fitted on) and sample_fraction.
    """
    sample = Sample.of(train, config, sizes, drawn)
    fitted, tried = fit_best(sample, config)
    output.mkdir(parents=True, exist_ok=True)
    fitted.encode_special_tokens = False  # tokenizer.json doesn't store it; every reader sets it again
    fitted.save(str(output / TOKENIZER_FILE))
    write_record(output / RECORD, sample.record)
    used = sum(size for _, _, size in sample.record)
    write_json(output / FITTED, {"sample_bytes": used, "train_bytes": sample.total, "sweep": tried})
    vocab_size = fitted.get_vocab_size(with_added_tokens=True)
    return {"vocab_size": float(vocab_size), "sample_bytes": float(used), "sample_fraction": used / sample.total}
