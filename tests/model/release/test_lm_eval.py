"""The field's own harness measures a release, on tasks that lie on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.release.card import ModelCard
from model.release.config import ExportConfig
from model.release.export import export

CARD = ModelCard(name="tiny", summary="A test.", recipe="test", intended_use=("Tests.",), limits=("It knows nothing.",))
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: 0
target_delimiter: " "
metric_list: [{{metric: acc}}]
"""
TEXTS = ("Ada walked from", "Bruno walked from Avel to", "Clara walked", "Dorian walked from Corve to")
CHOICES = ("Avel", "Brin", "Corve", "from", "day")


@pytest.mark.slow  # the harness takes half a minute to import
@pytest.mark.skipif("FOLIO_LM_EVAL" not in os.environ, reason="lm-eval has an environment of its own: `make lm-eval`")
def test_lm_eval_gives_the_share_that_the_model_s_own_probabilities_give(
    model_dir: Path, tokenizer_dir: Path, decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    export(model_dir, tokenizer_dir, tmp_path / "release", ExportConfig(), CARD)
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "data.jsonl").write_text("".join(json.dumps({"text": text, "choices": CHOICES}) + "\n" for text in TEXTS))
    (tasks / "places.yaml").write_text(TASK.format(name="places", data=tasks / "data.jsonl"))
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [
        *(
            os.environ["FOLIO_LM_EVAL"],
            "-m",
            "lm_eval",
            "run",
            "--model",
            "hf",
            "--model_args",
            f"pretrained={tmp_path / 'release'},dtype=float32",
        ),
        *(
            "--tasks",
            "places",
            "--include_path",
            str(tasks),
            "--device",
            "cpu",
            "--batch_size",
            "1",
            "--output_path",
            str(tmp_path / "out"),
        ),
    ]
    done = subprocess.run(command, env=offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "out").rglob("results*.json")
    theirs = json.loads(found.read_text())["results"]["places"]["acc,none"]

    def score(text: str, choice: str) -> float:
        given, whole = chat_format.encode_text(text), chat_format.encode_text(f"{text} {choice}")
        with torch.no_grad():
            logp = decoder.logits({"tokens": torch.tensor([whole])})[0].log_softmax(-1)
        return float(sum(logp[place - 1, whole[place]] for place in range(len(given), len(whole))))

    right = sum(max(CHOICES, key=lambda choice: score(text, choice)) == CHOICES[0] for text in TEXTS)
    assert theirs == right / len(TEXTS)
