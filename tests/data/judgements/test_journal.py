"""The journal of judgements: what is appended stays, what is damaged is set aside, and nothing else is touched."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data.judgements.config import journal_files
from data.judgements.journal import append, file_of, parse_line, read_journal
from tests.data.judgements.judging import judged, line, prefers

WRITER = """
import sys
from pathlib import Path
from data.judgements.journal import append
from tests.data.judgements.judging import judged
while True:
    print(append(Path(sys.argv[1]), judged("label", texts=("word " * 20000,), good=True)), flush=True)
"""


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = [
        prefers("red"),
        judged("label", texts=("x\u2028y\n<b>",), good=False, reason="line\nend"),
        judged("ideal", ideal="Blue."),
        judged("correction", texts=("It is red.",), wrong="red", right="blue"),
        line("withdrawal", of="judge", what="ada"),
    ]
    assert [append(tmp_path, one) for one in lines] == [one.id for one in lines]
    found = read_journal(tmp_path)
    assert [entry.line for entry in found.entries] == lines and not found.set_aside
    (file,) = journal_files(tmp_path)
    assert file.name == file_of("ada") and file.read_bytes().count(b"\n") == len(lines)


def test_each_judge_has_a_file_whatever_the_name(tmp_path: Path) -> None:
    names = ["Ada", "ada", "../../etc/passwd", "<script>", "Ådå Łовлас", "a" * 200]
    for name in names:
        append(tmp_path, prefers("red", judge=name))
    assert len(journal_files(tmp_path)) == len(names) and {path.parent for path in tmp_path.rglob("*")} == {tmp_path}
    assert sorted(entry.line.judge for entry in read_journal(tmp_path).entries) == sorted(names)


def test_a_line_that_a_kill_cut_is_set_aside_and_the_next_ones_are_whole(tmp_path: Path) -> None:
    first, second, third = prefers("red"), prefers("blue"), prefers("tie")
    append(tmp_path, first)
    path = tmp_path / file_of("ada")
    before = path.read_bytes()
    append(tmp_path, second)
    for cut in range(len(before) + 1, path.stat().st_size - 1, 7):
        damaged = path.read_bytes()[:cut] if cut < path.stat().st_size else path.read_bytes()
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / path.name).write_bytes(damaged)
        append(folder, third)
        found = read_journal(folder)
        assert [entry.line for entry in found.entries] == [first, third]
        assert [(one.place.line, one.reason) for one in found.set_aside] == [(2, "damaged: not JSON, as of a write that was cut")]
        assert (folder / path.name).read_bytes().startswith(damaged)  # nothing is rewritten


def test_a_line_that_lacks_its_end_alone_counts_before_and_after_the_next(tmp_path: Path) -> None:
    first, second = prefers("red"), prefers("blue")
    append(tmp_path, first)
    path = tmp_path / file_of("ada")
    path.write_bytes(path.read_bytes()[:-1])
    assert [entry.line for entry in read_journal(tmp_path).entries] == [first]
    append(tmp_path, second)
    assert [entry.line for entry in read_journal(tmp_path).entries] == [first, second]


def test_a_writer_that_is_killed_loses_no_line_that_it_told_of(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(3)]
        time.sleep(0.05)
        writer.kill()
        told += writer.stdout.read().split()
    append(tmp_path, prefers("red"))
    found = read_journal(tmp_path)
    assert {*told} <= {entry.line.id for entry in found.entries} and len(found.set_aside) <= 1


def test_writers_at_the_same_time_mix_no_lines(tmp_path: Path) -> None:
    lines = [judged("label", f"Question {number}?", ("long " * 5000,), good=True) for number in range(40)]
    threads = [threading.Thread(target=lambda part=lines[at::4]: [append(tmp_path, one) for one in part]) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_journal(tmp_path)
    assert {entry.line.id for entry in found.entries} == {one.id for one in lines} and not found.set_aside


def test_what_is_edited_repeated_or_of_another_version_is_set_aside_without_its_words(tmp_path: Path) -> None:
    append(tmp_path, prefers("red"))
    path = tmp_path / file_of("ada")
    whole = path.read_text()
    given = json.loads(whole)
    other = json.dumps({**given, "version": 2})
    path.write_text(whole + whole.replace("It is red", "It is RED") + whole + other + "\n[]\n\n" + json.dumps({**given, "judge": " "}))
    found = read_journal(tmp_path)
    assert len(found.entries) == 1
    reasons = [one.reason.partition(":")[0].partition(" 2")[0] for one in found.set_aside]
    assert reasons == ["edited", "repeated", "of version", "damaged", "no judgement"]
    assert not any("RED" in one.reason for one in found.set_aside)


def test_lists_within_lists_without_end_are_set_aside_and_end_nothing(tmp_path: Path) -> None:
    append(tmp_path, prefers("red"))
    with (tmp_path / file_of("ada")).open("a") as stream:
        stream.write("[" * 200_000 + "\n" + '{"a":' * 200_000 + "\n")
    found = read_journal(tmp_path)
    assert len(found.entries) == 1
    assert [one.place.line for one in found.set_aside] == [2, 3] and all("damaged" in one.reason for one in found.set_aside)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"kind": "preference", "preferred": "C"}, "preferred"),
        ({"kind": "preference", "preferred": "A", "answers": [{"text": "x", "model": "m", "digest": ""}]}, "answers: 1 were given"),
        ({"kind": "preference", "preferred": "A", "answers": [{"text": "x", "model": "m", "digest": ""}] * 2}, "same text"),
        ({"kind": "label", "good": True, "judge": "a\x1b[31m", "answers": []}, "can't be shown"),
        ({"kind": "ideal", "ideal": " \n", "answers": []}, "is empty"),
        ({"kind": "correction", "wrong": "red", "right": "blue", "answers": [{"text": "red, red", "model": "m", "digest": ""}]}, "2 times"),
        ({"kind": "label", "good": True, "prompt": [{"role": "assistant", "content": "x"}], "answers": []}, "the user's"),
        ({"kind": "label", "good": True, "mark": 3, "answers": []}, "mark"),
        ({"kind": "label", "good": True, "reason": "\ud800", "answers": []}, "reason"),
    ],
)
def test_what_is_no_judgement_is_refused_by_the_name_of_its_fault(given: dict[str, object], fault: str) -> None:
    whole = {"judge": "ada", "time": "2026-12-03T10:00:00.000000Z", "prompt": [{"role": "user", "content": "x"}], "answers": []}
    with pytest.raises(ValueError, match=fault):
        parse_line(whole | given)
