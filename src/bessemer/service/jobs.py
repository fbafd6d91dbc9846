"""Projects from elsewhere: their files received, checked, run in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bessemer.compute.local import LocalExecutor
from bessemer.core import folder
from bessemer.core.dataset import Inspection
from bessemer.core.errors import RequestError, TooLargeError, UnknownNameError
from bessemer.core.progress import Watcher
from bessemer.core.records import Check, Run, Until
from bessemer.service import project_file
from bessemer.service.home import Home
from bessemer.service.project_file import FILE, Loaded
from bessemer.service.runs import Runs

#: Of one uploaded file.
MOST_UPLOAD_BYTES = 2_000_000_000
JOB = "job.json"


class Jobs:
    """What an owner at a distance asks this machine to do."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._executor = LocalExecutor(home.root / "jobs")
        self._running: set[str] = set()

    def acting_for(self, home: Home) -> Jobs:
        """Return the same jobs on behalf of another."""
        other = Jobs(home)
        other._executor, other._running = self._executor, self._running
        return other

    def has(self, sha256: str) -> bool:
        """Return whether a file was received."""
        return self._upload(sha256).is_file()

    def received(self, sha256: str) -> Path:
        """Return where a received file lies.

        Raises:
            UnknownNameError: It was not received.
        """
        if not self.has(sha256):
            raise UnknownNameError("file", sha256, [])
        return self._upload(sha256)

    async def receive(self, sha256: str, content: AsyncIterator[bytes]) -> None:
        """Keep an uploaded file under its digest.

        Raises:
            RequestError: The bytes have another digest.
            TooLargeError: There are too many of them.
            StorageError: The disk is full or refuses.
        """
        target = self._upload(sha256)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        digest, size = hashlib.sha256(), 0
        with folder.storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("wb") as file:
                    async for chunk in content:
                        size += len(chunk)
                        if size > MOST_UPLOAD_BYTES:
                            raise TooLargeError(
                                f"The file has more than {MOST_UPLOAD_BYTES:,} bytes.",
                                remedy="Put it on the server's disk and run the project there.",
                            )
                        digest.update(chunk)
                        file.write(chunk)
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
                if digest.hexdigest() != sha256:
                    raise RequestError(
                        f"The bytes received have the SHA-256 {digest.hexdigest()}, not {sha256}.",
                        remedy="Send the file again.",
                    )
                aside.rename(target)
            finally:
                aside.unlink(missing_ok=True)

    def check(self, project: str, files: Mapping[str, str]) -> Check:
        """Validate a project from elsewhere and its data; see `Platform.check`."""
        from bessemer.service.running import check

        return check(self._home, self._load(project, files, self._home.root))

    def inspect(self, project: str, files: Mapping[str, str]) -> Inspection:
        """Rank a project's rows by how probably their label is wrong; see `Platform.inspect`."""
        from bessemer.service.inspecting import inspect

        return inspect(self._home, self._load(project, files, self._home.root), Watcher())

    def submit(
        self, project: str, files: Mapping[str, str], until: Until, override: str | None = None
    ) -> Run:
        """Begin a run in a process of its own and return its record; follow it with `runs.show`.

        Args:
            project: The text of the project file.
            files: SHA-256 of each local file that it names, received before.
            until: The last thing to do.
            override: An owner's reason to release in spite of the gate, or None.

        Raises:
            UserError: The project file is wrong or a file was not sent.
        """
        loaded = self._load(project, files, self._home.root)
        resolved = loaded.project.model_dump(mode="json")
        record = Runs(self._home).begin(loaded.project.name, "", resolved)
        place = self._home.root / "jobs" / record.id
        folder.atomic_file(place / FILE, project.encode())
        job = {
            "run": record.id,
            "home": str(self._home.root),
            "actor": self._home.actor,
            "until": until,
            "override": override,
            "uploads": {name: str(path) for name, path in (loaded.uploads or {}).items()},
        }
        folder.atomic_file(place / JOB, json.dumps(job).encode())
        self._executor.submit(record.id, ["bessemer.service.job", str(place)])
        self._running.add(record.id)
        return record

    def reap(self) -> None:
        """Collect processes that have ended, and close the records of those that could not."""
        for job in list(self._running):
            if self._executor.status(job) == "running":
                continue
            self._running.discard(job)
            runs = Runs(self._home)
            record = runs.show(job)
            if record.state in ("running", "interrupted"):
                told = self._executor.output(job).strip().rpartition("\n")[2]
                error = f"Its process ended before its time. It said last: {told or 'nothing'}"
                ended = {"state": "failed", "error": error, "ended_at": self._home.clock()}
                runs.save(record.model_copy(update=ended))

    def close(self) -> None:
        """End every process that was begun here; their trainings go on when run again."""
        for job in list(self._running):
            self._executor.cancel(job)
            self._running.discard(job)

    def _load(self, project: str, files: Mapping[str, str], base: Path) -> Loaded:
        uploads = {name: self._named(name, sha256) for name, sha256 in files.items()}
        return project_file.parse(project, base, FILE, uploads=uploads)

    def _named(self, name: str, sha256: str) -> Path:
        """Return a received file under a name with the ending that tells how to read it."""
        path = self._upload(sha256)
        if not path.is_file():
            raise RequestError(
                f"The file {name!r} ({sha256}) was not received.",
                remedy="Send it first, with PUT /api/v1/files/<its SHA-256>.",
            )
        from bessemer.prepare.text import COMPRESSED

        endings = Path(name.lower()).suffixes
        endings = endings[-2:] if endings and endings[-1] in COMPRESSED else endings[-1:]
        ending = "".join(endings)
        if not ending.replace(".", "").isalnum() or len(ending) > 14:
            raise RequestError(
                f"The file name {name!r} has no ending that tells how to read it.",
                remedy="Name it, say, table.csv.",
            )
        named = path.with_name(f"{sha256}{ending}")
        with folder.storage_errors(named), contextlib.suppress(FileExistsError):
            named.hardlink_to(path)
        return named

    def _upload(self, sha256: str) -> Path:
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise RequestError(
                f"{sha256[:80]!r} is no SHA-256.", remedy="Write 64 hexadecimal digits."
            )
        return self._home.root / "uploads" / sha256
