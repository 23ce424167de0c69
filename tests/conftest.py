"""Which test runs when and where: what takes long begins first, and what shares something stays in one process."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """What a shell does to jobs in the background is undone: they ignore Ctrl-C, and so would all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    _require_groups(config)


def _require_groups(config: pytest.Config) -> None:
    """pytest-xdist keeps a group together by a suffix of its names, and says nothing where they do not take it."""
    if config.getoption("dist", "no") == "loadgroup" and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(f"pytest {pytest.__version__} and pytest-xdist keep no group together: scripts/setup")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> int:
    marker = item.get_closest_marker("seconds")
    return 0 if marker is None else int(marker.args[0])
