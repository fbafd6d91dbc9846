"""What the peers that serve share: the model, and how they are told. Runs in their Python."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load_file
from tokenizers import Tokenizer

#: Where a peer's own processes find their settings.
VARIABLE = "BENCH_SETTINGS"


@dataclass(frozen=True)
class Settings:
    """How a peer is to serve."""

    #: Folder of a Bessemer bundle.
    model: str
    port: int
    #: Processes (or instances) that compute, and each one's threads.
    workers: int
    threads: int
    #: The most texts that are computed together; 1 for no batching.
    batch: int
    #: How long a text waits for others to be computed with.
    wait_ms: float = 0.0
    #: Whether texts that were batched are padded and computed as one, else one by one.
    padded: bool = False
    #: What only this peer has, in the words of its README.
    special: str = ""

    def options(self) -> list[str]:
        """Return the command line that says the same."""
        told = {name.replace("_", "-"): value for name, value in asdict(self).items()}
        padded = ["--padded"] if told.pop("padded") else []
        return [*(f"--{name}={value}" for name, value in told.items()), *padded]

    @classmethod
    def of_command_line(cls) -> Settings:
        """Return what the command line says, and leave it to child processes."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--model", required=True)
        for name in ("port", "workers", "threads", "batch"):
            parser.add_argument(f"--{name}", type=int, required=True)
        parser.add_argument("--wait-ms", type=float, default=0.0)
        parser.add_argument("--padded", action="store_true")
        parser.add_argument("--special", default="")
        settings = cls(**vars(parser.parse_args()))
        os.environ[VARIABLE] = json.dumps(asdict(settings))
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        return settings

    @classmethod
    def of_environment(cls) -> Settings:
        """Return what the parent process was told."""
        return cls(**json.loads(os.environ[VARIABLE]))


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface on which nothing listens."""
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in bound]
    for one in bound:
        one.close()
    return ports


class Model:
    """A text classifier's bundle, computed as Bessemer computes it.

    Args:
        settings: Of these, the folder, threads, and whether batches are padded.
    """

    def __init__(self, settings: Settings) -> None:
        folder = Path(settings.model)
        told = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        self._labels: list[str] = told["labels"]
        self._temperature: float = told["calibration"]["temperature"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(told["max_length"])
        head = load_file(folder / "head.safetensors")
        self._weight, self._bias = head["weight"].T.copy(), head["bias"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait would take the cores from other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._padded = settings.padded

    def classify(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return label and probability of each text."""
        if self._padded:
            return self._compute(texts)
        return [self._compute([text])[0] for text in texts]

    def _compute(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = [row.ids for row in self._tokenizer.encode_batch_fast(list(texts))]
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        states = self._session.run(["states"], inputs)[0]
        means = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
        logits = vectors @ self._weight + self._bias
        scaled = logits.astype(np.float64) / self._temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        chances = weights / weights.sum(axis=1, keepdims=True)
        return [
            {"label": self._labels[best], "score": float(row[best])}
            for row, best in zip(chances, chances.argmax(axis=1), strict=True)
        ]
