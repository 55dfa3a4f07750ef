"""Sources -> cleaned, filtered, deduplicated, leak-checked splits -> gate, and the examples that tuning learns from.

Texts stay in their shards: stages that look at one document at a time run shard by shard, and what no shard can know alone is a stage over
ids and numbers. Deduplication compares all texts in one stage, or by partition.

Deduplication: in one task, or by partition in tasks that any worker may take.

A stage over shards reads texts and hands each partition its slice of what must be compared; a stage over partitions compares it and hands
each shard its slice of what was found. Both ways write the same bytes.

What follows deduplication, shard by shard: remove what evaluation sets contain, and divide the rest into splits.

A stage over shards reads texts; a stage over all shards decides from ids and numbers, and hands each shard its slice of what was decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from data.audit.config import GRAMS, AuditConfig
from data.decontamination.config import PASSAGES, DecontaminateConfig
from data.dedup.config import DedupConfig, PartitionedConfig, Unit, UnitConfig, rules_of
from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS, SHARD_SIZES, SIZES_FILE, SLICE
from data.examples.config import ConversationExamples, DocumentExamples, PictureExamples
from data.searching.passages import PASSAGES_FILE
from data.shards.address import TAUGHT, TAUGHT_TEXTS
from data.shards.pictures import PARTS
from data.sources.config import JUDGED
from data.splits.config import ASSIGNED, SplitConfig
from data.tokens.config import CONVERSATIONS
from flows.recipe.schema import Recipe
from tasks.corpus import (
    assign,
    audit,
    census,
    clean,
    contamination,
    decontaminate,
    dedup,
    examples,
    filter,
    index,
    ingest,
    judgements,
    overlap,
    quality,
    require_texts,
    search,
    split,
    survey,
    synthesize,
    teach,
    universe,
    unpacked,
)
from tasks.deduplication import (
    account,
    choose,
    components,
    cut,
    cut_passages,
    equal,
    frequencies,
    members,
    minimizers,
    passages,
    propose,
    quotes,
    repeats,
    shared,
    shingles,
    similar,
    sketch,
    units,
    windows,
)
from tasks.gate import gate, require
from tasks.stage.store.artifact import ShardedArtifact, SlicedArtifact, StageInput, StageOutput

PAIRS = "pairs.parquet"


class Compared(NamedTuple):
    """The result of comparing documents. `pairs`: all candidates, None if near duplicates aren't looked for."""

    sketched: ShardedArtifact
    copies: SlicedArtifact
    pairs: ShardedArtifact | None
    chosen: ShardedArtifact
    verdicts: SlicedArtifact


def deduplicated(rules: DedupConfig, documents: ShardedArtifact, parts: ShardedArtifact | None = None) -> StageOutput:
    """Remove copies from the documents of all shards. `parts`: their pictures and sounds, if these are compared."""
    if rules.partitions == 1:
        return dedup(rules, documents=documents, parts=parts)
    config = PartitionedConfig(rules=rules_of(rules), shards=len(documents.items), partitions=rules.partitions)
    found = _compared(config, documents)
    edits = {"sketched": found.sketched}
    if rules.paragraph.enabled:
        edits["paragraphs"] = _without_units("paragraph", rules, documents, found, edits)
    if rules.line.enabled:
        edits["lines"] = _without_units("line", rules, documents, found, edits)
    if rules.substring.enabled:
        edits["passages"] = _without_passages(rules, documents, found, edits)
    accounts = account.over(config.shards)(config, documents=documents, verdicts=found.verdicts, **edits)
    compared = found.pairs and found.pairs.part(PAIRS)
    return dedup(rules, documents=documents, accounts=accounts, pairs=found.chosen.part("pairs"), compared=compared, parts=parts)


