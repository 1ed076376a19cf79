"""Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tokentide.stream.metrics import Metric, Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(samples: Iterable[Sample]) -> str:
    """Return the samples grouped by metric, in the order of `Metric`; metrics without a sample are left out."""
    by_metric: dict[Metric, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines: list[str] = []
    for metric in Metric:
        if metric in by_metric:
            name = metric.value.name
            lines += [f"# HELP {name} {_escaped(metric.value.meaning)}", f"# TYPE {name} {metric.value.kind}"]
            lines += [_line(sample) for sample in by_metric[metric]]
    return "\n".join(lines) + "\n"


def _line(sample: Sample) -> str:
    info = sample.metric.value
    pairs = [f'{name}="{_quoted(text)}"' for name, text in zip(info.labels, sample.labels, strict=True)]
    labels = "{" + ",".join(pairs) + "}" if pairs else ""
    return f"{info.name}{labels} {sample.value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
