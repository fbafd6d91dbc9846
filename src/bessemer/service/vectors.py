"""What the frozen base makes of texts, computed once for each list of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bessemer.core import digest, folder
from bessemer.core.errors import needs
from bessemer.core.progress import Progress
from bessemer.pretrained import resolve
from bessemer.service.home import Home
from bessemer.service.recipe import STAGES, Plan
from bessemer.tasks.base import TASKS

FILE = "vectors.npy"


def vectors(
    home: Home, plan: Plan, texts: Sequence[str], progress: Progress
) -> NDArray[np.float32]:
    """Return the base's vectors of texts, shape [n, width], each of length 1.

    They lie in the home under the digest of texts and base, so that another call finds them. The
    head that a task would put on them plays no part: each is the mean over its text's tokens.

    Args:
        home: Where they lie.
        plan: Says the base, how many of its layers are used, and how much of a text is read.
        texts: One or more.
        progress: Is told after every batch.
    """
    train = plan.project.train
    key = digest.of_json(
        {
            "stage": f"encode@{STAGES['encode']}",
            "task": plan.parts["task"],
            "texts": digest.of_json(list(texts)),
            "base": plan.base.record.digest,
            "layers": train.base_layers,
            "length": train.max_length,
        }
    )
    stages = home.stages
    with stages.lock("encode", key):
        if not stages.has("encode", key):
            with stages.make("encode", key) as aside, needs("train"):
                np.save(aside / FILE, _encoded(plan, texts, progress))
    path = stages.path("encode", key)
    folder.check(path)
    found: NDArray[np.float32] = np.load(path / FILE, mmap_mode="r", allow_pickle=False)
    return found


def _encoded(plan: Plan, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    from bessemer.pretrained.encoder import Encoder
    from bessemer.serve.residents import tokenizer
    from bessemer.train.device import device
    from bessemer.train.embed import embed

    train, base = plan.project.train, plan.base
    task = TASKS.load(plan.project.task)(plan.project.data.labels)
    tokens = tokenizer(base.folder / resolve.TOKENISER)
    features = task.encode(tokens, texts, train.max_length).features
    encoder = Encoder(base.config, base.folder / resolve.WEIGHTS, pooled=True)
    return np.stack(embed(encoder, features, progress, "encode", device(train.device)))
