"""The control plane, `/api/v1`: the same verbs and nouns as the other doors, for owners.

Each route is named like the method of `Platform` that it calls.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, StreamingResponse

from bessemer.core.dataset import Inspection
from bessemer.core.datasets import Difference, Form, NamedDataset
from bessemer.core.labelling import Campaign, Guideline, Imported, Progress
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
from bessemer.http.bodies import Strict, parse
from bessemer.service.platform import Platform

Sha256 = Annotated[str, InPath(pattern="^[0-9a-f]{64}$")]


class ProjectBody(Strict):
    """A project from elsewhere."""

    #: The text of the project file.
    project: str
    #: SHA-256 of each local file it names, sent before with `PUT /api/v1/files`.
    files: dict[str, str] = Field(default_factory=dict)


class RunBody(ProjectBody):
    """A project to run, as far as `until`."""

    until: Until = "deploy"
    #: An owner's reason to release in spite of the gate.
    override: str | None = None


class DeploymentBody(Strict):
    """A release for a route."""

    release: str
    route: str | None = None
    #: Share of the callers, or None for all.
    canary: float | None = None


class AliasBody(Strict):
    """What an alias stands for."""

    route: str


class GuidelineBody(Strict):
    """What annotators are told from now on."""

    text: str


class ImportBody(Strict):
    """A file of labelled items."""

    #: Its SHA-256, sent before with `PUT /api/v1/files`.
    file: str
    #: `csv`, `jsonl`, `label-studio`, `conll`, or an ending of files, as `.csv`.
    form: str
    #: Whose the votes are for which the file names nobody.
    annotator: str = "import"


class KeyBody(Strict):
    """A key to be made."""

    name: str
    role: Role = "caller"


def routes(platform: Platform) -> APIRouter:
    """Return all routes of the control plane on `platform`."""
    router = APIRouter(prefix="/api/v1", tags=["control plane"])

    def acting(request: Request) -> Platform:
        return platform.acting_for(request.state.key)

    _projects(router, acting)
    _reports(router, acting)
    _datasets(router, acting)
    _releases(router, acting)
    _deployments(router, acting)
    _aliases(router, acting)
    _keys(router, acting)
    _campaigns(router, acting)
    return router


def _projects(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.put("/files/{sha256}", name="files.put", status_code=204)
    async def put_file(request: Request, sha256: Sha256) -> Response:
        """Keep a file under its digest."""
        await acting(request).jobs.receive(sha256, request.stream())
        return Response(status_code=204)

    @router.get("/files/{sha256}", name="files.has", status_code=204)
    def has_file(request: Request, sha256: Sha256) -> Response:
        """Say whether a file was received."""
        acting(request).jobs.received(sha256)
        return Response(status_code=204)

    @router.post("/checks", name="check")
    async def check(request: Request) -> Check:
        """Validate a project and its data."""
        body = await parse(request, ProjectBody)
        jobs = acting(request).jobs
        return await run_in_threadpool(jobs.check, body.project, body.files)

    @router.post("/inspections", name="inspect")
    async def inspect(request: Request) -> Inspection:
        """Rank the rows of a project by how probably their label is wrong."""
        body = await parse(request, ProjectBody)
        jobs = acting(request).jobs
        return await run_in_threadpool(jobs.inspect, body.project, body.files)

    @router.post("/runs", name="run", status_code=202)
    async def submit(request: Request) -> Run:
        """Begin a run; follow it with `GET /api/v1/runs/{run}`."""
        body = await parse(request, RunBody)
        submit = acting(request).jobs.submit
        return await run_in_threadpool(submit, body.project, body.files, body.until, body.override)

    @router.get("/runs", name="runs.list")
    def list_runs(request: Request, project: str | None = None) -> list[Run]:
        """List runs, newest first."""
        return acting(request).runs.list(project)

    @router.get("/runs/{run}", name="runs.show")
    def show_run(request: Request, run: str) -> Run:
        """Show one run."""
        return acting(request).runs.show(run)

    @router.get("/runs/{first}/compare/{second}", name="runs.compare")
    def compare_runs(request: Request, first: str, second: str) -> RunComparison:
        """Show two runs side by side."""
        return acting(request).runs.compare(first, second)


def _reports(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/reports/{run}", name="reports.show")
    def show_report(request: Request, run: str) -> ReportDocument:
        """Show the report of a run, a release or a project, with the texts that it shows."""
        return acting(request).reports.show(run)

    @router.get("/reports/{run}/page", name="reports.page", response_class=HTMLResponse)
    def page(request: Request, run: str, language: str = "en") -> HTMLResponse:
        """Send a report as one HTML file."""
        return HTMLResponse(acting(request).reports.page(run, language))

    @router.get("/comparisons/{first}/{second}", name="compare")
    def compare(request: Request, first: str, second: str) -> Comparison:
        """Hold two models against each other on the same test rows."""
        return acting(request).compare(first, second)


def _datasets(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/datasets", name="datasets.list")
    def list_datasets(request: Request, project: str | None = None) -> list[NamedDataset]:
        """List data sets, newest first."""
        return acting(request).datasets.list(project)

    @router.get("/datasets/{dataset}", name="datasets.show")
    def show_dataset(request: Request, dataset: str) -> NamedDataset:
        """Show one data set: what it is, what was found in it, what it went into."""
        return acting(request).datasets.show(dataset)

    @router.get("/datasets/{first}/diff/{second}", name="datasets.diff")
    def diff_datasets(request: Request, first: str, second: str) -> Difference:
        """Compare two data sets row by row."""
        return acting(request).datasets.diff(first, second)

    @router.get("/datasets/{dataset}/export", name="datasets.export")
    def export_dataset(
        request: Request, dataset: str, form: Form = "csv", split: str | None = None
    ) -> StreamingResponse:
        """Send a data set's rows with its card, as a zip file."""
        name, pieces = acting(request).datasets.zipped(dataset, form, split)
        held = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=held)


