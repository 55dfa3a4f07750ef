"""Fixtures of jobs and their shards."""

from __future__ import annotations

from tests.model.jobs import make_job as make_job
from tests.model.jobs import shards as shards
