"""What is computed next, who must wait and who is sent away: pure, so that it can be simulated.

It has no threads and reads no clock: whoever drives it brings the instant, in seconds of a clock
that only goes forward, and calls it from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from bessemer.core.errors import OverloadedError, TooLargeError
from bessemer.serve.policies import Policy
from bessemer.serve.waiting import Row, Waiting

#: Share of the newest batch in the measured speed.
NEWEST = 0.05


class Scheduler:
    """Rows come in by request, and go out in batches.

    Args:
        policy: Chooses the rows of each batch.
        most_tokens: Tokens that may wait. Half of it is for whoever comes; the other half is
            shared out among the tenants that wait, so that nobody keeps others from the queue.
        speed: Tokens a second at the beginning; it is measured from then on.
    """

    def __init__(self, policy: Policy, *, most_tokens: int, speed: float = 10_000.0) -> None:
        self._policy = policy
        self._most = most_tokens
        self._speed = speed
        self._waiting = Waiting()

    @property
    def waiting_tokens(self) -> int:
        """Return how many tokens wait."""
        return self._waiting.tokens

    @property
    def waiting_rows(self) -> int:
        """Return how many rows wait."""
        return self._waiting.rows

    def admit(self, tenant: str, tokens: int) -> None:
        """Raise unless there is room for so many tokens of a tenant.

        Raises:
            TooLargeError: They are over the limit by themselves.
            OverloadedError: There is no room now; it says when there will be, if nobody else comes.
        """
        half, waiting = self._most // 2, self._waiting
        if tokens > half:
            raise TooLargeError(
                f"The request holds {tokens:,} tokens.",
                remedy=f"Send at most {half:,} in one request.",
            )
        own = waiting.tokens_of(tenant)
        share = half // (waiting.tenants + (own == 0))
        over = waiting.tokens + tokens - half
        if over > 0 and (own + tokens > share or over > half):
            raise OverloadedError(
                f"{waiting.tokens:,} tokens are waiting, {own:,} of them yours; the request has"
                f" {tokens:,} more.",
                seconds=over / self._speed,
            )

    def submit(self, rows: Sequence[Row]) -> None:
        """Let the rows of a request wait, all or none; see `admit`."""
        self.admit(rows[0].tenant, sum(row.tokens for row in rows))
        for row in rows:
            self._waiting.add(row)

    def take(self, now: float) -> list[Row]:
        """Return the rows to be computed now; they count for their tenants from here on."""
        chosen = self._policy.choose(self._waiting, now)
        for row in chosen:
            self._waiting.remove(row, charge=True)
        self._waiting.batches += bool(chosen)
        return chosen

    def wakes_at(self) -> float:
        """Return when `take` is worth asking although nothing else happens."""
        return self._policy.wakes_at(self._waiting)

    def done(self, rows: Sequence[Row], seconds: float, cores: int = 1) -> None:
        """Take note that a batch was computed.

        Args:
            rows: As `take` returned them.
            seconds: That one core took for it and for its answers.
            cores: How many compute beside each other.
        """
        tokens = sum(row.tokens for row in rows)
        self._speed += NEWEST * (cores * tokens / max(seconds, 1e-6) - self._speed)

    def cancel(self, request: int) -> list[Row]:
        """Drop what still waits of a request and return it."""
        found = self._waiting.of_request(request)
        for row in found:
            self._waiting.remove(row, charge=False)
        return found
