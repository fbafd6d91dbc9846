"""Logistic regression on the vectors of a frozen encoder: minutes become seconds."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bessemer.core.errors import ContractError
from bessemer.core.progress import Progress, Step
from bessemer.core.project import Block
from bessemer.measures.calibration import fit_temperature, log_loss
from bessemer.train.methods.base import Learnt, Lesson, Method

#: Of the gradient. A tenth of scikit-learn's default: 0.1 points on BANKING77 for twice the time.
TOLERANCE = 1e-5

#: Coefficients [classes, width] and intercepts [classes].
Head = tuple[NDArray[np.float64], NDArray[np.float64]]


Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ProbeOptions(Block):
    """Options of `probe`."""

    strengths: tuple[Strength, ...] = Field(
        (1.0, 5.0, 20.0, 80.0),
        min_length=1,
        description="Inverse regularisation strengths to choose from, on the validation split.",
    )

    class_weight: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: rare labels weigh as much as frequent ones, for when the rows to"
        " come are spread over the labels more evenly than the training rows.",
    )


class Probe(Method):
    """Multinomial logistic regression, its regularisation chosen on the validation split.

    The strength with the lowest log-loss after temperature scaling wins: accuracy moves in
    steps of one example, and what is served is the scaled probability.
    """

    version = 1
    Options = ProbeOptions

    def learn(self, lesson: Lesson, options: ProbeOptions) -> Learnt:
        """Fit once for each strength and keep the one that the rule chooses."""
        import torch

        from bessemer.pretrained.encoder import Encoder
        from bessemer.train.embed import embed

        torch.manual_seed(lesson.seed)
        encoder = Encoder(lesson.config, lesson.weights)
        # One pass over both splits, so that both are sorted by length together.
        count = len(lesson.train.targets)
        both = lesson.train.token_ids + lesson.validation.token_ids
        vectors = embed(encoder, both, lesson.progress, "encode")
        coefficients, intercepts, notes = fit(
            vectors[:count],
            lesson.train.targets,
            vectors[count:],
            lesson.validation.targets,
            options,
            lesson.progress,
        )
        head = {
            "weight": torch.tensor(coefficients, dtype=torch.float32).contiguous(),
            "bias": torch.tensor(intercepts, dtype=torch.float32),
        }
        return Learnt(head=head, notes=notes)


def fit(
    train: NDArray[np.float32],
    targets: NDArray[np.int64],
    validation: NDArray[np.float32],
    validation_targets: NDArray[np.int64],
    options: ProbeOptions,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]]:
    """Return coefficients [classes, width], intercepts [classes], and how they were chosen.

    Every fit starts anew: from the solution of a stronger regularisation, L-BFGS finds its
    gradient small enough at once and returns that solution again. Each has one core: shared,
    a fit of this size takes twice the time.
    """
    from concurrent.futures import ThreadPoolExecutor

    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    weight = "balanced" if options.class_weight == "balanced" else None

    def solve(strength: float) -> tuple[float, Head]:
        model = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=2000, class_weight=weight)
        model.fit(train, targets)
        return strength, _full(model.coef_, model.intercept_)

    notes: dict[str, Any] = {"strength": None, "validation": {}}
    best: Head | None = None
    least = float("inf")
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (strength, head) in enumerate(pool.map(solve, sorted(options.strengths)), 1):
            logits = validation @ head[0].T + head[1]
            temperature = fit_temperature(logits, validation_targets)
            loss = log_loss(logits, validation_targets, temperature)
            if loss < least:
                best, least, notes["strength"] = head, loss, strength
            score = float((logits.argmax(axis=1) == validation_targets).mean())
            shown = f"strength {strength:g}: validation accuracy {score:.4f}, log-loss {loss:.4f}"
            notes["validation"][f"{strength:g}"] = {"accuracy": score, "log_loss": loss}
            progress(Step("fit", number, len(options.strengths), "fits", shown))
    if best is None:
        raise ContractError("No fit has a finite log-loss on the validation split.")
    return *best, notes


def _full(coefficients: NDArray[np.float64], intercepts: NDArray[np.float64]) -> Head:
    """Write scikit-learn's single row for two classes as two rows with the same softmax."""
    if len(intercepts) > 1:
        return coefficients, intercepts
    half, bias = coefficients / 2, intercepts / 2
    return np.concatenate([-half, half]), np.concatenate([-bias, bias])
