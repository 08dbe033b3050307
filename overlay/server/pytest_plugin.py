"""A fixture for applications' own tests: `batch_service`, the embedded service, running.

    def test_my_pipeline(batch_service):
        my_pipeline(base_url=batch_service.base_url)

Options go into a marker, and are those of `overlay.server.Service`:

    @pytest.mark.batch_service(answer=my_answer, tokens="secret")
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from overlay.server import Service


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "batch_service(**options): options of the batch_service fixture's Service"
    )


@pytest.fixture
def batch_service(request: pytest.FixtureRequest) -> "Iterator[Service]":
    """The Batch API on a free port of 127.0.0.1, until the test ends."""
    try:
        from overlay.server import Service  # noqa: PLC0415  not before a test asks: [serve] may not be installed
    except ImportError as error:
        pytest.fail(f"batch_service needs openai-batch-overlay[serve]: {error}", pytrace=False)
    marker = request.node.get_closest_marker("batch_service")
    options: dict[str, Any] = dict(marker.kwargs) if marker else {}
    with Service(**options) as service:
        yield service
