"""SetFit: contrastive pairs train the encoder, then a logistic regression is fitted on it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.base import clone
from threadpoolctl import threadpool_limits
from transformers import TrainerCallback, set_seed

sys.path.append(str(Path(__file__).resolve().parents[3]))

from bench.peers import common

BATCH = 16
#: Pairs are drawn for so many steps only: all pairs of 10,003 texts are 50 million.
STEPS = 400


class Scoring(TrainerCallback):
    """Scores what SetFit would give if its contrastive phase ended here."""

    def __init__(
        self,
        clock: common.Clock,
        curve: common.Curve,
        model: SetFitModel,
        splits: tuple[common.Split, common.Split],
        steps: int,
    ) -> None:
        self.clock, self.curve, self.model, self.steps = clock, curve, model, steps
        self.train, self.test = splits
        # After the last step SetFit fits its head itself.
        self.marks = {steps * part // common.SCORES_AN_EPOCH for part in (1, 2, 3)}
        self.began = self.ended = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = self.clock.seconds()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ended = self.clock.seconds()
        self.steps = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step not in self.marks:
            return
        seconds = self.clock.seconds()
        with self.clock.stopped():
            began = time.perf_counter()
            head = clone(self.model.model_head)
            head.fit(self.model.encode(self.train.texts), self.train.labels)
            # To stop here would have cost these seconds too.
            seconds += time.perf_counter() - began
            found = head.predict(self.model.encode(self.test.texts))
            self.curve.add(seconds, texts(state.global_step), accuracy(found, self.test))


def texts(steps: int) -> int:
    return steps * BATCH * 2


def accuracy(found: Any, split: common.Split) -> float:
    return sum(int(a) == b for a, b in zip(found, split.labels, strict=True)) / len(split.labels)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    common.limit_threads(options.threads)
    threadpool_limits(options.threads)
    set_seed(options.seed)
    clock, curve = common.Clock(), common.Curve()
    train, test, _ = common.read(options)
    model = SetFitModel.from_pretrained(str(options.base), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=BATCH,
            max_steps=options.steps,
            seed=options.seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        scoring = Scoring(clock, curve, model, (train, test), options.steps)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"text": train.texts, "label": train.labels}),
            callbacks=[scoring],
        )
        trainer.train()
    seconds = clock.seconds()
    seen = texts(scoring.steps)
    curve.add(seconds, seen, accuracy(model.predict(test.texts), test))
    settings = {
        "batch": f"{BATCH} pairs",
        "steps": scoring.steps,
        "lr": arguments.body_embedding_learning_rate,
        "warm-up": arguments.warmup_proportion,
        "loss": arguments.loss.__name__,
        "sampling": f"{arguments.sampling_strategy}, as many pairs as the steps take",
        "head": repr(model.model_head),
        "modules": [type(module).__name__ for module in model.model_body],
        "max_tokens": model.model_body.max_seq_length,
        "precision": "fp32",
        "seconds before the first step": scoring.began,
        "seconds of the head": seconds - scoring.ended,
    }
    common.write(
        options,
        "setfit",
        ["torch", "transformers", "sentence-transformers", "setfit", "datasets", "scikit-learn"],
        settings,
        curve,
        seconds=seconds,
        examples_per_second=seen / (scoring.ended - scoring.began),
    )


if __name__ == "__main__":
    main()
