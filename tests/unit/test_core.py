"""Digests, folders that are whole or absent, the catalogue, errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.core import digest, folder
from bessemer.core.catalogue import Catalogue
from bessemer.core.errors import (
    CorruptError,
    MissingExtraError,
    StorageError,
    UnknownNameError,
    needs,
)
from bessemer.prepare.sources.base import SOURCES, Source


@given(st.dictionaries(st.text(), st.lists(st.integers() | st.text() | st.none())))
def test_key_order_does_not_change_a_digest(value: dict[str, object]) -> None:
    assert digest.of_json(value) == digest.of_json(dict(reversed(value.items())))


def test_a_digest_refuses_what_has_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest.of_json({"x": float("nan")})


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with folder.atomic_folder(target) as aside:
        (aside / "a.txt").write_text("a")
        assert not target.exists()
    assert folder.check(target) == {"a.txt": digest.of_bytes(b"a")}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_whose_making_failed_does_not_appear(tmp_path: Path) -> None:
    def make() -> None:
        with folder.atomic_folder(tmp_path / "out") as aside:
            (aside / "a.txt").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make()
    assert list(tmp_path.iterdir()) == []


def test_any_flipped_bit_missing_or_added_file_is_found(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with folder.atomic_folder(target) as aside:
        (aside / "a.bin").write_bytes(b"abc")
    for position in range(3):
        for bit in range(8):
            changed = bytearray(b"abc")
            changed[position] ^= 1 << bit
            (target / "a.bin").write_bytes(changed)
            with pytest.raises(CorruptError, match=r"a\.bin was changed"):
                folder.check(target)
    (target / "a.bin").write_bytes(b"abc")
    folder.check(target)
    (target / "b.bin").symlink_to("a.bin")
    with pytest.raises(CorruptError, match=r"b\.bin"):
        folder.check(target)
    (target / "b.bin").unlink()
    (target / "a.bin").unlink()
    with pytest.raises(CorruptError, match=r"a\.bin"):
        folder.check(target)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_what_the_disk_refuses_is_said(tmp_path: Path, number: int) -> None:
    def write() -> None:
        with folder.atomic_folder(tmp_path / "out"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError, match="out"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    folder.atomic_file(path, b"one", mode=0o600)
    folder.atomic_file(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no source 'cvs'. Did you mean 'csv'\?"):
        SOURCES.load("cvs")


def test_a_part_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "needy_part.py").write_text("import nowhere_to_be_found")
    monkeypatch.syspath_prepend(tmp_path)
    catalogue: Catalogue[Source] = Catalogue("source", "parts", Source, "vision")
    assert catalogue.names() == ["needy-part"]
    with pytest.raises(MissingExtraError, match=r"pip install 'bessemer\[vision\]'"):
        catalogue.load("needy-part")


def test_our_own_missing_module_is_a_bug_and_no_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs("train"):
        import bessemer.nothing  # noqa: F401
