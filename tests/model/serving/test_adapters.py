"""A model and adapters that were trained on it, behind one address: each a model of its own, the weights read once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from torch import Tensor, nn

from model.adapters.bottleneck import BottleneckConfig
from model.adapters.config import AnyAdapter
from model.adapters.lora import PREFIX, LoraConfig
from model.adapters.opening import with_adapter
from model.adapters.prefixes import PrefixConfig, PromptConfig
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inference.open_model import open_model
from model.networks.directory import load_model
from model.networks.network import Network
from model.release.adapters import BESIDE, adapters_beside
from model.serving.opening import Offer, open_together
from model.serving.served import ServeLimits
from tests.model.adapters.adapted import adapted
from tests.model.serving.running import serving

LIMITS = ServeLimits(rows=2, max_tokens=32)
LORA = LoraConfig(kind="lora", rank=2)
APART: list[AnyAdapter] = [
    PrefixConfig(kind="prefix", length=3), PromptConfig(kind="prompt", length=3), BottleneckConfig(kind="bottleneck", width=4)
]  # fmt: skip
ASKED: list[Any] = [{"role": "user", "content": "Who walked?"}]
TOKENS = {"tokens": torch.arange(24).view(2, 12)}


@pytest.fixture(scope="module")
def release(model_dir: Path, tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as a release has it: its tokenizer in it, and an adapter of each kind beside it."""
    output = tmp_path_factory.mktemp("served") / "release"
    shutil.copytree(tokenizer_dir, output)
    shutil.copytree(model_dir, output, dirs_exist_ok=True)
    for config in APART:
        network, adapter = adapted(config, load_model(model_dir))
        adapter.save(adapter.own(network.state_dict()), output / BESIDE / config.kind)
    LORA.build().save(low_rank(load_model(model_dir)), output / BESIDE / LORA.kind)
    return output


def low_rank(network: Network) -> dict[str, Tensor]:
    """Changes of every matrix inside the blocks, under peft's names."""
    drawn, own = torch.Generator().manual_seed(1), dict[str, Tensor]()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and ".layers." in name:
            own[f"{PREFIX}{name}.lora_A.weight"] = torch.randn(LORA.rank, layer.in_features, generator=drawn) * 0.3
            own[f"{PREFIX}{name}.lora_B.weight"] = torch.randn(layer.out_features, LORA.rank, generator=drawn) * 0.3
    return own


def offers(release: Path) -> list[Offer]:
    beside = adapters_beside(release)
    return [Offer("tiny", release), *(Offer(f"tiny:{name}", release, [name], folder) for name, folder in beside.items())]


def test_each_adapter_is_a_model_that_answers_as_folio_chat_does_with_it(release: Path) -> None:
    models = open_together(offers(release), LIMITS)
    with serving(models, LIMITS) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        listed = {model.id: model.model_dump()["folio"] for model in client.models.list()}
        assert list(listed) == ["tiny", "tiny:bottleneck", "tiny:lora", "tiny:prefix", "tiny:prompt"]
        assert all("chat" in about["abilities"] for about in listed.values())  # the page offers these
        assert len({about["fingerprint"] for about in listed.values()}) == 5
        said, settings = set(), SamplingConfig(max_new_tokens=12)
        for name in listed:
            adapter = adapters_beside(release).get(name.partition(":")[2])
            expected = "".join(ChatModel.open(release, adapter=adapter).say("Who walked?", settings))
            answer = client.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=12)
            assert answer.choices[0].message.content == expected and answer.model == name
            said.add(expected)
        assert len(said) > 2


def test_weights_that_an_adapter_leaves_are_the_model_s_own_and_the_model_stays_as_it_is(release: Path) -> None:
    network = open_model(release)
    before, logits = {name: tensor.clone() for name, tensor in network.state_dict().items()}, network.logits(TOKENS)
    for name, folder in adapters_beside(release).items():
        changed = with_adapter(network, folder)
        torch.testing.assert_close(changed.logits(TOKENS), open_model(release, folder).logits(TOKENS), msg=name)
        shared = {weight.data_ptr() for weight in network.parameters()} & {weight.data_ptr() for weight in changed.parameters()}
        assert len(shared) > (3 if name == "lora" else 10), name
    assert torch.equal(network.logits(TOKENS), logits)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_an_adapter_alone_is_served_without_the_model_and_by_folio_only(release: Path) -> None:
    alone = [offer for offer in offers(release) if offer.name == "tiny:lora"]
    (model,) = open_together(alone, LIMITS)
    assert model.about.id == "tiny:lora"
    model.close()
    with pytest.raises(ValueError, match="tiny:lora computes with an adapter, which folio alone does"):
        open_together(alone, LIMITS, backend="vllm")
