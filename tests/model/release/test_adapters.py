"""Releases with adapters: beside the model, chosen at chat time, and a model that computes with one that does not merge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model.adapters.bottleneck import BottleneckConfig
from model.adapters.config import AnyAdapter
from model.adapters.lora import LoraConfig
from model.adapters.opening import load_adapted
from model.adapters.prefixes import PrefixConfig, PromptConfig
from model.adapters.protocol import FOLDER
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.directory import TOKENIZER_DIGEST, ModelError, load_model, read_config, read_tokenizer_digest, save_model, save_tensors
from model.release.config import ExportConfig
from model.release.export import export
from tests.model.adapters.adapted import adapted

from .test_export import CARD

APART: list[AnyAdapter] = [
    PrefixConfig(kind="prefix", length=3), PromptConfig(kind="prompt", length=3), BottleneckConfig(kind="bottleneck", width=4)
]  # fmt: skip
EVERY: list[AnyAdapter] = [LoraConfig(kind="lora", rank=2), *APART]
TOKENS = {"tokens": torch.arange(24).view(2, 12)}


@pytest.fixture
def beside(model_dir: Path, tmp_path: Path) -> dict[str, Path]:
    """A folder of each kind of adapter, trained on the model."""
    folders: dict[str, Path] = {}
    for config in EVERY:
        network, adapter = adapted(config, load_model(model_dir))
        adapter.save(adapter.own(network.state_dict()), tmp_path / config.kind)
        folders[config.kind] = tmp_path / config.kind
    return folders


def test_each_adapter_beside_the_model_is_chosen_at_chat_time(
    model_dir: Path, tokenizer_dir: Path, beside: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "release"
    export(model_dir, tokenizer_dir, output, ExportConfig(), CARD, adapters=beside)
    settings = SamplingConfig(max_new_tokens=12)
    replies = {"": "".join(ChatModel.open(output).say("Who?", settings))}
    for config in EVERY:
        folder = output / "adapters" / config.kind
        network, _ = adapted(config, load_model(model_dir))
        torch.testing.assert_close(open_model(output, folder).logits(TOKENS), network.logits(TOKENS), atol=1e-4, rtol=1e-4)
        replies[config.kind] = "".join(ChatModel.open(output, adapter=folder).say("Who?", settings))
    assert len(set(replies.values())) > 2  # they do change what it says
    card = (output / "README.md").read_text()
    assert "| lora | lora | `adapters/lora` |" in card and "| bottleneck | bottleneck | no |" in card


def test_a_card_offers_no_adapter_to_peft_where_the_class_of_transformers_has_other_names(
    model_dir: Path, tokenizer_dir: Path, tmp_path: Path
) -> None:
    changed = {"norm": "layer", "activation": "gelu", "positions": "learned", "kv_heads": 4, "heads": 4}
    shape, vocab_size = read_config(model_dir)
    gpt2 = DecoderConfig.model_validate({**shape.model_dump(), **changed}).build(vocab_size, seed=1)
    save_model(gpt2, tmp_path / "gpt2", extra={TOKENIZER_DIGEST: read_tokenizer_digest(model_dir)})
    network, adapter = adapted(LoraConfig(kind="lora", rank=2), load_model(tmp_path / "gpt2"))
    adapter.save(adapter.own(network.state_dict()), tmp_path / "lora")
    export(tmp_path / "gpt2", tokenizer_dir, tmp_path / "release", ExportConfig(), CARD, adapters={"lora": tmp_path / "lora"})
    card = (tmp_path / "release" / "README.md").read_text()
    assert "GPT2LMHeadModel" in card and "| lora | lora | no |" in card


@pytest.mark.parametrize("config", APART, ids=lambda config: config.kind)
def test_a_model_whose_adapter_does_not_merge_is_released_for_folio_alone(
    config: AnyAdapter, model_dir: Path, tokenizer_dir: Path, tmp_path: Path
) -> None:
    network, adapter = adapted(config, load_model(model_dir))
    tuned, output = tmp_path / "tuned", tmp_path / "release"
    extra = {TOKENIZER_DIGEST: read_tokenizer_digest(model_dir)}
    settings = config.model_dump(mode="json")
    save_tensors(adapter.merged(network.state_dict()), network.config, network.vocab_size, tuned, extra=extra, apart=settings)
    adapter.save(adapter.own(network.state_dict()), tuned / FOLDER)
    with pytest.raises(ModelError, match=rf"adapter that does not merge into its weights \(adapter.kind={config.kind}\); export it with"):
        export(tuned, tokenizer_dir, output, ExportConfig(), CARD)
    metrics = export(tuned, tokenizer_dir, output, ExportConfig(format="folio"), CARD)
    assert metrics["logits_difference"] == 0
    torch.testing.assert_close(load_adapted(output).logits(TOKENS), network.logits(TOKENS))
    assert json.loads((output / "config.json").read_text())["adapter"] == settings
    assert f"adapter.kind={config.kind}" in (output / "README.md").read_text().replace("\\", "")


def test_a_folder_that_is_no_adapter_or_another_model_s_is_refused_by_name(
    model_dir: Path, beside: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="holds no adapter"):
        open_model(model_dir, model_dir)
    fields = json.loads((beside["lora"] / "adapter_config.json").read_text())
    for changed, message in (
        ({"peft_type": "IA3"}, "has peft_type='IA3'; folio computes"),
        ({"use_rslora": True}, "use_rslora=True, which"),
    ):
        (beside["lora"] / "adapter_config.json").write_text(json.dumps(fields | changed))
        with pytest.raises(ModelError, match=message):
            open_model(model_dir, beside["lora"])
