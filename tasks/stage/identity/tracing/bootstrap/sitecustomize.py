"""Runs when Python starts in a child of a recording process: installs the recorder before anything of the repository is imported."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[4]

sys.path.insert(0, str(ROOT))
try:
    from tasks.stage.identity.tracing.recorder import install_from_environment
finally:
    sys.path.remove(str(ROOT))
install_from_environment()

# Another `sitecustomize` further down the path, such as a distribution's, has its turn.
for _folder in sys.path:
    _other = Path(_folder, "sitecustomize.py")
    if _folder and Path(_folder).resolve() != HERE and _other.is_file():
        _spec = importlib.util.spec_from_file_location("sitecustomize", _other)
        if _spec is not None and _spec.loader is not None:
            _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
        break
