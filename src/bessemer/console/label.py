"""The room *Label*: campaigns, how far they are, how well annotators agree, what they are told."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bessemer.console import images
from bessemer.console.forms import form
from bessemer.console.shell import Shell
from bessemer.console.work import Adjudication, Labelling
from bessemer.core.errors import UnknownNameError
from bessemer.service.labels.campaigns import Campaigns

#: Name of the room in addresses and messages.
NAME = "label"
#: What an owner may do to a campaign with a button.
ACTIONS = {"close": Campaigns.close, "open": Campaigns.open}


def routes(shell: Shell) -> list[Route]:
    """Return the room's addresses."""
    room, labelling, adjudication = Room(shell), Labelling(shell), Adjudication(shell)
    one = f"{shell.address(NAME)}/{{campaign}}"
    return [
        Route(shell.address(NAME), room.show),
        Route(one, room.show_campaign),
        Route(f"{one}/images/{{digest}}", images.Images(shell).show),
        *labelling.routes(f"{one}/work"),
        *adjudication.routes(f"{one}/adjudicate"),
        Route(f"{one}/guide", room.guide, methods=["POST"]),
        Route(f"{one}/{{action}}", room.act, methods=["POST"]),
    ]


class Room:
    """The room's pages."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Show all campaigns."""
        campaigns = self._shell.platform.campaigns
        standing = [campaigns.show(campaign.id) for campaign in campaigns.list()]
        return self._shell.pages.render(request, "label.html", standing=standing)

    def show_campaign(self, request: Request) -> Response:
        """Show one campaign; to an annotator what is theirs of it."""
        progress = self._shell.platform.campaigns.show(request.path_params["campaign"])
        own = self._shell.name(request)
        owner = request.scope["state"]["session"].role == "owner"
        pairs = {}
        for pair in progress.pairs:
            pairs[pair.first, pair.second] = pairs[pair.second, pair.first] = pair
        guideline = progress.guideline
        return self._shell.pages.render(
            request,
            "campaign.html",
            progress=progress,
            annotators=[one for one in progress.annotators if owner or one.name == own],
            names=sorted({name for names in pairs for name in names}),
            pairs=pairs,
            action="close" if progress.campaign.state == "open" else "open",
            by=self._shell.names().get(guideline.by, guideline.by) if guideline else "",
        )

    async def guide(self, request: Request) -> Response:
        """Keep a new version of what annotators are told."""
        campaign = request.path_params["campaign"]
        text = (await form(request)).get("text", "").replace("\r\n", "\n")
        await run_in_threadpool(self._shell.acting(request).campaigns.guide, campaign, text)
        return RedirectResponse(f"{self._shell.address(NAME)}/{campaign}", 303)

    def act(self, request: Request) -> Response:
        """Do what a button says, and show the campaign."""
        campaign, name = request.path_params["campaign"], request.path_params["action"]
        if name not in ACTIONS:
            raise UnknownNameError("action", name, ACTIONS)
        ACTIONS[name](self._shell.acting(request).campaigns, campaign)
        return RedirectResponse(f"{self._shell.address(NAME)}/{campaign}", 303)
