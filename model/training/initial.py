"""What a job starts from: fresh weights, or a model directory, ours or a Hugging Face Llama's.

When it can't: a directory of another shape, or of another tokenizer than the shards', is an error that names what differs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import load_model, read_config
from model.networks.tokenizer_binding import read_tokenizer_digest
from model.training.job import Job, JobError


def initial_decoder(job: Job) -> Decoder:
    """Fresh weights from the seed, or the initial model, which must have the job's shape and tokenizer."""
    directory = job.initial_model
    if directory is None:
        return Decoder(job.decoder, job.vocab_size, seed=job.seed)
    shape, vocab_size = read_config(directory)
    if differing := _differences(shape, vocab_size, job):
        raise JobError(f"{directory} is another model than the recipe's: {', '.join(differing)}; give the recipe the model's values")
    _require_tokenizer(directory, job)
    return load_model(directory)


def _differences(shape: DecoderConfig, vocab_size: int, job: Job) -> list[str]:
    """Each field that differs in what it computes; how weights were drawn at first is none."""
    fields = (name for name in DecoderConfig.model_fields if name != "initial_std")
    pairs = {name: (getattr(shape, name), getattr(job.decoder, name)) for name in fields}
    pairs["vocab_size"] = (vocab_size, job.vocab_size)
    return [f"{name} is {theirs!r} there and {ours!r} here" for name, (theirs, ours) in pairs.items() if theirs != ours]


def _require_tokenizer(directory: Path, job: Job) -> None:
    """Its tokenizer.json, or what its config.json says of the tokenizer, must be the shards'."""
    path = directory / "tokenizer.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else read_tokenizer_digest(directory)
    if digest is None:
        raise JobError(
            f"{directory} does not tell its tokenizer, so its tokens may mean other words; put its tokenizer.json there, or train from "
            "fresh weights"
        )
    if digest != job.tokenizer_digest:
        raise JobError(
            f"{directory} speaks tokenizer {digest[:12]}, the shards were encoded by tokenizer {job.tokenizer_digest[:12]}; encode with "
            "the model's own"
        )