def _compared(config: PartitionedConfig, documents: ShardedArtifact) -> Compared:
    """Compare whole documents, and choose which copies stay."""
    rules, shards, partitions = config.rules, config.shards, config.partitions
    sketched = sketch.over(shards)(config, documents=documents)
    copies = whole(equal.over(partitions)(config, fingerprints=_slices(sketched, "fingerprints")), "copies.parquet")
    pairs = None
    if rules.near.enabled:
        proposed = propose.over(partitions)(config, signatures=_slices(sketched, "signatures"), copies=copies)
        sets = shingles.over(shards)(config, documents=documents, sketched=sketched, wanted=_slices(proposed, "wanted"))
        pairs = similar.over(partitions)(config, pairs=_slices(proposed, "pairs"), shingles=_slices(sets, "shingles"))
    known = None
    if "known_words" in rules.keep:
        known = whole(frequencies.over(partitions)(config, words=_slices(sketched, "words")), "frequencies.parquet")
    connected = components(config, copies=copies.of(0), pairs=pairs and pairs.part(PAIRS), extents=sketched.part("extent.parquet"))
    clusters = ShardedArtifact(position=components.position, items=(connected,))
    described = members.over(shards)(
        config,
        documents=documents,
        sketched=sketched,
        members=_slices(clusters, "members"),
        corpus=connected.part("corpus.parquet"),
        frequencies=known,
    )
    chosen = choose.over(partitions)(
        config, rows=_slices(described, "rows"), shingles=_slices(described, "shingles"), pairs=_slices(clusters, "pairs")
    )
    return Compared(sketched, copies, pairs, chosen, _slices(chosen, "verdicts"))


def _without_units(
    unit: Unit, rules: DedupConfig, documents: ShardedArtifact, found: Compared, edits: dict[str, ShardedArtifact]
) -> ShardedArtifact:
    """Cut repeated paragraphs or lines."""
    config = _unit_config(unit, rules, documents)
    collected = units.at(unit).over(config.shards)(config, documents=documents, verdicts=found.verdicts, **edits)
    copied = _repeats(config, collected, found)
    return cut.at(unit).over(config.shards)(config, documents=documents, repeats=copied, **edits)


def _without_passages(
    rules: DedupConfig, documents: ShardedArtifact, found: Compared, edits: dict[str, ShardedArtifact]
) -> ShardedArtifact:
    """Cut repeated passages."""
    config = _unit_config("substring", rules, documents)
    shards, verdicts = config.shards, found.verdicts
    chosen = minimizers.over(shards)(config, documents=documents, verdicts=verdicts, **edits)
    places = _slices(shared.over(config.partitions)(config, minimizers=_slices(chosen, "minimizers")), "shared")
    collected = windows.over(shards)(config, documents=documents, verdicts=verdicts, shared=places, **edits)
    copied = _repeats(config, collected, found)
    origins = _slices(passages.over(shards)(config, repeats=copied), "origins")
    digests = _slices(quotes.over(shards)(config, documents=documents, origins=origins, **edits), "digests")
    return cut_passages.over(shards)(config, documents=documents, repeats=copied, digests=digests, **edits)


def _unit_config(unit: Unit, rules: DedupConfig, documents: ShardedArtifact) -> UnitConfig:
    return UnitConfig(rules=rules_of(rules, unit), shards=len(documents.items), partitions=rules.partitions, unit=unit)


def _repeats(config: UnitConfig, collected: ShardedArtifact, found: Compared) -> SlicedArtifact:
    """Find the copies of units. Near duplicates that are kept on purpose lose none to each other."""
    kept = whole(found.pairs, PAIRS) if found.pairs and config.rules.near.action == "cluster" else None
    stage = repeats.at(config.unit).over(config.partitions)
    return _slices(stage(config, units=_slices(collected, "units"), copies=found.copies, pairs=kept), "repeats")


def _slices(made: ShardedArtifact, folder: str) -> SlicedArtifact:
    """Give each shard or partition its slice of every item."""
    return SlicedArtifact(made=made, name=f"{folder}/{SLICE}")


def whole(made: ShardedArtifact, file: str) -> SlicedArtifact:
    """Give every shard or partition the file of every item."""
    return SlicedArtifact(made=made, name=file)


LEDGER = "ledger.parquet"


