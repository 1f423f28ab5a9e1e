"""Named choices: two models of one thing stand side by side under registered names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from aether.base.errors import InputError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for, with plug-ins from the entry-point group `aether.<kind>`.

    >>> colours = Registry[int]("colour")
    >>> _ = colours.add("red")(1)
    >>> colours["red"]
    1
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._plugged = False

    def add(self, name: str) -> Callable[[T], T]:
        """Register under `name`; a name already taken is a programming error."""

        def register(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._items[name] = item
            return item

        return register

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def get(self, name: str, path: str = "") -> T:
        """What `name` stands for; InputError with the nearest name when unknown."""
        self._plug()
        if name not in self._items:
            raise InputError(unknown(path, self.kind, name, self._items))
        return self._items[name]

    def __contains__(self, name: str) -> bool:
        self._plug()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        self._plug()
        return iter(sorted(self._items))

    def _plug(self) -> None:
        if self._plugged:
            return
        self._plugged = True
        for point in entry_points(group=f"aether.{self.kind.replace(' ', '_')}"):
            self._items.setdefault(point.name, point.load())
