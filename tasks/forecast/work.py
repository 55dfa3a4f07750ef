"""How much an execution has to do, in units that its time is proportional to beyond a fixed start; None where nothing tells.

A `WorkHook` names these functions, so that only what forecasts loads the configs of all stages.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from data.shards.address import Teaching
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.files import find_files
from model.evaluation.config import ArenaEvaluation, ConsultConfig, EvaluateConfig
from model.networks.base import NetworkBase
from model.networks.config import NetworkConfig
from model.pairing.config import ConstitutionPairs, OwnPairs
from model.training.config import ObjectiveConfig, TrainConfig
from tasks.forecast import counts
from tasks.forecast.execution import Execution, Source

Config = TypeVar("Config", bound=BaseModel)

# What a block costs in each micro-batch besides its operations, in operations: about three milliseconds on two cores, seen with models of
# 33 thousand parameters, for which it is nearly everything.
BLOCK_OVERHEAD = 2.5e8
MICRO_BATCH_TOKENS = 2048
# Operations of a forward pass, in passes forward and backward.
FORWARD = 1 / 3
PAIR = 2  # sequences of a preference pair
# A token that is sampled takes a pass of its own through every block, so it costs as much as this many that are read together.
SAMPLED = 8
LETTERS_OF_TOKEN, PROMPT, WEIGHT_BYTES = 4, 64, 4  # characters of a token; tokens of a prompt without passages; bytes of a weight
ANSWERS = 8  # answers that a question of preferences has, roughly


def input_bytes(execution: Execution) -> float | None:
    """Return the bytes of all inputs."""
    return execution.read()


def books(execution: Execution) -> float | None:
    """Return the number of books that are generated, copies included."""
    return float(sum(execution.config.get(key, 0) for key in ("books", "exact_copies", "near_editions")))


def source_bytes(execution: Execution) -> float | None:
    """Return the bytes that a shard of the sources holds: measured, or of the files that are there; None for sources elsewhere."""
    if execution.record is not None:
        return execution.metrics.get("bytes")

    config, around = execution.settings, execution.read()
    if around is None or not isinstance(config, IngestConfig):
        return None
    sizes = [_local_bytes(source, execution) for source in config.sources]
    return None if any(size is None for size in sizes) else (around + sum(size or 0.0 for size in sizes)) / config.shards


def _local_bytes(source: Any, execution: Execution) -> float | None:
    """Return the bytes of a source's files on this machine, 0 if it comes as an input, None if it is fetched."""
    if source.label in execution.sources or source.kind in execution.sources:
        return 0.0
    if not isinstance(source, FilesSource) or execution.root is None:
        return None
    try:
        return float(sum(path.stat().st_size for path in find_files(source, execution.root).values()))
    except (OSError, SourceError):
        return None


