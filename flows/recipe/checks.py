"""Contradictions between sections of a recipe, each named with both values and the way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from data.examples.config import ConversationExamples, DocumentExamples, SymbolExamples
from data.shards.names import SPLITS
from data.splits.config import SplitConfig
from data.synthetic.config import SymbolsMaker
from data.tokens.config import CONVERSATIONS
from data.universe.config import UniverseExamples
from flows.recipe.counted import counted_problems
from flows.recipe.gate_checks import gate_problems, nothing_held_out, step_gate_problems, validation_problems
from flows.recipe.opening import opening_problems
from flows.recipe.picture_checks import picture_problems
from model.hardware.devices import find_device
from model.loading.mixture_config import mixture_problem
from model.pairing.config import ConstitutionPairs
from model.release.config import sentences_refusal
from model.training.kinds.sampled import SampledConfig
from model.training.parallel.compatibility import incompatibilities

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe
    from model.training.config import TrainConfig


# Names that a step of tuning, an adapter or a variant would share with a position of evaluate, or with an input of export or of a gate.
TAKEN = frozenset(
    {
        "base",
        "baseline",
        "history",
        "opened",
        "origin",
        "measured_base",
        "measured_rows",
        "baseline_rows",
        "chat",
        "release",
        "conversations",
        "config",
        "work",
        "model",
        "rows",
        "tokenizer",
        "measured",
        "verdict",
        "funnel",
        "documents",
    }
)
MADE = "examples of kind universe with {} above 0"
# What the examples need for a set of questions besides the seen and the held-out ones.
MAKING: dict[str, str] = {
    **dict.fromkeys(("reasoning", "practised", "hops", "arithmetic", "templates"), MADE.format("reasoning")),
    "follow_ups": "examples of kind universe with follow_ups",
    "unknown": MADE.format("unknown"),
    **dict.fromkeys(("passages", "events"), "examples of kind universe with events"),
    **dict.fromkeys(("programs", "program_templates"), "examples with programs"),
    **dict.fromkeys(("gym", "gym_heldout"), "examples with gym"),
    "blind": "examples of kind pictures",
    "shuffled": "examples of kind pictures",
}
# Stages that use an accelerator, and so may run in another work pool.
ELSEWHERE = (
    "synthesize",
    "pretrain",
    "compete",
    "pair",
    "revise",
    "tune",
    "examine",
    "adapt",
    "evaluate",
    "appraise",
    "quantize",
    "vectors",
)


def contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each pair of keys that do not fit together."""
    yield from counted_problems(recipe)
    yield from _lengths(recipe)
    if problem := recipe.pack.augment.tokenizer_problem(recipe.tokenizer.kind):
        yield f"pack.augment.{problem}"
    yield from _names("tuning", [step.name for step in recipe.tuning])
    yield from _names("release.variants", [variant.name for variant in recipe.release.variants])
    yield from _names("adapters", [step.name for step in recipe.adapters])
    evaluated = {"tuning": recipe.tuning[:-1], "adapters": recipe.adapters, "release.variants": recipe.release.variants}
    for one, other in combinations(evaluated, 2):
        if shared := {entry.name for entry in evaluated[one]} & {entry.name for entry in evaluated[other]}:
            yield f"{one} and {other} have one called {min(shared)!r} each, and both are evaluated under it; rename one"
    yield from _variants(recipe)
    yield from _apart(recipe)
    yield from _inputs(recipe)
    yield from _words(recipe)
    yield from picture_problems(recipe)
    yield from opening_problems(recipe)
    yield from _training(recipe)
    yield from _arena(recipe)
    yield from _symbols(recipe)
    yield from _export(recipe)
    yield from _measured(recipe)
    yield from _baselines(recipe)
    yield from _lengths_of_text(recipe)
    yield from _sources(recipe)
    yield from _question_sets(recipe)
    yield from _judges(recipe)
    yield from _mixture(recipe)
    yield from _indexed(recipe)
    yield from _taught(recipe)
    yield from _pools(recipe)
    yield from _notified(recipe)
    yield from validation_problems(recipe)
    yield from gate_problems(recipe)
    yield from step_gate_problems(recipe)


