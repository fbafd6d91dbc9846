"""A base model as a sentence encoder: token ids in, one unit vector a text out (PyTorch)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from bessemer.core.errors import ContractError, CorruptError


class Encoder(nn.Module):
    """A transformer: one vector a text, mean-pooled over real tokens and L2-normalised, or one
    vector a token as it is.

    Args:
        config: A configuration that `pretrained.resolve.safe_config` has passed.
        weights: Safetensors file with the transformer's weights.
        pooled: Whether a text gets one vector or each of its tokens does.

    Raises:
        CorruptError: The weights do not fit the configuration.
    """

    def __init__(self, config: dict[str, Any], weights: Path, *, pooled: bool = True) -> None:
        super().__init__()
        self.pooled = pooled
        options = {key: value for key, value in config.items() if key != "model_type"}
        settings = AutoConfig.for_model(config["model_type"], **options)
        settings.use_cache = False  # of keys and values, which only generation needs
        # Plain attention is faster than SDPA on a CPU at the lengths of short texts.
        self.transformer = AutoModel.from_config(settings, attn_implementation="eager")
        if hasattr(self.transformer, "pooler"):
            self.transformer.pooler = None
        prefix = f"{self.transformer.base_model_prefix}."
        state = {name.removeprefix(prefix): value for name, value in load_file(weights).items()}
        try:
            missing, _ = self.transformer.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise CorruptError(f"{weights} does not fit its config.json: {error}.") from error
        if missing:
            raise CorruptError(
                f"{weights} lacks {len(missing)} tensors, the first of them {missing[0]!r}.",
                remedy="Take the weights and the config.json from the same place.",
            )
        self.width: int = settings.hidden_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return vectors, float32, shape [batch, width], or [batch, length, width] unpooled.

        Args:
            input_ids: Shape [batch, length], int64.
            attention_mask: Shape [batch, length], int64, 1 for real tokens.
        """
        hidden = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state.float()
        if not self.pooled:
            return hidden
        mask = attention_mask.unsqueeze(-1).float()
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=-1)

    def word_embeddings(self) -> nn.Module:
        """Return the table of word embeddings, half of a small encoder's parameters."""
        module: nn.Module = self.transformer.get_input_embeddings()
        return module

    def layers(self) -> list[nn.Module]:
        """Return the transformer's layers, the lowest first."""
        count = self.transformer.config.num_hidden_layers
        for module in self.transformer.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return list(module)
        raise ContractError(f"{type(self.transformer).__name__} holds no list of {count} layers.")


def pad(features: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask, int64, shape [batch, longest], padded with 0."""
    longest = max(len(row) for row in features)
    padded = np.zeros((len(features), longest), dtype=np.int64)
    mask = np.zeros((len(features), longest), dtype=np.int64)
    for row, ids in enumerate(features):
        padded[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return torch.from_numpy(padded), torch.from_numpy(mask)


def has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware; elsewhere it is slower."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
