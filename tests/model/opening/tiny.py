"""Small models with tokenizers of their own, written as people publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = "the cat sat on the mat and the dog lay by the door of the house while rain fell on the roof and the wind blew\n" * 20


def write_tokenizer(directory: Path, *, vocabulary: int = 320, splitter: str = "", chat: bool = True) -> None:
    """Write a byte-level BPE tokenizer as SmolLM2's files are: one token ends documents and another messages."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not splitter)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(splitter), "isolated"), level]) if splitter else level
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([WORDS], trainer=trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(directory / "tokenizer.json"))
    names = {"eos_token": SPECIAL[2], "pad_token": SPECIAL[2], "bos_token": SPECIAL[1]} if chat else {"eos_token": SPECIAL[0]}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": 64}
    if chat:
        config["chat_template"] = CHATML
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def write_sentencepiece(folder: Path) -> None:
    """Write BPE over characters with bytes for the rest, a space before every text and <s> before it, as Llama 2 has it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    pieces = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<unk>", "<s>", "</s>", *pieces], show_progress=False)
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.train_from_iterator([WORDS], trainer=trainer)
    learned = json.loads(words.to_str())["model"]
    tokenizer.model = models.BPE(
        vocab=learned["vocab"], merges=[tuple(pair) for pair in learned["merges"]], byte_fallback=True, unk_token="<unk>", fuse_unk=True
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s>:0 $A:0", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": {"content": "<s>"}, "eos_token": {"content": "</s>"}, "pad_token": None, "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_llama(directory: Path, *, vocabulary: int = 320, context: int = 64, licence: str = "apache-2.0") -> Any:
    """Write a Llama of random weights with a tokenizer into `directory` and return transformers' model."""
    import transformers

    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        **{"vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "max_position_embeddings": context, "tie_word_embeddings": True, "initializer_range": 0.1},
    )
    theirs = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    theirs.save_pretrained(directory)
    write_tokenizer(directory, vocabulary=vocabulary)
    (directory / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A small Llama\n")
    return theirs
