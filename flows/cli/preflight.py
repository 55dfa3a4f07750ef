"""Check before a run that this machine can do it: `folio run` refuses, `folio plan` warns.

A valid recipe may still exceed this machine. Each problem names the key, its value and the way out.
Checks that need torch run only if the recipe uses it.

Check that the store's disk has room for what a run will write: its stages' expected output and checkpoints.

`folio plan` knows what will run. `folio run` makes a plan only if the disk may be too small for everything the recipe last made, so
a run with room loses no time.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.examples.config import DocumentExamples
from data.problems.make import gym_problem
from data.shards.address import Address
from data.sources.config import ManifestSource, RemoteSource, SoundsSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import read_manifest
from data.sources.fetching.urls import storage_scheme
from flows.cli.planning import Plan, walk
from flows.recipe.opening import shape_problems, tokenizer_problems
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from flows.services.home import unwritable
from model.adapters.protocol import AdapterError
from model.networks.base import ModelError
from model.networks.directory import read_config
from model.pairing.config import ConstitutionPairs, EndpointCritic
from model.training.job import JobError
from model.training.launch.hosts import HostsError, chosen_hosts
from tasks.reporting.wording import size
from tasks.stage.execution.resources import ClusterError
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store, open_store, resolve

if TYPE_CHECKING:
    from model.training.config import TrainConfig

TRAINING = {"pretrain", "compete", "tune", "adapt"}  # stages that train
LAUNCHERS = {"hostfile": "ssh", "slurm": "srun"}
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}  # by the extra that installs one


def require_machine(recipe: Recipe) -> None:
    """Raise RecipeError with a line for each thing that this machine can't do or lacks."""
    if problems := list(dict.fromkeys(machine_problems(recipe))):
        raise RecipeError(f"{recipe.name} can't run on this machine:\n" + "\n".join(f"  {problem}" for problem in problems))


def machine_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each thing that this machine can't do or lacks."""
    try:
        recipe.resources.require_extra()
    except ClusterError as error:
        yield str(error)
    yield from _unwritable(recipe)
    yield from _drivers(recipe)
    yield from _libraries(recipe)
    yield from _critics(recipe)
    yield from _word_list(recipe)
    yield from _sounds(recipe)
    yield from _names(recipe)
    yield from _launcher(recipe)
    yield from _card(recipe)
    for section, train in recipe.trainings.items():
        yield from _eight_bits(recipe, section, train)
        yield from _targets(recipe, section, train)
    yield from _initial(recipe)
    yield from shape_problems(recipe)
    yield from tokenizer_problems(recipe)


def _unwritable(recipe: Recipe) -> Iterator[str]:
    """Local folders that can't be written or created. Object stores aren't checked, since that would need a write."""
    settings = recipe.run_settings()
    folders = [("store", resolve(settings["store"], settings["root"])), ("FOLIO_HOME", str(settings["home"]))]
    training = recipe.resources.training
    folders += [("resources.training.keep_in", str(settings["root"] / training.keep_in))] if training.keep_in else []
    nvme = training.parallel.nvme_path
    folders += [("resources.training.parallel.nvme_path", nvme)] if nvme else []
    for key, folder in folders:
        if "://" not in folder and (why := unwritable(Path(folder))):
            yield f"{key}={folder} {why}; make it writable, or name another folder"


def _drivers(recipe: Recipe) -> Iterator[str]:
    """Missing drivers for the addresses of sources, and manifests that can't be read."""
    sources = [(f"ingest.sources[{n}]", source) for n, source in enumerate(recipe.ingest.sources)]
    sources += [(f"examples.sources[{n}]", source) for n, source in enumerate(getattr(recipe.examples, "sources", ()))]
    for key, source in sources:
        try:
            addresses = _addresses(source, recipe.run_settings()["root"])
        except SourceError as error:
            yield f"{key}.manifest: {error}"
            continue
        for named, url in addresses.items():
            extra = storage_scheme(url)
            if (driver := DRIVERS.get(extra)) and importlib.util.find_spec(driver) is None:
                yield f"{key}.{named} needs {driver}, which is not installed: pip install -e '.[{extra}]'"


