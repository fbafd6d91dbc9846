"""Logistic regression on the vectors of a frozen encoder: minutes become seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bessemer.core.block import Block
from bessemer.core.errors import ContractError
from bessemer.core.progress import Progress, Step
from bessemer.measures.calibration import fit_temperature, log_loss
from bessemer.train import mitigation
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.options import ClassWeight

#: Of the gradient. A tenth of scikit-learn's default: 0.1 points on BANKING77 for twice the time.
TOLERANCE = 1e-5
#: Inverse regularisation strengths for unit vectors, and for vectors of about unit entries.
UNIT, PLAIN = (1.0, 5.0, 20.0, 80.0), (0.001, 0.01, 0.1)
#: Logit of what no training row shows.
NEVER = -20.0
#: Fits, each weighing groups by what the ones before lost on them: the first is without weights.
ROUNDS = 5

#: Coefficients [outputs, width] and intercepts [outputs].
Head = tuple[NDArray[np.float64], NDArray[np.float64]]


Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ProbeOptions(Block):
    """Options of `probe`."""

    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] | None = Field(
        None,
        description="Inverse regularisation strengths to choose from, on the validation split;"
        " without it 1, 5, 20, 80 for whole texts and 0.001, 0.01, 0.1 for tokens.",
    )

    class_weight: ClassWeight = Field(
        "none",
        description="balanced: rare labels weigh as much as frequent ones, for when the rows to"
        " come are spread over the labels more evenly than the training rows.",
    )


class Probe(Method):
    """Multinomial logistic regression, its regularisation chosen on the validation split.

    The strength with the lowest log-loss after temperature scaling wins: accuracy moves in
    steps of one example, and what is served is the scaled probability. Where a text may have
    several labels, each gets a regression of its own.
    """

    version = 3
    Options = ProbeOptions
    weighs = True

    def learn(self, lesson: Lesson, options: ProbeOptions) -> Learnt:
        """Fit once for each strength and keep the one that the rule chooses."""
        import torch

        from bessemer.pretrained.encoder import Encoder
        from bessemer.train.embed import embed

        torch.manual_seed(lesson.seed)
        encoder = Encoder(lesson.config, lesson.weights, pooled=lesson.task.pooled)
        # One pass over both splits, so that both are sorted by length together.
        both = lesson.train.encoded.features + lesson.validation.encoded.features
        vectors = embed(encoder, both, lesson.progress, "encode", lesson.device)
        return fit(lesson, vectors[: len(lesson.train)], vectors[len(lesson.train) :], options)


def fit(
    lesson: Lesson,
    train: list[NDArray[np.float32]],
    validation: list[NDArray[np.float32]],
    options: ProbeOptions,
) -> Learnt:
    """Return the head that the validation split chooses.

    Args:
        lesson: The task, targets and progress.
        train: The encoder's vectors of the training rows.
        validation: And of the validation rows.
        options: Strengths and weights.
    """
    import torch

    task = lesson.task
    known = task.flat(train, lesson.train.targets)
    held_out = task.flat(validation, lesson.validation.targets)

    def fitted(weights: NDArray[np.float64] | None) -> tuple[Head, dict[str, Any]]:
        if weights is not None:
            weights = mitigation.flat(task, lesson.train.targets, weights)
        return choose(
            known,
            held_out,
            len(task.outputs),
            options.strengths or (UNIT if task.pooled else PLAIN),
            balanced=options.class_weight == "balanced",
            progress=lesson.progress,
            weights=weights,
            judged=lambda logits, t: mitigation.judged(lesson, logits, held_out[1], t),
        )

    if lesson.train.groups is None:
        (coefficients, intercepts), notes = fitted(lesson.train.weights)
    else:
        (coefficients, intercepts), notes = _robust(lesson.train.groups, fitted)
    head = {
        "weight": torch.tensor(coefficients, dtype=torch.float32).contiguous(),
        "bias": torch.tensor(intercepts, dtype=torch.float32),
    }
    return Learnt(head=head, log_loss=notes["log_loss"], notes=notes)


def _not(logits: NDArray[np.float32], temperature: float) -> dict[str, float]:
    """Measure nothing else."""
    return {}


def _robust(
    groups: NDArray[np.int64],
    fitted: Callable[[NDArray[np.float64] | None], tuple[Head, dict[str, Any]]],
) -> tuple[Head, dict[str, Any]]:
    """Return the fit of the round whose worst group loses least on validation."""
    tried: list[tuple[Head, dict[str, Any]]] = []
    for _ in range(ROUNDS):
        losses = [mitigation.losses_of_groups(notes) for _, notes in tried]
        tried.append(fitted(mitigation.group_weights(groups, losses) if losses else None))
    worst = [notes[mitigation.CHOOSE_BY] for _, notes in tried]
    best = int(np.argmin(worst))
    head, notes = tried[best]
    return head, {**notes, "round": best, "rounds": worst}


def choose(
    train: tuple[NDArray[np.float32], NDArray[Any]],
    validation: tuple[NDArray[np.float32], NDArray[Any]],
    outputs: int,
    strengths: tuple[float, ...],
    *,
    balanced: bool,
    progress: Progress,
    weights: NDArray[np.float64] | None = None,
    judged: Callable[[NDArray[np.float32], float], dict[str, float]] = _not,
) -> tuple[Head, dict[str, Any]]:
    """Return coefficients [outputs, width], intercepts [outputs], and how they were chosen.

    Every fit starts anew: from the solution of a stronger regularisation, L-BFGS finds its
    gradient small enough at once and returns that solution again. Each has one core: shared,
    a fit of this size takes twice the time.

    Args:
        train: Vectors [n, width] and targets: numbers [n], or 0 and 1 [n, outputs].
        validation: The same of the validation split.
        outputs: How many there are.
        strengths: To choose from.
        balanced: Whether rare outputs weigh as much as frequent ones.
        progress: Is told after every fit.
        weights: Of the training rows, shape [n]; None where all count alike.
        judged: What else is measured of validation logits at a temperature, to be noted; the
            strength is chosen by `mitigation.CHOOSE_BY` where that is among it.

    Raises:
        ContractError: No fit has a finite log-loss.
    """
    notes: dict[str, Any] = {"strength": None, "validation": {}, "log_loss": float("inf")}
    best: Head | None = None
    least = float("inf")
    fits = _fits(train, outputs, sorted(strengths), balanced, weights)
    for number, (strength, head) in enumerate(fits, 1):
        logits = (validation[0] @ head[0].T + head[1]).astype(np.float32)
        temperature = fit_temperature(logits, validation[1])
        loss = log_loss(logits, validation[1], temperature)
        also = judged(logits, temperature)
        if (value := also.get(mitigation.CHOOSE_BY, loss)) < least:
            best, least = head, value
            notes |= {"log_loss": loss, "strength": strength, **also}
        notes["validation"][f"{strength:g}"] = loss
        shown = f"strength {strength:g}: validation log-loss {loss:.4f}"
        progress(Step("fit", number, len(strengths), "fits", shown))
    if best is None:
        raise ContractError("No fit has a finite log-loss on the validation split.")
    return best, notes


def _fits(
    train: tuple[NDArray[np.float32], NDArray[Any]],
    outputs: int,
    strengths: Sequence[float],
    balanced: bool,
    weights: NDArray[np.float64] | None,
) -> Iterator[tuple[float, Head]]:
    """Yield each strength with its fit, in their order."""
    from concurrent.futures import ThreadPoolExecutor

    import torch
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    def regression(strength: float, targets: NDArray[Any]) -> Head:
        weight = "balanced" if balanced else None
        model = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=2000, class_weight=weight)
        model.fit(train[0], targets, sample_weight=weights)
        return model.coef_, model.intercept_

    solve: Callable[..., Head] = _several if train[1].ndim == 2 else _one
    shape = (outputs, train[0].shape[1])
    with threadpool_limits(1), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        heads = pool.map(lambda c: solve(lambda y: regression(c, y), train[1], shape), strengths)
        yield from zip(strengths, heads, strict=True)


def _one(
    regression: Callable[[NDArray[Any]], Head], targets: NDArray[np.int64], shape: tuple[int, int]
) -> Head:
    """Return one softmax over all outputs, those that no row shows included."""
    seen = np.unique(targets)
    whole, biases = np.zeros(shape), np.full(shape[0], NEVER)
    if len(seen) == 1:
        biases[seen] = 0.0
        return whole, biases
    coefficients, intercepts = regression(targets)
    if len(intercepts) == 1:  # scikit-learn's single row for two classes, with the same softmax
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    whole[seen], biases[seen] = coefficients, intercepts
    return whole, biases


def _several(
    regression: Callable[[NDArray[Any]], Head], targets: NDArray[np.float32], shape: tuple[int, int]
) -> Head:
    """Return a regression for each output; one that all rows or none have is a constant."""
    whole, biases = np.zeros(shape), np.zeros(shape[0])
    for number, column in enumerate(targets.T):
        if column.min() == column.max():
            biases[number] = -NEVER if column.max() else NEVER
        else:
            coefficients, intercepts = regression(column)
            whole[number], biases[number] = coefficients[0], intercepts[0]
    return whole, biases
