"""How text became rows: tokens of each source in each split, what a document's beginning was cut off from, and what was left empty."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.account import Account
from tasks.reporting.corpus import SPLITS
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import count, share

METHODS = {"cut": "Documents were joined and cut into rows", "best_fit": "Documents that fit a row were kept whole"}
COUNTS = ("tokens", "separated", "left_out", "padding")
HEADER = ("split", "source", "tokens", "in a row without their beginning", "left out", "places left empty")


def packing_section(account: Account) -> Section | None:
    """The account of packing, as its metrics tell it."""
    packed = account.evidence.metrics("pack")
    rows = tuple(row for split in SPLITS for row in _rows(packed, split))
    if not rows:
        return None
    config = account.evidence.artifacts["pack"].config
    length = config.get("sequence_length", 0)
    sources = ", each row from one source" if config.get("by_source") else ""
    empty = [
        f"{share(packed[f'{split}_padding_fraction'])} of {name}" for split, name in SPLITS.items() if f"{split}_padding_fraction" in packed
    ]
    lead = f"{METHODS[config.get('method', 'cut')]} of {count(length)} tokens{sources}. Left empty: {', '.join(empty)}."
    table = Table("Tokens by source", HEADER, rows, right=frozenset(range(2, len(HEADER))))
    return Section("packing", "How text became rows", lead, tables=(table,))


def _rows(packed: Mapping[str, float], split: str) -> list[Row]:
    """A row for each source whose tokens are accounted for."""
    start = f"{split}_separated_"
    sources = sorted(name.removeprefix(start) for name in packed if name.startswith(start) and name != f"{start}fraction")
    return [Row((SPLITS[split], source, *(count(packed[f"{split}_{what}_{source}"]) for what in COUNTS))) for source in sources]