def _releases(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/releases", name="releases.list")
    def list_releases(request: Request, project: str | None = None) -> list[Release]:
        """List releases, newest first."""
        return acting(request).releases.list(project)

    @router.get("/releases/{release}", name="releases.show")
    def show_release(request: Request, release: str) -> Release:
        """Show one release."""
        return acting(request).releases.show(release)

    @router.get("/releases/{release}/verification", name="releases.verify")
    def verify_release(request: Request, release: str) -> Verification:
        """Check a release's files and signature."""
        return acting(request).releases.verify(release)


def _deployments(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/deployments", name="deployments.list")
    def list_deployments(request: Request, route: str | None = None) -> list[Deployment]:
        """List deployments, newest first."""
        return acting(request).deployments.list(route)

    @router.post("/deployments", name="deploy", status_code=201)
    async def deploy(request: Request) -> Deployment:
        """Let a route serve a release, or a share of its callers."""
        body = await parse(request, DeploymentBody)
        change = acting(request).deploy
        return await run_in_threadpool(change, body.release, body.route, body.canary)

    @router.post("/deployments/{route}/promote", name="deployments.promote", status_code=201)
    def promote(request: Request, route: str) -> Deployment:
        """Make a route's canary live for all callers."""
        return acting(request).deployments.promote(route)

    @router.post("/deployments/{route}/rollback", name="deployments.rollback", status_code=201)
    def rollback(request: Request, route: str) -> Deployment:
        """End a route's canary; without one, let it serve what it served before."""
        return acting(request).deployments.rollback(route)

    @router.post("/deployments/{route}/unload", name="deployments.unload")
    def unload(request: Request, route: str) -> Deployment:
        """Let serving processes give a route's memory back."""
        return acting(request).deployments.unload(route)

    @router.post("/deployments/{route}/load", name="deployments.load")
    def load(request: Request, route: str) -> Deployment:
        """Let an unloaded route serve again."""
        return acting(request).deployments.load(route)


def _aliases(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/aliases", name="aliases.list")
    def list_aliases(request: Request) -> list[Alias]:
        """List aliases by name."""
        return acting(request).aliases.list()

    @router.put("/aliases/{name}", name="aliases.set")
    async def set_alias(request: Request, name: str) -> Alias:
        """Let a name stand for a route from now on."""
        body = await parse(request, AliasBody)
        return await run_in_threadpool(acting(request).aliases.set, name, body.route)

    @router.delete("/aliases/{name}", name="aliases.remove")
    def remove_alias(request: Request, name: str) -> Alias:
        """Let a name stand for nothing."""
        return acting(request).aliases.remove(name)


def _keys(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/keys", name="keys.list")
    def list_keys(request: Request) -> list[Key]:
        """List keys; no secret is among them."""
        return acting(request).keys.list()

    @router.post("/keys", name="keys.create", status_code=201)
    async def create_key(request: Request) -> NewKey:
        """Make a key; its secret is in this answer and nowhere else."""
        body = await parse(request, KeyBody)
        return await run_in_threadpool(acting(request).keys.create, body.name, body.role)

    @router.delete("/keys/{key}", name="keys.revoke")
    def revoke_key(request: Request, key: str) -> Key:
        """Let a key never be valid again."""
        return acting(request).keys.revoke(key)


def _campaigns(router: APIRouter, acting: Callable[[Request], Platform]) -> None:
    @router.get("/campaigns", name="campaigns.list")
    def list_campaigns(request: Request, project: str | None = None) -> list[Campaign]:
        """List labelling campaigns, newest first."""
        return acting(request).campaigns.list(project)

    @router.get("/campaigns/{campaign}", name="campaigns.show")
    def show_campaign(request: Request, campaign: str) -> Progress:
        """Show where a campaign stands, and how far its annotators agree."""
        return acting(request).campaigns.show(campaign)

    @router.post("/campaigns/{campaign}/close", name="campaigns.close")
    def close(request: Request, campaign: str) -> Campaign:
        """Let nobody be asked any more."""
        return acting(request).campaigns.close(campaign)

    @router.post("/campaigns/{campaign}/open", name="campaigns.open")
    def open_campaign(request: Request, campaign: str) -> Campaign:
        """Let a closed campaign go on."""
        return acting(request).campaigns.open(campaign)

    @router.post("/campaigns/{campaign}/guidelines", name="campaigns.guide", status_code=201)
    async def guide(request: Request, campaign: str) -> Guideline:
        """Tell annotators something else from now on."""
        body = await parse(request, GuidelineBody)
        return await run_in_threadpool(acting(request).campaigns.guide, campaign, body.text)

    @router.get("/campaigns/{campaign}/export", name="campaigns.export")
    def export(
        request: Request, campaign: str, form: str = "jsonl", joined: bool = False
    ) -> FileResponse:
        """Send all items and votes as a file."""
        place = tempfile.mkdtemp()
        gone = BackgroundTask(shutil.rmtree, place, ignore_errors=True)
        try:
            made = acting(request).campaigns.export(campaign, Path(place) / "items", form, joined)
        except BaseException:
            shutil.rmtree(place)
            raise
        kind = "application/octet-stream"  # what texts hold is nothing to be shown
        return FileResponse(made, media_type=kind, background=gone)

    @router.post("/campaigns/{campaign}/import", name="campaigns.import")
    async def import_(request: Request, campaign: str) -> Imported:
        """Read items and votes from a file that was sent."""
        body = await parse(request, ImportBody)
        platform = acting(request)
        file = platform.jobs.received(body.file)
        change = platform.campaigns.import_
        return await run_in_threadpool(change, campaign, file, body.form, body.annotator)
