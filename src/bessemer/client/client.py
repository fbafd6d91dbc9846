"""The same methods as `bessemer.open()`, answered by a server's control plane."""

from __future__ import annotations

import builtins
import json
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from bessemer.client.transport import Http, quoted
from bessemer.core import errors, folder
from bessemer.core.dataset import Inspection
from bessemer.core.datasets import Difference, Exported, Form, NamedDataset
from bessemer.core.labelling import Campaign, Guideline, Imported, Progress
from bessemer.core.progress import Watcher
from bessemer.core.records import (
    Alias,
    Check,
    Deployment,
    Key,
    NewKey,
    Release,
    Role,
    Run,
    RunComparison,
    Until,
    Verification,
)
from bessemer.core.report import Comparison, ReportDocument
from bessemer.service import inputs, project_file

POLL_SECONDS = 0.5
#: The rows are encoded before there is an answer.
INSPECTION_SECONDS = 3600


class Client:
    """A server, as an owner sees it.

    Args:
        url: For example `http://127.0.0.1:8080`.
        key: An owner key.
    """

    def __init__(self, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise errors.RequestError(f"The address {url!r} begins with neither http nor https.")
        self._http = Http(url.rstrip("/") + "/api/v1", key)
        self.runs = _Runs(self._http)
        self.datasets = _Datasets(self._http)
        self.reports = _Reports(self._http)
        self.releases = _Releases(self._http)
        self.deployments = _Deployments(self._http)
        self.aliases = _Aliases(self._http)
        self.keys = _Keys(self._http)
        self.campaigns = _Campaigns(self._http)

    def check(self, project: str | Path, watcher: Watcher | None = None) -> Check:
        """Send a project and its files and have them validated; see `Platform.check`."""
        return Check.model_validate(self._http.call("POST", "/checks", self._sent(project)))

    def inspect(self, project: str | Path, watcher: Watcher | None = None) -> Inspection:
        """Send a project and have its labels doubted, for an hour at most; see `Platform`."""
        sent = self._sent(project)
        found = self._http.call("POST", "/inspections", sent, timeout=INSPECTION_SECONDS)
        return Inspection.model_validate(found)

    def run(
        self,
        project: str | Path,
        *,
        until: Until = "deploy",
        override: str | None = None,
        watcher: Watcher | None = None,
    ) -> Run:
        """Send a project and its files, run it there and wait; see `Platform.run`.

        Raises:
            BessemerError: The run failed; the message is the server's.
        """
        body = {**self._sent(project), "until": until, "override": override}
        run = Run.model_validate(self._http.call("POST", "/runs", body))
        told: set[str] = set()
        while True:
            for stage, seconds in run.seconds.items():
                if watcher is not None and stage not in told:
                    reused = stage in run.reused
                    watcher.ended(stage, seconds, reused=reused, note="")
                told.add(stage)
            if run.state in ("failed", "interrupted"):
                raise errors.BessemerError(f"The run {run.id} {run.state}: {run.error}")
            if run.state != "running":
                return run
            time.sleep(POLL_SECONDS)
            run = self.runs.show(run.id)

    def prepare(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the checked and split rows."""
        return self.run(project, until="prepare", watcher=watcher)

    def train(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the weights."""
        return self.run(project, until="train", watcher=watcher)

    def evaluate(self, project: str | Path, *, watcher: Watcher | None = None) -> Run:
        """Run as far as the report."""
        return self.run(project, until="evaluate", watcher=watcher)

    def release(
        self,
        project: str | Path,
        *,
        override: str | None = None,
        watcher: Watcher | None = None,
    ) -> Run:
        """Run as far as the signed release, and deploy nothing."""
        return self.run(project, until="release", override=override, watcher=watcher)

    def compare(self, first: str, second: str) -> Comparison:
        """Have two models held against each other on the same test rows; see `Platform.compare`."""
        path = f"/comparisons/{quoted(first)}/{quoted(second)}"
        return Comparison.model_validate(self._http.call("GET", path))

    def deploy(
        self, release: str, route: str | None = None, canary: float | None = None
    ) -> Deployment:
        """Let a route serve a release, or a share of its callers."""
        body = {"release": release, "route": route, "canary": canary}
        return Deployment.model_validate(self._http.call("POST", "/deployments", body))

    def _sent(self, project: str | Path) -> dict[str, Any]:
        """Send a project's local files where the server lacks them; return the request body."""
        loaded = project_file.load(Path(project))
        path = Path(project)
        path = path / project_file.FILE if path.is_dir() else path
        files: dict[str, str] = {}
        for name, local in inputs.local_files(loaded).items():
            files[name] = self._http.send_file(local)
        return {"project": path.read_text(encoding="utf-8"), "files": files}


class _Runs:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, project: str | None = None) -> builtins.list[Run]:
        """Return all runs, or a project's, newest first."""
        return self._http.nouns("/runs", Run, project=project)

    def show(self, run: str) -> Run:
        """Return one run."""
        return Run.model_validate(self._http.call("GET", f"/runs/{quoted(run)}"))

    def compare(self, first: str, second: str) -> RunComparison:
        """Return two runs side by side."""
        path = f"/runs/{quoted(first)}/compare/{quoted(second)}"
        return RunComparison.model_validate(self._http.call("GET", path))


class _Reports:
    def __init__(self, http: Http) -> None:
        self._http = http

    def show(self, run: str) -> ReportDocument:
        """Return the report of a run, a release or a project, with the texts that it shows."""
        return ReportDocument.model_validate(self._http.call("GET", f"/reports/{quoted(run)}"))

    def page(self, run: str, language: str = "en") -> str:
        """Return a report as one HTML file."""
        query = urllib.parse.urlencode({"language": language})
        with tempfile.TemporaryFile() as received:
            self._http.receive(f"/reports/{quoted(run)}/page?{query}", received)
            received.seek(0)
            return received.read().decode()


class _Datasets:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, project: str | None = None) -> builtins.list[NamedDataset]:
        """Return all data sets, or a project's, newest first, without their profiles."""
        return self._http.nouns("/datasets", NamedDataset, project=project)

    def show(self, dataset: str) -> NamedDataset:
        """Return one data set with its profile and the runs that it went into."""
        return NamedDataset.model_validate(self._http.call("GET", f"/datasets/{quoted(dataset)}"))

    def diff(self, first: str, second: str) -> Difference:
        """Have two data sets compared row by row."""
        path = f"/datasets/{quoted(first)}/diff/{quoted(second)}"
        return Difference.model_validate(self._http.call("GET", path))

    def export(
        self, dataset: str, path: str | Path, form: Form = "csv", split: str | None = None
    ) -> Exported:
        """Fetch a data set's rows and its card into a new folder; see `Datasets.export`."""
        target = Path(path).absolute()
        folder.check_new(target)
        named = self.show(dataset)
        query = urllib.parse.urlencode({"form": form} | ({"split": split} if split else {}))
        with tempfile.TemporaryFile() as received:
            self._http.receive(f"/datasets/{quoted(named.id)}/export?{query}", received)
            with folder.atomic_folder(target) as aside, zipfile.ZipFile(received) as archive:
                archive.extractall(aside)
                card = json.loads((aside / "croissant.json").read_text(encoding="utf-8"))
                files = {one["name"]: one["sha256"] for one in card["distribution"]}
                for name, sha256 in files.items():
                    folder.check_file(aside / name, sha256)
        counts = named.dataset.counts
        rows = sum(counts.values()) if split is None else counts[split]
        return Exported(dataset=named.id, form=form, path=str(target), rows=rows, files=files)


