"""A serving process: the data plane with everything it may not reach for itself."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from bessemer.core.errors import BessemerError, UnknownNameError
from bessemer.core.records import Call
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.policies import POLICIES
from bessemer.serve.residents import Resident, Residents
from bessemer.service import calls, signing, snapshot
from bessemer.service.home import Home
from bessemer.service.jobs import Jobs
from bessemer.store.journal import Journal

#: Seconds between two looks at the snapshot; changes must reach a server within 1 s.
FOLLOW_SECONDS = 0.25
#: Seconds between two drains of the journal.
DRAIN_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Serving:
    """Runs a data plane: follows the snapshot, keeps the journal and drains it."""

    def __init__(self, home: Home, jobs: Jobs, policy: str) -> None:
        if policy not in POLICIES:
            raise UnknownNameError("policy", policy, POLICIES)
        self._home = home
        self._jobs = jobs
        self._journal = Journal(home.root / calls.FOLDER)
        self._residents = Residents()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=chore, name=name, daemon=True)
            for name, chore in {
                "follow": (self._follow, FOLLOW_SECONDS),
                "drain": (self._drain, DRAIN_SECONDS),
            }.items()
        ]
        self.plane = DataPlane(
            snapshot=lambda: snapshot.read(home.root),
            load=self._load,
            record=self._record,
            clock=home.clock,
            threads=os.cpu_count() or 1,
            policy=POLICIES[policy](),
        )

    def start(self) -> None:
        """Publish the snapshot, load what it names and follow it from now on."""
        snapshot.publish(self._home)
        self.plane.refresh()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is in hand, close the journal and drain it."""
        self.plane.close()
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._journal.close()
        calls.drain(self._home)

    def _load(self, bundle: Path) -> Resident:
        return self._residents.load(bundle, signing.signed(self._home, bundle))

    def _record(self, calls: Sequence[Call]) -> None:
        self._journal.append(*(call.model_dump_json().encode() for call in calls))

    def _follow(self) -> None:
        self.plane.refresh()
        self.plane.meter.waiting(self.plane.waiting[0])

    def _drain(self) -> None:
        self._journal.rotate()
        calls.drain(self._home)
        # A publisher may have died between its commit and its file.
        snapshot.publish(self._home)
        self._jobs.reap()

    def _repeat(self, chore: Callable[[], None], seconds: float) -> None:
        """Do a chore again and again; one that fails never ends the serving."""
        while not self._stop.wait(seconds):
            try:
                chore()
            except BessemerError as error:
                _log.error("%s", error)
            except Exception:
                _log.exception("a chore failed")
