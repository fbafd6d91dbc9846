"""BentoML: worker processes that share a socket."""

from __future__ import annotations

import os
import sys

from bench.peers.minilm import Settings


def main() -> None:
    settings = Settings.of_command_line()
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.environ["BENTOML_HOME"] = os.getcwd()
    command = ["serve", "bench.peers.bentoml.service:Classifier", "--host", "127.0.0.1"]
    command += ["--port", str(settings.port)]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *command])


if __name__ == "__main__":
    main()