def _addresses(source: object, root: Path) -> dict[str, str]:
    """Return {key and value: URL} of a source; of a manifest, one URL for each kind of store. Raise SourceError if it can't be read."""
    if isinstance(source, RemoteSource):
        return {f"url={source.url}": source.url}
    if not isinstance(source, ManifestSource):
        return {}
    urls = [entry.url for entry in read_manifest(source, root).values()]
    return {f"manifest={source.manifest}: {url}": url for url in {storage_scheme(url): url for url in reversed(urls)}.values()}


def _libraries(recipe: Recipe) -> Iterator[str]:
    """Missing extras for quantized forms and for problems."""
    told = getattr(recipe.examples, "generated", recipe.examples)
    key = "examples.gym" if told is recipe.examples else "examples.generated.gym"
    if (problems := getattr(told, "gym", ())) and importlib.util.find_spec("reasoning_gym") is None:
        yield (
            f"{key} has {problems[0].dataset} and needs reasoning_gym, which is not installed: pip install -e '.[gym]', or leave gym out"
        )
    elif problems:
        yield from (f"{key}: {why.removeprefix('examples.gym: ')}" for why in map(gym_problem, problems) if why)

    for number, variant in enumerate(recipe.release.variants):
        for module, extra in variant.LIBRARIES.items():
            if importlib.util.find_spec(module) is None:
                yield (
                    f"release.variants[{number}] is of kind {variant.kind} and needs {module}, which is not installed: "
                    f"pip install -e '.[{extra}]', or leave the variant out"
                )


def _sounds(recipe: Recipe) -> Iterator[str]:
    """What decodes files of sound, which is an extra."""
    for number, source in enumerate(recipe.ingest.sources):
        if isinstance(source, SoundsSource) and source.paths and importlib.util.find_spec("soundfile") is None:
            yield (f"ingest.sources[{number}] of kind sounds needs soundfile, which is not installed: pip install -e '.[sound]'")


def _critics(recipe: Recipe) -> Iterator[str]:
    """Critics and teachers behind an address: the client that asks them, which is an extra, and their key."""
    asked: dict[str, Address] = {}
    if isinstance(recipe.examples, DocumentExamples):
        both = {"examples.teacher": recipe.examples.teacher, "examples.judge": recipe.examples.judge}
        asked = {key: one for key, one in both.items() if isinstance(one, Address)}
    for section, step in recipe.trainings.items():
        pairs = getattr(step, "pairing", None)
        if isinstance(pairs, ConstitutionPairs) and isinstance(pairs.critic, EndpointCritic):
            asked[f"{section}pairs.critic"] = pairs.critic
    for key, address in asked.items():
        if importlib.util.find_spec("openai") is None:
            instead = ", or take kind own" if isinstance(address, EndpointCritic) else ""
            yield f"{key}.kind=endpoint needs openai, which is not installed: pip install -e '.[critic]'{instead}"
        if (named := address.key_variable) and not os.environ.get(named):
            yield f"{key}.key_variable={named}, and the environment has no such variable; set it to the key"


def _word_list(recipe: Recipe) -> Iterator[str]:
    """The word list of the cleaning rule that asks for one, which is an extra."""
    if recipe.clean.ocr_words and importlib.util.find_spec("symspellpy") is None:
        yield "clean.ocr_words=true needs symspellpy, which is not installed: pip install -e '.[ocr]', or set it to false"


def _names(recipe: Recipe) -> Iterator[str]:
    """The software that the model for names of people needs, which is an extra."""
    pii = recipe.filter.pii
    if pii.enabled and pii.name != "off" and importlib.util.find_spec("spacy") is None:
        yield f"filter.pii.name={pii.name} needs spacy, which is not installed: pip install -e '.[names]', or set it to off"


