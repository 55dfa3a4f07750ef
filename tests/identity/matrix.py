"""The change matrix: what is changed, how, exactly which positions must run, and what the plan must name as the first one's cause.

Most edits of code leave the bytes as they were, so the wave stops at the stages that reach the edited code; those that move bytes
(a model's weights, a book's text) show how far it goes on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.identity.bench import Change
from tests.identity.changing import (
    Accepted,
    Appended,
    Copied,
    Damaged,
    Edit,
    Emptied,
    Gone,
    Keys,
    Libraries,
    Moved,
    Ran,
    Refreshed,
    Together,
    Touched,
    Verified,
    Written,
    flipped,
    halved,
)


class Line(NamedTuple):
    """One change. `positions`: what must run, in the order of the flow; `cause`: words that the plan has for the first of them."""

    name: str
    how: Change
    positions: str = ""
    cause: str = ""


def keys(*changes: str) -> Change:
    """Keys set on the command line."""
    return Keys(changes)


def code(path: str, old: str, new: str) -> Change:
    """An edit of the code."""
    return Edit(f"rooms/{path}", old, new)


def both(*changes: Change) -> Change:
    """Changes one after the other."""
    return Together(changes)


SHARDS = "ingest[0] ingest[1] census clean[0] clean[1]"
CLEANED = "clean[0] clean[1]"
SPLIT = "split[0] split[1]"
SURVEY, OVERLAP = "survey[0] survey[1]", "overlap[0] overlap[1]"
SAMPLE, RESTORE = "sample[0] sample[1]", "restore[0] restore[1]"
TRAINED = "pretrain tune.sft tune.dpo"
MODELS = "evaluate.chat gate.chat quantize.int8 measure.int8 export evaluate.release evaluate.int8 gate.release"
TUNED = f"tune.sft evaluate.sft pair.dpo tune.dpo {MODELS}"
ASKED_BETWEEN = "evaluate.sft pair.dpo"  # what the chapter does with a model between two steps
FROM_MODEL = f"pretrain evaluate.base gate.base {TUNED}"
MEASURED = "evaluate.base evaluate.sft evaluate.chat evaluate.release evaluate.int8"
CARD = "export evaluate.release"
EVERYTHING = (
    f"universe {SHARDS} dedup assign {SPLIT} {SURVEY} {OVERLAP} audit gate.corpus examples allot {SAMPLE} fit {RESTORE} tokenizer pack "
    f"baseline pretrain evaluate.base gate.base encode {TUNED}"
)
AFTER_CLEAN = EVERYTHING.partition("clean[1] ")[2]
COUNTED = {
    shard: f"dedup assign survey[{shard}] audit gate.corpus {CARD}" for shard in range(2)
}  # by the shard of a book that comes or goes
BOOK = "The harbour of the river was near the bridge. The lantern of the winter was near the market.\n\nA letter came to the orchard.\n"

CONFIG = [
    Line(
        "universe: a rate too small to matter",
        keys("ingest.sources[0].hyphen_rate=0.5000001"),
        "universe ingest[0] ingest[1] census",
        "hyphen_rate: 0.5 -> 0.5000001",
    ),
    Line("ingest: the largest file", keys("ingest.max_file_megabytes=255"), "ingest[0] ingest[1] census", "max_file_megabytes: 256 -> 255"),
    Line("clean: a limit that no document meets", keys("clean.boilerplate_lines=601"), CLEANED, "boilerplate_lines: 600 -> 601"),
    Line(
        "filter: languages told, which stand beside each text",
        keys("filter.language.enabled=true"),
        f"filter[0] filter[1] dedup {SPLIT} {SURVEY} {OVERLAP} audit gate.corpus examples {SAMPLE} fit {RESTORE} pack baseline {CARD}",
        "it has never run",
    ),
    Line("dedup: a limit that no bucket meets", keys("dedup.near.bucket=65"), "dedup", "near.bucket: 64 -> 65"),
    Line("split: shares that move no book", keys("split.train=0.81", "split.val=0.09"), "assign", "train: 0.8 -> 0.81; val: 0.1 -> 0.09"),
    Line("audit: how many leaks are listed", keys("audit.worst=51"), "audit", "worst: 50 -> 51"),
    Line("audit: shorter n-grams", keys("audit.words=12"), f"{SURVEY} {OVERLAP} audit", "words: 13 -> 12"),
    Line(
        "examples: more preferences",
        keys("examples.preference_pairs=2"),
        f"examples baseline evaluate.base encode {ASKED_BETWEEN} tune.dpo {MODELS}",
        "preference_pairs: 1 -> 2",
    ),
    Line(
        "tokenizer: a sample larger than the text",
        keys("tokenizer.sample_bytes=1000000"),
        "allot fit",
        "sample_bytes: 268435456 -> 1000000",
    ),
    Line("tokenizer: a limit that no token meets", keys("tokenizer.max_token_length=25"), "fit", "max_token_length: 24 -> 25"),
    Line("pack: larger shards than there are rows", keys("pack.shard_rows=8191"), "pack", "shard_rows: 8192 -> 8191"),
    Line("model: zeros in the blocks' outputs", keys("model.zero_outputs=true"), FROM_MODEL, "model.zero_outputs: false -> true"),
    Line("model: other initial weights", keys("model.initial_std=0.03"), FROM_MODEL, "model.initial_std: 0.02 -> 0.03"),
    Line("encode: larger shards than there are rows", keys("encode.shard_rows=8191"), "encode", "shard_rows: 8192 -> 8191"),
    Line("sft: the learning rate", keys("sft.learning_rate=0.0004"), TUNED, "train.learning_rate: 0.001 -> 0.0004"),
    Line("dpo: the strength", keys("dpo.beta=0.2"), f"tune.dpo {MODELS}", "train.beta: 0.1 -> 0.2"),
    Line(
        "evaluate.base: the resamples",
        keys("evaluate.base.resamples=101"),
        "evaluate.base",  # of so few rows the intervals are Student's, which draw nothing
        "resamples: 100 -> 101",
    ),
    Line(
        "evaluate.chat: the resamples",
        keys("evaluate.chat.resamples=101"),
        "evaluate.sft evaluate.chat",  # Student's again: a fresh run with this key gives the same metrics, card and verdicts, byte for byte
        "resamples: 100 -> 101",
    ),
    Line(
        "evaluate.chat: the confidence",
        keys("evaluate.chat.confidence=0.9"),
        f"evaluate.sft evaluate.chat gate.chat {CARD} gate.release",
        "confidence: 0.95 -> 0.9",
    ),
    # No reply ends within 5 tokens, so none becomes a pair, and the model stays what it was.
    Line("dpo: the sampled replies", keys("dpo.pairs.max_new_tokens=5"), "pair.dpo tune.dpo export", "max_new_tokens: 4 -> 5"),
    Line(
        "evaluate.release: the samples",
        keys("evaluate.release.samples=2"),
        "evaluate.release evaluate.int8 gate.release",
        "samples: 1 -> 2",
    ),
    Line(
        "quantize: the embeddings stay",
        keys("quantize.embeddings=false"),
        f"quantize.int8 measure.int8 {CARD} evaluate.int8 gate.release",
        "embeddings: true -> false",
    ),
    Line("export: the length of a reply", keys("export.max_new_tokens=31"), CARD, "export.max_new_tokens: 256 -> 31"),
    Line("card: its summary", keys("card.summary=Other words."), CARD, "card.summary: "),
    Line("the licence of a source, which the card alone tells", keys("ingest.sources[1].licence=other"), CARD, "licences.own: "),
    Line("the seed", keys("seed=2"), FROM_MODEL, "seed: 1 -> 2"),
    Line("the recipe's name, which the card tells", keys("name=other"), CARD, "it has never run"),
    Line("the recipe's description", keys("description=Other words.")),
]
GATES = [
    Line("a bound of the corpus", keys("gates.corpus.bounds[0].minimum=2"), "gate.corpus", "bounds[0].minimum: 1.0 -> 2.0"),
    Line("a bound of the base model", keys("gates.base.bounds[0].maximum=99"), "gate.base", "bounds[0].maximum: 100.0 -> 99.0"),
    Line(
        "a bound of the chat model, which the card tells", keys("gates.chat.bounds[0].maximum=99"), f"gate.chat {CARD}", "bounds[0].maximum"
    ),
    Line("a bound of the release", keys("gates.release.bounds[0].maximum=99"), "gate.release", "bounds[0].maximum"),
    Line("a bound that is not met", keys("gates.base.bounds[0].maximum=0.01"), "gate.base", "bounds[0].maximum: 100.0 -> 0.01"),
    Line(
        "a bound that is not met, overruled",
        keys("gates.base.bounds[0].maximum=0.01", "gates.base.overrule=only a test"),
        "gate.base",
        "bounds[0].maximum",
    ),
]
RESOURCES = [
    Line("threads", keys("resources.threads=2")),
    Line("memory", keys("resources.memory=2GB")),
    Line("workers and their threads", keys("resources.training.parallel.workers=2", "resources.training.threads=2")),
    Line("the ZeRO stage", keys("resources.training.parallel.zero_stage=3")),
    Line("the micro-batch", keys("resources.training.micro_batch=1")),
    Line(
        "how often a checkpoint is made, and when workers count as dead",
        keys("resources.training.checkpoint_every_steps=1", "resources.training.stall_seconds=500"),
    ),
    Line("what is computed again, and compiling", keys("resources.training.recompute=blocks", "resources.training.compile=true")),
    Line("prices", keys("rates.cpu_hour=1.0")),
]
LIBRARIES = [
    Line("ftfy", Libraries((("ftfy", "99.0"),)), CLEANED, "library ftfy:"),
    Line(  # pack and encode render the conversations by the chat template
        "jinja2",
        Libraries((("jinja2", "99.0"),)),
        # What trains and measures imports a module that imports it, and so counts it.
        f"pack pretrain evaluate.base encode tune.sft tune.dpo {ASKED_BETWEEN} evaluate.chat {CARD} measure.int8 evaluate.int8",
        "library jinja2:",
    ),
    Line("duckdb", Libraries((("duckdb", "99.0"),)), f"{SHARDS} dedup assign {SPLIT} {SURVEY} {OVERLAP} audit", "library duckdb:"),
    Line(
        "tokenizers",
        Libraries((("tokenizers", "99.0"),)),
        f"fit {RESTORE} tokenizer pack evaluate.base encode {ASKED_BETWEEN} evaluate.chat {CARD} evaluate.int8",
        "library tokenizers:",
    ),
    Line("a build of the same version", Libraries((("ftfy", "6.3.1+local"),)), CLEANED, "library ftfy: 6.3.1 -> 6.3.1+local"),
    Line("a library that no stage declares", Libraries((("rich", "99.0"),))),
]
CODE = [
    # where it is reached
    Line(
        "a stage's own body",
        code("data/splits/assignment.py", "(source,) = sorted_by_id(work, [documents])", "source = sorted_by_id(work, [documents])[0]"),
        SPLIT,
        "`split` in data/splits/assignment.py, which changed",
    ),
    Line(
        "a helper one import away",
        code("data/splits/assignment.py", "{} if cut_from else config.held_out", "{} if cut_from else {} | config.held_out"),
        "assign",
        "ran `assign_documents` in data/splits/assignment.py, which changed",
    ),
    Line(
        "a helper two imports away",
        code("data/dedup/near.py", "odd = np.uint64(1)", "odd = np.uint64(2 - 1)"),
        "dedup",
        "ran `MinHash.__init__` in data/dedup/near.py, which changed",
    ),
    Line(
        "a helper three imports away",
        code("data/documents/stream.py", "size += length or 0", "size += (length or 0) + 0"),
        f"dedup survey[1] {OVERLAP}",  # shard 0 has no text that is held out
        "ran `slices` in data/documents/stream.py, which changed",
    ),
    Line(
        "a helper that several stages share",
        code("data/conversations/records.py", 'ROLES = ("system"', 'ROLES = (*(), "system"'),
        # A constant counts wherever its module is imported.
        f"universe {SHARDS} dedup assign {SPLIT} {SURVEY} {OVERLAP} audit examples pack encode",
        "mentions `ROLES` in data/conversations/records.py, which changed",
    ),
    Line(
        "a helper imported inside a function",
        code("data/universe/unknown.py", 'STRANGER_REPLY = "I do not', 'STRANGER_REPLY = "" + "I do not'),
        "examples",
        "mentions `STRANGER_REPLY` in data/universe/unknown.py, which changed",
    ),
    Line(
        "a constant",
        code("data/sources/document_store.py", "TITLE_LIMIT = 120", "TITLE_LIMIT = 121"),
        "ingest[0] ingest[1]",
        "mentions `TITLE_LIMIT` in data/sources/document_store.py, which changed",
    ),
    Line(
        "a constant used by way of its module",
        code("data/universe/world.py", 'QUEENS = ("Maud",', 'QUEENS = (*(), "Maud",'),
        "universe audit examples",
        "mentions `QUEENS` in data/universe/world.py, which changed",
    ),
    Line(
        "a class",
        code("model/evaluation/intervals.py", "Estimate(self.value * factor,", "Estimate(factor * self.value,"),
        MEASURED,
        "in model/evaluation/intervals.py, which changed",
    ),
    Line(
        "a base class",
        code(
            "model/quantization/integers.py",
            "class Int8Config(VariantBase",
            "class Int8Config(VariantBase, frozen=not False",
        ),
        # A class with a keyword that is no literal is a statement, and counts wherever its module is imported,
        # by those that mention it nowhere, too.
        f"allot {SAMPLE} fit {RESTORE} tokenizer pack baseline pretrain evaluate.base encode tune.sft tune.dpo {ASKED_BETWEEN} "
        "evaluate.chat quantize.int8 measure.int8 export evaluate.release evaluate.int8",
        "mentions `Int8Config` in model/quantization/integers.py now, and did not before",
    ),
    Line(
        "a decorator",
        code("data/audit/audit.py", "def _stage(", "def same(function):  # type: ignore\n    return function\n\n\n@same\ndef _stage("),
        f"{SURVEY} audit",
        "mentions `same` in data/audit/audit.py now",
    ),
    Line(
        "another library under the same name",
        code(
            "model/evaluation/gate.py",
            "from model.evaluation.relations import ASKED_AGAIN",
            "from builtins import len as len\n\nfrom model.evaluation.relations import ASKED_AGAIN",
        ),
        "gate.corpus gate.base gate.chat gate.release",
        "`len` in model/evaluation/gate.py means builtins.len",
    ),
    Line(
        "a helper of every model",
        code("model/layers/norms.py", "self.weight.to(x_XD.dtype), self.epsilon)", "self.weight.to(x_XD.dtype), self.epsilon + 0.0)"),
        f"pretrain evaluate.base tune.sft {ASKED_BETWEEN} tune.dpo evaluate.chat measure.int8 {CARD} evaluate.int8",
        "ran `RMSNorm.forward` in model/layers/norms.py, which changed",
    ),
    Line(
        "the training worker, which is started by name",
        code("model/training/schedules.py", "floor + (1 - floor) * 0.5 *", "0 + floor + (1 - floor) * 0.5 *"),
        TRAINED,
        "ran `CosineConfig.factor` in model/training/schedules.py, which changed",
    ),
    Line(
        "a query",
        code("data/cleaning/sql/quotes.sql", "before, straight AS line", "before, (straight) AS line"),
        CLEANED,
        "reads data/cleaning/sql/quotes.sql, which changed",
    ),
    Line(
        "a query of another stage",
        code("data/audit/sql/leaks.sql", "SELECT *\nFROM run", "SELECT run.*\nFROM run"),
        "audit",
        "reads data/audit/sql/leaks.sql, which changed",
    ),
    Line(
        "the card's template",
        code("model/release/card.md.jinja", "# {{ card.name | md }}", "{# words #}# {{ card.name | md }}"),
        "export",
        "reads model/release/card.md.jinja, which changed",
    ),
    Line(
        "the chat template, a constant",
        code("data/tokens/special.py", '    "{{ bos_token }}"', '    "" + "{{ bos_token }}"'),
        f"allot {SAMPLE} fit {RESTORE} tokenizer pack encode",
        "mentions `CHAT_TEMPLATE` in data/tokens/special.py, which changed",
    ),
    Line(
        "a default of a config, given in the recipe",
        code("data/cleaning/config.py", "minimum_characters: int = Field(200", "minimum_characters: int = Field(201"),
        CLEANED,
        "`CleanConfig` in data/cleaning/config.py, which changed",
    ),
    # where it can't be told
    Line(
        "a module that a stage looks up at run time",
        both(
            code("data/splits/assignment.py", "    held_out = {} if", "    getattr(near, 'MinHash')\n    held_out = {} if"),
            code(
                "data/splits/assignment.py",
                "from data.documents.database import",
                "from data.dedup import near\nfrom data.documents.database import",
            ),
        ),
        f"assign {SPLIT}",
        "ran `assign_documents` in data/splits/assignment.py, which changed",
    ),
    Line(
        "the program that writes single tokens",
        code("model/layers/decoding/compiled/program.py", "np.float32(-87.0)", "np.float32(-86.0)"),
        f"evaluate.base {ASKED_BETWEEN} evaluate.chat measure.int8 evaluate.release evaluate.int8",
        "program.py, which changed",
    ),
    # where it is not reached, or changes nothing
    Line("a comment", code("data/documents/words.py", "def spans(", "# why\ndef spans(")),
    Line("a docstring", code("data/documents/words.py", '"""Return start and end of every word', '"""Return begin and end of every word')),
    Line(
        "formatting",
        code("data/documents/words.py", "return [match.span() for match in", "return [\n        match.span()\n        for match in"),
    ),
    Line("moved lines", code("data/documents/words.py", "def spans(", "\n\n\n\ndef spans(")),
    Line("an annotation", code("data/documents/words.py", "def gram_macro(name: str, size: int) -> str:", "def gram_macro(name, size):")),
    Line("a field's description", code("data/cleaning/config.py", "repair text that was decoded", "mend text that was decoded")),
    Line(
        "two functions in other order",
        code("data/documents/words.py", "def gram_macro(", "def unused() -> int:\n    return 1\n\n\ndef gram_macro("),
    ),
    Line("a comment in a query", code("data/dedup/sql/exact.sql", "documents with equal words", "texts with equal words")),
    Line("white space in a query", code("data/dedup/sql/exact.sql", "SELECT\n    number,", "SELECT number,")),
    Line(
        "a module that no stage reaches",
        code("model/inference/chat.py", "from __future__ import annotations", "from __future__ import annotations\n\nUNUSED = 1"),
    ),
    Line(
        "a filter that the recipe doesn't ask for",
        code("data/filtering/heuristics.py", "return str(int(value)) if", "return str(int(value + 0)) if"),
    ),
    Line("a new file", Written("rooms/data/dedup/other.py", "LIMIT = 1\n")),
    Line("a new query that nobody names", Written("rooms/data/dedup/sql/other.sql", "SELECT 1\n")),
    Line("the flow", code("flows/base.py", "    words = adopted.part(", "    pass\n    words = adopted.part(")),
    Line("how long training is expected to take", code("tasks/forecast/hook.py", "start=3.5", "start=3.6")),
    Line(
        "a section of the report that stages name",
        code("tasks/reporting/learning.py", "FEW, ENOUGH_TO_SMOOTH = 12, 60", "FEW, ENOUGH_TO_SMOOTH = 13, 60"),
    ),
    Line(
        "the report",
        code("tasks/reporting/wording.py", "from __future__ import annotations", "from __future__ import annotations\n\nUNUSED = 1"),
    ),
    Line(
        "a stage's take-down hook",
        both(
            code("tasks/evaluate.py", "    certain = all(holding.certain for", "    certain = bool(packed) and all(holding.certain for"),
            code("tasks/lineage/hook.py", "causes = [*trained, *before]", "causes = [*before, *trained]"),
        ),
    ),
    Line("the machinery of stages", code("tasks/stage/system/progress.py", "LOG_SECONDS = 10.0", "LOG_SECONDS = 11.0")),
]
BOOKS = [
    Line(
        "a new book",
        Written("books/b.txt", BOOK),
        "ingest[1] census clean[1] " + re.sub(r"\b(split|survey|overlap|sample)\[0\] ", "", AFTER_CLEAN),
        "file own/books/b.txt was added",
    ),
    Line(
        "a copy of a book added",
        Copied("books/2.txt", "books/b.txt"),
        f"ingest[1] census clean[1] {COUNTED[1]}",
        "file own/books/b.txt was added",
    ),
    Line("a copy of a book removed", Moved("books/copy.txt"), f"ingest[0] census clean[0] {COUNTED[0]}", "file own/books/copy.txt is gone"),
    Line(
        "a copy of a book edited",
        Edit("books/copy.txt", "The lantern of the morning", "One lantern of the morning"),
        f"ingest[0] census clean[0] {COUNTED[0]}".replace("assign ", ""),
        "file own/books/copy.txt changed",
    ),
    Line(
        "a copy of a book renamed",
        Moved("books/copy.txt", "books/late.txt"),
        "ingest[0] census clean[0] dedup assign survey[0] audit",
        "file own/books/late.txt was added",
    ),
    Line(
        "blanks at the end of a book",
        Appended("books/3.txt", "   \n"),
        f"ingest[0] census clean[0] survey[0] audit gate.corpus {CARD}",
        "file own/books/3.txt changed",
    ),
    Line("an empty book added", Written("books/b.txt", ""), f"ingest[1] census audit gate.corpus {CARD}", "file own/books/b.txt was added"),
    Line("books touched", Touched("books")),
    Line("a file of another kind beside the books", Written("books/b.png", ""), "census", "file own/*.png was added"),
    Line("the books' folder moved with the recipe's root", both(Moved("books", "inner/books"), keys("root=inner"))),
    Line("the books' folder under another path of the recipe", keys("ingest.sources[1].paths=[./books/*.txt]")),
]
ARTIFACTS = [
    Line("an artifact deleted", Gone("assign/tiny"), "assign", "is gone"),
    Line("a shard deleted", Gone("clean/tiny-1"), "clean[1]", "is gone"),
    Line("a record deleted", Gone("dedup/tiny", "artifact.json"), "dedup", "is gone"),
    Line("a record damaged", Damaged("dedup/tiny", "artifact.json", halved), "dedup", "artifact.json can't be read"),
    Line("a file deleted", Gone("encode/tiny", "sft/train/shards.json"), "encode", "sft/train/shards.json is missing"),
    Line("a file truncated", Damaged("tokenizer/tiny", "tokenizer.json", halved), "tokenizer", "tokenizer.json has"),
    Line("a byte flipped", Damaged("pack/tiny", "train/shards.json", flipped), "pack", "does not match its record"),
    Line(
        "a byte flipped and its time restored",
        Damaged("split/tiny-0", "val.parquet", flipped, kept=True),
        "split[0]",
        "val.parquet does not match its record",
    ),
    Line(
        "a byte flipped and its time restored, and all read again",
        both(Damaged("split/tiny-0", "val.parquet", flipped, kept=True), Verified()),
        "split[0]",
        "val.parquet does not match its record",
    ),
    Line("files touched", Touched("home/store/pack")),
    Line("everything read again", Verified()),
]
SURROUNDINGS = [
    Line("the store moved", both(Moved("home/store", "elsewhere"), keys("store=elsewhere"))),
    Line("Prefect's results lost", Emptied("home/prefect-results")),
    Line("folio's caches lost", Emptied("home/cache")),
    Line("the journal lost", Emptied("home/store/.runs")),
    Line("MLflow's database lost", both(keys("tracking=sqlite:///runs.db"), Ran(), Moved("runs.db"))),
]
ASKED = [
    Line("a stage refreshed", Refreshed(frozenset({"split"})), SPLIT, "a refresh was requested"),
    Line("a shard refreshed", Refreshed(frozenset({"clean[1]"})), "clean[1]", "a refresh was requested"),
    Line("one of a stage's positions refreshed", Refreshed(frozenset({"gate.base"})), "gate.base", "a refresh was requested"),
    Line(
        "an edit accepted",
        both(
            code("data/splits/assignment.py", "{} if cut_from else config.held_out", "{} if cut_from else {} | config.held_out"),
            Accepted("assign"),
        ),
        "",
        "it changes no byte",
    ),
    Line(
        "a setting accepted, which the card tells",
        both(keys("dpo.learning_rate=0.00006"), Accepted("tune.dpo")),
        CARD,
        "training[2].learning_rate: 5e-05 -> 6e-05",
    ),
]
GATED = keys("sft.gate.most_bits_per_byte=null", "sft.gate.overrule=only a test")  # two steps of training improve nothing
STEPS = [
    Line("a gate of a step of tuning", GATED, "examine.sft gate.sft", "it has never run"),
    Line(
        "a bound of a step's gate",
        both(GATED, Ran(), keys("sft.gate.most_right_lost=0.9")),
        "gate.sft",
        "bounds[1].by: 0.1 -> 0.9",
    ),
    Line(
        "how a step's measure is taken",
        both(GATED, Ran(), code("model/aims/held_out.py", "Units(chosen, read[:, 0], read", "Units(chosen, read[:, 0 + 0], read")),
        "examine.sft",
        "ran `AnswerLossAim.measure` in model/aims/held_out.py, which changed",
    ),
    Line(
        "how another step's measure is taken",
        both(GATED, Ran(), code("model/aims/held_out.py", "aim.beta * logp_R)", "logp_R * aim.beta)")),
    ),
]
MATRIX = [*CONFIG, *GATES, *RESOURCES, *LIBRARIES, *CODE, *BOOKS, *ARTIFACTS, *SURROUNDINGS, *ASKED, *STEPS]
