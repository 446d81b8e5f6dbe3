"""One surface, as far as an agent has written it.

Needs the ``a2ui`` extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ag_ui_a2ui_toolkit import create_surface, update_components, update_data_model

from copilotkit_django.agents.middleware.streamed_json import JsonStream, Path

Operation = dict[str, Any]


class StreamedSurface(JsonStream):
    """Reads the arguments of a call that draws a surface.

    `advance` says what there is to show: components once all of them are there, data as it grows.
    """

    depth = 3

    def __init__(self) -> None:
        super().__init__()
        #: How much of the arguments has arrived, in characters.
        self.length = 0
        self.surface_id = ""
        self.catalog_id = ""
        self.components: list[Any] | None = None
        self.data: dict[str, Any] | None = None
        self._items: dict[str, list[Any]] = {}
        #: What became of the components: looked at and found good or bad; shown.
        self.is_accepted = False
        self.is_rejected = False
        self.is_painted = False
        self._shown_items = 0
        self._shown_data = False

    def feed(self, text: str) -> None:
        self.length += len(text)
        super().feed(text)

    def wanted(self, path: Path, kind: str) -> bool:
        match path:
            case ("surfaceId" | "catalogId",):
                return kind == "string"
            case ("components",):
                return kind == "array"
            case ("data",):
                return kind == "object"
            case ("data", str(), int()):
                return True
        return False

    def opened(self, path: Path, kind: str) -> None:
        match path:
            case ("data", str() as key) if kind == "array":
                self._items[key] = []

    def closed(self, path: Path, kind: str, value: Any) -> None:
        match path:
            case ("surfaceId",) if isinstance(value, str):
                self.surface_id = self.surface_id or value
            # Later than what is shown it is too late, also if all of it arrives at once.
            case ("catalogId",) if isinstance(value, str) and not self._is_whole:
                self.catalog_id = self.catalog_id or value
            case ("components",) if kind == "array" and self.components is None:
                self.components = value
            case ("data",) if kind == "object" and self.data is None:
                self.data = value
            case ("data", str() as key, int()) if key in self._items and self.data is None:
                self._items[key].append(value)

    @property
    def awaits_check(self) -> bool:
        """There are components that nobody has looked at yet."""
        return self._is_whole and not (self.is_accepted or self.is_rejected)

    @property
    def _is_whole(self) -> bool:
        return bool(self.surface_id) and self.components is not None

    def advance(self, catalog_id: str) -> list[Operation] | None:
        """What to show now, all of it each time; ``None`` if that is what is shown already.

        That is nothing before the components have been found good.
        """
        if self.components is None or not self.is_accepted:
            return None
        items, data = None, None
        if self.data is not None and not self._shown_data:
            self._shown_data = True
            data = self.data
        elif not self._shown_data:
            items = self._more_items()
        if self.is_painted and data is None and items is None:
            return None
        self.is_painted = True
        operations = [
            create_surface(self.surface_id, catalog_id),
            update_components(self.surface_id, self.components),
        ]
        if data is None and items is not None:
            data = {self._repeated: items}
        if data is not None:
            operations.append(update_data_model(self.surface_id, data))
        return operations

    def _more_items(self) -> list[Any] | None:
        items = self._items.get(self._repeated, [])
        # Each time all of them are sent: with every item of a long list that would be its square.
        if len(items) <= self._shown_items + self._shown_items // 8:
            return None
        self._shown_items = len(items)
        return list(items)

    @cached_property
    def _repeated(self) -> str:
        """The key of the data whose items a component is repeated for."""
        for component in self.components or ():
            children = component.get("children")
            path = children.get("path") if isinstance(children, Mapping) else None
            if isinstance(path, str) and path:
                return path.removeprefix("/")
        return "items"


def surface_of(operation: Operation) -> str | None:
    """The id of the surface an operation is about."""
    for key in ("createSurface", "updateComponents", "updateDataModel", "deleteSurface"):
        about = operation.get(key)
        if isinstance(about, Mapping) and isinstance(about.get("surfaceId"), str):
            return str(about["surfaceId"])
    return None
