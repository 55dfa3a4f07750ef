"""`folio generate`, killed and given again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from model.networks.directory import save_model
from tasks.stage.system.locks import try_lock
from tests.flows.cli.command import ROOT
from tests.model.conftest import random_decoder, write_split


def _write_model(folder: Path) -> None:
    fit_tokenizer(write_split(folder / "train.parquet", range(6)), folder / "model", TokenizerConfig(vocab_size=320))
    save_model(random_decoder(320), folder / "model")


def test_a_file_that_another_process_is_answering_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    _write_model(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "On day one"}\n')
    command = [sys.executable, "-m", "flows.cli.app", "generate", *(str(tmp_path / name) for name in ("model", "prompts.jsonl", "answers"))]
    with try_lock(tmp_path / ".answers.lock"):
        done = subprocess.run(command, env={**os.environ, "FOLIO_HOME": str(tmp_path / "home")}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "another process is writing" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "answers").exists()


@pytest.mark.slow
def test_a_file_that_was_being_answered_when_the_process_was_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    _write_model(tmp_path)
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"id": n, "prompt": f"On day {n}"}) + "\n" for n in range(200)))

    def command(answers: str) -> list[str]:
        words = ["generate", str(tmp_path / "model"), str(tmp_path / "prompts.jsonl"), str(tmp_path / answers)]
        return [
            sys.executable,
            "-m",
            "flows.cli.app",
            *words,
            "--temperature",
            "0.9",
            "--batch",
            "4",
            "--threads",
            "1",
            "--max-new-tokens",
            "20",
        ]

    environment = {**os.environ, "FOLIO_HOME": str(tmp_path / "home")}
    subprocess.run(command("whole"), env=environment, cwd=ROOT, check=True)
    kills = 0
    while True:
        process = subprocess.Popen(command("killed"), env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        ledger = tmp_path / "killed.ledger.jsonl"
        before = ledger.stat().st_size if ledger.exists() else 0
        while process.poll() is None and kills < 2 and not (ledger.exists() and ledger.stat().st_size > before + 1500):
            time.sleep(0.01)
        if kills < 2 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait()
            continue
        assert process.wait() == 0 and "answers are there already" in (process.stderr.read() if process.stderr else "")
        break
    assert kills == 2
    for name in ("", ".ledger.jsonl"):
        assert (tmp_path / f"killed{name}").read_bytes() == (tmp_path / f"whole{name}").read_bytes()
