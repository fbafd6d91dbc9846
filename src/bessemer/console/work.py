"""The labelling page and the adjudication page: what they are handed, and what they send."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bessemer.console import language
from bessemer.console.forms import sent
from bessemer.console.shell import Shell
from bessemer.core.errors import RequestError
from bessemer.core.labelling import Campaign, Disagreement, Item, Progress
from bessemer.service.labels.campaigns import Campaigns

#: Why an item may be skipped; each has a message.
REASONS = ("unclear", "not in the labels", "wrong language", "other")
#: What the pages' script says by itself.
WORDS = (
    "item", "sending", "kept", "connection", "login", "count", "speed", "choose", "hidden",
    "shown", "guideline", "annotator", "lost",
)  # fmt: skip
#: Labels beyond which there are no keys for all; they are found by typing then.
MOST_KEYS = 31
#: Disagreements that a page is handed at a time.
MOST_DISPUTED = 20
Hand = dict[str, Any]


class Wish(BaseModel):
    """That a page wants items, or the last one back."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Undo(Wish):
    """Which answer is taken back: that to an item, else the newest one."""

    item: int | None = Field(None, ge=1, le=2**31 - 1)


class Answer(Wish):
    """What a page says of an item."""

    item: int = Field(ge=1, le=2**31 - 1)
    label: str | None = None
    skipped: str = ""
    seconds: float = Field(0.0, ge=0, le=86_400)
    suggested: bool = False


_Sent = TypeVar("_Sent", bound=Wish)


