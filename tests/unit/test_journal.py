"""The journal: what was appended is read again, torn or damaged lines are passed over."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.core.errors import StorageError
from bessemer.store import journal
from bessemer.store.journal import Journal

LINES = [b'{"n":%d}' % number for number in range(20)]


def written(root: Path) -> Path:
    writer = Journal(root)
    for line in LINES:
        writer.append(line)
    writer.close()
    return journal.segments(root)[0]


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    assert list(journal.read(written(tmp_path))) == LINES


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_torn_end_loses_only_the_torn_line(tmp_path_factory, cut: int) -> None:
    segment = written(tmp_path_factory.mktemp("journal"))
    content = segment.read_bytes()[:cut]
    segment.write_bytes(content)
    assert list(journal.read(segment)) == LINES[: content.count(b"\n")]


def test_a_flipped_bit_loses_only_its_line(tmp_path: Path) -> None:
    segment = written(tmp_path)
    content = bytearray(segment.read_bytes())
    content[content.index(b'"n":7') + 4] ^= 1
    segment.write_bytes(content)
    assert list(journal.read(segment)) == LINES[:7] + LINES[8:]


def test_a_full_disk_is_said_and_loses_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Journal(tmp_path)
    writer.append(LINES[0])
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for refusing in (half, full):
        monkeypatch.setattr(os, "write", refusing)
        with pytest.raises(StorageError, match="disk is full"):
            writer.append(LINES[1])
    monkeypatch.setattr(os, "write", real)
    writer.append(LINES[2])
    writer.close()
    assert list(journal.read(journal.segments(tmp_path)[0])) == [LINES[0], LINES[2]]


def test_a_segment_is_finished_when_nobody_writes_to_it(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.rotate()
    assert len(journal.segments(tmp_path)) == 1
    writer.append(LINES[0])
    writer.rotate()
    assert len(journal.segments(tmp_path)) == 2
    old, new = journal.segments(tmp_path)
    with journal.finished(old) as done:
        assert done
    with journal.finished(new) as done:
        assert not done
    writer.close()
    with journal.finished(new) as done:
        assert done
    with journal.finished(tmp_path / "gone") as done:
        assert not done
