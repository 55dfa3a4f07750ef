"""Requests written to their end: on a CPU in two streams, each with its own rows and half of the threads.

A step of a small model is as much Python as arithmetic, which two threads within one step do not share. Two streams do: while one runs
Python, the other computes. On two cores they take about two thirds of the time of one.

Guarantee: which requests share a stream follows from them and from `rows` alone, so no bit of a reply depends on the number of threads.
Cost: two streams on one thread write one after the other, about 5 % slower than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import torch

from model.hardware.threads import torch_threads
from model.inference.batch import Batch
from model.inference.request import Request
from model.networks.decoding import DecodingNetwork

LEAST = 16  # requests and rows that a stream is worth


def finish(network: DecodingNetwork, requests: Sequence[Request], rows: int) -> None:
    """Write all replies, at most `rows` at once. Raise ValueError for none."""
    if rows < 1:
        raise ValueError(f"batch={rows}: no text could be written; give 1 or more")
    # Short prompts come first, so those read together have similar lengths.
    waiting = sorted(requests, key=lambda request: len(request.prompt))
    if network.device.type != "cpu" or torch.is_autocast_enabled("cpu") or min(len(waiting), rows) < 2 * LEAST:
        _write(network, waiting, rows, Event())
        return
    streams, rows, stopped, threads = (waiting[::2], waiting[1::2]), rows // 2, Event(), torch.get_num_threads()
    if threads == 1:
        for stream in streams:
            _write(network, stream, rows, stopped)
        return
    network.prepared()  # while nothing else uses it

    def write(stream: Sequence[Request]) -> None:
        try:
            with torch_threads(threads // 2):  # every thread has a setting of its own
                _write(network, stream, rows, stopped)
        except BaseException:
            stopped.set()
            raise

    with torch_threads(threads // 2), ThreadPoolExecutor(1, "stream") as pool:
        other = pool.submit(write, streams[1])
        write(streams[0])
        other.result()


def _write(network: DecodingNetwork, requests: Sequence[Request], rows: int, stopped: Event) -> None:
    batch, waiting = Batch(network), list(reversed(requests))
    while (waiting or batch.requests) and not stopped.is_set():
        free = rows - len(batch.requests)
        # Read prompts in batches: a pass for each would cost more than rows that stay empty for a while.
        if waiting and (not batch.requests or free >= max(1, rows // 4)):
            batch.join([waiting.pop() for _ in range(min(free, len(waiting)))])
        if batch.requests:
            batch.step()
