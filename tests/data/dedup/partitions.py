"""Partitioned deduplication without a flow: every step's tasks in threads of this process, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.dedup.config import DedupConfig, PartitionedConfig, UnitConfig
from data.dedup.partitioned import account, clusters, pairs, passages
from data.dedup.partitioned import pairs as documents
from data.dedup.partitioned import passages as repeats
from data.documents.sharding import SLICE

Task = Callable[[int, Path, dict[str, Any]], object]


@dataclass(frozen=True)
class Shard:
    """Shard `number`, from 0, of `count`."""

    number: int
    count: int


class Partitioned:
    """Runs all steps over `shards`, which hold ids in order, below `folder`. A task has one thread and `memory`."""

    def __init__(
        self,
        folder: Path,
        shards: Sequence[Path],
        rules: DedupConfig,
        partitions: int,
        scratch: Path,
        workers: int = 1,
        memory: str = "500MB",
    ) -> None:
        self.folder, self.shards, self.partitions, self.scratch = folder, shards, partitions, scratch
        self.workers, self.memory = workers, memory
        self.config = PartitionedConfig(rules=rules, shards=len(shards), partitions=partitions)
        self.steps: dict[str, list[Path]] = {}

    def run(self, output: Path) -> dict[str, float]:
        """Write the result and return its metrics."""
        config, rules = self.config, self.config.rules
        sketched = self._by_shard(
            "sketch", lambda n, out, limits: documents.sketch(self.shards[n], out, config, Shard(n, len(self.shards)), **limits)
        )
        self.steps = {"sketched": sketched}
        equal = self._by_partition(
            "equal", lambda n, out, limits: documents.match_documents(_slices(sketched, "fingerprints", n), out, **limits)
        )
        copies = [path / documents.COPIES for path in equal]
        similar = self._similar(sketched, copies) if rules.near.enabled else []
        verdicts, chosen = self._chosen(sketched, copies, similar)
        kept = similar if rules.near.action == "cluster" else []
        for unit, rule in (("paragraph", rules.paragraph), ("line", rules.line)):
            if rule.enabled:
                step = UnitConfig(**dict(config), unit=unit)
                self._cut(step, verdicts, copies, kept)
        if rules.substring.enabled:
            self._cut_passages(UnitConfig(**dict(config), unit="substring"), verdicts, copies, kept)
        accounts = self._by_shard(
            "account", lambda n, out, limits: account.write_account(self.shards[n], verdicts(n), out, **self._given(n, limits))
        )
        parts = account.Parts(accounts, [path / "pairs" for path in chosen], similar)
        return account.join_accounts(self.shards, parts, output, **self._limits("join"))

    def _similar(self, sketched: list[Path], copies: list[Path]) -> list[Path]:
        config = self.config
        proposed = self._by_partition(
            "proposed", lambda n, out, limits: pairs.propose_pairs(_slices(sketched, "signatures", n), copies, out, config, **limits)
        )
        shingled = self._by_shard(
            "shingles",
            lambda n, out, limits: pairs.write_shingles(
                self.shards[n], _slices(proposed, "wanted", n), out, config, **self._given(n, limits)
            ),
        )
        verified = self._by_partition(
            "similar",
            lambda n, out, limits: pairs.verify_pairs(
                _slices(proposed, "pairs", n), _slices(shingled, "shingles", n), out, config, **limits
            ),
        )
        return [path / pairs.PAIRS for path in verified]

    def _chosen(self, sketched: list[Path], copies: list[Path], similar: list[Path]) -> tuple[Callable[[int], list[Path]], list[Path]]:
        config = self.config
        frequencies: list[Path] = []
        if "known_words" in config.rules.keep:
            counted = self._by_partition(
                "frequencies", lambda n, out, limits: documents.count_frequencies(_slices(sketched, "words", n), out, **limits)
            )
            frequencies = [path / "frequencies.parquet" for path in counted]
        extents = [path / documents.EXTENT for path in sketched]
        connected = self.folder / "components"
        clusters.find_components(copies, extents, connected, config, similar, **self._limits("components"))
        corpus = connected / clusters.CORPUS
        members = self._by_shard(
            "members",
            lambda n, out, limits: clusters.describe_members(
                self.shards[n], _slices([connected], "members", n), corpus, out, config, frequencies=frequencies, **self._given(n, limits)
            ),
        )
        chosen = self._by_partition(
            "chosen",
            lambda n, out, limits: clusters.choose_members(
                _slices(members, "rows", n), _slices(members, "shingles", n), _slices([connected], "pairs", n), out, config, **limits
            ),
        )
        return lambda n: _slices(chosen, "verdicts", n), chosen

    def _cut(self, step: UnitConfig, verdicts: Callable[[int], list[Path]], copies: list[Path], kept: list[Path]) -> None:
        units = self._by_shard(
            f"units.{step.unit}",
            lambda n, out, limits: repeats.write_units(self.shards[n], verdicts(n), out, step, **self._given(n, limits)),
        )
        found = self._repeats(step, units, copies, kept)
        self.steps[f"{step.unit}s"] = self._by_shard(
            f"cut.{step.unit}",
            lambda n, out, limits: repeats.cut_repeats(self.shards[n], _slices(found, "repeats", n), out, step, **self._given(n, limits)),
        )

    def _cut_passages(self, step: UnitConfig, verdicts: Callable[[int], list[Path]], copies: list[Path], kept: list[Path]) -> None:
        minimizers = self._by_shard(
            "minimizers",
            lambda n, out, limits: passages.write_minimizers(self.shards[n], verdicts(n), out, step, **self._given(n, limits)),
        )
        shared = self._by_partition(
            "shared", lambda n, out, limits: passages.find_shared(_slices(minimizers, "minimizers", n), out, step, **limits)
        )
        windows = self._by_shard(
            "windows",
            lambda n, out, limits: passages.write_windows(
                self.shards[n], verdicts(n), _slices(shared, "shared", n), out, step, **self._given(n, limits)
            ),
        )
        found = self._repeats(step, windows, copies, kept)
        joined = self._by_shard(
            "passages",
            lambda n, out, limits: passages.join_passages(_slices(found, "repeats", n), out, step, Shard(n, len(self.shards)), **limits),
        )
        quoted = self._by_shard(
            "quotes",
            lambda n, out, limits: passages.quote_passages(
                self.shards[n], _slices(joined, "origins", n), out, step, **self._given(n, limits)
            ),
        )
        self.steps["passages"] = self._by_shard(
            "cut.substring",
            lambda n, out, limits: passages.cut_repeated_passages(
                self.shards[n], _slices(found, "repeats", n), _slices(quoted, "digests", n), out, step, **self._given(n, limits)
            ),
        )

    def _repeats(self, step: UnitConfig, units: list[Path], copies: list[Path], kept: list[Path]) -> list[Path]:
        return self._by_partition(
            f"repeats.{step.unit}",
            lambda n, out, limits: repeats.find_repeats(_slices(units, "units", n), copies, out, step, kept, **limits),
        )

    def _given(self, number: int, limits: dict[str, Any]) -> dict[str, Any]:
        """The shard, what earlier steps changed in it, and its limits."""
        shard = Shard(number, len(self.shards))
        return {**limits, "shard": shard, **{name: made[number] for name, made in self.steps.items()}}

    def _by_shard(self, name: str, task: Task) -> list[Path]:
        return self._tasks(name, len(self.shards), task)

    def _by_partition(self, name: str, task: Task) -> list[Path]:
        return self._tasks(name, self.partitions, task)

    def _tasks(self, name: str, count: int, task: Task) -> list[Path]:
        outputs = [self.folder / name / str(number) for number in range(count)]
        for output in outputs:
            output.mkdir(parents=True)
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(lambda number: task(number, outputs[number], self._limits(f"{name}-{number}")), range(count)))
        return outputs

    def _limits(self, name: str) -> dict[str, Any]:
        return {"threads": 1, "memory": self.memory, "scratch": self.scratch / name}


def _slices(made: Sequence[Path], kind: str, number: int) -> list[Path]:
    return [path / kind / SLICE.format(number) for path in made]
