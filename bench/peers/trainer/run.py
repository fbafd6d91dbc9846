"""The Hugging Face Trainer: with its defaults, tuned, or at a given batch size."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

sys.path.append(str(Path(__file__).resolve().parents[3]))

from bench.peers import common

#: What differs from the defaults of TrainingArguments.
RECIPES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "tuned": {"learning_rate": 2e-4, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "equal": {},
}
TOLD = (
    "learning_rate",
    "per_device_train_batch_size",
    "num_train_epochs",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "weight_decay",
    "max_grad_norm",
    "bf16",
)


class Scoring(TrainerCallback):
    """Scores at the marks, with the clock stopped."""

    def __init__(
        self, clock: common.Clock, curve: common.Curve, marks: dict[int, int], score: Any
    ) -> None:
        self.clock, self.curve, self.marks, self.score = clock, curve, marks, score
        self.began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = self.clock.seconds()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.marks:
            seconds = self.clock.seconds()
            with self.clock.stopped():
                self.curve.add(seconds, self.marks[state.global_step], self.score())


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--recipe", choices=sorted(RECIPES), required=True)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    options = parser.parse_args()
    given = {
        "learning_rate": options.lr,
        "per_device_train_batch_size": options.batch,
        "num_train_epochs": options.epochs,
    }
    if {value is not None for value in given.values()} != {options.recipe == "equal"}:
        parser.error("--recipe equal needs --batch, --epochs and --lr; the others take none")
    changed = given if options.recipe == "equal" else RECIPES[options.recipe]
    common.limit_threads(options.threads)
    clock, curve = common.Clock(), common.Curve()
    train, test, classes = common.read(options)
    # The head is drawn before the Trainer sets its seed.
    set_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.base, num_labels=classes, dtype=torch.float32
    )
    encoded = tokenizer(train.texts, truncation=True, max_length=common.MAX_TOKENS)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(
            encoded["input_ids"], encoded["attention_mask"], train.labels, strict=True
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            seed=options.seed,
            # Checkpoints and bars are left out: they would only cost the Trainer time.
            save_strategy="no",
            disable_tqdm=True,
            **changed,
        )
        batch, epochs = arguments.per_device_train_batch_size, int(arguments.num_train_epochs)
        with clock.stopped():
            score = common.scorer(model, tokenizer, test)
        scoring = Scoring(clock, curve, common.marks(len(rows), batch, epochs), score)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            callbacks=[scoring],
        )
        trainer.train()
    seconds = clock.seconds()
    told = {key: getattr(arguments, key) for key in TOLD}
    common.write(
        options,
        f"trainer {options.recipe}",
        ["torch", "transformers", "accelerate", "tokenizers"],
        {**told, "padding": "to the longest of a batch", "precision": "fp32"},
        curve,
        seconds=seconds,
        examples_per_second=epochs * len(rows) / (seconds - scoring.began),
    )


if __name__ == "__main__":
    main()
