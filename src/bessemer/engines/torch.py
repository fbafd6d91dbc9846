"""PyTorch: the oracle that other engines are held against, and for what cannot be exported."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bessemer.bundle.format import CONFIG, ENCODER
from bessemer.bundle.weights import Adapter
from bessemer.core.errors import CorruptError, UnknownNameError, needs
from bessemer.engines.base import Engine, States, pool
from bessemer.tasks.base import Features


class TorchEngine(Engine):
    """The encoder as it was trained, in float32.

    Rows of one adapter are computed together, the adapter's products added by hooks: slow, and
    plain enough to be believed.
    """

    version = 1
    files = (ENCODER, CONFIG)

    def __init__(self, folder: Path) -> None:
        with needs("train"):
            from bessemer.pretrained.encoder import Encoder

        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            self._encoder = Encoder(config, folder / ENCODER, pooled=False).eval()
        except (OSError, ValueError, KeyError) as error:
            raise CorruptError(f"{folder / ENCODER} cannot be loaded: {error}.") from error
        self._adapters: dict[str, dict[str, Any]] = {}
        #: One call at a time: hooks belong to the whole encoder.
        self._turn = threading.Lock()

    def run(
        self, features: Sequence[Features], adapters: Sequence[str | None], *, pooled: bool
    ) -> list[States]:
        """Return the states of each row; see `Engine.run`."""
        import torch

        from bessemer.pretrained.encoder import pad

        results: dict[int, States] = {}
        with self._turn, torch.inference_mode():
            for name in dict.fromkeys(adapters):
                mine = [n for n, other in enumerate(adapters) if other == name]
                hooks = self._hooks(name)
                try:
                    found = self._encoder(*pad([features[n] for n in mine])).numpy()
                finally:
                    for hook in hooks:
                        hook.remove()
                lengths = [len(features[n]) for n in mine]
                rows = pool(found, lengths) if pooled else found
                for number, row in zip(mine, rows, strict=True):
                    results[number] = row if pooled else row[: len(features[number])]
        return [results[number] for number in range(len(features))]

    def attach(self, name: str, load: Callable[[], Adapter]) -> None:
        """Keep an adapter's matrices; see `Engine.attach`."""
        import torch

        adapter, known = load(), dict(self._encoder.transformer.named_modules())
        for module, (down, up) in adapter.matrices.items():
            weight = getattr(known.get(module), "weight", None)
            if weight is None or tuple(weight.shape) != (up.shape[1], down.shape[0]):
                raise CorruptError(f"The adapter's matrix {module} does not fit the encoder.")
        self._adapters[name] = {
            module: (torch.from_numpy(down), torch.from_numpy(up))
            for module, (down, up) in adapter.matrices.items()
        }

    def detach(self, name: str) -> None:
        """Forget an adapter; see `Engine.detach`."""
        self._adapters.pop(name, None)

    @property
    def slots(self) -> tuple[int, int]:
        """Return how many adapters are in memory: there is room for all."""
        return len(self._adapters), len(self._adapters)

    def _hooks(self, name: str | None) -> list[Any]:
        if name is None:
            return []
        if name not in self._adapters:
            raise UnknownNameError("adapter", name, self._adapters)
        modules = dict(self._encoder.transformer.named_modules())

        def adding(down: Any, up: Any) -> Callable[[Any, Any, Any], Any]:
            return lambda _, inputs, output: output + inputs[0] @ down @ up

        return [
            modules[module].register_forward_hook(adding(*pair))
            for module, pair in self._adapters[name].items()
        ]
