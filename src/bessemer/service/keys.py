"""API keys: made, listed, revoked; servers follow within a second."""

from __future__ import annotations

import builtins
from typing import get_args

import sqlalchemy as sa

from bessemer.billing import keys as billing
from bessemer.core.errors import ConflictError, ForbiddenError, RequestError, UnknownNameError
from bessemer.core.records import Key, NewKey, Role
from bessemer.service import snapshot
from bessemer.service.home import Home
from bessemer.store import tables
from bessemer.store.database import utc


class Keys:
    """The keys of a home: one organisation, three roles."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self) -> builtins.list[Key]:
        """Return all keys, newest first, revoked ones too; no secret is among them."""
        table = tables.keys
        query = sa.select(table).order_by(table.c.created_at.desc(), table.c.id)
        with self._home.database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Key(
                id=row["id"],
                name=row["name"],
                role=row["role"],
                created_at=utc(row["created_at"]),
                revoked_at=utc(row["revoked_at"]) if row["revoked_at"] else None,
            )
            for row in rows
        ]

    def create(self, name: str, role: Role = "caller") -> NewKey:
        """Make a key; its secret is in the answer and nowhere else.

        Args:
            name: For people, 1 to 100 characters.
            role: `caller` may predict, `annotator` label in the console, `owner` everything.

        Raises:
            RequestError: The name or role is not allowed.
        """
        if not 1 <= len(name) <= 100 or not name.isprintable() or not name.strip():
            raise RequestError(f"The key's name {name!r} is not 1 to 100 printable characters.")
        if role not in get_args(Role):
            roles = ", ".join(get_args(Role))
            raise RequestError(f"There is no role {role!r}.", remedy=f"Roles: {roles}.")
        key_id, secret, secret_hash = billing.mint()
        with self._home.database.begin() as connection:
            connection.execute(
                sa.insert(tables.keys).values(
                    id=key_id,
                    name=name,
                    role=role,
                    secret_hash=secret_hash,
                    created_at=self._home.clock(),
                )
            )
            self._home.event(connection, "key created", key_id, name=name, role=role)
        snapshot.publish(self._home)
        return NewKey(id=key_id, name=name, role=role, secret=secret)

    def revoke(self, key: str) -> Key:
        """Let a key never be valid again.

        Raises:
            UnknownNameError: There is no such key.
            ConflictError: It is revoked already, or it is the last owner's.
        """
        known = {found.id: found for found in self.list()}
        if key not in known:
            raise UnknownNameError("key", key, known)
        if known[key].revoked_at is not None:
            raise ConflictError(f"The key {key!r} is revoked already.")
        owners = [k.id for k in known.values() if k.role == "owner" and k.revoked_at is None]
        if owners == [key]:
            raise ConflictError(
                f"The key {key!r} is the last owner's.", remedy="Create another owner key first."
            )
        now = self._home.clock()
        with self._home.database.begin() as connection:
            change = sa.update(tables.keys).where(tables.keys.c.id == key).values(revoked_at=now)
            connection.execute(change)
            self._home.event(connection, "key revoked", key)
        snapshot.publish(self._home)
        return known[key].model_copy(update={"revoked_at": now})

    def require_owner(self, what: str) -> None:
        """Refuse whoever is neither at this machine's command line nor an owner.

        Args:
            what: They want to do, for the message.

        Raises:
            ForbiddenError: They may not.
        """
        if self._home.actor == "local":
            return
        roles = {key.id: key.role for key in self.list() if key.revoked_at is None}
        if roles.get(self._home.actor) != "owner":
            raise ForbiddenError(f"Only an owner may {what}.", remedy="Ask one to do it.")

    def first(self) -> NewKey | None:
        """Make the first owner key, or return None when there is one."""
        if any(key.role == "owner" and key.revoked_at is None for key in self.list()):
            return None
        return self.create("first owner", "owner")
