"""The plain PyTorch loop of the tutorials: every text padded to 128 tokens, AdamW in fp32."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_scheduler

sys.path.append(str(Path(__file__).resolve().parents[3]))

from bench.peers import common

BATCH = 16


class Texts(Dataset):
    """Tokenizes and pads a text when it is asked for."""

    def __init__(self, split: common.Split, tokenizer: Any) -> None:
        self.split = split
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.split.texts)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        encoded = self.tokenizer(
            self.split.texts[row],
            padding="max_length",
            truncation=True,
            max_length=common.MAX_TOKENS,
            return_tensors="pt",
        )
        return {
            "input_ids": encoded["input_ids"].flatten(),
            "attention_mask": encoded["attention_mask"].flatten(),
            "labels": torch.tensor(self.split.labels[row]),
        }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=5e-5)
    options = parser.parse_args()
    common.limit_threads(options.threads)
    torch.manual_seed(options.seed)
    clock, curve = common.Clock(), common.Curve()
    train, test, classes = common.read(options)
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.base, num_labels=classes, dtype=torch.float32
    )
    loader = DataLoader(Texts(train, tokenizer), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    steps = options.epochs * len(loader)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=steps)
    with clock.stopped():
        score = common.scorer(model, tokenizer, test)
    marks = common.marks(len(train.texts), BATCH, options.epochs)
    model.train()
    began, step = clock.seconds(), 0
    for _ in range(options.epochs):
        for batch in loader:
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step in marks:
                seconds = clock.seconds()
                with clock.stopped():
                    curve.add(seconds, marks[step], score())
    seconds = clock.seconds()
    settings = {
        "batch": BATCH,
        "epochs": options.epochs,
        "lr": options.lr,
        "optimizer": "AdamW, weight decay 0.01",
        "schedule": "linear to 0, no warm-up",
        "padding": f"every text to {common.MAX_TOKENS} tokens",
        "precision": "fp32",
    }
    common.write(
        options,
        "plain",
        ["torch", "transformers", "tokenizers"],
        settings,
        curve,
        seconds=seconds,
        examples_per_second=options.epochs * len(train.texts) / (seconds - began),
    )


if __name__ == "__main__":
    main()
