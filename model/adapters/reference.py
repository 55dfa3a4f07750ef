"""The model from before training, seen through the network that is being trained: its adapter off, no second copy of weights."""

from __future__ import annotations

from torch import Tensor, nn

from model.adapters.protocol import Adapter
from model.networks.network import Inputs, Network


class Reference(Network):
    """Computes what `network` did before its adapter was injected, in evaluation mode and without gradients."""

    def __init__(self, network: Network, adapter: Adapter) -> None:
        super().__init__(network.config, network.vocab_size)
        self._adapter = adapter
        # The tuple keeps the network from becoming a submodule, so this view owns none of its parameters.
        self._network = (network,)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the base model's hidden x_BTD."""
        with self._adapter.disabled(self._network[0]):
            hidden_BTD: Tensor = self._network[0](inputs)
        return hidden_BTD

    def read(self, x_ND: Tensor) -> Tensor:
        """Return the base model's logits_NV."""
        with self._adapter.disabled(self._network[0]):
            return self._network[0].read(x_ND)

    def blocks(self) -> nn.ModuleList:
        """Return the blocks of the network that is seen through."""
        return self._network[0].blocks()
