"""Edits of the code that trains, and of what it reads: those that a finished run of `universe` need not notice, and those that it must."""

from __future__ import annotations

from typing import NamedTuple


class TrainingEdit(NamedTuple):
    """Text replaced in one file. `runs`: a position that must run again first; "" if nothing may."""

    name: str
    path: str
    before: str
    after: str
    runs: str = ""


UNUSED = [
    TrainingEdit(
        "another objective",
        "model/objectives/grpo.py",
        "clipped_N = ratio_N.clamp(1 - self.clip_low, 1 + self.clip_high)",
        "clipped_N = ratio_N.clamp(1 - self.clip_high, 1 + self.clip_low)",
    ),
    TrainingEdit(
        "another optimizer",
        "model/training/optimizers/lion_and_sophia.py",
        "average.lerp_(gradient, 1 - beta2)",
        "average.lerp_(gradient, 1 - beta1)",
    ),
    TrainingEdit(
        "how another optimizer is built",
        "model/training/optimizers/config.py",
        "gamma=self.gamma, epsilon=self.epsilon",
        "gamma=self.epsilon, epsilon=self.gamma",
    ),
    TrainingEdit(
        "another schedule",
        "model/training/schedules.py",
        "progress = min(1.0, max(0, update + 1 - (total - decay)) / decay)",
        "progress = min(1.0, max(0, update - (total - decay)) / decay)",
    ),
    TrainingEdit(
        "another network",
        "model/networks/encoder.py",
        "return head_product(x_ND, weight_WD[: self.vocab_size])",
        "return head_product(x_ND, weight_WD[: self.vocab_size]) * 2",
    ),
    TrainingEdit("a recurrent network", "model/networks/recurrent.py", "y_BTD, _ = self.gru(y_BTD)\n", "y_BTD, _ = self.gru(2 * y_BTD)\n"),
    TrainingEdit(
        "another attention",
        "model/layers/attention.py",
        "self.scale = (self.head_width + self.rotary_width) ** -0.5",
        "self.scale = self.head_width**-0.5",
    ),
    TrainingEdit(
        "another norm",
        "model/layers/norms.py",
        "return _rounded(functional.layer_norm(x_XD, self.weight.shape, weight_D, bias_D, self.epsilon), self.rounded)",
        "return _rounded(functional.layer_norm(x_XD, self.weight.shape, weight_D, None, self.epsilon), self.rounded)",
    ),
    TrainingEdit(
        "other positions",
        "model/layers/positions.py",
        "slopes = [2.0 ** (-8 * number / power)",
        "slopes = [2.0 ** (-4 * number / power)",
    ),
    TrainingEdit(
        "another precision",
        "model/training/precisions.py",
        "        require_float8()\n        use_float8(network)",
        "        use_float8(network)",
    ),
    TrainingEdit(
        "an average of weights that is not asked for",
        "model/training/optimizers/build.py",
        "weight = 1 - min(decay, (1 + done) / (10 + done))",
        "weight = 1 - decay",
    ),
    TrainingEdit(
        "a reward",
        "model/rewards/kinds.py",
        'return float(is_right(reply.text, reply.question["answers"]))',
        'return 2 * float(is_right(reply.text, reply.question["answers"]))',
    ),
    TrainingEdit(
        "what is done after a spike",
        "model/training/guards/faults.py",
        "first = max(base, step - self._guards.skip_steps)",
        "first = max(base, step - 1 - self._guards.skip_steps)",
    ),
    TrainingEdit(
        "telemetry",
        "model/training/telemetry/telemetry.py",
        '"seconds": round(seconds, 4)',
        '"seconds": round(seconds, 6)',
    ),
    TrainingEdit(
        "a new measurement of telemetry",
        "model/training/telemetry/telemetry.py",
        '        timing["memory_bytes"] = float(peak_memory(self._device))\n',
        '        timing["memory_bytes"] = float(peak_memory(self._device))\n        timing["memory_kilobytes"] = 1.0\n',
    ),
    TrainingEdit("how often progress is shown", "model/training/telemetry/progress.py", "self._shown >= 0.5", "self._shown >= 1.5"),
    TrainingEdit("the heartbeat", "model/training/telemetry/progress.py", "HEARTBEAT_SECONDS = 1.0", "HEARTBEAT_SECONDS = 2.0"),
    TrainingEdit("the grace of the launcher", "model/training/launch/processes.py", "GRACE_SECONDS = ", "GRACE_SECONDS = 1 + "),
    TrainingEdit(
        "another launcher",
        "model/training/launch/torchrun.py",
        "key=lambda item: (item[1].timestamp, item[1].exitcode >= 0 or item[1].exitcode == -signal.SIGTERM)",
        "key=lambda item: (item[1].timestamp, item[1].exitcode >= 0)",
    ),
    TrainingEdit(
        "a hostfile's form",
        "model/training/launch/hosts.py",
        'words = line.partition("#")[0].split()',
        'words = line.partition(";")[0].split()',
    ),
    TrainingEdit(
        "the peak that utilization is relative to",
        "model/hardware/peak.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nUNUSED = 1\n",
    ),
    TrainingEdit("when threads sleep while they wait", "model/hardware/waiting.py", "CROWDED, FREE = 0.4,", "CROWDED, FREE = 0.5,"),
    TrainingEdit(
        "another adapter",
        "model/adapters/lora.py",
        'frozenset({"pipeline"} if self.dora else {"pipeline", "zero_3"})',
        'frozenset({"pipeline", "zero_3"})',
    ),
    TrainingEdit(
        "another optimizer's default",
        "model/training/optimizers/config.py",
        'beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")',
        'beta2: float = Field(0.96, ge=0, lt=1, description="decay rate of the momentum")',
    ),
    TrainingEdit(
        "another step's default", "model/training/kinds/sampled.py", "kl_weight: float = Field(0.04", "kl_weight: float = Field(0.05"
    ),
    TrainingEdit("a schedule fewer", "model/training/schedules.py", " | InverseSqrtConfig | ConstantConfig,", " | InverseSqrtConfig,"),
]
USED = [
    TrainingEdit(
        "the schedule",
        "model/training/schedules.py",
        "floor + (1 - floor) * 0.5 *",
        "floor + (1 - floor) * 0.6 *",
        "pretrain",
    ),
    TrainingEdit("the objective", "model/objectives/next_token.py", "return nats[None]", "return 2 * nats[None]", "pretrain"),
    TrainingEdit(
        "the loss of preferences",
        "model/objectives/dpo.py",
        "losses_B = -functional.logsigmoid(margin_B)",
        "losses_B = -functional.logsigmoid(2 * margin_B)",
        "tune.dpo",
    ),
    TrainingEdit("a default of the loss of preferences", "model/objectives/dpo.py", "beta: float = 0.1", "beta: float = 0.2", "tune.dpo"),
    TrainingEdit(
        "the optimizer",
        "model/training/optimizers/config.py",
        "    nesterov=self.nesterov,\n",
        "    nesterov=not self.nesterov,\n",
        "pretrain",
    ),
    TrainingEdit(
        "the optimizer of tuning",
        "model/training/optimizers/config.py",
        "(self.beta1, self.beta2)\n        return torch.optim.AdamW(",
        "(self.beta2, self.beta1)\n        return torch.optim.AdamW(",
        "tune.sft",
    ),
    TrainingEdit(
        "the norm",
        "model/layers/norms.py",
        "self.weight.to(x_XD.dtype), self.epsilon), self.rounded)",
        "self.weight.to(x_XD.dtype), 2 * self.epsilon), self.rounded)",
        "pretrain",
    ),
    TrainingEdit(
        "the activation, named in a table",
        "model/layers/block.py",
        '"swiglu": functional.silu',
        '"swiglu": functional.gelu',
        "pretrain",
    ),
    TrainingEdit(
        "the feed-forward layer",
        "model/layers/block.py",
        "inner_BTF = self.activation(self.gate_proj(x_BTD)) * self.up_proj(x_BTD)",
        "inner_BTF = self.activation(self.up_proj(x_BTD)) * self.gate_proj(x_BTD)",
        "pretrain",
    ),
    TrainingEdit(
        "the order of rows",
        "model/loading/order.py",
        'order = np.argsort(keys, kind="stable")',
        'order = np.argsort(-keys, kind="stable")',
        "pretrain",
    ),
    TrainingEdit(
        "a seed's mixing",
        "model/seeds.py",
        "generate_state(1, np.uint64)[0] >> 1",
        "generate_state(1, np.uint64)[0] >> 2",
        "pretrain",
    ),
    TrainingEdit(
        "what only a worker runs",
        "model/training/launch/worker.py",
        "torch.set_flush_denormal(True)",
        "torch.set_flush_denormal(False)",
        "pretrain",
    ),
    TrainingEdit(
        "the order of a mixture",
        "model/loading/order.py",
        "return sum(phase.count_before(position, source) for phase in self._patterns)",
        "return sum(phase.count_before(position, source) for phase in reversed(self._patterns))",
        "tune.sft",
    ),
    TrainingEdit("a query", "data/cleaning/sql/quotes.sql", "straight AS line", "straight || '' AS line", "clean[0]"),
    TrainingEdit(
        "where words begin",
        "data/documents/words.py",
        "return [match.span() for match in _WORD.finditer(text.translate(_BLANK))]",
        "return [match.span() for match in _WORD.finditer(text)]",
        "audit",
    ),
    TrainingEdit("a mixing of bits", "data/dedup/near.py", "(1, rows), dtype=np.uint64) | odd", "(1, rows), dtype=np.uint64)", "dedup"),
]
# Constants of modules that training imported count, though nothing that it ran reads them.
CONSTANTS = [
    TrainingEdit("a norm's constant", "model/layers/norms.py", "MOMENTUM = 0.1", "MOMENTUM = 0.2", "pretrain"),
    TrainingEdit(
        "another way to quantize",
        "model/quantization/weight_only.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nUNUSED = 1\n",
        "pretrain",
    ),
]
EDITS = [*UNUSED, *USED, *CONSTANTS]
