"""What the API's tests run with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api import Api, served_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API with a fresh database."""
    async with served_api(tmp_path) as served:
        yield served
