"""What `tests.benchmarks.pretrain` compares with, run by it with the Python of an environment that has them:

    python -m tests.benchmarks.pretrain_peers (transformers | litgpt) JOB

Each peer runs its own loop, unchanged: `transformers.Trainer.train` over a `LlamaForCausalLM` with PyTorch's fused attention, and litgpt's
`pretrain.fit` over its `GPT`. JOB is the JSON of folio's job, read here as plain data: shape, batch, micro-batch, rates, precision and
threads are those; `rows.npy` beside it holds the same rows of tokens. Nobody is compiled. Both get what helps them: fused AdamW (which
litgpt by itself takes on a GPU alone), no logging, no evaluation, no checkpoints, and rows that mask neither attention nor loss.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.rounds import WARM_UP, Rounds

MOST_UPDATES = 100_000


class Turns:
    """Called at the end of every update: answers at the end of a round, and sleeps until the next is asked for."""

    def __init__(self, rounds: Rounds, parameters: int) -> None:
        self._rounds, self._parameters = rounds, parameters
        self._warm, self._left = False, WARM_UP

    def updated(self) -> None:
        self._left -= 1
        if self._left:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if self._warm:
            self._rounds.done()
        else:
            self._rounds.ready(parameters=self._parameters)
            self._warm = True
        self._left = self._rounds.wait()


def transformers_trainer(job: dict[str, Any], rows: np.ndarray[Any, Any], rounds: Rounds) -> None:
    """`Trainer.train` over rows of `context` tokens; labels are the tokens, which the model shifts by itself."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    shape, train = job["network"], job["train"]
    model = LlamaForCausalLM._from_config(
        LlamaConfig(
            vocab_size=job["vocab_size"],
            hidden_size=shape["width"],
            intermediate_size=shape["feed_forward"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            num_key_value_heads=shape["kv_heads"],
            max_position_embeddings=shape["context"],
            rms_norm_eps=shape["norm_epsilon"],
            tie_word_embeddings=shape["tied_embeddings"],
            use_cache=False,
        ),
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    turns = Turns(rounds, sum(parameter.numel() for parameter in model.parameters()))

    class Taking(TrainerCallback):  # type: ignore[misc]  # transformers is an extra
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turns.updated()

    class Data(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            tokens = torch.from_numpy(rows[number, : shape["context"]])
            return {"input_ids": tokens, "labels": tokens}

    micro = job["resources"]["micro_batch"]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="folio-benchmark-"),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=train["global_batch"] // micro,
        max_steps=MOST_UPDATES,
        learning_rate=train["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=train["warmup_steps"],
        weight_decay=train["weight_decay"],
        adam_beta1=train["optimizer"]["beta1"],
        adam_beta2=train["optimizer"]["beta2"],
        adam_epsilon=train["optimizer"]["epsilon"],
        max_grad_norm=train["clip"],
        optim="adamw_torch_fused",
        bf16=train["precision"]["kind"] == "bf16",
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    Trainer(model=model, args=arguments, train_dataset=Data(), callbacks=[Taking()]).train()


def litgpt_pretrain(job: dict[str, Any], rows: np.ndarray[Any, Any], rounds: Rounds) -> None:
    """`litgpt.pretrain.fit` over rows of `context` + 1 tokens, of which it makes inputs and targets."""
    import lightning
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.model import GPT, Config
    from litgpt.pretrain import fit, initialize_weights
    from litgpt.utils import instantiate_torch_optimizer

    shape, train = job["network"], job["train"]
    config = Config(
        name="benchmark",
        block_size=shape["context"],
        n_layer=shape["layers"],
        n_embd=shape["width"],
        vocab_size=job["vocab_size"],
        padded_vocab_size=job["vocab_size"],
        n_head=shape["heads"],
        n_query_groups=shape["kv_heads"],
        intermediate_size=shape["feed_forward"],
        norm_class_name="RMSNorm",
        norm_eps=shape["norm_epsilon"],
        mlp_class_name="LLaMAMLP",
        parallel_residual=False,
        bias=False,
        rotary_percentage=1.0,
        rope_base=int(shape["rope_theta"]),
    )
    gpu = torch.cuda.is_available()
    precision = "bf16-mixed" if train["precision"]["kind"] == "bf16" else "32-true"
    fabric = lightning.Fabric(accelerator="cuda" if gpu else "cpu", devices=1, precision=precision)
    with fabric.init_module(empty_init=True):
        model = GPT(config)
    initialize_weights(fabric, model, n_layer=config.n_layer, n_embd=config.n_embd)
    if shape["tied_embeddings"]:
        model.transformer.wte.weight = model.lm_head.weight
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model = fabric.setup(model)
    adam = train["optimizer"]
    values = {"lr": train["learning_rate"], "betas": (adam["beta1"], adam["beta2"]), "weight_decay": train["weight_decay"]}
    adamw = {"class_path": "torch.optim.AdamW", "init_args": {**values, "eps": train["optimizer"]["epsilon"]}}
    optimizer = fabric.setup_optimizers(instantiate_torch_optimizer(adamw, model.parameters(), fused=True))
    micro: int = job["resources"]["micro_batch"]
    accumulated = train["global_batch"] // micro
    turns = Turns(rounds, parameters)

    class Data:
        """Micro-batches of shuffled rows, for ever. The update before is over when the next one's first micro-batch is asked for."""

        def __len__(self) -> int:
            return len(rows) // micro

        def __iter__(self) -> Iterator[torch.Tensor]:
            order = np.random.default_rng(0)
            for number in range(MOST_UPDATES * accumulated):
                if number and number % accumulated == 0:
                    turns.updated()
                yield torch.from_numpy(rows[order.integers(0, len(rows), micro)]).to(fabric.device)

    fit(
        fabric=fabric,
        devices=1,
        state={"model": model, "optimizer": optimizer, "iter_num": 0, "step_count": 0},
        train_dataloader=Data(),
        val_dataloader=[torch.from_numpy(rows[:micro])],
        out_dir=Path(tempfile.gettempdir()),
        tokenizer_dir=None,
        train=TrainArgs(
            save_interval=None,
            log_interval=MOST_UPDATES,
            global_batch_size=train["global_batch"],
            micro_batch_size=micro,
            lr_warmup_steps=train["warmup_steps"],
            max_tokens=MOST_UPDATES * train["global_batch"] * shape["context"],
            max_norm=train["clip"],
        ),
        eval=EvalArgs(interval=MOST_UPDATES, final_validation=False),
    )


def main(kind: str, path: Path) -> None:
    """Run the peer until no more rounds are wanted."""
    rounds = Rounds()
    job = json.loads(path.read_text(encoding="utf-8"))
    torch.set_num_threads(job["resources"]["threads"])
    torch.set_flush_denormal(True)
    rows = np.load(path.with_name("rows.npy"))
    peers: dict[str, Callable[[dict[str, Any], np.ndarray[Any, Any], Rounds], None]] = {
        "transformers": transformers_trainer,
        "litgpt": litgpt_pretrain,
    }
    peers[kind](job, rows, rounds)
    raise RuntimeError(f"{kind} ended by itself, after fewer than {MOST_UPDATES} updates")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
