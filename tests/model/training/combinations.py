"""Accepted combinations of layout, shape and optimizer: a covering array of all pairs, and others drawn at random.

Choices are read from the configs, so that a new one is covered by itself: each value of a Literal, both of a bool, each kind of an
optimizer, the default of a number and one more value that is admitted, each layout of up to four workers. A combination is a job; what its
validation refuses is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from random import Random
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from model.networks.base import NetworkBase
from model.networks.config import KINDS
from model.training.config import PretrainConfig
from model.training.job import Job
from model.training.kinds.pretraining import MaskedConfig, PrefixConfig, SpansConfig
from model.training.resources import ParallelConfig
from model.training.train_config import TrainConfig
from tests.model.jobs import CONTEXT

STEPS, BATCH = 20, 8
# Sizes that are small, and others than the defaults where those would hide nothing of so short a row.
SIZES: dict[str, tuple[Any, ...]] = {
    "width": (32,),
    "layers": (2, 3),
    "heads": (4,),
    "kv_heads": (2, 4),
    "feed_forward": (48,),
    "context": (CONTEXT,),
    "initial_std": (0.2,),
    "latent_width": (16, 24),
    "latent_rope_width": (4, 8),
    "window": (5, 10),
    "block": (2, 3),
    "relative_buckets": (8, 12),
    "sentinels": (100,),
    "relative_distance": (20, 10),
    "mixers": (
        ({"kind": "gated_delta", "head_width": 16, "chunk": 8}, {"kind": "attention"}),
        ({"kind": "mamba2", "head_width": 16, "state": 8, "chunk": 8}, {"kind": "convolution"}),
        ({"kind": "gru"}, {"kind": "lstm"}, {"kind": "rnn"}),
    ),
    "experts": (
        None,
        {"count": 4, "active": 2, "shared": 1},
        {"count": 5, "active": 2, "score": "softmax", "balance": {"kind": "loss"}, "router_loss": 0.01, "capacity": 1.25},
    ),
}
# What can't be held against one process: workers draw other random numbers; other inputs need columns that these rows lack.
UNCOMPARED = {"kind", "dropout", "inputs"}
# Rates at which 20 steps teach something; any other optimizer takes the last.
RATES = {"sgd": 0.3, "momentum": 0.03, "lion": 1e-3, "sophia": 2e-3, "adafactor": 0.1}
RATE = 5e-3
SECOND = (2, 4, 8, 1, 0.5)

Value = Any
Combination = dict[str, Value]
Pair = frozenset[tuple[str, str]]


def choices_of(config: type[BaseModel], fixed: Mapping[str, tuple[Any, ...]], leave_out: set[str]) -> dict[str, tuple[Any, ...]]:
    """Return the values that each field of a config is tried with, its default first."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, field in config.model_fields.items():
        kind = field.annotation
        if name in leave_out:
            continue
        if name in fixed:
            found[name] = fixed[name]
        elif get_origin(kind) is Literal:
            found[name] = (field.default, *(value for value in get_args(kind) if value != field.default))
        elif kind is bool:
            found[name] = (field.default, not field.default)
        elif kind in (int, float):
            found[name] = (field.default, *_other_number(config, name, field.default, fixed))
        elif get_origin(kind) in (Union, UnionType):
            found[name] = tuple(member.model_fields["kind"].default for member in get_args(kind))
        else:
            raise TypeError(f"{config.__name__}.{name}: no rule for values of {kind}; add it to SIZES or UNCOMPARED")
    return found


def _other_number(config: type[BaseModel], name: str, default: float, fixed: Mapping[str, tuple[Any, ...]]) -> tuple[float, ...]:
    """Return another number that the config admits, beside what it needs to take effect."""
    beside = {key: values[0] for key, values in fixed.items() if key in config.model_fields} | dict(needs(config, name))
    tried = [type(default)(default * factor) for factor in (2, 0.5)] if default else [type(default)(value) for value in SECOND]
    for value in tried:
        try:
            config.model_validate({**beside, name: value})
        except ValidationError:
            continue
        return (value,)
    raise ValueError(f"{config.__name__}.{name}={default}: none of {tried} is admitted; add the key to SIZES")


def needs(config: type[BaseModel], name: str) -> list[tuple[str, str]]:
    """Return the keys, with their values, without which a key has no effect; the first of several ways."""
    ways: tuple[str, ...] = getattr(config, "NEEDS", {}).get(name, ())
    stated = ways[0].split(" and ") if ways else []
    return [(key, value) for key, equals, value in (one.partition("=") for one in stated) if equals]


def layouts() -> list[dict[str, Any]]:
    """Return every layout of one to four workers on one machine, without a disk to offload to."""
    found = []
    for workers, tensor, pipeline, stage, optimizer, weights in product(
        (1, 2, 4), (1, 2), (1, 2), range(4), ("none", "cpu"), ("none", "cpu")
    ):
        keys: dict[str, Any] = {"workers": workers, "tensor": tensor, "pipeline": pipeline, "zero_stage": stage}
        keys |= {"offload_optimizer": optimizer, "offload_weights": weights}
        try:
            ParallelConfig.model_validate(keys)
        except ValidationError:
            continue
        found.append(keys)
    return found


