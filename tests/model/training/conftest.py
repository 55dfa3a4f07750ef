"""Fixtures of jobs and their shards, and the end of process groups that tests join in their own process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from model.training.launch.processes import OUTER
from tests.model.jobs import make_job as make_job
from tests.model.jobs import shards as shards


@pytest.fixture(scope="module", autouse=True)
def _process_group_left() -> Iterator[None]:
    """Leave the group and its ranks: other libraries join a group where they find a rank, or look for an accelerator where there is one."""
    before = {name: os.environ.get(name) for name in OUTER}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    deepspeed: Any = sys.modules.get("deepspeed")
    if deepspeed is not None and deepspeed.comm.is_initialized():
        deepspeed.comm.destroy_process_group()
        deepspeed.comm.comm.cdb = None
