"""Products of matrices have the same bits whatever the number of threads, where the processor's library can be told so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.hardware.devices import product_environment

# Rows, inner and outer sizes that MKL splits in different ways; two steps of training beside them.
PROGRAM = """
import itertools, torch
from torch.nn import functional

torch.manual_seed(0)
sizes = list(itertools.product((1, 3, 23, 128), (16, 64, 512), (16, 128, 700)))
given = [(torch.randn(m, k), torch.randn(n, k, requires_grad=True), torch.randn(n)) for m, k, n in sizes]
found = []
for threads in (1, 2, 3):
    torch.set_num_threads(threads)
    made = [functional.linear(*each) for each in given]
    found.append([*made, *torch.autograd.grad(sum(each.square().mean() for each in made), [w for _, w, _ in given])])
print(sum(not (one.equal(two) and one.equal(three)) for one, two, three in zip(*found)))
"""


def differing(**more: str) -> int:
    """Return how many of the products and gradients differ between one, two and three threads."""
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | more
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(not product_environment(), reason="this processor's products follow the number of threads")
@pytest.mark.parametrize("instructions", ["AVX2", ""], ids=["avx2", "all"])
def test_products_and_gradients_are_the_same_bits_with_any_number_of_threads(instructions: str) -> None:
    most = {"MKL_ENABLE_INSTRUCTIONS": instructions} if instructions else {}
    assert differing(**product_environment(), **most) == 0
    if instructions:
        assert differing(**most) > 0  # else nothing would have to be asked for


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx avx2 fma\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx\n", False),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx avx2 fma\n", False),
    ],
    ids=["Intel", "old Intel", "AMD"],
)
def test_only_a_library_that_stays_fast_is_asked_for_equal_products(tmp_path: Path, text: str, asked: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert bool(product_environment(tmp_path / "cpuinfo")) is asked
    assert product_environment(tmp_path / "none") == {}
