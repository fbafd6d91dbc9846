"""Low-rank adapters (LoRA) on the encoder's matrices: a task of a few hundred kilobytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bessemer.core.errors import ProjectError
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.options import Share, SupervisedOptions

if TYPE_CHECKING:
    from torch import nn


class LoraOptions(SupervisedOptions):
    """Options of `lora`. Adapters bear, and need, a higher rate than whole matrices."""

    learning_rate: float = Field(1e-3, gt=0, lt=1, description="Peak rate of the adapters.")
    rank: int = Field(8, ge=1, le=1024, description="Of each pair of matrices.")
    alpha: float = Field(16.0, gt=0, description="Scales what the adapter adds: alpha / rank.")
    targets: tuple[str, ...] = Field(
        (),
        description="Names of the matrices that get an adapter, as query or value; without it"
        " all of the layers' matrices do.",
    )
    adapter_dropout: Share = Field(0.0, description="Of what goes into the adapters.")
    dora: bool = Field(False, description="Learn a length for each column too (DoRA).")
    rslora: bool = Field(False, description="Scale by alpha / √rank instead (rsLoRA).")


class Lora(Method):
    """LoRA (Hu et al. 2022) through peft; what is exported is the base with adapters added in.

    The adapters themselves are kept beside it, under the names that peft reads.
    """

    version = 3
    Options = LoraOptions
    weighs = True

    def learn(self, lesson: Lesson, options: LoraOptions) -> Learnt:
        """Fit the probe, add adapters, train these and the head."""
        from dataclasses import replace

        import torch
        from peft import LoraConfig, inject_adapter_in_model
        from peft.utils import get_peft_model_state_dict

        from bessemer.train.tuning import start_at_probe, tune, untrained

        network, notes = untrained(lesson, options)
        transformer = network.encoder.transformer
        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.adapter_dropout,
            target_modules=_targets(network.encoder.layers(), options, network.frozen, transformer),
            use_dora=options.dora,
            use_rslora=options.rslora,
        )
        torch.manual_seed(lesson.seed)
        inject_adapter_in_model(config, transformer)
        for name, parameter in transformer.named_parameters():
            parameter.requires_grad_("lora_" in name)
        notes["word_embeddings"] = "frozen"
        start_at_probe(lesson, network, options)
        learnt = tune(lesson, network, options, notes)
        adapter = {
            f"base_model.model.{name}": tensor.detach().cpu().contiguous()
            for name, tensor in get_peft_model_state_dict(transformer).items()
        }
        return replace(
            learnt,
            encoder=_merged(transformer),
            adapter=adapter,
            adapter_config=_plain(config.to_dict()),
        )


def _targets(
    layers: list[nn.Module], options: LoraOptions, frozen: int, transformer: nn.Module
) -> list[str]:
    """Return the full names of the matrices in the trained layers that get an adapter."""
    from torch import nn

    wanted, ends = [], set()
    upper = {id(m) for layer in layers[frozen:] for m in layer.modules()}
    for name, module in transformer.named_modules():
        if id(module) in upper and isinstance(module, nn.Linear):
            ends.add(name.rpartition(".")[2])
            if not options.targets or name.rpartition(".")[2] in options.targets:
                wanted.append(name)
    unknown = sorted(set(options.targets) - ends)
    if unknown or not wanted:
        raise ProjectError(
            f"train.targets names {', '.join(unknown) or 'no matrix'}; no trained layer has it.",
            remedy=f"The layers have {', '.join(sorted(ends)) or 'none: raise train_layers'}.",
        )
    return wanted


def _merged(transformer: nn.Module) -> dict[str, Any]:
    """Return the transformer's weights under their own names, the adapters added in."""
    from peft.tuners.lora import LoraLayer

    for module in transformer.modules():
        if isinstance(module, LoraLayer):
            module.merge()
    return {
        name.replace(".base_layer", ""): tensor.detach().cpu()
        for name, tensor in transformer.state_dict().items()
        if "lora_" not in name
    }


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return PEFT's configuration as JSON values."""
    return {
        key: sorted(value) if isinstance(value, set) else getattr(value, "value", value)
        for key, value in config.items()
        if value is None or isinstance(value, (str, int, float, bool, set, list))
    }