class _Releases:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, project: str | None = None) -> builtins.list[Release]:
        """Return all releases, or a project's, newest first."""
        return self._http.nouns("/releases", Release, project=project)

    def show(self, release: str) -> Release:
        """Return one release."""
        return Release.model_validate(self._http.call("GET", f"/releases/{quoted(release)}"))

    def verify(self, release: str) -> Verification:
        """Have a release's files and signature checked."""
        path = f"/releases/{quoted(release)}/verification"
        return Verification.model_validate(self._http.call("GET", path))


class _Deployments:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, route: str | None = None) -> builtins.list[Deployment]:
        """Return all deployments, or a route's, newest first."""
        return self._http.nouns("/deployments", Deployment, route=route)

    def promote(self, route: str) -> Deployment:
        """Make a route's canary live for all callers."""
        return self._change(route, "promote")

    def rollback(self, route: str) -> Deployment:
        """End a route's canary; without one, let it serve what it served before."""
        return self._change(route, "rollback")

    def unload(self, route: str) -> Deployment:
        """Let serving processes give a route's memory back."""
        return self._change(route, "unload")

    def load(self, route: str) -> Deployment:
        """Let an unloaded route serve again."""
        return self._change(route, "load")

    def _change(self, route: str, verb: str) -> Deployment:
        path = f"/deployments/{quoted(route)}/{verb}"
        return Deployment.model_validate(self._http.call("POST", path, {}))


