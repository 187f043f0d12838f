"""Tests of one case run in one process."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]):
    """All tests of a case in one process (`--dist loadgroup`), where they share what it compiles."""
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if hasattr(case, "recipe"):
            item.add_marker(pytest.mark.xdist_group(case.name.partition(" × ")[0].partition(",")[0]))
