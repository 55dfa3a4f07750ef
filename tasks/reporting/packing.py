"""How text became rows: tokens of each source in each split, what a document's beginning was cut off from, and what was left empty."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.account import Account
from tasks.reporting.corpus import SPLITS
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import count, joined, share

METHODS = {
    "cut": "Documents were joined and cut into rows of {} tokens",
    "best_fit": "Documents were packed into rows of {} tokens, and what fits a row is whole",
}
COUNTS = ("tokens", "separated", "left_out", "padding")
HEADER = ("split", "source", "tokens", "in a row without their beginning", "left out", "places left empty")


def packing_section(account: Account) -> Section | None:
    """The account of packing, as its metrics tell it."""
    packed = account.evidence.metrics("pack")
    rows = tuple(row for split in SPLITS for row in _rows(packed, split))
    if not rows:
        return None
    config = account.evidence.artifacts["pack"].config
    told = METHODS[config.get("method", "cut")].format(count(config.get("sequence_length", 0)))
    alone = "; each row has one source" if config.get("by_source") else ""
    shares = {name: packed.get(f"{split}_padding_fraction") for split, name in SPLITS.items()}
    empty = joined([f"{share(value)} of {name}" for name, value in shares.items() if value is not None])
    lead = f"{told}{alone}. Left empty: {empty}."
    table = Table("Tokens by source", HEADER, rows, right=frozenset(range(2, len(HEADER))))
    return Section("packing", "How text became rows", lead, tables=(table,))


def _rows(packed: Mapping[str, float], split: str) -> list[Row]:
    """A row for each source whose tokens are accounted for."""
    start = f"{split}_separated_"
    sources = sorted(name.removeprefix(start) for name in packed if name.startswith(start) and name != f"{start}fraction")
    return [Row((SPLITS[split], source, *(count(packed[f"{split}_{what}_{source}"]) for what in COUNTS))) for source in sources]