def trained_operations(execution: Execution) -> float | None:
    """Return the operations of training: of its rows, of its validation and samples, and what each block costs besides."""
    network = network_of(execution)
    try:
        train: TrainConfig = TypeAdapter(ObjectiveConfig).validate_python(execution.config.get("train"))
    except ValidationError:
        return None
    if network is None:
        return None
    context = int(execution.config.get("row_length") or network.context)
    network, steps = network.model_copy(update={"context": context}), train.total_steps(context)
    sequences = PAIR if getattr(train, "READS", "") == "preference" else 1
    learned = train.sequences_before(steps)
    own = (1 - train.replay_share) * learned
    rows = float(own * sequences * (1 + FORWARD * len(train.MODELS)) + learned - own)
    every = train.measure_every(context)
    rows += (1 + (steps // every if every else 0)) * train.eval_rows * FORWARD
    if rollouts := getattr(train, "rollouts", None):
        rows += SAMPLED * FORWARD * learned * rollouts.max_new_tokens / rollouts.inner_epochs / context
    micro_batches = rows * context / MICRO_BATCH_TOKENS + steps
    return rows * context * counts.training_operations(network, vocabulary_of(execution)) + micro_batches * network.layers * BLOCK_OVERHEAD


def paired_operations(execution: Execution) -> float | None:
    """Return the operations of making pairs: of the answers that are scored, and of the replies that are sampled."""
    network, config = network_of(execution), _config_of(execution, OwnPairs)
    if network is None or config is None:
        return None
    tokens = config.questions * (ANSWERS * network.context / 2 + SAMPLED * config.samples * config.max_new_tokens)
    return tokens * _operations_of_token(network, execution)


def revised_operations(execution: Execution) -> float | None:
    """Return the operations of making pairs by principles: of the answers, and of what the model itself makes of them."""
    network, config = network_of(execution), _config_of(execution, ConstitutionPairs)
    if network is None or config is None:
        return None
    replies = 1 + (2 * config.rounds if config.critic.kind == "own" else 0)
    return SAMPLED * config.questions * replies * config.max_new_tokens * _operations_of_token(network, execution)


def taught_requests(execution: Execution) -> float | None:
    """Return how many requests a teacher is sent at most."""
    config = _config_of(execution, Teaching)
    if config is None:
        return None
    if config.teacher.kind == "patterns":
        return float(config.passages)
    wanted = config.passages * (1 + (2 if config.judge is None else 3) * config.questions)
    return float(wanted if config.max_calls is None else min(wanted, config.max_calls))


def consulted_operations(execution: Execution) -> float | None:
    """Return the operations of asking with documents: of the prompts and answers of each question, by the bytes of the model's weights."""
    settings, sources = execution.config.get("settings"), execution.sources
    model, asked = (sources[name].size if name in sources else None for name in ("model", "questions"))
    if not isinstance(settings, dict) or model is None or asked is None:
        return None
    config = ConsultConfig.model_validate(settings)
    index = next((source.execution for name, source in sources.items() if name.startswith("index")), None)
    letters = int(index.config.get("passage_characters", 0) if index else 0) or 800
    # A line has the question's passage, which is about half a passage, and as much besides.
    questions = min(float(config.questions), asked / (letters / 2 + 400))
    shown = 2 if config.declined else 1
    read = shown * (config.passages * letters / LETTERS_OF_TOKEN + PROMPT) + PROMPT
    return questions * (read + (shown + 1) * SAMPLED * config.answer_tokens) * 2 * model / WEIGHT_BYTES


def taught_kind(execution: Execution) -> str:
    """Return the address of the teacher, which is timed by itself."""
    teacher = execution.config.get("teacher")
    return str(teacher.get("url", teacher.get("kind", ""))) if isinstance(teacher, dict) else ""


def revised_kind(execution: Execution) -> str:
    """Return the kind of an execution whose replies come from elsewhere, which is timed by itself."""
    critic = execution.config.get("critic")
    return str(critic.get("url", "")) if isinstance(critic, dict) else ""


def evaluated_operations(execution: Execution) -> float | None:
    """Return the operations of an evaluation: of the rows that are read, and of the answers and continuations that are written."""
    network, packed = network_of(execution), execution.sources.get("packed", Source(None)).execution
    config = _config_of(execution, ArenaEvaluation) or _config_of(execution, EvaluateConfig)
    if network is None or config is None or packed is None or packed.files is None:
        return None
    network = network.model_copy(update={"context": int(packed.config.get("sequence_length") or network.context)})
    # A row takes four bytes for each token, and a little for where its documents are.
    held = [(packed.written(split) or 0.0) / (4.2 * (network.context + 1)) for split in config.splits]
    tokens = sum(min(config.rows or rows, rows) for rows in held) * network.context
    if config.questions:
        examples = execution.sources.get("examples", Source(None)).execution
        sizes = [examples.written(f"questions_{name}.jsonl") if examples else None for name in ("seen", "heldout")]
        # A question with its answers takes about ninety bytes.
        times = 2 if config.earlier_questions else 1
        tokens += times * SAMPLED * sum(size or 0.0 for size in sizes) / 90 * config.answer_tokens
    if config.copying:
        tokens += SAMPLED * 2 * config.copy_prompts * config.copy_tokens
    tokens += SAMPLED * 64 * config.samples
    return tokens * _operations_of_token(network, execution)


def training_kind(execution: Execution) -> str:
    """Return what must be equal for the speeds of two trainings to compare."""
    train = execution.config.get("train", {})
    precision = train.get("precision")
    return f"{train.get('kind')} {precision['kind'] if isinstance(precision, dict) else precision} {_network_kind(execution)}"


def evaluated_kind(execution: Execution) -> str:
    """Return what must be equal for the speeds of two evaluations to compare: the network, and whether the model is quantized."""
    maker = execution.sources["model"].execution if "model" in execution.sources else None
    return f"{_network_kind(execution)} {maker and maker.config.get('kind')}"


def _network_kind(execution: Execution) -> str:
    model = execution.inherited("model")
    return str(model.get("kind")) if isinstance(model, dict) else ""


def network_of(execution: Execution) -> NetworkBase | None:
    """Return the network that is trained or measured; None if the lineage has none known to this version."""
    try:
        found: NetworkBase = TypeAdapter(NetworkConfig).validate_python(execution.inherited("model"))
    except ValidationError:
        return None
    return found


def vocabulary_of(execution: Execution) -> int:
    """Return the size of the vocabulary: as fitted, or as the recipe asks for."""
    return round(execution.nearest_metric("vocab_size") or execution.inherited("vocab_size") or 4096)


def _config_of(execution: Execution, kind: type[Config]) -> Config | None:
    """Return the execution's config; None if it is not one that this version knows."""
    try:
        return kind.model_validate(dict(execution.config))
    except ValidationError:
        return None


def _operations_of_token(network: NetworkBase, execution: Execution) -> float:
    """Return the operations of reading a token."""
    return FORWARD * counts.training_operations(network, vocabulary_of(execution)) + network.layers * BLOCK_OVERHEAD / MICRO_BATCH_TOKENS


def parameters(execution: Execution) -> float | None:
    """Return the number of the network's parameters."""
    network = network_of(execution)
    return None if network is None else counts.parameters(network, vocabulary_of(execution))


def alike(_: Execution) -> str:
    return ""
