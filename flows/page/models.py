"""Models: what runs have released, with figures, gates and forms; one with its card; and several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from fastapi import APIRouter
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from flows.page.artifacts import artifact_at
from flows.page.records import RunEntry
from flows.page.rendering import SHOWN, Page, page_of, part_of
from model.release.card import Account, GateFact
from tasks.reporting.card import CardError, account_of, card_of
from tasks.reporting.wording import plural, seconds
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import StoreError

router = APIRouter(prefix="/models")
COMPARED = 4


@dataclass(frozen=True)
class Release:
    """A released model and the newest run that has it. `forms`: bytes of each quantized form or adapter beside it, by name."""

    artifact: Artifact
    run: RunEntry

    @classmethod
    def of(cls, page: Page, name: str) -> Release:
        """Return the release in a folder of this name. Raise LookupError if there is none, or no run says how it was measured."""
        made = artifact_at(page, "export", name)
        entry = next((one for one in page.runs.newest() if one.export == made.location), None)
        if entry is None:
            raise LookupError(f"No run of {page.store.url} has {made.location}, so nothing says how it was measured; it is still there.")
        return cls(made, entry)

    @property
    def name(self) -> str:
        """The name of its folder in the store."""
        return self.artifact.location.partition("/")[2]

    @property
    def forms(self) -> Mapping[str, int]:
        """Bytes of each form beside the model, by name."""
        sizes: dict[str, int] = {}
        for file in self.artifact.files:
            form, below, _ = file.path.rpartition("/")
            if below:
                sizes[form] = sizes.get(form, 0) + file.size
        return sizes

    @property
    def size(self) -> int:
        """Bytes of the model's own weights."""
        return sum(file.size for file in self.artifact.files if "/" not in file.path and file.path.endswith(".safetensors"))

    @property
    def gates(self) -> Mapping[str, str]:
        """The verdict of each gate of its run: passed, or failed; empty for a gate without one."""
        verdicts = {name: self.run.headline.get(f"{name}.passed") for name in self.run.gates}
        return {name: "" if said is None else "passed" if said else "failed" for name, said in verdicts.items()}

    @property
    def standing(self) -> tuple[str, ...]:
        """Its name in a registry, in words."""
        named = (model for model in self.run.registered if model.location == self.artifact.location)
        return tuple(f"{model.name}{f' version {model.version}' if model.version else ''}{f', {model.alias}' if model.alias else ''}"
                     for model in named)  # fmt: skip

    @property
    def figures(self) -> Mapping[str, float]:
        """The headline figures of its run, without the verdicts of gates."""
        return {name: value for name, value in self.run.headline.items() if not name.startswith("gate.")}


@router.get("")
def listed(request: Request) -> Response:
    """List the released models, the newest first."""
    page = page_of(request)
    skip = (page.number - 1) * SHOWN
    entries = list(islice(released(page), skip, skip + SHOWN + 1))
    rows = [Release(made, entry) for entry in entries if isinstance(made := page.store.index.read(entry.export), Artifact)]
    return page.show("models.html.jinja", part=part_of(rows, page.number), most=COMPARED)


@router.get("/side-by-side")
def compared(request: Request) -> Response:
    """Show several models side by side: figures, gates, forms and costs."""
    page = page_of(request)
    names = list(dict.fromkeys(request.query_params.getlist("model")))
    if not 1 < len(names) <= COMPARED:
        raise ValueError(f"{len(names)} models are chosen; choose 2 to {COMPARED} in the list of models.")
    releases = [Release.of(page, name) for name in names]
    accounts = [account_of(page.store, page.runs.record(release.run.id)) for release in releases]
    return page.show(
        "side_by_side.html.jinja",
        releases=releases,
        figures=_rows([release.figures for release in releases]),
        measured=_rows([_measured(account) for account in accounts]),
        gates=_rows([{gate.name: _told(gate) for gate in account.gates} for account in accounts]),
        forms=_rows([release.forms for release in releases]),
        costs=_rows([_costs(account) for account in accounts]),
    )


@router.get("/{name}")
def one(request: Request, name: str) -> Response:
    """Show a model with its card."""
    page = page_of(request)
    release = Release.of(page, name)
    record = page.runs.record(release.run.id)
    try:
        card, missing = rendered(card_of(page.store, release.artifact, record)), ""
    except (CardError, StoreError) as error:
        card, missing = Markup(), str(error)
    return page.show("model.html.jinja", release=release, card=card, missing=missing, argument=record.argument or record.recipe)


def released(page: Page) -> Iterator[RunEntry]:
    """Yield the newest run of each release, newest first; reads no more records than are asked for."""
    seen: set[str] = set()
    for entry in page.runs.newest():
        if entry.export and entry.export not in seen:
            seen.add(entry.export)
            yield entry


def _measured(account: Account) -> dict[str, float]:
    return {f"{found.name}: {metric}": value for found in account.evaluations for metric, value in found.metrics.items()}


def _told(gate: GateFact) -> str:
    """Return what a gate said: which bounds failed, and who let it pass."""
    failed = [f"{metric} is {value}, not {bound}" for metric, value, bound, _, verdict in gate.rows if verdict != "passed"]
    said = f"failed: {'; '.join(failed)}" if failed else f"passed, {plural(len(gate.rows), 'bound')}"
    return "; ".join(filter(None, (said, gate.overruled and f"overruled: {gate.overruled}", gate.answer)))


def _costs(account: Account) -> dict[str, str]:
    cost = next(one for one in account.costs if one.name == "all")
    times = {"work": cost.wall_seconds, "processors": cost.cpu_seconds, "accelerators": cost.gpu_seconds}
    money = {} if cost.money is None else {"price": f"{cost.money:,.2f} {account.currency}"}
    return {name: seconds(value) for name, value in times.items() if value} | money


def _rows(columns: Sequence[Mapping[str, object]]) -> list[tuple[str, list[object | None]]]:
    """Return (name, a value for each column or None) of all names, in the order in which they first come."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name) for column in columns]) for name in names]


def rendered(markdown: str) -> Markup:
    """Return Markdown as HTML without links, pictures or HTML of its own, all of which stay text; headings are one level lower."""
    _, separator, body = markdown.removeprefix("---\n").partition("\n---\n")
    parser = _markdown()
    tokens = parser.parse(body if separator and markdown.startswith("---\n") else markdown)
    for token in tokens:
        if token.attrs.pop("style", ""):
            token.attrs["class"] = "right"  # the only style of a table's cell that cards have
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


@cache
def _markdown() -> MarkdownIt:
    kept_as_text = ["html_block", "html_inline", "link", "image", "autolink", "reference"]
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(kept_as_text)
