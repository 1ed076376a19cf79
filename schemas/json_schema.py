"""The JSON Schema files for other languages, derived from the models; `python -m tokentide.schemas.json_schema`
writes them, and a test fails when a file and its model differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.call import CallEvent
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.part import PartEvent
from tokentide.schemas.rejects import DeadLetter

FOLDER: Final = Path(__file__).parent / "json"
FILES: Final[Mapping[str, type[BaseModel]]] = {
    "call.schema.json": CallEvent,
    "part.schema.json": PartEvent,
    "evaluation.schema.json": EvaluationEvent,
    "dead_letter.schema.json": DeadLetter,
    "anomaly.schema.json": Anomaly,
}


def schema_text(model: type[BaseModel]) -> str:
    """Return the file's text for a model: draft 2020-12, stable order, one trailing newline."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode="validation"),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Write every file anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, model in FILES.items():
        (FOLDER / name).write_text(schema_text(model), encoding="utf-8")


if __name__ == "__main__":
    write()
