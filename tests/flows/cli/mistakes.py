"""Mistakes that people make, each with the command as typed and what the answer must say: the thing, the value and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RECIPE = "name: mine\ningest:\n  sources: [{kind: files, name: mine, paths: [books]}]\n"


@dataclass(frozen=True)
class Mistake:
    """A command, what its answer says, and the files and variables that it finds."""

    command: str
    says: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        changed = "".join(f"{name}={value} " for name, value in self.variables.items())
        return f"{changed}folio {self.command}"


def recipe(text: str | bytes, *says: str, command: str = "plan mine.yaml") -> Mistake:
    """A mistake in a recipe's file."""
    return Mistake(command, says, {"mine.yaml": text})


def change(setting: str, *says: str, name: str = "universe") -> Mistake:
    """A mistake in a change from the command line."""
    return Mistake(f'plan {name} --set "{setting}"', says)


NAMES = [
    Mistake("rnu universe", ("No such command 'rnu'", "Did you mean 'run'", "folio --help")),
    Mistake("plan universe --sett seed=2", ("--sett is not an option", "did you mean --set?", "folio plan --help")),
    Mistake("run universe --dry-run", ("--dry-run is not an option", "folio plan RECIPE")),
    Mistake("run universe --gpu", ("--gpu is not an option", "folio doctor")),
    Mistake("run universe --resume", ("--resume is not an option", "goes on where the last run ended")),
    Mistake("run universe --lr 0.1", ("--lr is not an option", "pretrain.learning_rate")),
    Mistake("run universe --debug", ("--debug is not an option", "folio --debug COMMAND")),
    Mistake("plan universe twice", ("plan: it takes no further word, and 'twice' follows", "in quotes", "folio plan --help")),
    Mistake("doctor me", ("doctor: it takes no further word, and 'me' follows", "folio doctor --help")),
    Mistake("help rnu", ("No such command 'rnu'", "Did you mean 'run'")),
    Mistake("train universe", ("There is no command 'train'", "folio run RECIPE")),
    Mistake("list", ("There is no command 'list'", "folio recipes", "folio runs")),
    Mistake("version", ("There is no command 'version'", "folio --version")),
    Mistake("why a b", ("There is no command 'why'", "folio plan RECIPE", "folio corpus why")),
    Mistake("corpus shwo x", ("corpus: No such command 'shwo'", "Did you mean 'show'")),
    Mistake("-v", ("-v is not an option", "folio --version")),
    Mistake("--verison", ("--verison is not an option", "did you mean --version?")),
    Mistake("lineage", ("lineage: THING is missing", "folio lineage --help")),
    Mistake("takedown", ("takedown: DOCUMENT is missing", "folio takedown --help")),
    Mistake("compare universe", ("compare: RUN is missing", "folio compare --help")),
    Mistake("logs", ("logs: RUN is missing", "folio logs --help")),
    Mistake("search universe", ("search: QUESTION is missing", "folio search --help")),
    Mistake("chat universe hello", ("chat: it takes no further word, and 'hello' follows", "folio chat --help")),
    Mistake("chat universe --ask", ("'--ask' requires an argument",)),
    Mistake("report universe --opne", ("--opne is not an option", "did you mean --open")),
    Mistake("run universe --output here", ("--output is not an option", "FOLIO_HOME=DIR")),
    Mistake("gc --keep all", ("gc: --keep all: needs a whole number",)),
    Mistake("accept pretrain", ("accept: Missing option '--reason'", "folio accept --help")),
    Mistake("card universe --output no/card.md", ("There is no folder no; make it", "--output")),
    Mistake("gc --keep 0", ("gc: --keep 0: must be at least 1", "folio gc --help")),
    Mistake("plan univers", ("There is no recipe 'univers'", "did you mean universe?", "folio recipes")),
    Mistake("plan recpie.yaml", ("There is no recipe 'recpie.yaml'", "did you mean recipe.yaml?"), {"recipe.yaml": RECIPE}),
    Mistake("plan mine.yml", ("There is no recipe 'mine.yml'", "did you mean mine.yaml?"), {"mine.yaml": RECIPE}),
    Mistake("plan books/one.txt", ("books/one.txt holds no keys", "ingest.sources")),
    Mistake("plan photo.jpg", ("photo.jpg is not UTF-8 text",), {"photo.jpg": b"\xff\xd8\x00"}),
    Mistake("plan books", ("books is a folder without recipe.yaml", "folio init ")),
    Mistake("recipe show universe pretrian", ("'pretrian'", "a recipe has no key 'pretrian'", "did you mean pretrain?")),
    Mistake("recipe show universe pretrain.stepz", ("pretrain has no key 'stepz'", "did you mean steps?")),
    Mistake("recipe diff universe clasics", ("There is no recipe 'clasics'", "did you mean classics?")),
    Mistake("plan universe --refresh pretain", ("--refresh 'pretain'", "there is no stage of that name", "did you mean pretrain?")),
    Mistake("plan four_books --refresh evaluate.bsae", ("--refresh 'evaluate.bsae'", "no such position", "did you mean evaluate.base")),
    Mistake('accept pretain --reason "only a comment"', ("accept 'pretain'", "did you mean pretrain?")),
    Mistake("init nowhere", ("nowhere is not a folder", "give the folder that holds your texts")),
    Mistake("init", ("init: FOLDER is missing", "folio init --help")),
    Mistake("init books/one.txt", ("books/one.txt is not a folder", "give the folder that holds your texts")),
    Mistake("init books --minutes 0", ("init: --minutes 0: must be at least 1",)),
    Mistake("init books --minutes ten", ("init: --minutes ten: needs a number",)),
    Mistake("init books --kind netwrok", ("init: --kind netwrok: choose one of 'auto', 'network', 'counts'",)),
    Mistake("init books --replay books", ("--replay is for --base", "leave it out")),
    Mistake("init books --base gpt2", ("--base gpt2", "does not exist", "hub:OWNER/NAME")),
    Mistake("init books --output no/mine.yaml", ("--output no/mine.yaml", "there is no folder", "make it")),
    Mistake("init books --output mine.yaml", ("mine.yaml is already there", "--output FILE"), {"mine.yaml": RECIPE}),
    Mistake("init hollow", ("hollow holds no files with text in them",), {"hollow/deep/.keep": ""}),
    Mistake("init empty", ("empty", "holds no files with text in them", "txt"), {"empty/photo.jpg": b"\xff\xd8"}),
    Mistake("init books", ("books/recipe.yaml is already there", "move it away", "--output FILE"), {"books/recipe.yaml": RECIPE}),
]
SYNTAX = [
    recipe("", "mine.yaml holds no keys", "ingest.sources", "four_books.yaml"),
    recipe("- name: mine\n", "mine.yaml holds no keys"),
    recipe(b"name: caf\xe9\n", "mine.yaml is not UTF-8 text", "byte 9", "save it as UTF-8"),
    recipe(f"description: My Books: volume 2\n{RECIPE}", "mine.yaml, line 1, column 22", "colon", "quote", "^"),
    recipe("name: mine\ningest:\n\tsources: []\n", "mine.yaml, line 3, column 1", "a tab; indent with spaces", "^"),
    recipe("name: 'mine\n", "mine.yaml, line 2", "inside a quote; close it"),
    recipe(f"{RECIPE}split: [\n", "mine.yaml, line 5", "close the bracket"),
    recipe(f"{RECIPE}description: *all\n", "line 4, column 14", "begins with *; put it in quotes", "^"),
    recipe(f"{RECIPE}name: again\n", "line 4", "the key 'name' is given twice; keep one"),
    recipe(f"extends: mine.yaml\n{RECIPE}", "extends itself", "take one `extends` out"),
    recipe("extends: univers\nname: mine\n", "extends='univers'", "did you mean universe?"),
    recipe("ingest:\n  sources: [{kind: files, paths: [books]}]\n", "name: missing; every recipe needs it"),
    recipe("name: mine\n", "ingest: missing; every recipe needs it"),
]
VALUES = [
    recipe(RECIPE.replace("name: mine", 'name: "My Books"', 1), "name:", "small letters", "such as my_books", "'My Books'"),
    recipe(RECIPE.replace("kind: files, ", ""), "ingest.sources.0: no kind", "kind: files"),
    recipe(RECIPE.replace("kind: files", "kind: file"), "ingest.sources.0.kind", "'file'", "did you mean files?"),
    recipe(RECIPE.replace("[books]", "[lost]"), "'lost' does not exist under"),
    recipe(RECIPE.replace("[books]", "['*.pdf']"), "*.pdf", "matches no file"),
    recipe(f"{RECIPE}vocab_size: 512\n", "vocab_size: unknown key (value 512)", "write it as tokenizer.vocab_size"),
    recipe(f"{RECIPE}sft: {{lerning_rate: 1}}\n", "sft.lerning_rate: unknown key (value 1)", "did you mean learning_rate"),
    recipe(f"{RECIPE}pretrain: yes\n", "pretrain", "needs keys of its own", "true"),
    recipe(f"{RECIPE}gates: {{base: {{bounds: []}}}}\n", "gates.base.bounds: needs at least 1 entry, and has none"),
    recipe(
        f"{RECIPE}gates: {{base: {{bounds: [{{metric: base.val.loss}}]}}}}\n", "base.val.loss has neither minimum nor maximum", "give one"
    ),
    change("ingest.sources=[]", "ingest.sources: needs at least 1 entry, and has none"),
    change("sft.steps=many", "sft.steps: needs a whole number", "'many'"),
    change("sft.learning_rate=-1", "sft.learning_rate: must be more than 0", "-1"),
    change("model.kind=reccurent", "model.kind: there is no 'reccurent' here", "did you mean recurrent?"),
    change("split.mode=fraction", "split.mode: there is no 'fraction' here", "did you mean fractions?"),
    recipe(RECIPE.replace("[books]", "books"), "ingest.sources.0", "paths: needs a list, such as [one, two]", "'books'"),
    recipe(RECIPE.replace("[books]", "['~/texts']"), "'~/texts' does not exist under", "Correct `paths`"),
    recipe(f"{RECIPE}pretrain:\n  tokens: 9\n   steps: 3\n", "mine.yaml, line 6", "indent this line as the one above"),
    recipe(f"{RECIPE}tuning: sft\n", "tuning: needs a list, such as [one, two]", "'sft'"),
    change("resources.memory=2", "resources.memory: needs text"),
    change("resources.memory=lots", "resources.memory: takes a number and its unit, such as 4GB", "'lots'"),
    change("resources.memory=2 gigs", "resources.memory: takes a number and its unit, such as 4GB", "'2 gigs'"),
    change("pretrain.tokens=1M", "pretrain.tokens: needs a whole number, such as 1000000", "'1M'"),
    change("pretrain.steps=1.5", "pretrain.steps: needs a whole number", "1.5"),
    change("pretrain.tokens=0", "steps=0 and tokens=0", "exactly one"),
    change("pretrain.precision=int8", "there is no 'int8' here", "fp32, bf16, fp16"),
    change("tuning=[{kind: lora}]", "there is no 'lora' here", "sft, dpo"),
    change("release.variants=int8", "release.variants: needs a list", "'int8'"),
    change("base=gpt2", "base: needs keys of its own", "'gpt2'"),
    change("model.heads=3", "width=128 over heads=3", "multiple of 6"),
    change("seed=-1", "seed: must be at least 0", "-1"),
    change("resources.training.device=cuda", "resources.training.device: unknown key", "a GPU is used if PyTorch sees one"),
    change("resources.training.parallel.workers=3", "pretrain.global_batch=16", "workers=3", "choose a multiple of 3"),
    change("clean.ocr=perhaps", "clean.ocr: needs true or false", "'perhaps'"),
    change("sft.learning_rate", "--set 'sft.learning_rate'", "write key=value"),
    change("lr=0.1", "lr: unknown key (value 0.1)", "write it as pretrain.learning_rate or sft.learning_rate"),
    change("pretrain.batch_size=8", "pretrain.batch_size: unknown key (value 8)", "use global_batch"),
    change("sft.epochs=3", "sft.epochs: unknown key (value 3)", "use steps or tokens"),
    change("dropout=0.1", "dropout: unknown key (value 0.1)", "write it as model.dropout"),
    change("evaluate.splits=[val]", "evaluate.splits: unknown key", "write it as evaluate.base.splits or evaluate.chat.splits"),
    change("resources.gpus=2", "resources.gpus: unknown key (value 2)", "write it as resources.training.parallel.workers"),
    change("tokens=1e6", "tokens: unknown key", "write it as pretrain.tokens"),
    change(
        "pretrain.optimizer.momentum=0.9",
        "pretrain.optimizer.momentum: unknown key (value 0.9)",
        "known keys here: beta1",
        name="four_books",
    ),
    change("seed.more=1", "--set 'seed.more=1'", "'seed' is a single value"),
    change("evaluate.base.splits=[train", "'[train' is not a YAML value", "quote it"),
    change("tuning.sfr.steps=4", "'sfr' is not one of the 2 entries", "did you mean sft?"),
    change("model.context=256", "pack.sequence_length=128 and model.context=256 differ"),
    change("split.stratify=source", "split.stratify=source does nothing while ingest.sources has one source"),
    change("model.window=32", 'model.window=32 does nothing while model.pattern="full"', "its default, 64"),
    change("store=nosuch://x", "store: 'nosuch://x' can't be opened"),
]
MODELS = [
    Mistake("chat universe", ("There is no released model 'universe' in", "folio run universe")),
    Mistake("chat univrse --unreleased", ("There is no model 'univrse', released or not", "did you mean universe?")),
    Mistake("chat univrse", ("There is no released model 'univrse' in", "did you mean universe?")),
    Mistake("chat books --ask ?", ("books is a folder without config.json", "an exported model's folder or a recipe's name")),
    Mistake("chat universe --temperature -1", ("--temperature -1: must be at least 0",)),
    Mistake("chat universe --temperature warm", ("chat: --temperature warm: needs a number", "folio chat --help")),
    Mistake("chat universe --temperature 1 --top-p 2", ("--top-p 2: must be at most 1",)),
    Mistake("chat universe --max-new-tokens 0", ("--max-new-tokens 0: must be at least 1",)),
    Mistake("chat universe --top-k 5", ("--top-k", "--temperature 0 draws nothing", "give one such as 0.8")),
    Mistake("chat universe --int8 --variant small", ("--int8 is short for --variant int8", "small", "keep one")),
    Mistake("chat books/one.txt --ask hi", ("books/one.txt holds no keys",)),
    Mistake("serve universe --port 70000", ("serve: --port 70000: must be at most 65535",)),
    Mistake("serve universe", ("There is no released model 'universe' in", "folio run universe")),
    Mistake("card universe", ("There is no released model 'universe' in", "folio run universe")),
    Mistake("size four_books --params many", ("size: --params many: needs a number",)),
    Mistake("size four_books --device h1000", ("device 'h1000' is not known", "did you mean h100?")),
    Mistake("size four_books --device t4 --set pretrain.precision=bf16", ("t4 does not support bf16",)),
    Mistake(
        "size four_books --params 1e6 --budget-hours 2", ("--params 1e+06 decides the size", "--budget-hours 2", "leave one of them out")
    ),
    Mistake("size four_books --device h100 --measure", ("--measure times the machine at hand", "--device h100")),
    Mistake("size classics --device h100", ("classics has not run yet", "--bytes", "folio run classics")),
]
STORES = [
    Mistake("lineage clean/universe-00000000", ("Nothing in the store is called 'clean/universe-00000000'",)),
    Mistake("lineage clean --all --json", ("--all unfolds the tree", "Leave one of them out")),
    Mistake('takedown "no such book"', ("'no such book'", "give its id, its path or its title")),
    Mistake("stop", ("No run is live in", "folio runs")),
    Mistake("search universe cats", ("'universe' never ran in", "folio run universe --set 'index={}'")),
    Mistake("open", ("FOLIO_PAGE_PORT='99999' is not a port", "1 to 65535"), variables={"FOLIO_PAGE_PORT": "99999"}),
    Mistake("report", ("No run has ended in", "folio status")),
    Mistake("report --open", ("No run has ended in", "folio status")),
    Mistake("report univrse", ("has no run 'univrse', nor any other", "Give a run's id")),
    Mistake("logs univrse", ("has no run 'univrse', nor any other", "Give a run's id")),
    Mistake("corpus show alice.txt", ("has no runs yet", "folio run universe")),
    Mistake("corpus stats four_books", ("has no runs yet", "folio run four_books")),
    Mistake("compare universe universe~1", ("has no run 'universe'", "Give a run's id")),
    Mistake("plan universe", ("FOLIO_PREFECT_PORT='web' is not a port", "1 to 65535"), variables={"FOLIO_PREFECT_PORT": "web"}),
    Mistake("plan universe", ("folio's home /dev/null/home can't be made", "FOLIO_HOME="), variables={"FOLIO_HOME": "/dev/null/home"}),
]
LATE = [
    change("evaluate.base.splits=[train, valid]", "evaluate.base.splits names 'valid'", "train, val, test; correct it"),
    change("sft.warmup_steps=41", "sft.warmup_steps=41 is longer than steps=40"),
    change("examples.minimum_books=101", "more than the 100 books of the universe; lower it"),
    change("gates.chat.bounds=[{metric: chat.questions.sen, minimum: 1}]", "gates.chat.bounds[0]", "chat.questions.sen"),
]
MISTAKES = [*NAMES, *SYNTAX, *VALUES, *MODELS, *STORES, *LATE]
