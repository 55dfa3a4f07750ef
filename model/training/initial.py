"""The weights that a job starts from: fresh ones, or a model directory, folio's or one that transformers wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path

from data.shards.model_folder import TOKENIZER_BYTES, present, read_bytes
from data.shards.reader import ShardReader
from model.adapters.opening import Reference
from model.inputs.inputs import inputs_of
from model.networks.base import AHEAD, NetworkBase
from model.networks.directory import Hold, load_model, read_config, read_tokenizer_digest
from model.networks.meta import meta_network
from model.networks.network import Network
from model.networks.scalar_heads import add_head, load_with_head
from model.objectives.protocol import JUDGE, Objective
from model.training.job import Job, JobError


def initial_network(job: Job, *, hollow: bool = False, hold: Hold | None = None) -> Network:
    """Return fresh weights from the seed, or the initial model; raise JobError unless it has the job's shape and tokenizer.

    Where the loss compares it with another model it drops nothing, as TRL does it: noise in one of the two would count as a difference.
    `hollow`: with numbers that mean nothing in memory that nothing has touched yet, so it takes none until it is written to. `hold`: as
    `load_model` takes it.
    Raise ShardError if the training rows lack what an input needs to know of them.
    """
    if hollow:
        config = job.network.without_dropout if job.initial_model and job.train.COMPARES else job.network
        return meta_network(config, job.vocab_size).to_empty(device="cpu")
    network = _load_initial(job, job.initial_model, hold) if job.initial_model else job.network.build(job.vocab_size, seed=job.seed)
    if job.network.inputs and job.train_shards:
        shards = ShardReader(job.train_shards)
        for module in inputs_of(network):
            module.bind(shards)
    return network


def _load_initial(job: Job, directory: Path, hold: Hold | None) -> Network:
    shape, vocab_size = read_config(directory)
    if differing := _differences(shape, vocab_size, job):
        raise JobError(f"{directory} differs from the recipe's model: {', '.join(differing)}; give the recipe the model's values")
    _require_tokenizer(directory, job)
    return load_model(directory, dropout=not job.train.COMPARES, hold=hold)


def receives_weights(job: Job, rank: int) -> bool:
    """Return whether a worker needs no weights of its own to begin: ZeRO 3 gives it its part of rank 0's, one tensor at a time.

    An adapter reads the weights that it is injected into.
    """
    return rank > 0 and job.resources.parallel.divides_weights and not job.train.adapter.KEEPS_BASE


def initial_models(job: Job, objective: Objective, rank: int = 0) -> tuple[Network, dict[str, Network]]:
    """Return the network to train, with its adapter, and by name the frozen models that the objective needs: the model before training.

    On a worker that `receives_weights` the network is hollow. The frozen model is the trained network with its adapter off, which is there
    even if its outputs are cached, since an adapter may change what the network computes from the start; where training changes all
    weights it is a second copy.
    """
    adapter = job.train.adapter.build()
    network = initial_network(job, hollow=receives_weights(job, rank), hold=job.train.adapter.hold())
    for head in job.train.HEADS:
        add_head(network, head)
    if not job.train.trained_heads(job.network):
        for name, parameter in network.named_parameters():
            if name.startswith(AHEAD):
                parameter.requires_grad_(False)
    adapter.inject(network, job.seed)
    kept = job.train.adapter.KEEPS_BASE

    def frozen(name: str) -> Network:
        if name == JUDGE:
            return _judge(job)
        return Reference(network, adapter) if kept else initial_network(job)

    names = dict.fromkeys((*objective.models, *(job.train.MODELS if kept else ())))
    return network, {name: frozen(name) for name in names}


def _judge(job: Job) -> Network:
    """The model that scores replies; raise JobError unless it reads the job's tokens."""
    if job.reward_model is None:
        raise JobError(f"reward_model is missing: kind={job.train.kind} scores replies with one")
    _require_tokenizer(job.reward_model, job)
    return load_with_head(job.reward_model, JUDGE)


def _differences(shape: NetworkBase, vocab_size: int, job: Job) -> list[str]:
    found = list(job.network.differences(shape))
    if vocab_size != job.vocab_size:
        found.append(("vocab_size", job.vocab_size, vocab_size))
    return [f"{name} is {theirs!r} there and {ours!r} here" for name, ours, theirs in found]


def _require_tokenizer(directory: Path, job: Job) -> None:
    """Raise JobError unless its tokenizer.json, or the digest in its config.json, is that of the shards."""
    path = directory / "tokenizer.json"
    digest = hashlib.sha256(read_bytes(path, TOKENIZER_BYTES)).hexdigest() if present(path) else read_tokenizer_digest(directory)
    if digest is None:
        raise JobError(
            f"{directory} does not say which tokenizer it uses, so its tokens may mean other words; put its tokenizer.json there, or train "
            "from fresh weights"
        )
    if digest != job.tokenizer_digest:
        raise JobError(
            f"{directory} uses tokenizer {digest[:12]}, but the shards were encoded by tokenizer {job.tokenizer_digest[:12]}; encode "
            "them with the model's own"
        )