def _indexed(recipe: Recipe) -> Iterator[str]:
    """Vectors by a model that has none, and answers by one that writes none."""
    if recipe.index and recipe.index.evaluate and "generation" not in recipe.model.SUPPORTS:
        yield f"index.evaluate asks for answers, and model.kind={recipe.model.kind} writes none; leave evaluate out"
    if recipe.index and (found := recipe.index.vectors) and found.model is None and recipe.model.counted:
        yield (
            f"index.vectors needs hidden vectors, and model.kind={recipe.model.kind} counts words; name an open model in "
            "index.vectors.model, or leave vectors out"
        )


def _taught(recipe: Recipe) -> Iterator[str]:
    """Steps that learn from preferences, which a teacher does not write."""
    if isinstance(recipe.examples, DocumentExamples):
        for step in (*recipe.tuning, *recipe.adapters):
            if step.READS in ("preference", "labels") and not isinstance(step.pairing, ConstitutionPairs):
                yield (
                    f"the step {step.name!r} of kind {step.kind} learns from {step.READS} rows, and examples.kind=documents makes none; "
                    "leave the step out, such as by tuning: [{kind: sft}]"
                )


def _pools(recipe: Recipe) -> Iterator[str]:
    for stage in recipe.resources.pools.keys() - set(ELSEWHERE):
        yield f"resources.pools: {stage} is none of the stages that can run in another work pool; these are {', '.join(ELSEWHERE)}"


def _notified(recipe: Recipe) -> Iterator[str]:
    if recipe.resources.notify and not any(gate.approve for _, gate in recipe.gates):
        yield (
            f'resources.notify="{recipe.resources.notify}" does nothing while no gate asks a person; let one, such as '
            "gates.release.approve=true, or leave notify out"
        )


def _names(section: str, names: list[str]) -> Iterator[str]:
    if double := sorted({name for name in names if names.count(name) > 1}):
        yield f"{section} has {names.count(double[0])} called {double[0]!r}; give each a name of its own"
    if taken := sorted(TAKEN.intersection(names)):
        yield f"{section} has one called {taken[0]!r}, a name that the flow itself uses; choose another"


def _variants(recipe: Recipe) -> Iterator[str]:
    if not recipe.release.variants and recipe.evaluate.variants != type(recipe.evaluate.variants)():
        yield "evaluate.variants does nothing while release.variants is empty; list a variant, or leave it out"
    for number, variant in enumerate(recipe.release.variants):
        if why := variant.refusal(recipe.model if variant.KEEPS_HEADS else recipe.model.alone, recipe.tokenizer.kind):
            yield f"release.variants[{number}] is of kind {variant.kind}: {why}"


def _lengths(recipe: Recipe) -> Iterator[str]:
    context = recipe.model.context
    for section, length in (("pack", recipe.pack.sequence_length), ("encode", recipe.encode.sequence_length)):
        if recipe.base is not None and length > context:
            yield f"{section}.sequence_length={length} is longer than the open model's context of {context}; lower it"
        if recipe.base is None and length != context:
            yield f"{section}.sequence_length={length} and model.context={context} differ; rows and model need one length"


def _words(recipe: Recipe) -> Iterator[str]:
    if recipe.pretrain.reads_words and not recipe.pack.words:
        yield "pretrain.whole_words=true needs to know which tokens go on a word: set pack.words: true, or whole_words: false"
    if recipe.pack.words and not recipe.pretrain.reads_words:
        yield "pack.words=true does nothing unless pretrain, of kind masked, has whole_words: true; leave it out"


