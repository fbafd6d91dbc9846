"""A PostgreSQL server of the tests' own, from Debian's package."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def server(place: Path) -> Iterator[str]:
    """Yield the URL of a fresh server without its database's name; skip where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    tools = Path(on_path).parent if on_path else max(found, default=None)
    if tools is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    place.mkdir()
    # The server refuses to run as root.
    user = "postgres" if getpass.getuser() == "root" else getpass.getuser()
    become = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    shutil.chown(place, user)
    for folder in place.parents:
        if folder.owner() == getpass.getuser() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(place / "data")

    def tool(name: str, *arguments: str) -> None:
        command = [*become, str(tools / name), "-D", data, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    tool("initdb", "--auth=trust", "--username=bessemer", "--no-sync", "--encoding=UTF8")
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    tool("pg_ctl", "start", "--wait", "-l", str(place / "log"), "-o", options)
    try:
        yield f"postgresql://bessemer@127.0.0.1:{port}"
    finally:
        # Not pg_ctl: another test run may have closed the folder to the server's user meanwhile.
        process = int((place / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGQUIT)
