"""Made-up messages, taken for the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.made_up_results import made_up_messages, publish


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many as are published."""
    return made_up_messages(tmp_path_factory.mktemp("messages"), 747)


@pytest.fixture
def published(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, data)