def audited(
    config: AuditConfig,
    stages: Mapping[str, ShardedArtifact | None],
    unique: StageOutput,
    splits: ShardedArtifact,
    world: StageOutput | None = None,
) -> StageOutput:
    """Measure what became of all documents, and what the splits share.

    `stages`: what each stage over shards made, by the name that the audit has for it; None for one that the recipe leaves out.
    `unique`: what deduplication left. `world`: a generated universe, whose truth shows how well its books were cleaned."""
    passed = {name: made for name, made in stages.items() if made}
    unique_texts = ShardedArtifact.of(unique, SHARD_DOCUMENTS, len(splits.items))
    texts = {name: made.part(DOCUMENTS) for name, made in passed.items()}
    train, val, test = (splits.part(f"{part}.parquet") for part in ("train", "val", "test"))
    surveyed = survey.over(len(splits.items))(config.comparing, **texts, deduplicated=unique_texts, splits=splits)
    overlaps = overlap.over(len(splits.items))(config.comparing, train=train, val=val, held_out=whole(surveyed, GRAMS))
    ledgers = {name: made.part(LEDGER) for name, made in (passed | {"splits": splits}).items()}
    return audit(
        config,
        surveyed=surveyed,
        overlaps=overlaps,
        val=val,
        test=test,
        quarantined=passed["ingested"].part("quarantine.parquet"),
        deduplicated=unique.part(LEDGER),
        **ledgers,
        truth=world and world.part("truth"),
        clean_texts=texts["cleaned"] if world else None,
        unique_texts=unique_texts if world else None,
    )


def decontaminated(
    config: DecontaminateConfig,
    documents: ShardedArtifact,
    where: str = "",
    *,
    test: SlicedArtifact | None = None,
    questions: StageInput | None = None,
) -> ShardedArtifact:
    """Remove from all shards what evaluation sets contain. `test` and `questions`: what the run itself holds out."""
    shards = len(documents.items)
    found = search.at(where).over(shards)(config.searching, documents=documents, test=test, questions=questions)
    decided = contamination.at(where)(config.deciding(shards), found=found)
    passages = ShardedArtifact.of(decided, PASSAGES, shards)
    return decontaminate.at(where).over(shards)(config.cutting, documents=documents, passages=passages)


def divided(
    config: SplitConfig, unique: StageOutput, documents: ShardedArtifact, sizes: ShardedArtifact, where: str = ""
) -> ShardedArtifact:
    """Divide the documents of all shards into splits, near-duplicates of `unique` together."""
    shards = len(documents.items)
    decided = assign.at(where)(config, sizes=sizes, clusters=unique.part("clusters.parquet"))
    return split.at(where).over(shards)(config.dividing, documents=documents, assigned=ShardedArtifact.of(decided, ASSIGNED, shards))


class Corpus(NamedTuple):
    """The corpus as later chapters use it. `parts`: the pictures of the texts, if they have any."""

    splits: ShardedArtifact
    examples: StageOutput
    audit: StageOutput
    indexed: ShardedArtifact | None
    parts: ShardedArtifact | None


def corpus(recipe: Recipe) -> Corpus:
    """Collect, clean, filter, deduplicate, decontaminate, split and audit; behind the gate, index passages and make the examples."""
    world = universe(recipe.universe) if recipe.universe else None
    synthetic = synthesize(recipe.synthetic) if recipe.synthetic else None
    shards = recipe.ingest.shards
    books = world and world.part("books")
    ingested = ingest.over(shards)(recipe.ingest, universe=books, synthetic=synthetic, unpacked=unpacked(recipe.ingest))
    require_texts(recipe.ingest, ingested)
    if recipe.ingest.has_entries:
        census(recipe.ingest, ingested=ingested)
    cleaned = clean.over(shards)(recipe.clean, documents=ingested.part(DOCUMENTS))
    filtered = _filtered(recipe, cleaned)
    parts = ingested.part(PARTS) if recipe.ingest.has_pictures else None
    unique = deduplicated(recipe.dedup, (filtered or cleaned).part(DOCUMENTS), parts if recipe.dedup.media.enabled else None)
    texts, sizes = (ShardedArtifact.of(unique, name, shards) for name in (SHARD_DOCUMENTS, SHARD_SIZES))
    cut = decontaminated(recipe.decontaminate, texts) if recipe.decontaminate.against else None
    if cut is not None:
        texts, sizes = cut.part(DOCUMENTS), cut.part(SIZES_FILE)
    splits = divided(recipe.split, unique, texts, sizes)
    stages = {"ingested": ingested, "cleaned": cleaned, "filtered": filtered, "decontaminated": cut}
    account = audited(recipe.audit, stages, unique, splits, world)
    judged = judgements(recipe.judging) if recipe.judging else None
    require(gate.at("corpus")(recipe.gates.corpus, corpus=account, judgements=judged), recipe.gates.corpus)
    indexed = index.over(shards)(recipe.index.indexing, documents=texts) if recipe.index else None
    return Corpus(splits, _examples(recipe, splits, world, parts, judged), account, indexed, parts)