class Desk(ABC):
    """A page on which one item after the other is called something."""

    #: What the page's script is told that it is for.
    mode: ClassVar[str]

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self, address: str) -> list[Route]:
        """Return the page's addresses."""
        return [
            Route(address, self.show),
            Route(f"{address}/guideline", self.guideline),
            Route(f"{address}/next", self._posted(Wish, self.next), methods=["POST"]),
            Route(f"{address}/say", self._posted(Answer, self.say), methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """Show the page; its script asks for items."""
        progress = self._shell.platform.campaigns.show(request.path_params["campaign"])
        campaign, guideline = progress.campaign, progress.guideline
        done, items = self.count(progress, self._shell.name(request))
        setup = {
            # Not by the project's name, which may stand for a newer campaign tomorrow.
            "here": f"/console/label/{quote(campaign.id)}/{request.url.path.rpartition('/')[2]}",
            "labels": campaign.labels,
            "separator": campaign.separator,
            "spans": campaign.task == "token-classification",
            "overlap": campaign.overlap,
            "done": done,
            "items": items,
            "guideline": guideline.version if guideline else 0,
        }
        say = partial(language.messages().say, language.chosen(request))
        many = len(campaign.labels) > MOST_KEYS
        return self._shell.pages.render(
            request,
            "work.html",
            campaign=campaign,
            guideline=guideline,
            mode=self.mode,
            setup=setup,
            words={word: say("work." + word) for word in WORDS},
            reasons=REASONS,
            keys=_keys(campaign, self.mode),
            shift="⇧" if many else "",
        )

    def guideline(self, request: Request) -> Response:
        """Return what annotators are told now."""
        found = self._shell.platform.campaigns.show(request.path_params["campaign"]).guideline
        return JSONResponse(found.model_dump(include={"version", "text"}) if found else {})

    @abstractmethod
    def count(self, progress: Progress, by: str) -> tuple[int, int]:
        """Return how many items are done here, and of how many."""

    @abstractmethod
    def next(self, campaigns: Campaigns, campaign: str, by: str, wish: Wish) -> Hand:
        """Return what is to be answered now, and after it."""

    @abstractmethod
    def say(self, campaigns: Campaigns, campaign: str, by: str, answer: Answer) -> Hand:
        """Keep an answer, which is on the disk then, and return what is next."""

    def _posted(
        self, model: type[_Sent], do: Callable[[Campaigns, str, str, _Sent], Hand]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of something that the page's script sends."""

        async def endpoint(request: Request) -> Response:
            said = await sent(request, model)

            def done() -> Hand:
                campaigns = self._shell.acting(request).campaigns
                return do(
                    campaigns, request.path_params["campaign"], self._shell.name(request), said
                )

            return JSONResponse(await run_in_threadpool(done))

        endpoint.__doc__ = do.__doc__
        return endpoint


class Labelling(Desk):
    """Where annotators label: each holds an item and the one after it."""

    mode = "label"

    def routes(self, address: str) -> list[Route]:
        """Return the page's addresses."""
        undo = Route(f"{address}/undo", self._posted(Undo, self.undo), methods=["POST"])
        return [*super().routes(address), undo]

    def count(self, progress: Progress, by: str) -> tuple[int, int]:
        """Return how many items the annotator has answered of all, tests included: a count of
        labels would tell which items are tests.
        """
        mine = sum(o.labelled + o.skipped + o.gold for o in progress.annotators if o.name == by)
        return mine, progress.items + progress.gold

    def next(self, campaigns: Campaigns, campaign: str, by: str, wish: Wish) -> Hand:
        """Return what the annotator holds."""
        return {"items": [_item(item, campaign) for item in campaigns.hold(campaign, by)]}

    def say(self, campaigns: Campaigns, campaign: str, by: str, answer: Answer) -> Hand:
        """Keep a label, or why there is none."""
        said = campaigns.say(campaign, annotator=by, **answer.model_dump())
        return {**self.next(campaigns, campaign, by, answer), "guideline": said.guideline}

    def undo(self, campaigns: Campaigns, campaign: str, by: str, wish: Undo) -> Hand:
        """Take the annotator's last answer back; its item is the first one again."""
        campaigns.undo(campaign, by, wish.item)
        return self.next(campaigns, campaign, by, wish)


class Adjudication(Desk):
    """Where owners settle what annotators differ about."""

    mode = "settle"

    def count(self, progress: Progress, by: str) -> tuple[int, int]:
        """Return that nothing is done yet of all that is disputed."""
        return 0, progress.disputed

    def next(self, campaigns: Campaigns, campaign: str, by: str, wish: Wish) -> Hand:
        """Return the first disagreements."""
        found = campaigns.disagreements(campaign, MOST_DISPUTED)
        return {"items": [_disputed(one, campaign) for one in found]}

    def say(self, campaigns: Campaigns, campaign: str, by: str, answer: Answer) -> Hand:
        """Settle an item, or settle it otherwise."""
        if answer.label is None:
            raise RequestError("An item is settled by a label.")
        said = campaigns.settle(campaign, answer.item, by, answer.label)
        return {**self.next(campaigns, campaign, by, answer), "guideline": said.guideline}


def _item(item: Item, campaign: str) -> dict[str, Any]:
    """Return of an item what an annotator may see: not the right answer."""
    shown = item.model_dump(mode="json", include={"number", "text", "suggestions"})
    image = f"/console/label/{quote(campaign)}/images/{item.image}" if item.image else None
    return {**shown, "image": image}


def _disputed(one: Disagreement, campaign: str) -> dict[str, Any]:
    """Return an item, who said what of it, and how common each label is among them."""
    said = [vote.model_dump(include={"annotator", "label", "skipped"}) for vote in one.said]
    count = Counter(vote.label for vote in one.said if vote.label is not None)
    shares = [
        {"label": label, "score": times / count.total(), "start": None}
        for label, times in count.most_common()
    ]
    return {**_item(one.item, campaign), "said": said, "suggestions": shares}


def _keys(campaign: Campaign, mode: str) -> list[tuple[list[str], str]]:
    """Return the keys of a page, and the message that says what each is for."""
    many, spans = len(campaign.labels) > MOST_KEYS, campaign.task == "token-classification"
    several = campaign.separator is not None
    chooses = "span" if spans else "toggle" if several else "choose"
    shift = ["⇧"] if many else []
    found: list[tuple[list[str], str]] = [
        (["a–z"], "filter") if many else ([], ""),
        (["1–9"] if len(campaign.labels) < 10 or many else ["1–9", "a–z"], chooses),
        (["⏎"], "done" if spans or several else "accept"),
        (["↑", "↓"], "highlight") if many or not spans else ([], ""),
        (["←", "→"], "words") if spans else ([], ""),
        (["⇧", "←", "→"], "extend") if spans else ([], ""),
        (["⌫"], "remove") if spans else ([], ""),
        ([*shift, "u"], "undo"),
        ([*shift, "s"], "later" if mode == "settle" else "skip"),
        ([*shift, "h"], "blind" if mode == "settle" else "hide"),
        ([*shift, "g"], "guideline"),
        (["?"], "keys"),
    ]
    return [(keys, what) for keys, what in found if what]