@dataclass(frozen=True)
class Space:
    """All combinations for one kind of network. `job`: any job over rows of tokens, whose inputs and folders are taken."""

    kind: str
    job: Job

    @property
    def network(self) -> type[NetworkBase]:
        return KINDS[self.kind]

    @property
    def train(self) -> type[TrainConfig]:
        if "infilling" in self.network.SUPPORTS:
            return SpansConfig
        return PretrainConfig if "causal" in self.network.SUPPORTS else MaskedConfig

    @cached_property
    def choices(self) -> dict[str, tuple[Value, ...]]:
        """The values of each factor, its plain one first."""
        shape = choices_of(self.network, SIZES, UNCOMPARED)
        optimizers = choices_of(self.train, {}, set(self.train.model_fields) - {"optimizer"})
        training = {"clip": (1.0, 0.0), "ema_decay": (0.0, 0.5), "within_documents": (True, False), "growing": (False, True)}
        spread = {"micro_batch": (0, 2), "recompute": ("none", "blocks")}
        return {**{f"model.{name}": values for name, values in shape.items()}, **optimizers, **training, **spread, "layout": (*layouts(),)}

    def job_of(self, combination: Combination, name: str) -> Job | None:
        """Return the job of a combination, plain where it says nothing; None if its validation refuses it."""
        chosen = {key: values[0] for key, values in self.choices.items()} | combination
        growth = {"batch_warmup_steps": 4, "batch_warmup_from": BATCH // 2} if chosen["growing"] else {}
        optimizer = chosen["optimizer"]
        train = {
            "steps": STEPS,
            "tokens": 0,
            "global_batch": BATCH,
            "warmup_steps": 2,
            "eval_rows": 7,
            "precision": "fp32",
            "learning_rate": RATES.get(optimizer, RATE),
            **{key: chosen[key] for key in ("optimizer", "clip", "ema_decay", "within_documents")},
            **growth,
            # Hidden tokens enough to see what is learned.
            **({"share": 0.4} if self.train is MaskedConfig else {"density": 0.4} if self.train is SpansConfig else {}),
        }
        folder = self.job.output.parent.parent / name
        try:
            kind = PrefixConfig if chosen.get("model.prompt") == "bidirectional" else self.train
            return Job.model_validate({
                **dict(self.job),
                "network": {"kind": self.kind, **{key[6:]: value for key, value in chosen.items() if key.startswith("model.")}},
                "train": kind.model_validate(train),
                "resources": {
                    "threads": 1, "micro_batch": chosen["micro_batch"], "recompute": chosen["recompute"], "parallel": chosen["layout"]
                },
                "output": folder / "output",
                "checkpoints": folder / "checkpoints",
            })  # fmt: skip
        except ValidationError:
            return None

    def features(self, combination: Combination) -> list[tuple[str, str]]:
        """Return what takes effect in a combination: keys and values, those of the layout one by one."""
        found = []
        for key, value in combination.items():
            if key == "layout":
                found += [(f"layout.{name}", str(part)) for name, part in value.items()]
            elif all(combination.get(needed, self.choices[needed][0]) == wanted for needed, wanted in self._needs(key).items()):
                found.append((key, str(value)))
        return found

    def _needs(self, key: str) -> Combination:
        """Return the keys, with their values, without which a key of the network has no effect."""
        stated = needs(self.network, key.removeprefix("model.")) if key.startswith("model.") else []
        named = [(f"model.{needed}", wanted) for needed, wanted in stated]
        direct = {needed: next(value for value in self.choices[needed] if str(value) == wanted) for needed, wanted in named}
        return {**direct, **{name: value for needed in direct for name, value in self._needs(needed).items()}}

    def covering(self, seed: int) -> Iterator[Combination]:
        """Yield whole combinations in which each admitted pair of features occurs at least once."""
        random, wanted = Random(seed), self.pairs()
        while wanted:
            first = min(wanted, key=sorted)
            chosen = dict(wanted[first])
            for key in self._shuffled(random):
                if key not in chosen:
                    self._extend(chosen, key, random, wanted)
            for pair in map(frozenset, combinations(self.features(chosen), 2)):
                wanted.pop(pair, None)
            if first in wanted:
                raise ValueError(f"{sorted(first)} took no effect in {chosen}")
            yield chosen

    def drawn(self, seed: int, count: int, **given: Value) -> Iterator[Combination]:
        """Yield whole combinations that begin with `given`; each other value is drawn among those that the values before it admit."""
        random = Random(seed)
        for _ in range(count):
            chosen = dict(given)
            for key in self._shuffled(random):
                if key not in chosen:
                    self._extend(chosen, key, random, {})
            yield chosen

    def _shuffled(self, random: Random) -> list[str]:
        return random.sample(sorted(self.choices), len(self.choices))

    def _extend(self, chosen: Combination, key: str, random: Random, wanted: Mapping[Pair, Combination]) -> None:
        """Give `key` the admitted value that covers most of the wanted pairs."""
        values = random.sample(self.choices[key], len(self.choices[key]))
        before = set(self.features(chosen))

        def gained(value: Value) -> int:
            after = set(self.features({**chosen, key: value}))
            return sum(frozenset(pair) in wanted for pair in product(after - before, after))

        for value in sorted(values, key=gained, reverse=True):
            if self.job_of({**chosen, key: value}, "asked") is not None:
                chosen[key] = value
                return
        raise ValueError(f"no {key} goes with {chosen}")

    def pairs(self) -> dict[Pair, Combination]:
        """Return each admitted pair of features, with a combination of a few keys that has it and is admitted."""
        single: dict[tuple[str, str], list[Combination]] = {}
        for key, values in self.choices.items():
            for value in values:
                given = {**self._needs(key), key: value}
                for feature in self.features(given):
                    single.setdefault(feature, []).append(given)
        found: dict[Pair, Combination] = {}
        for (one, ways), (other, others) in combinations(single.items(), 2):
            if one[0] == other[0]:
                continue
            for left, right in product(ways, others):
                both = {**left, **right}
                agree = all(both[key] == value for key, value in (*left.items(), *right.items()))
                if agree and self.job_of(both, "asked") is not None:
                    found[frozenset((one, other))] = both
                    break
        return found
