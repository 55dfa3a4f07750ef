"""Send a released model to a repository of a model hub, or to a folder laid out as one. A dry run unless told to send.

Send only an export whose release gate passed or was overruled and which nobody refused, and only files that its record lists, each
compared with its digest first. A folder's verdict is in the store that it lies in, in folio's own or in the one that is named; a copy
of an export that none of these knows is sent, and the report says so. The record and logs are not sent, since they name machines and
paths. README.md is the whole card if the store knows more than the export did.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flows.cli.chat_models import model_directory
from flows.services.home import home, store_url
from tasks.lineage.graph import ProvenanceGraph, release_objection
from tasks.reporting.card import CardError, card_of
from tasks.reporting.wording import plural, size
from tasks.stage.identity.digests import hash_file
from tasks.stage.store.artifact import LOGS, RECORD, Artifact, File
from tasks.stage.store.store import Store
from tasks.stage.system.columns import columns

CARD = "README.md"


class PushError(ValueError):
    """A model can't be sent, or the target refused it."""


def push_model(model: str, target: str, *, send: bool, public: bool, store: str = "") -> str:
    """Send a released model to `target`, or say what would be sent; return the report.

    target: `owner/name` on the hub that HF_ENDPOINT names, with the account that `hf auth login` or HF_TOKEN gives; or a folder, which
    begins with `.`, `/` or `~`. `public`: who may see a repository that does not exist yet.
    """
    directory = model_directory(model, store)
    made = _record(directory)
    rows = _judged(directory, made, store) if directory == Path(model) else []
    files = [file for file in made.files if not file.path.startswith(LOGS)]
    if damaged := next(_damaged(directory, files), ""):
        raise PushError(f"{directory / damaged} is missing or not what its record says, so nothing is sent; make the model again")
    total = sum(file.size for file in files)
    rows += columns([("file", "size"), *((file.path, size(file.size)) for file in files)])
    what = f"{plural(len(files), 'file')}, {size(total)}, of {made.location}"
    if not send:
        return "\n".join([*rows, "", f"Nothing was sent. With --send, {what}, goes to {_where(target, public)}."])
    with tempfile.TemporaryDirectory() as temporary:
        card = _whole_card(directory, made, Path(temporary))
        where = _copy(directory, files, target, card) if is_folder(target) else _upload(directory, files, target, made, card, public)
    return "\n".join([*rows, "", f"Sent {what}, to {where}."])


def released_card(model: str, store: str = "") -> str:
    """Return the whole card of a released model. Raise PushError for a folder without a record, CardError if its store is not there."""
    directory = model_directory(model, store)
    made = _record(directory)
    return card_of(_store(directory, made), made)


def _judged(directory: Path, made: Artifact, store: str) -> list[str]:
    """Return what to say of a folder's release gate: nothing where it passed. Raise PushError if it is not a released export."""
    if made.stage != "export":
        raise PushError(f"{directory} is what {made.stage} made, and only exports are sent; name the recipe, or the folder of an export")
    named, around = Store(store or store_url(), home() / "cache" / "artifacts"), list[Store]()
    with suppress(CardError):
        around = [_store(directory, made)]
    stores = [named, *around] if store else [*around, named]
    graph = next((graph for found in stores if made.address in (graph := ProvenanceGraph.load(found)).by_address), None)
    if graph is None:
        return [f"{named.url} does not know this export, so whether its release gate passed is not known here; --store names another.", ""]
    if objection := release_objection(graph, made):
        raise PushError(f"{made.location} is not released, so nothing is sent: {objection}")
    return []


def _store(directory: Path, made: Artifact) -> Store:
    """Return the store that a release's folder lies in. Raise CardError if it lies in none."""
    whole = str(directory.resolve())
    root = whole.removesuffix(made.location).rstrip("/")
    if not whole.endswith(made.location):
        raise CardError(f"{directory} does not lie in the store that made it, which knows the rest of its card; name the recipe instead")
    return Store(root, home() / "cache" / "artifacts")


def _whole_card(directory: Path, made: Artifact, folder: Path) -> Path | None:
    """Write the whole card into a folder and return its path; None where the release's own README.md is all there is."""
    try:
        text = card_of(_store(directory, made), made)
    except CardError:
        return None
    (folder / CARD).write_text(text, encoding="utf-8")
    return folder / CARD


def is_folder(target: str) -> bool:
    """Return whether a target is a folder, and not a repository."""
    return target.startswith((".", "/", "~"))


def _where(target: str, public: bool) -> str:
    if is_folder(target):
        return f"the folder {Path(target).expanduser()}"
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/{target}, which is made {'public' if public else 'private'} if it does not exist"


def _record(directory: Path) -> Artifact:
    try:
        return Artifact.unsealed((directory / RECORD).read_bytes())
    except (OSError, ValueError):
        raise PushError(f"{directory} has no record of folio's, so its lineage is unknown; name a recipe's model") from None


def _damaged(directory: Path, files: list[File]) -> Iterator[str]:
    for file in files:
        path = directory / file.path
        if not path.is_file() or path.stat().st_size != file.size or hash_file(path) != file.sha256:
            yield file.path


def _copy(directory: Path, files: list[File], target: str, card: Path | None) -> Path:
    folder = Path(target).expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise PushError(f"{folder} is not empty, and nothing in it is overwritten; name a folder that is new or empty")
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card if card and file.path == CARD else directory / file.path, folder / file.path)
    return folder


def _upload(directory: Path, files: list[File], target: str, made: Artifact, card: Path | None, public: bool) -> str:
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        api.create_repo(target, private=not public, exist_ok=True)
        paths = {file.path: card if card and file.path == CARD else directory / file.path for file in files}
        told = api.create_commit(
            repo_id=target,
            operations=[CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in paths.items()],
            commit_message=f"{made.location}, sha256 {made.digest[:16]}",
        )
    except HFValidationError as error:
        raise PushError(f"{target!r} is not a repository: {error}; write owner/name, or a folder that begins with . or /") from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PushError(f"{api.endpoint} did not take {target}: {reason}. Log in by `hf auth login`, or set HF_TOKEN.") from error
    return str(told)
