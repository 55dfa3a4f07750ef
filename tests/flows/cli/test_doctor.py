"""`folio doctor` names what would stop a run, and what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flows.cli.commands.services import Finding, examine, report


def found(what: str) -> Finding:
    return next(finding for finding in examine() if finding.what == what)


def test_a_port_that_another_program_has_is_a_fault_with_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        monkeypatch.setenv("FOLIO_PREFECT_PORT", port)
        taken = found("Prefect server")
    assert taken.verdict == "fault" and f"port {port}: taken by" in taken.found
    assert "FOLIO_PREFECT_PORT" in taken.advice


def test_a_home_that_cannot_be_written_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "file" / "home"))
    home = found("home")
    assert home.verdict == "fault" and "FOLIO_HOME" in home.advice


def test_this_machine_is_described_and_every_doubt_has_advice() -> None:
    findings = examine()
    assert {"Python", "packages", "home", "disk", "memory", "processors", "bf16", "clock"} <= {finding.what for finding in findings}
    assert all(finding.advice for finding in findings if finding.verdict != "fine")


def test_a_report_counts_faults_and_sets_advice_below_them() -> None:
    text = report([Finding("fine", "Python", "3.11"), Finding("fault", "clock", "1970", "set it")])
    assert text.splitlines() == ["ok    Python  3.11", "FAULT clock   1970", "              -> set it", "", "1 of 2 would stop a run"]