def _examples(
    recipe: Recipe, splits: ShardedArtifact, world: StageOutput | None, parts: ShardedArtifact | None, judged: StageOutput | None
) -> StageOutput:
    """Generate examples, read conversations, or do both and mix them."""
    truth = world and world.part("world.json")
    if isinstance(recipe.examples, DocumentExamples):
        return _taught(recipe, recipe.examples, splits)
    if isinstance(recipe.examples, PictureExamples):
        return examples(recipe.examples, splits=splits, parts=parts)
    if not isinstance(recipe.examples, ConversationExamples):
        return examples(recipe.examples, splits=splits, world=truth)
    generated = None
    if recipe.examples.generated is not None:
        generated = examples.at("generated")(recipe.examples.generated, splits=splits, world=truth)
    told = _conversations(recipe, recipe.examples, splits, generated, judged)
    return examples(recipe.examples, splits=told, generated=generated)


def _taught(recipe: Recipe, config: DocumentExamples, splits: ShardedArtifact) -> StageOutput:
    """Have a teacher write about passages of the training documents, and keep what holds and has nothing of what is held out."""
    passages = index.at("examples").over(len(splits.items))(config.indexing, documents=splits.part("train.parquet"))
    taught = teach(config.teaching, passages=passages.part(PASSAGES_FILE))
    contaminated = None
    test = whole(splits, "test.parquet") if recipe.split.mode != "all_train" else None
    if config.decontaminate and (test or recipe.decontaminate.against):
        texts = ShardedArtifact.of(taught, TAUGHT_TEXTS, 1)
        found = search.at("examples").over(1)(recipe.decontaminate.searching, documents=texts, test=test)
        contaminated = contamination.at("examples")(recipe.decontaminate.deciding(1), found=found).part(PASSAGES.format(0))
    return examples(config, splits=splits, passages=passages, taught=taught.part(TAUGHT), contaminated=contaminated)


def _conversations(
    recipe: Recipe, config: ConversationExamples, splits: ShardedArtifact, generated: StageOutput | None, judged: StageOutput | None
) -> ShardedArtifact:
    """Read, deduplicate, decontaminate and split conversations by the stages that books pass."""
    reading = config.reading(recipe.ingest.without)
    ingested = ingest.at(CONVERSATIONS).over(reading.shards)(reading, judgements=judged and judged.part(JUDGED))
    require_texts(reading, ingested)
    unique = dedup.at(CONVERSATIONS)(config.deduplicating, documents=ingested.part(DOCUMENTS))
    texts, sizes = (ShardedArtifact.of(unique, name, reading.shards) for name in (SHARD_DOCUMENTS, SHARD_SIZES))
    if config.decontaminate:
        # With all_train, test is a copy of train, so mentioning it is not a leak.
        test = whole(splits, "test.parquet") if recipe.split.mode != "all_train" else None
        questions = generated and generated.part("questions_heldout.jsonl")
        dropping = recipe.decontaminate.model_copy(update={"action": "drop"})
        cleaned = decontaminated(dropping, texts, CONVERSATIONS, test=test, questions=questions)
        texts, sizes = cleaned.part(DOCUMENTS), cleaned.part(SIZES_FILE)
    return divided(config.splitting, unique, texts, sizes, CONVERSATIONS)


def _filtered(recipe: Recipe, cleaned: ShardedArtifact) -> ShardedArtifact | None:
    """Filter the cleaned documents; None if the recipe has no filters."""
    if not recipe.filter.active:
        return None
    classifier = quality(recipe.filter.quality.training) if recipe.filter.quality.enabled else None
    return filter.over(recipe.ingest.shards)(recipe.filter, documents=cleaned.part(DOCUMENTS), classifier=classifier)