def _launcher(recipe: Recipe) -> Iterator[str]:
    """A missing program to start workers on other machines, or a missing host file."""
    parallel = recipe.resources.training.parallel
    program = LAUNCHERS.get(parallel.launcher)
    if program and shutil.which(program) is None:
        yield f"resources.training.parallel.launcher={parallel.launcher} needs {program} on PATH; install it, or use another launcher"
    if parallel.launcher == "hostfile":
        try:
            chosen_hosts(Path(parallel.hostfile), parallel.nodes, parallel.workers // parallel.nodes)
        except HostsError as error:
            yield f"resources.training.parallel.{error}"


def _card(recipe: Recipe) -> Iterator[str]:
    """What only a card can do, where this machine has none and all stages that train run here."""
    training = recipe.resources.training
    if not (training.tf32 or training.deterministic) or recipe.resources.pools.keys() & TRAINING:
        return
    from model.training.precision import require_card  # loads torch, which most recipes do without here

    try:
        require_card(training)
    except JobError as error:
        yield str(error)


def _network(recipe: Recipe) -> Any:
    """Return the network of a recipe without weights."""
    from model.networks.meta import meta_network  # loads torch, which most recipes do without here

    return meta_network(recipe.model, recipe.tokenizer.vocab_size)


def _eight_bits(recipe: Recipe, section: str, train: TrainConfig) -> Iterator[str]:
    """fp8 on a machine that lacks it, or for a network whose layer sizes the kernels do not accept."""
    if not train.precision.EIGHT_BITS:
        return
    network = _network(recipe)
    try:
        train.precision.prepare(network)
    except JobError as error:
        yield f"{section}{error}"


def _targets(recipe: Recipe, section: str, train: TrainConfig) -> Iterator[str]:
    """Adapter targets that the network does not have."""
    if not train.adapter.KEEPS_BASE:
        return
    try:
        train.adapter.build().check(_network(recipe))
    except AdapterError as error:
        yield f"{section}{error}"


def _initial(recipe: Recipe) -> Iterator[str]:
    """A starting model whose shape differs from the recipe's."""
    if not recipe.pretrain.initial:
        return
    try:
        theirs = read_config(Path(recipe.root) / recipe.pretrain.initial)[0]
    except ModelError as error:
        yield f"pretrain.initial={recipe.pretrain.initial}: {error}"
        return
    for name, here, there in recipe.model.differences(theirs):
        yield f"model.{name}={here!r}, and pretrain.initial={recipe.pretrain.initial} has {there!r}; give model.{name} that value"


CHECKPOINT = 12  # bytes of a parameter: its weight and two numbers of the optimizer, in fp32
AMPLE = 4  # with this many times the recipe's last size free, skip the estimate
NEAR = 2  # below this many times what is needed, print a line
TABLES = 50_000_000  # bytes for databases, logs and reports


def require_space(recipe: Recipe) -> None:
    """Raise RecipeError if the store's disk has less room than a run is expected to take."""
    settings = recipe.run_settings()
    store = open_store(settings["store"], settings["root"], settings["home"])
    if (free := free_bytes(store)) is None or free > AMPLE * (_written_last(store, recipe.name) + beside(recipe)):
        return
    plan = walk(recipe)
    needed = needed_bytes(plan, plan.estimate().written)
    if free < needed:
        raise RecipeError(
            f"store={store.url}: {size(free)} are free, and this run is expected to write {size(needed)}. Free space (folio gc shows what "
            "no run needs), or name a store on another disk: --set store=FOLDER"
        )


def space_line(plan: Plan, written: float) -> str:
    """Return a plan's line on disk space if it is scarce; empty if there is room."""
    free, needed = free_bytes(plan.store), needed_bytes(plan, written)
    if free is None or free > NEAR * needed:
        return ""
    verdict = "so it would stop" if free < needed else "which is near"
    return f"Disk: {size(needed)} will be written and {size(free)} are free in {plan.store.url}, {verdict}."


def needed_bytes(plan: Plan, written: float) -> float:
    """Return the most bytes that a run of the plan takes: its artifacts, and checkpoints while it trains. 0 if all is reused."""
    ahead = [decision for decision in plan.decisions if decision.action != "reuse"]
    trains = any(decision.stage in TRAINING for decision in ahead)
    return (written + TABLES if ahead else 0.0) + (beside(plan.recipe) if trains else 0.0)


def beside(recipe: Recipe) -> float:
    """Return the bytes of checkpoints: those that are kept, and the one being written."""
    network = recipe.model
    parameters = recipe.tokenizer.vocab_size * network.width + 12 * network.layers * network.width**2
    return float(CHECKPOINT * parameters * (recipe.resources.training.keep_last + 1))


def free_bytes(store: Store) -> int | None:
    """Return the free bytes of the store's disk; None for an object store."""
    if store.local_root is None:
        return None
    root = Path(store.local_root)
    return shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).free


def _written_last(store: Store, recipe: str) -> float:
    """Return the bytes of all artifacts of the recipe's last run."""
    records = (store.index.read(position.location) for position in Journal(store).latest_positions(recipe).values())
    return float(sum(file.size for record in records if isinstance(record, Artifact) for file in record.files))
