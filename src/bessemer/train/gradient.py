"""The gradient of one step, computed in pieces that fit into memory, each on a core of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bessemer.core.errors import OperatorError
from bessemer.train.cores import Cores
from bessemer.train.network import Network

#: A step is cut in two at least, so that two cores have work; more cores give the same bits.
LEAST_PIECES = 2
#: Loss of some rows: the sum, and the weight that it is a sum over.
Loss = Callable[[list[int]], tuple[Tensor, float]]
#: Cuts rows into pieces by a budget of padded tokens.
Cut = Callable[[list[int], int], list[list[int]]]


@dataclass
class Gradient:
    """Computes gradients of `parameters`.

    Each piece has its own graph and its own result; nothing is shared but the weights, which
    nobody changes meanwhile. The pieces' gradients are added up in their order, so the sum has
    the same bits whichever core was first.
    """

    network: Network
    parameters: list[Tensor]
    cores: Cores
    #: Padded tokens of a piece, at most; halved when memory runs out.
    budget: int
    #: Which of how many processes this is: each takes the pieces in turn.
    share: tuple[int, int] = (0, 1)
    #: Adds a tensor up over all processes.
    reduce: Callable[[Tensor], Tensor] = torch.clone

    def compute(
        self, rows: list[int], cut: Cut, seed: int, loss: Loss
    ) -> tuple[list[Tensor], float, bool]:
        """Return the gradient of the mean loss, that loss, and whether the budget was halved.

        Args:
            rows: Of the step.
            cut: Cuts rows into parts by a budget of padded tokens.
            seed: Of this step's dropout.
            loss: Is called in several threads at once.

        Raises:
            OperatorError: Memory does not hold a single row.
        """
        halved = False
        while True:
            parts = cut(rows, self.budget)
            try:
                return (*self._add(parts, seed, loss), halved)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(parts) == len(rows) or self.budget == 1:
                    raise OperatorError(
                        f"Memory does not hold a piece of {max(map(len, parts))} texts.",
                        remedy="Lower train.max_length or train.train_layers, or use more memory.",
                    ) from error
                self.budget, halved = max(1, self.budget // 2), True

    def _add(self, parts: list[list[int]], seed: int, loss: Loss) -> tuple[list[Tensor], float]:
        """Add up the pieces as they come, so that few gradients are in memory at once."""

        def one(number: int) -> tuple[tuple[Tensor, ...], float, float]:
            with self.network.training_piece(seed * 1009 + number):
                summed, weight = loss(parts[number])
                found = torch.autograd.grad(
                    summed, self.parameters, allow_unused=True, materialize_grads=True
                )
            return found, float(summed.detach()), weight

        total: list[Tensor] = []
        lost, weighed = 0.0, 0.0
        index, count = self.share
        for found, part_lost, weight in self.cores.map(one, range(index, len(parts), count)):
            for kept, added in zip(total, found, strict=False):
                kept.add_(added)
            total = total or list(found)
            lost, weighed = lost + part_lost, weighed + weight
        if count > 1:
            total = total or [torch.zeros_like(parameter) for parameter in self.parameters]
            sums = torch.tensor([lost, weighed], device=self.network.device)
            lost, weighed = self.reduce(sums).tolist()
            total = [self.reduce(kept) for kept in total]
        for kept in total:
            kept.div_(weighed or 1.0)
        return total, lost / (weighed or 1.0)


def pieces(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut a step's rows into lists of like length, each of about `budget` padded tokens.

    There are two at least (of two rows or more), and all hold about equally many tokens.
    """
    order = sorted(rows, key=lambda row: (lengths[row], row))
    padded = lengths[order[-1]] * len(order)
    count = min(len(order), max(LEAST_PIECES, -(-padded // budget)))
    total, reached = sum(lengths[row] for row in order), 0
    parts: list[list[int]] = [[] for _ in range(count)]
    for row in order:
        # A row goes to the part in which the middle of its tokens lies.
        parts[(2 * reached + lengths[row]) * count // (2 * total)].append(row)
        reached += lengths[row]
    return [part for part in parts if part]


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a card or on the CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
