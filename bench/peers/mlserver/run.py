"""MLServer: one process that answers requests, and inference processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.peers.minilm import Settings, free_ports


def main() -> None:
    settings = Settings.of_command_line()
    grpc_port, metrics_port = free_ports(2)
    server = {
        "host": "127.0.0.1",
        "http_port": settings.port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        # 0 computes in the process that answers.
        "parallel_workers": settings.workers,
        "debug": False,
        "gzip_enabled": False,
    }
    model = {
        "name": "minilm",
        "implementation": "bench.peers.mlserver.classifier.Classifier",
        "max_batch_size": settings.batch if settings.batch > 1 else 0,
        "max_batch_time": settings.wait_ms / 1000,
    }
    Path("settings.json").write_text(json.dumps(server), encoding="utf-8")
    Path("model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [program, "start", "."])


if __name__ == "__main__":
    main()