def _inputs(recipe: Recipe) -> Iterator[str]:
    written, read = recipe.pack.vector_columns(), dict[str, int]()
    for config in recipe.model.inputs:
        read |= config.columns()
        if not config.generated:
            yield (
                f"model.inputs reads {', '.join(config.columns())}, which doesn't follow from the tokens, so tuning and generation would "
                "lack it; read a column that does, or leave it out"
            )
    for name in sorted(written.keys() | read.keys()):
        if written.get(name, 0) != read.get(name, 0):
            yield (
                f"pack.{name}={written.get(name, 0)} is the width of a column that rows get, and model.inputs reads {read.get(name, 0)} "
                "numbers of it; give both one size, or neither"
            )


def _training(recipe: Recipe) -> Iterator[str]:
    for section, train in recipe.trainings.items():
        if recipe.model.counted:
            continue
        resources = recipe.resources.training.for_training(train)
        length = recipe.pack.sequence_length if section == "pretrain." else recipe.encode.sequence_length
        prefixes = {"section": section, "shape": "model.", "spread": "resources.training.parallel."}
        yield from incompatibilities(recipe.model, train, resources, **prefixes, row_length=length)
        yield from _peak(section, train, recipe.resources.training.mfu_peak)
    if recipe.pretrain.initial:
        yield from _initial_weights(recipe)


def _arena(recipe: Recipe) -> Iterator[str]:
    """Networks of the arena that can't be trained as the recipe asks, or that what is compared can't be measured of."""
    yield from _names("arena.entrants", [entrant.name for entrant in recipe.arena.entrants])
    resources = recipe.resources.training.for_training(recipe.pretrain)
    for number, entrant in enumerate(recipe.arena.entrants):
        where, network = f"arena.entrants[{number}]", entrant.model
        if lacking := sorted({"causal", "generation"} - network.SUPPORTS):
            yield f"{where}.model.kind={network.kind} lacks {lacking[0]}, and an arena compares next tokens and writing; leave it out"
            continue
        if not recipe.takes_steps or recipe.base is not None:
            yield f"{where} is trained as pretrain says, and the recipe takes no steps from nothing; leave arena.entrants out"
        if network.context != recipe.pack.sequence_length:
            length = recipe.pack.sequence_length
            yield f"{where}.model.context={network.context} and pack.sequence_length={length} differ; leave context out"
        if network.inputs:
            yield f"{where}.model.inputs reads columns besides tokens, which the arena's rows have not; leave it out"
        if network.counted:
            if entrant.learning_rate is not None:
                yield f"{where}.learning_rate={entrant.learning_rate:g} does nothing: kind={network.kind} is counted; leave it out"
            continue
        prefixes = {"section": "pretrain.", "shape": f"{where}.model.", "spread": "resources.training.parallel."}
        train = recipe.training_of(entrant)
        yield from incompatibilities(network, train, resources, **prefixes, row_length=recipe.pack.sequence_length)


def _symbols(recipe: Recipe) -> Iterator[str]:
    """Sequences of symbols, which teach no conversation."""
    if not isinstance(recipe.examples, SymbolExamples):
        return
    source = recipe.synthetic
    if source is None or not isinstance(source.maker, SymbolsMaker) or len(recipe.ingest.sources) > 1:
        yield "examples.kind=symbols needs a source of kind synthetic with a maker of kind symbols, and no other in ingest.sources"
    for name in ("tuning", "adapters"):
        if steps := getattr(recipe, name):
            yield f"{name} has a step of kind={steps[0].kind}, and examples.kind=symbols teaches no conversation; set {name}: []"
    for chapter in ("base", "chat", "release"):
        if number := getattr(recipe.evaluate, chapter).earlier_questions:
            yield f"evaluate.{chapter}.earlier_questions={number}: a sequence of symbols stands alone; leave it out"


def _initial_weights(recipe: Recipe) -> Iterator[str]:
    """Keys that only affect fresh weights, given for a model that starts from existing ones."""
    for key, field in type(recipe.model).model_fields.items():
        if key in recipe.model.INITIAL and (value := getattr(recipe.model, key)) != field.default:
            yield (
                f"model.{key}={json.dumps(value)} does nothing with pretrain.initial={recipe.pretrain.initial!r}, which brings its own "
                f"weights; give it its default, {json.dumps(field.default)}"
            )


