"""A training that is killed again and again ends with the bits of one that was not."""

from __future__ import annotations

from pathlib import Path

from bench.resume import kill_again_and_again


def test_ten_kills_change_no_bit(tmp_path: Path) -> None:
    """SIGKILL of the process group at random instants; `python -m bench resume` does 200."""
    found = kill_again_and_again(10, tmp_path)
    assert found.kills == 10
    assert (found.broken, found.different) == (0, 0)
