"""The input of float vectors: what it computes, what learns, what stands in for a column that isn't there, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from model.evaluation.loss import row_losses
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inputs.config import TokensConfig, VectorsConfig
from model.inputs.inputs import InputError, input_columns, inputs_of
from model.networks.config import KINDS, DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import load_model, save_model
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY
from tests.model.inputs.rows import READS, SIZE, TABLE, WITH_VECTORS, write_vector_rows
from tests.model.jobs import CONTEXT, SHAPE, VOCABULARY, packed_rows


@pytest.fixture
def shards(tmp_path: Path) -> ShardReader:
    """Rows with the column and its table."""
    return ShardReader(write_vector_rows(tmp_path / "rows", packed_rows(50, seed=1)))


@pytest.fixture
def network(shards: ShardReader) -> Decoder:
    """A decoder that reads both, with the shards' table."""
    decoder = Decoder(WITH_VECTORS, VOCABULARY, seed=4)
    for module in inputs_of(decoder):
        module.bind(shards)
    return decoder.eval()


@pytest.fixture
def tokens() -> Tensor:
    return torch.from_numpy(packed_rows(3, seed=2)["tokens"].astype(np.int64))


def vectors_of(tokens: Tensor) -> Tensor:
    return torch.from_numpy(TABLE.astype(np.float32))[tokens]


def test_the_blocks_see_each_token_s_embedding_plus_the_projection_of_its_vector(network: Decoder, tokens: Tensor) -> None:
    """Against the same decoder without that input, whose embeddings are moved by a projection computed in plain Python."""
    matrix, table = network.state_dict()["model.embed_spelling.weight"].tolist(), TABLE.astype(np.float64).tolist()
    plain = Decoder(SHAPE, VOCABULARY).eval()
    state = {name: value for name, value in network.state_dict().items() if "spelling" not in name}
    rows = [
        [number + sum(a * b for a, b in zip(column, vector, strict=True)) for number, column in zip(embedding, matrix, strict=True)]
        for embedding, vector in zip(state["model.embed_tokens.weight"].tolist(), table, strict=True)
    ]
    plain.load_state_dict({**state, "model.embed_tokens.weight": torch.tensor(rows)})
    with torch.no_grad():
        expected, found = plain({"tokens": tokens}), network({"tokens": tokens, "spelling": vectors_of(tokens)})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_adding_the_input_changes_no_other_initial_weight_and_its_matrix_is_an_embedding() -> None:
    plain, wide = Decoder(SHAPE, VOCABULARY, seed=9), Decoder(WITH_VECTORS, VOCABULARY, seed=9)
    names = [name for name, _ in wide.named_parameters()]
    assert names[:2] == ["model.embed_tokens.weight", "model.embed_spelling.weight"]
    assert all(torch.equal(wide.state_dict()[name], weight) for name, weight in plain.state_dict().items())
    assert wide.roles() == {**plain.roles(), "model.embed_spelling.weight": "embedding"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_reads_the_column_and_learns_its_projection_or_refuses_it_by_name(
    kind: str, shards: ShardReader, tokens: Tensor
) -> None:
    size = {"width": 32, "layers": 2} if "gradients" in KINDS[kind].SUPPORTS else {}
    given = {"kind": kind, **size, "context": CONTEXT, "inputs": READS}
    if not {"causal", "gradients"} <= KINDS[kind].SUPPORTS:
        with pytest.raises(ValidationError, match=f"inputs=tokens, vectors with kind={kind}"):
            KINDS[kind].model_validate(given)
        return
    network = KINDS[kind].model_validate(given).build(VOCABULARY)
    for module in inputs_of(network):
        module.bind(shards)
    network.eval()
    x_BTD = network({"tokens": tokens, "spelling": vectors_of(tokens)})
    assert torch.equal(x_BTD, network({"tokens": tokens}))
    assert not torch.equal(x_BTD, network({"tokens": tokens, "spelling": vectors_of(tokens - 1)}))
    torch.autograd.backward(x_BTD.square().sum())
    (gradient,) = (weight.grad for name, weight in network.named_parameters() if name.endswith("embed_spelling.weight"))
    assert gradient is not None and gradient.abs().sum() > 0


def test_the_gradient_reaches_the_projection_through_an_objective_that_knows_nothing_of_it(network: Decoder, shards: ShardReader) -> None:
    rows = {**shards.rows(np.arange(8)), "position": np.arange(8)}
    arrays = NextToken().batch(rows)
    assert arrays["spelling"].shape == (8, CONTEXT, SIZE) and np.array_equal(arrays["spelling"], rows["spelling"][:, :-1])
    batch = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()}
    (loss,) = NextToken().sums({POLICY: network}, batch)
    torch.autograd.backward(loss)
    (gradient,) = (weight.grad for name, weight in network.named_parameters() if name == "model.embed_spelling.weight")
    assert gradient is not None and gradient.abs().sum() > 1
    moved = {**batch, "spelling": batch["spelling"].clone().requires_grad_()}
    (loss,) = NextToken().sums({POLICY: network}, moved)
    torch.autograd.backward(loss)
    assert moved["spelling"].grad is not None and (moved["spelling"].grad[:, 0].abs().sum() > 0)


