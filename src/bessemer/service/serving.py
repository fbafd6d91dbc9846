"""A serving process: the data plane with everything it may not reach for itself."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from bessemer.core.errors import BessemerError
from bessemer.core.records import Call
from bessemer.serve import residents
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.residents import Resident
from bessemer.service import calls, signing, snapshot
from bessemer.service.home import Home
from bessemer.service.jobs import Jobs
from bessemer.store.journal import Journal

#: Seconds between two looks at the snapshot; changes must reach a server within 1 s.
REFRESH_SECONDS = 0.25
#: Looks between two drains of the journal.
DRAIN_EVERY = 8

_log = logging.getLogger(__name__)


class Serving:
    """Runs a data plane: follows the snapshot, keeps the journal and drains it."""

    def __init__(self, home: Home, jobs: Jobs) -> None:
        self._home = home
        self._jobs = jobs
        self._journal = Journal(home.root / calls.FOLDER)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="maintenance", daemon=True)
        self.plane = DataPlane(
            snapshot=lambda: snapshot.read(home.root),
            load=self._load,
            record=self._record,
            clock=home.clock,
            threads=os.cpu_count() or 1,
        )

    def start(self) -> None:
        """Publish the snapshot, load what it names and follow it from now on."""
        snapshot.publish(self._home)
        self.plane.refresh()
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in hand, close the journal and drain it."""
        self.plane.close()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._journal.rotate()
        calls.drain(self._home)
        self._journal.close()

    def _load(self, bundle: Path) -> Resident:
        signing.verify(self._home, bundle)
        return residents.load(bundle, checked=True)

    def _record(self, call: Call) -> None:
        self._journal.append(call.model_dump_json().encode())

    def _follow(self) -> None:
        """Do the chores; one that fails is tried again and never ends the serving."""
        looks = 0
        while not self._stop.wait(REFRESH_SECONDS):
            looks += 1
            try:
                self.plane.refresh()
                self._jobs.reap()
                if looks % DRAIN_EVERY == 0:
                    self._journal.rotate()
                    calls.drain(self._home)
                    # A publisher may have died between its commit and its file.
                    snapshot.publish(self._home)
            except BessemerError as error:
                _log.error("%s", error)
            except Exception:
                _log.exception("a chore failed")
