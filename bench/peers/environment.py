"""The environment that a peer runs in, made when it is first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.base import OUT

PEERS = Path(__file__).resolve().parent
#: Peers that run in another's environment: their requirements are the same.
SHARED = {"plain": "trainer"}


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment; a first call takes minutes.

    Where plain pip would take a build of torch for GPUs, PIP_EXTRA_INDEX_URL names a better place.
    """
    name = SHARED.get(name, name)
    requirements = PEERS / name / "requirements.txt"
    home = OUT / "peers" / name
    python = home / "bin" / "python"
    # Written last, so that a half-made or outdated environment is made anew.
    done = home / "installed.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(f"making the environment of {name} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([str(python), *install, "-r", str(requirements)], check=True)
        done.write_text(wanted, encoding="utf-8")
    return python