def test_columns_are_handed_on_by_their_shape_whatever_their_names() -> None:
    rows = {"tokens": np.zeros((2, 5)), "loss": np.zeros((2, 5)), "a": np.ones((2, 5, 3)), "b": np.ones((2, 5)), "reward": np.ones(2)}
    assert {name: values.shape for name, values in input_columns(rows).items()} == {"a": (2, 4, 3), "b": (2, 4)}


def test_rows_without_the_column_are_read_by_the_table(network: Decoder, tokens: Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(network({"tokens": tokens}), network({"tokens": tokens, "spelling": vectors_of(tokens)}))


def test_the_loss_of_rows_is_the_same_with_their_column_and_by_the_table_and_another_with_other_vectors(
    network: Decoder, shards: ShardReader, tmp_path: Path
) -> None:
    bare = ShardReader(write_vector_rows(tmp_path / "bare", packed_rows(50, seed=1), column=False))
    nats, _ = row_losses(network, shards, np.arange(50), 16)
    assert np.array_equal(nats, row_losses(network, bare, np.arange(50), 16)[0])
    for module in inputs_of(network):
        for table in module.buffers():
            table.zero_()
    assert np.array_equal(nats, row_losses(network, shards, np.arange(50), 16)[0]), "rows that have the column are read by it"
    assert not np.array_equal(nats, row_losses(network, bare, np.arange(50), 16)[0])


def test_a_generated_token_gets_the_vector_of_its_spelling(network: Decoder) -> None:
    """Greedy generation with a state, against whole forward passes over rows with the column."""
    prompt, expected = [9, 10, 11], [9, 10, 11]
    for _ in range(8):
        tokens = torch.tensor([expected])
        with torch.no_grad():
            expected.append(int(network.logits({"tokens": tokens, "spelling": vectors_of(tokens)})[0, -1].argmax()))
    assert list(generate(network.decoding(), prompt, SamplingConfig(temperature=0.0, max_new_tokens=8))) == expected[3:]


def test_the_table_is_saved_with_the_model(network: Decoder, tokens: Tensor, tmp_path: Path) -> None:
    save_model(network, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.config == WITH_VECTORS
    with torch.no_grad():
        assert torch.equal(loaded({"tokens": tokens}), network({"tokens": tokens}))


def test_a_table_that_was_never_taken_is_not_mistaken_for_one(tokens: Tensor) -> None:
    assert Decoder(WITH_VECTORS, VOCABULARY)({"tokens": tokens}).isnan().all()


def test_a_model_without_the_table_refuses_rows_without_the_column_and_so_generation(tokens: Tensor) -> None:
    reads = (TokensConfig(), VectorsConfig(column="spelling", size=SIZE, from_tokens=False))
    network = Decoder(SHAPE.model_copy(update={"inputs": reads}), VOCABULARY).eval()
    assert network({"tokens": tokens, "spelling": vectors_of(tokens)}).isfinite().all()
    with pytest.raises(InputError, match=r"no column 'spelling'.*can't generate.*from_tokens=true"):
        network.decoding()


def test_shards_with_another_table_or_none_are_refused(network: Decoder, tmp_path: Path) -> None:
    (module,) = (module for module in inputs_of(network) if any(True for _ in module.buffers()))
    without = ShardReader(write_vector_rows(tmp_path / "without", packed_rows(4, seed=1), table=False))
    module.bind(without)
    with pytest.raises(ShardError, match="no table of 'spelling': nothing says how that column follows from tokens"):
        READS[1].build(VOCABULARY, 32).bind(without)
    module.get_buffer("table")[3, 3] += 1
    same = ShardReader(write_vector_rows(tmp_path / "same", packed_rows(4, seed=1)))
    with pytest.raises(ShardError, match=r"table of 'spelling'.*the model has another"):
        module.bind(same)


def test_shards_whose_column_is_of_another_size_or_type_are_refused(shards: ShardReader, tmp_path: Path) -> None:
    READS[1].require(shards)
    with pytest.raises(ShardError, match=r"has spelling \(vectors, float16 \[17, 6\] a row\), but the model reads 7 float numbers at each"):
        VectorsConfig(column="spelling", size=7).require(shards)
    with pytest.raises(ShardError, match=r"has document \(documents, uint16"):
        VectorsConfig(column="document", size=1).require(shards)
    bare = ShardReader(write_vector_rows(tmp_path / "bare", packed_rows(4, seed=1), column=False))
    READS[1].require(bare)
    with pytest.raises(ShardError, match="no column 'spelling'"):
        VectorsConfig(column="spelling", size=SIZE, from_tokens=False).require(bare)


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ([{"kind": "vectors", "column": "spelling", "size": 4}], r"inputs lacks the tokens.*add \{kind: tokens\}"),
        ([{"kind": "tokens"}, *2 * [{"kind": "vectors", "column": "spelling", "size": 4}]], "inputs has 2 for spelling; keep one"),
        ([{"kind": "tokens"}, {"kind": "vectors", "column": "../x", "size": 4}], "column"),
        ([{"kind": "tokens", "size": 4}], "size"),
        ([{"kind": "frames"}], "'frames'.*does not match any of the expected tags: 'tokens', 'vectors'"),
    ],
)
def test_inputs_that_no_network_can_read_are_refused_by_name(inputs: list[dict[str, object]], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DecoderConfig.model_validate({"inputs": inputs})


def test_tokens_alone_are_the_default_however_they_are_written() -> None:
    assert DecoderConfig.model_validate({"inputs": [{"kind": "tokens"}]}) == DecoderConfig()
