"""Conversations from the chat template to the loss: as TRL computes it without packing, and a tuned model that ends its replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.shards.reader import ShardReader
from data.tokens.config import EncodeConfig
from data.tokens.encode import encode
from model.inference.chat_format import ChatFormat
from model.inference.generation import generate_batch
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.objectives.next_token import Sft
from model.objectives.protocol import POLICY

CONTEXT = 256
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)
PLACES = {"Ada": "Avel", "Bruno": "Brin", "Clara": "Corve", "Dorian": "Dunmere"}
CALL = {"type": "function", "function": {"name": "find", "arguments": {"who": "Ada"}}}
TALKS: list[dict[str, Any]] = [
    *(
        {"messages": [{"role": "user", "content": f"Where is {name}?"}, {"role": "assistant", "content": f"In {place}."}]}
        for name, place in PLACES.items()
    ),
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Ada?"},
            {"role": "assistant", "content": "", "thinking": "Where is she?", "tool_calls": [CALL]},
            {"role": "tool", "content": "Avel"},
            {"role": "assistant", "content": "Avel."},
            {"role": "user", "content": "And Bruno?"},
            {"role": "assistant", "content": "Brin."},
        ]
    },
]


@pytest.fixture(scope="module")
def rows(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray[Any, Any]]:
    """The conversations, packed several to a row."""
    folder = tmp_path_factory.mktemp("talks")
    lines = "".join(json.dumps(talk) + "\n" for talk in TALKS)
    for name in ("instructions_train", "instructions_val", "preferences_train", "preferences_val"):
        (folder / f"{name}.jsonl").write_text(lines if name == "instructions_train" else "", encoding="utf-8")
    metrics = encode(folder, tokenizer_dir, folder / "rows", EncodeConfig(sequence_length=CONTEXT))
    reader = ShardReader(folder / "rows" / "sft" / "train")
    assert metrics["sft_train_kept"] == len(TALKS) > len(reader)
    return reader.rows(range(len(reader)))


def loss_of(network: Decoder, rows: dict[str, np.ndarray[Any, Any]]) -> torch.Tensor:
    """The mean over answer tokens, in nats."""
    objective = Sft()
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(rows).items()}
    return objective.sums({POLICY: network}, batch)[0] / objective.units(rows)["tokens"]


def test_a_tuned_model_answers_and_ends_its_reply(chat_format: ChatFormat, rows: dict[str, np.ndarray[Any, Any]]) -> None:
    network = Decoder(SHAPE, chat_format.tokenizer.get_vocab_size(), seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(network, rows))
        optimizer.step()
    prompts = [chat_format.encode_chat([{"role": "user", "content": f"Where is {name}?"}]) for name in PLACES]
    replies = [chat_format.decode(reply) for reply in generate_batch(network.eval().decoding(), prompts, 60, chat_format.stop_ids, 4)]
    assert replies == [f"In {place}." for place in PLACES.values()]


@pytest.mark.slow
def test_packed_rows_give_the_loss_that_trl_gives_conversations_by_themselves(
    chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path, rows: dict[str, np.ndarray[Any, Any]]
) -> None:
    trl = pytest.importorskip("trl", reason="TRL, of the extra `proofs`, is not installed")
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaForCausalLM

    network = Decoder(SHAPE, chat_format.tokenizer.get_vocab_size(), seed=1).eval()
    save_model(network, tmp_path / "model")
    options = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        per_device_train_batch_size=len(TALKS),
        assistant_only_loss=True,
        packing=False,
        max_length=None,
        eos_token="<|end|>",
    )
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    trainer = trl.SFTTrainer(
        model=theirs,
        args=options,
        train_dataset=Dataset.from_list([{"messages": talk["messages"]} for talk in TALKS]),
        processing_class=AutoTokenizer.from_pretrained(tokenizer_dir),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert int((batch["labels"] != -100).sum()) == int(rows["loss"].sum())
    with torch.no_grad():
        expected, found = trainer.compute_loss(theirs.eval(), batch), loss_of(network, rows)
    print(f"ours {float(found):.7f}, TRL's {float(expected):.7f}")
    assert float(found) == pytest.approx(float(expected), abs=2e-6)
