"""The process of one submitted run: `python -m bessemer.service.job <folder>`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bessemer.core.progress import Watcher
from bessemer.service import project_file
from bessemer.service.home import open_home
from bessemer.service.jobs import JOB
from bessemer.service.project_file import FILE
from bessemer.service.running import run
from bessemer.service.runs import Runs


def main(place: Path) -> None:
    """Run what `Jobs.submit` wrote down; a failure before the first stage is recorded too."""
    job = json.loads((place / JOB).read_text(encoding="utf-8"))
    home = open_home(job["home"]).acting_for(job["actor"])
    try:
        text = (place / FILE).read_text(encoding="utf-8")
        uploads = {name: Path(path) for name, path in job["uploads"].items()}
        loaded = project_file.parse(text, place, FILE, uploads=uploads)
        run(home, loaded, job["until"], Watcher(), job["run"], job["override"])
    except Exception as error:
        record = Runs(home).show(job["run"])
        if record.state in ("running", "interrupted"):
            ended = {"state": "failed", "error": str(error), "ended_at": home.clock()}
            Runs(home).save(record.model_copy(update=ended))
        raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