def _peak(section: str, train: TrainConfig, named: str) -> Iterator[str]:
    """An MFU device that has no peak for the number type used."""
    if named not in ("auto", "measured"):
        device, precision = find_device(named), train.resolved(find_device(named).peaks).precision.kind
        if precision not in device.peaks:
            yield (
                f"resources.training.mfu_peak={named} has no peak for {section}precision={precision}; it has {', '.join(device.peaks)}; "
                "name another device, or set mfu_peak=auto"
            )


def _lengths_of_text(recipe: Recipe) -> Iterator[str]:
    """Lengths beyond the model's context, and questions that the books can't supply."""
    for section, step in recipe.trainings.items():
        if isinstance(step, SampledConfig) and step.rollouts.max_new_tokens >= recipe.model.context:
            yield (
                f"{section}rollouts.max_new_tokens={step.rollouts.max_new_tokens} leaves no room for a question in "
                f"model.context={recipe.model.context}; lower it"
            )
    for chapter in ("base", "chat", "release"):
        evaluated = getattr(recipe.evaluate, chapter)
        wanted = evaluated.copy_prompt_tokens + evaluated.copy_tokens
        if evaluated.copying and wanted > recipe.model.context:
            yield (
                f"evaluate.{chapter}.copy_prompt_tokens={evaluated.copy_prompt_tokens} and copy_tokens={evaluated.copy_tokens} are "
                f"{wanted} tokens, longer than model.context={recipe.model.context}; lower them"
            )
    told = recipe.examples.generated if isinstance(recipe.examples, ConversationExamples) else recipe.examples
    key = "examples" if told is recipe.examples else "examples.generated"
    least = told.minimum_books if isinstance(told, UniverseExamples) else 0
    if recipe.universe is not None and least > recipe.universe.books:
        yield f"{key}.minimum_books={least} is more than the {recipe.universe.books} books of the universe; lower it"


def _apart(recipe: Recipe) -> Iterator[str]:
    """An adapter that does not merge, although something else would build on it."""
    chain = {section: step for section, step in recipe.trainings.items() if not section.startswith("adapters")}
    *before, (section, last) = chain.items()
    for earlier, step in before:
        if not step.adapter.MERGES:
            yield (
                f"{earlier}adapter.kind={step.adapter.kind} does not merge into the weights, so no other training can start from it; "
                "let it be the last step, or an entry of adapters"
            )
    if last.adapter.MERGES:
        return
    chosen = f"{section}adapter.kind={last.adapter.kind} does not merge into the weights"
    if recipe.adapters:
        yield f"{chosen}, so adapters can't start from its model; make it an entry of adapters too"
    if recipe.release.variants:
        yield f"{chosen}, so a model of rounded weights can't have it; set release.variants: [], or use adapter.kind=lora"
    if recipe.export.format == "huggingface":
        yield f"{chosen}, so transformers can't open the release: set export.format: folio, or use adapter.kind=lora"


def _export(recipe: Recipe) -> Iterator[str]:
    # In that format heads that predict further ahead are left out.
    refusal, form = recipe.model.alone.hub_refusal(), recipe.export.format
    merges = [recipe.pretrain, *recipe.tuning][-1].adapter.MERGES
    if refusal and merges and form == "huggingface":
        yield (
            f"export.format=huggingface, and no class of transformers computes this model: {refusal}; set export.format: folio, or change "
            "those settings of model"
        )
    if merges and (hub := recipe.model.hub_form()) is not None and form == "folio":
        name = hub.hub.NAME
        yield f"export.format=folio is for a model that transformers can't open, and this one is a {name}; set export.format: huggingface"
    if recipe.export.sentence_transformers and (why := sentences_refusal(recipe.model.alone.hub_form() if merges else None)):
        yield f"export.sentence_transformers=true, and {why}; leave it out"
    tokens, default = recipe.export.max_new_tokens, type(recipe.export).model_fields["max_new_tokens"].default
    if tokens != default and "generation" not in recipe.model.SUPPORTS:
        yield f"export.max_new_tokens={tokens} does nothing: kind={recipe.model.kind} writes no text; give it its default, {default}"


