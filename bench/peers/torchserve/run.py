"""TorchServe: a Java process that answers requests, and Python workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.peers.minilm import Settings, free_ports

HERE = Path(__file__).resolve().parent


def main() -> None:
    settings = Settings.of_command_line()
    scripts = Path(sys.executable).parent
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    Path("store").mkdir(exist_ok=True)
    archive = ["--model-name", "minilm", "--version", "1.0", "--handler", str(HERE / "handler.py")]
    archive += ["--export-path", "store", "--force"]
    subprocess.run([scripts / "torch-model-archiver", *archive], check=True)
    model = {
        "defaultVersion": True,
        "marName": "minilm.mar",
        "minWorkers": settings.workers,
        "maxWorkers": settings.workers,
        "batchSize": settings.batch,
        "maxBatchDelay": max(1, round(settings.wait_ms)),
        "responseTimeout": 60,
    }
    address = "http://127.0.0.1"
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    told = {
        "inference_address": f"{address}:{settings.port}",
        "management_address": f"{address}:{management}",
        "metrics_address": f"{address}:{metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": "store",
        "load_models": "minilm.mar",
        "models": json.dumps({"minilm": {"1.0": model}}),
        "job_queue_size": 1000,
        "disable_system_metrics": "true",
        "disable_token_authorization": "true",
    }
    lines = [f"{name}={value}" for name, value in told.items()]
    Path("config.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["--start", "--foreground", "--no-config-snapshots", "--disable-token-auth"]
    command += ["--ts-config", "config.properties", "--log-config", str(HERE / "log4j2.xml")]
    os.execv(scripts / "torchserve", ["torchserve", *command])


if __name__ == "__main__":
    main()
