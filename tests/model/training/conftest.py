"""Fixtures of jobs and their shards, and the end of process groups that tests join in their own process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.model.jobs import make_job as make_job
from tests.model.jobs import shards as shards


@pytest.fixture(scope="module", autouse=True)
def _process_group_left() -> Iterator[None]:
    """Leave the group: some libraries, such as llm-compressor, look for an accelerator where there is one."""
    yield
    deepspeed: Any = sys.modules.get("deepspeed")
    if deepspeed is not None and deepspeed.comm.is_initialized():
        deepspeed.comm.destroy_process_group()
        deepspeed.comm.comm.cdb = None