def _measured(recipe: Recipe) -> Iterator[str]:
    """Measurements that this kind of network does not support, and splits that are missing or empty."""
    for chapter in ("base", "chat", "release"):
        evaluated = getattr(recipe.evaluate, chapter)
        yield from evaluated.problems(recipe.model, f"evaluate.{chapter}.")
        if evaluated.skills and not recipe.examples.tested_skills:
            yield (
                f"evaluate.{chapter}.skills=true, and the examples (kind={recipe.examples.kind}) test none; list some in examples.skills, "
                "of kind universe, or set skills=false"
            )
        for split in evaluated.splits:
            if split not in SPLITS:
                yield f"evaluate.{chapter}.splits names {split!r}, and there are {', '.join(SPLITS)}; correct it"
            elif key := nothing_held_out(recipe, split):
                yield f"evaluate.{chapter}.splits has {split}, and {key}=0 leaves that empty; raise it, or take {split} out of the splits"


def _baselines(recipe: Recipe) -> Iterator[str]:
    for split in recipe.baseline.splits:
        if split not in SPLITS:
            yield f"baseline.splits names {split!r}, and there are {', '.join(SPLITS)}; correct it"
    if (passages := recipe.baseline.passages) and passages != (own := recipe.evaluate.base.passages):
        yield (
            f"baseline.passages={passages} with evaluate.base.passages={own}: halves are looked for among as many, or nothing compares; "
            "set both alike"
        )


def _question_sets(recipe: Recipe) -> Iterator[str]:
    """Question sets that the examples do not generate, and rewards that can't judge what is asked."""
    made = {"seen", "heldout", *recipe.examples.question_sets}
    if "events" in made and recipe.split.mode == "all_train":
        yield "examples.events holds passages of other books out, and split.mode=all_train leaves no others; choose another mode"
    for section, step in recipe.trainings.items():
        if not isinstance(step, SampledConfig):
            continue
        if step.questions not in made:
            yield f"{section}questions={step.questions} needs {MAKING[step.questions]}; set that, or ask questions=seen"
        for reward in (*step.rollouts.rewards, *([step.rollouts.verifier] if step.rollouts.verifier else [])):
            if reward.ASKED and step.questions not in reward.ASKED:
                yield (
                    f"{section}rollouts has a reward of kind {reward.kind}, which judges replies to questions={' or '.join(reward.ASKED)} "
                    f"alone, and questions={step.questions} are asked; ask those, or reward something else"
                )
    for chapter in ("base", "chat", "release"):
        evaluated = getattr(recipe.evaluate, chapter)
        asked = [("question_sets names", name) for name in evaluated.question_sets]
        if evaluated.thinking:
            asked += [("thinking.questions is", evaluated.thinking.questions)]
            asked += [("thinking.emergence names", name) for name in evaluated.thinking.emergence]
        for key, name in asked:
            if name not in made:
                yield f"evaluate.{chapter}.{key} {name}, which needs {MAKING[name]}; set that, or leave {name} out"