class _Aliases:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> builtins.list[Alias]:
        """Return all aliases by name."""
        return self._http.nouns("/aliases", Alias)

    def set(self, name: str, route: str) -> Alias:
        """Let a name stand for a route from now on."""
        path = f"/aliases/{quoted(name)}"
        return Alias.model_validate(self._http.call("PUT", path, {"route": route}))

    def remove(self, name: str) -> Alias:
        """Let a name stand for nothing."""
        return Alias.model_validate(self._http.call("DELETE", f"/aliases/{quoted(name)}"))


class _Keys:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> builtins.list[Key]:
        """Return all keys, newest first."""
        return self._http.nouns("/keys", Key)

    def create(self, name: str, role: Role = "caller") -> NewKey:
        """Make a key; its secret is in the answer and nowhere else."""
        body = {"name": name, "role": role}
        return NewKey.model_validate(self._http.call("POST", "/keys", body))

    def revoke(self, key: str) -> Key:
        """Let a key never be valid again."""
        return Key.model_validate(self._http.call("DELETE", f"/keys/{quoted(key)}"))


class _Campaigns:
    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, project: str | None = None) -> builtins.list[Campaign]:
        """Return all campaigns, or a project's, newest first."""
        return self._http.nouns("/campaigns", Campaign, project=project)

    def show(self, campaign: str) -> Progress:
        """Return where a campaign stands, and how far its annotators agree."""
        return Progress.model_validate(self._http.call("GET", self._path(campaign)))

    def close(self, campaign: str) -> Campaign:
        """Let nobody be asked any more."""
        return Campaign.model_validate(self._http.call("POST", self._path(campaign, "close"), {}))

    def open(self, campaign: str) -> Campaign:
        """Let a closed campaign go on."""
        return Campaign.model_validate(self._http.call("POST", self._path(campaign, "open"), {}))

    def guide(self, campaign: str, text: str) -> Guideline:
        """Tell annotators something else from now on."""
        body = {"text": text}
        path = self._path(campaign, "guidelines")
        return Guideline.model_validate(self._http.call("POST", path, body))

    def export(
        self, campaign: str, path: str | Path, form: str | None = None, joined: bool = False
    ) -> Path:
        """Write all items and votes to a file here; see `Campaigns.export`."""
        local = Path(path)
        query = urllib.parse.urlencode({"form": form or local.suffix, "joined": joined})
        self._http.receive_file(self._path(campaign, f"export?{query}"), local)
        return local

    def import_(
        self,
        campaign: str,
        path: str | Path,
        form: str | None = None,
        annotator: str = "import",
    ) -> Imported:
        """Send a file of items and votes to a campaign; see `Campaigns.import_`."""
        local = Path(path)
        sent = self._http.send_file(local)
        body = {"file": sent, "form": form or local.suffix, "annotator": annotator}
        answer = self._http.call("POST", self._path(campaign, "import"), body)
        return Imported.model_validate(answer)

    def _path(self, campaign: str, verb: str = "") -> str:
        return f"/campaigns/{quoted(campaign)}" + (f"/{verb}" if verb else "")
