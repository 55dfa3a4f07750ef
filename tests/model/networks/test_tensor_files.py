"""Files of tensors are written one tensor at a time, with the bytes that safetensors writes, and read without a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from model.networks.config import DecoderConfig
from model.networks.directory import load_model, map_model, save_model, save_tensors
from model.networks.tensor_files import NAMES, Lazy, LazyTensors, load_tensors, write_tensors

KINDS = [getattr(torch, name) for name in NAMES if name not in {"uint64", "uint32", "uint16"}]
described = st.dictionaries(
    st.text('abz.é_0"\\', min_size=1, max_size=8), st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 3), max_size=3)), max_size=6
)


def numbers(kind: torch.dtype, shape: list[int]) -> Tensor:
    return (torch.arange(torch.Size(shape).numel()) % 5).reshape(shape).to(kind)


@given(described, st.sampled_from([None, {"format": "pt"}]))
def test_the_bytes_are_those_of_safetensors(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, tuple[torch.dtype, list[int]]], metadata: dict[str, str] | None
) -> None:
    tensors, path = {name: numbers(*each) for name, each in found.items()}, tmp_path_factory.mktemp("files") / "t.safetensors"
    made = {name: Lazy(tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor) for name, tensor in tensors.items()}  # type: ignore[misc]
    for parts in (tensors, LazyTensors(made)):
        write_tensors(path, parts, metadata)
        assert path.read_bytes() == save(tensors, metadata)
    back = load_tensors(path)
    assert back.keys() == tensors.keys() and all(back[name].equal(tensor) for name, tensor in tensors.items())


def test_one_tensor_that_is_made_is_held_at_a_time(tmp_path: Path) -> None:
    held: list[int] = []

    class Counted:
        def __init__(self) -> None:
            held.append(1)

        def __del__(self) -> None:
            held.pop()

    most = 0

    def make() -> Tensor:
        nonlocal most
        tensor = torch.zeros(4)
        tensor.counted = Counted()  # type: ignore[attr-defined]
        most = max(most, len(held))
        return tensor

    write_tensors(tmp_path / "t", LazyTensors({str(number): Lazy((4,), torch.float32, make) for number in range(20)}))
    assert most <= 2 and not held


def test_a_tensor_of_another_shape_than_announced_is_named_and_no_file_is_left(tmp_path: Path) -> None:
    wrong = Lazy((3,), torch.float32, lambda: torch.zeros(4))
    with pytest.raises(ValueError, match=r"^weight was announced as \(3,\)"):
        write_tensors(tmp_path / "t", LazyTensors({"weight": wrong}))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_a_model_made_tensor_by_tensor_is_the_model_that_is_written_at_once(tmp_path: Path, positions: str) -> None:
    more = {"norm": "layer", "activation": "gelu_tanh"} if positions == "learned" else {}
    bias = {"attention_bias": True, "feed_forward_bias": True} if positions == "learned" else {}
    config = DecoderConfig.model_validate({"width": 32, "layers": 2, "heads": 4, "context": 32, "positions": positions, **more, **bias})
    network = config.build(60, seed=1)
    whole = network.state_dict()
    made = {name: Lazy(tuple(tensor.shape), tensor.dtype, lambda name=name: whole[name].clone()) for name, tensor in whole.items()}  # type: ignore[misc]
    save_model(network, tmp_path / "at_once")
    save_tensors(LazyTensors(made), config, 60, tmp_path / "made")
    files = {path.name: path.read_bytes() for path in (tmp_path / "at_once").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}


def test_a_mapped_model_takes_no_memory_and_is_the_model_that_is_loaded(tmp_path: Path) -> None:
    config = DecoderConfig(width=32, layers=2, heads=4, context=32)
    save_model(config.build(60, seed=1), tmp_path)
    network, tensors = map_model(tmp_path)
    assert all(parameter.is_meta for parameter in network.parameters())
    loaded = load_model(tmp_path).state_dict()
    assert tensors.keys() == loaded.keys() and all(tensors[name].equal(tensor) for name, tensor in loaded.items())
