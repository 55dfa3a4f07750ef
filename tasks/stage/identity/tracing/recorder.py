"""Record what this process runs and reads of the repository.

    install(marks=folder, snapshot=manifest)   # before anything of the repository is imported, once a process
    ...                                        # import and run the stage's body
    settle()                                   # at its end: notes what only the end shows

A child process that Python starts (`subprocess`, `multiprocessing`, torchrun) finds FOLIO_MARKS and FOLIO_SNAPSHOT in its environment and
`bootstrap` on PYTHONPATH, installs a recorder before anything else, and marks in the same folder. A forked child goes on by itself.
This module imports the standard library only.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from types import ModuleType

from tasks.stage.identity.tracing.importer import Importer, execute_files_with
from tasks.stage.identity.tracing.mark_file import MarkFile
from tasks.stage.identity.tracing.patched_imports import ANY, dynamo_patch, note_logs, refusals
from tasks.stage.identity.tracing.source import LIBRARY_ROOT, Source
from tasks.stage.identity.tracing.watched_files import WatchedFiles

MARKS, SNAPSHOT = "FOLIO_MARKS", "FOLIO_SNAPSHOT"
BOOTSTRAP = Path(__file__).parent / "bootstrap"
_recorder: Recorder | None = None


class Recorder:
    """The recorder of this process."""

    def __init__(self, marks: Path, snapshot: Path) -> None:
        """Begin to record in the folder `marks`."""
        self.source = Source.opened(snapshot)
        self.file = MarkFile(marks, snapshot.stem, self.source.root)
        self.importer = Importer(self.file, self.source, snapshot.parent / "code")
        (snapshot.parent / "code").mkdir(exist_ok=True)

    def start(self) -> None:
        """Forget the repository's modules that are imported already, and watch from now on."""
        for name, module in list(sys.modules.items()):
            if self._ours(module) and not name.startswith(__name__.rpartition(".")[0]):
                del sys.modules[name]
            elif "." not in name:
                self.file.log("preloaded", name)
        sys.meta_path[:0] = [self.importer, dynamo_patch(self.importer.mark), *refusals(lambda: self.file.log("made", ANY))]
        execute_files_with(self.importer)
        note_logs(lambda: self.file.log("heard"), self._is_source, self.source.project.is_execution_module)
        WatchedFiles(self.file, self.source, settle).install()

    def _is_source(self, path: str) -> bool:
        return self.source.relative(path) is not None

    def _ours(self, module: ModuleType | None) -> bool:
        place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
        return isinstance(place, str) and self.source.relative(os.path.abspath(place)) is not None  # noqa: PTH100


def install(marks: Path, snapshot: Path) -> None:
    """Record from now on what this process and its children run and read; `snapshot` is a `Source.manifest`.

    Modules of the repository that were imported before are forgotten, so that they are imported again, marked; what was made of them stays.
    Raises SourceMissing if the snapshot is gone, and RuntimeError when called twice.
    """
    global _recorder
    if _recorder is not None:
        raise RuntimeError("this process records already; an execution needs a fresh process")
    recorder = Recorder(marks, snapshot)
    os.environ[MARKS], os.environ[SNAPSHOT] = str(marks), str(snapshot)
    before = os.environ.get("PYTHONPATH", "")
    if str(BOOTSTRAP) not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *([before] if before else [])])
    recorder.start()
    _recorder = recorder
    atexit.register(settle)


def installed() -> bool:
    """Return whether this process records."""
    return _recorder is not None


def settle() -> None:
    """Write what is known only when the work is done; may be called often, as before each checkpoint."""
    if _recorder is None:
        return
    for name, module in list(sys.modules.items()):
        if "." not in name and not _recorder._ours(module):
            _recorder.file.log("present", name)
    _recorder.importer.note_classes()


def install_from_environment() -> None:
    """Record in this process if it was started by one that records; else do nothing."""
    marks, snapshot = os.environ.get(MARKS), os.environ.get(SNAPSHOT)
    if marks and snapshot and not installed():
        if str(LIBRARY_ROOT) not in sys.path:
            sys.path.append(str(LIBRARY_ROOT))
        install(Path(marks), Path(snapshot))
