"""Print what the trace makes of every edit: `python -m tests.identity.edits [WORD ...]`; WORD: only cases with it in their name."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.identity.edits.runs import Outcome, execute
from tests.identity.edits.themes import CASES, CONSERVATIVE

COLUMNS = ("edits", "must rerun", "seen", "refused", "missed", "quiet", "left alone", "rerun", "effectless")


def counts(outcomes: list[Outcome]) -> tuple[int, ...]:
    """Figures of a line of the table."""
    must = [found.verdict for found in outcomes if found.must_rerun]
    quiet = [found.verdict for found in outcomes if not found.must_rerun and found.case.intent == "quiet"]
    return (
        *(len(outcomes), len(must), must.count("seen"), must.count("refused"), must.count("missed")),
        *(len(quiet), quiet.count("alone"), quiet.count("rerun"), len(outcomes) - len(must) - len(quiet)),
    )


def complaints(found: Outcome) -> list[str]:
    """What is wrong with a case itself, not with its trace."""
    wrong = []
    if found.before.startswith("failed"):
        wrong.append(f"didn't run: {found.before[-300:]}")
    if found.must_rerun and found.case.intent:
        wrong.append(f"changes what the program gives: {found.before[:200]!r} to {found.after[:200]!r}")
    if not found.must_rerun and not found.case.intent:
        wrong.append(f"changes nothing that the program gives: {found.before[:200]!r}")
    return wrong


def main(words: list[str]) -> int:
    """Run, print, and fail if an edit was missed."""
    cases = [case for case in CASES if not words or any(word in case.id for word in words)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = execute(cases, Path(folder))
    took = time.monotonic() - began
    themes = list(dict.fromkeys(case.theme for case in cases))
    print(f"{'theme':12}", *(f"{column:>11}" for column in COLUMNS))
    for theme in themes:
        print(f"{theme:12}", *(f"{count:11}" for count in counts([found for found in outcomes if found.case.theme == theme])))
    print(f"{'all':12}", *(f"{count:11}" for count in counts(outcomes)), f"\n{took:.0f} s")
    for title, listed in (
        ("Missed", [found for found in outcomes if found.verdict == "missed"]),
        (
            "Not seen, but refused: by the lint, or the program fails when recorded",
            [found for found in outcomes if found.verdict == "refused"],
        ),
    ):
        print(f"\n{title}: {len(listed)}")
        for found in listed:
            print(f"  {found.case.id}: {found.failure or f'{found.before[:60]} -> {found.after[:60]}'}", *found.refusals[:1])
    rerun = [found for found in outcomes if found.verdict == "rerun" and found.case.intent == "quiet"]
    print(f"\nQuiet, but rerun: {len(rerun)}")
    for found in rerun:
        print(f"  {found.case.id}: {CONSERVATIVE.get(found.case.id, 'not expected')}; {found.causes[0][:160]}")
    other = {id(found.case.before): found for found in outcomes if found.recorded != found.before}.values()
    print(f"\nPrograms that do otherwise when recorded: {len(other)}")
    for found in other:
        print(f"  {found.case.id}: {found.recorded[:100]}, not {found.before[:100]}")
    wrong = {found.case.id: complaints(found) for found in outcomes if complaints(found)}
    print(
        f"\nCases that are wrong themselves: {len(wrong)}" if wrong else "",
        *(f"  {name}: {told}" for name, told in wrong.items()),
        sep="\n",
    )
    return 1 if wrong or any(found.verdict == "missed" for found in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
