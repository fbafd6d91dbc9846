"""LitServe: API processes that hand requests to worker processes."""

from __future__ import annotations

from typing import Any

import litserve
from bench.peers.minilm import Model, Settings


class Classifier(litserve.LitAPI):
    """`{"text": …}` in, `{"label", "score"}` out; lists of them where texts are batched.

    What LitServe hands to pydantic when it is annotated is left without annotations.
    """

    def setup(self, device: str) -> None:
        self._model = Model(Settings.of_environment())

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["text"]

    def predict(self, x: Any) -> Any:
        return self._model.classify([x])[0] if isinstance(x, str) else self._model.classify(x)


def main() -> None:
    settings = Settings.of_command_line()
    classifier = Classifier(max_batch_size=settings.batch, batch_timeout=settings.wait_ms / 1000)
    server = litserve.LitServer(
        classifier,
        accelerator="cpu",
        workers_per_device=settings.workers,
        timeout=60,
        fast_queue="fast queue" in settings.special,
    )
    server.run(
        host="127.0.0.1",
        port=settings.port,
        num_api_servers=1 if "one API process" in settings.special else settings.workers,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
