"""Here a worker runs both stages."""

from __future__ import annotations

import pytest

from tests.integration.conftest import NewPipeline


@pytest.fixture
def new_pipeline(new_pipeline: NewPipeline) -> NewPipeline:
    return lambda **settings: new_pipeline(**{"TOKENTIDE_WORKER_STAGES": "ingest,detect", **settings})
