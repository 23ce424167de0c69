"""The order of the tests: what takes long begins first, so that no process is left with it alone at the end."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> int:
    marker = item.get_closest_marker("seconds")
    return 0 if marker is None else int(marker.args[0])
