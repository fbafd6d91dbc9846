"""Load a bundle in a process of its own and compare its answers with those it was made with.

    python -m bessemer.service.reload <bundle> <texts.json> <logits.npz>

Ends with 0 when every logit is equal to the bit, else with 1 and a reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bessemer.core.errors import BessemerError
from bessemer.serve import residents
from bessemer.service import logits as kept


def main(bundle: str, texts: str, logits: str) -> int:
    """Compare and return the exit code."""
    wanted = kept.read(Path(logits))
    try:
        found = residents.load(Path(bundle)).logits(json.loads(Path(texts).read_text("utf-8")))
    except BessemerError as error:
        print(error)
        return 1
    for one, other in zip(found, wanted, strict=True):
        if one.tobytes() != other.tobytes():
            print(f"logits differ: {one.ravel()[:5]} and {other.ravel()[:5]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