def _judges(recipe: Recipe) -> Iterator[str]:
    """Steps whose reward model no earlier step trains, and reward models that nothing uses."""
    made, named = list[str](), {step.judge for step in recipe.tuning}
    for chapter in ("base", "chat", "release"):
        if judge := getattr(recipe.evaluate, chapter).judge:
            judges = [step.name for step in recipe.tuning if not step.MAKES_POLICY] if chapter != "base" else []
            named.add(judge)
            if judge not in judges:
                there = "which come after the base model" if chapter == "base" else f"which are: {', '.join(judges) or 'none'}"
                yield f"evaluate.{chapter}.thinking.reward_model={judge!r} isn't one of tuning's steps of kind reward, {there}; correct it"
    for number, step in enumerate(recipe.tuning):
        if step.judge and step.judge not in made:
            known = ", ".join(made) or "none"
            yield f"tuning[{number}].reward_model={step.judge!r} isn't an earlier step of kind reward, which are: {known}; name one of them"
        if not step.MAKES_POLICY:
            made.append(step.name)
            if step.name not in named:
                yield (
                    f"tuning[{number}] makes the reward model {step.name!r}, which no later step names, nor evaluate's "
                    "thinking.reward_model; let one, or leave it out"
                )
    for number, step in enumerate(recipe.adapters):
        if step.HEADS:
            yield f"adapters[{number}].kind={step.kind} trains a head, which no adapter holds; make it a step of tuning"


def _sources(recipe: Recipe) -> Iterator[str]:
    labels = [source.label for source in recipe.ingest.sources]
    if recipe.resources.runner != "threads" and recipe.ingest.shards == recipe.dedup.partitions == 1:
        yield (
            f"resources.runner={recipe.resources.runner} does nothing while ingest.shards=1 and dedup.partitions=1, since workers share "
            "shards and partitions; raise one, or set runner=threads"
        )
    if recipe.examples.OF_UNIVERSE and recipe.universe is None:
        key = "examples.generated" if isinstance(recipe.examples, ConversationExamples) else "examples"
        yield f"{key}.kind=universe needs a source of kind universe in ingest.sources; use kind corpus for other books"
    if isinstance(recipe.examples, ConversationExamples):
        yield from _conversations(recipe, recipe.examples, labels)
    if strange := [name for name in recipe.dedup.prefer_sources if name not in labels]:
        yield f"dedup.prefer_sources={strange[0]!r} names no source; ingest.sources has {', '.join(labels)}"
    if recipe.split.stratify == "source" and len(labels) == 1:
        yield "split.stratify=source does nothing while ingest.sources has one source; add one, or set stratify: none"
    share, default = recipe.split.synthetic_share, SplitConfig.model_fields["synthetic_share"].default
    if share != default and recipe.synthetic is None:
        yield (
            f"split.synthetic_share={share} does nothing without a source of kind synthetic in ingest.sources; add one, or give it its "
            f"default, {default}"
        )


def _conversations(recipe: Recipe, examples: ConversationExamples, labels: list[str]) -> Iterator[str]:
    if shared := [source.label for source in examples.sources if source.label in labels]:
        yield f"examples.sources and ingest.sources have one called {shared[0]!r} each; rename one, since it is part of the ids"
    if examples.generated is not None:
        return
    asking = [
        f"evaluate.{chapter}.questions=true" for chapter in ("base", "chat", "release") if getattr(recipe.evaluate, chapter).questions
    ]
    asking += [f"tuning[{number}] ({step.name})" for number, step in enumerate(recipe.tuning) if step.READS == "questions"]
    if asking:
        yield f"{asking[0]} asks questions, and examples.generated=null makes none; generate some, such as by {{kind: corpus}}, or ask none"


def _mixture(recipe: Recipe) -> Iterator[str]:
    labels, mixture = [source.label for source in recipe.ingest.sources], recipe.pretrain.mixture
    if recipe.pack.by_source and CONVERSATIONS in labels:
        yield f"pack.by_source=true, and ingest.sources has one called {CONVERSATIONS}, as the rows of conversations are; rename it"
    if mixture and not recipe.pack.by_source:
        yield (
            "pretrain.mixture weighs sources, but with pack.by_source=false a row holds text of several; set pack.by_source=true, "
            "or leave the mixture empty"
        )
    if mixture and recipe.pack.by_source:
        rows = dict.fromkeys([*labels, *([CONVERSATIONS] if recipe.pack.instruction_fraction else [])], 1)
        if problem := mixture_problem(mixture, rows):
            yield f"pretrain.{problem}"
