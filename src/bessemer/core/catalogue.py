"""Parts by name: listed without importing them, loaded on first use.

A part is a file in its kind's package; the file name, with `-` for `_`, is the part's
public name. The file holds exactly one concrete subclass of the kind's contract. Other
distributions add parts through the entry-point group `bessemer.<kind>`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from bessemer.core.errors import ContractError, UnknownNameError, needs

Part = TypeVar("Part")


@dataclass(frozen=True)
class Catalogue(Generic[Part]):
    """All parts of one kind.

    `kind` is its name in messages; `package` is where its files lie; `contract` is the
    abstract class that each implements; `extra` is the install extra that parts need.
    """

    kind: str
    package: str
    contract: type[Part]
    extra: str = "all"

    @cached_property
    def _modules(self) -> dict[str, str]:
        folder = importlib.import_module(self.package).__path__
        return {
            module.name.replace("_", "-"): f"{self.package}.{module.name}"
            for module in pkgutil.iter_modules(folder)
            if module.name != "base" and not module.ispkg and not module.name.startswith("_")
        }

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        group = entry_points(group=self.package)
        return {point.name: point for point in group if point.name not in self._modules}

    def names(self) -> list[str]:
        """Return the public names of all parts, sorted, importing none of them."""
        return sorted([*self._modules, *self._entry_points])

    def load(self, name: str) -> type[Part]:
        """Return the class behind a public name.

        Raises:
            UnknownNameError: No part has that name.
            MissingExtraError: The part needs a package that is not installed.
            ContractError: The file does not hold exactly one part.
        """
        with needs(self.extra):
            if name in self._modules:
                return self._only_part(self._modules[name])
            if name in self._entry_points:
                return self._checked(name, self._entry_points[name].load())
        raise UnknownNameError(self.kind, name, self.names())

    def _only_part(self, module_name: str) -> type[Part]:
        module = importlib.import_module(module_name)
        found = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and value.__module__ == module_name
            and issubclass(value, self.contract)
            and not inspect.isabstract(value)
        ]
        if len(found) != 1:
            raise ContractError(
                f"{module_name} holds {len(found)} concrete subclasses of"
                f" {self.contract.__name__}; a part's file holds exactly one."
            )
        return found[0]

    def _checked(self, name: str, value: object) -> type[Part]:
        if inspect.isclass(value) and issubclass(value, self.contract):
            return value
        raise ContractError(
            f"The entry point {name!r} of {self.package} is {value!r}, which is no"
            f" subclass of {self.contract.__name__}."
        )
