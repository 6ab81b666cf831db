"""What the Hub asks of a card's metadata, as far as that can be checked without it.

``ModelCard.validate`` of huggingface_hub sends the card to the Hub. Here its own classes read and write the metadata,
which checks the model-index, and what they take unseen is compared with the Hub's documentation of model cards.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import InferenceClient, ModelCardData, metadata_load

KEYS = {
    "base_model",
    "datasets",
    "language",
    "library_name",
    "license",
    "metrics",
    "model-index",
    "pipeline_tag",
    "tags",
}
LICENSES = {"mit", "apache-2.0", "other", "unknown"}


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a card, after huggingface_hub has read and written it.

    Raises:
        AssertionError: If something in it is not as the Hub takes it.
    """
    metadata = metadata_load(path)
    assert metadata is not None, f"{path} has no metadata"
    assert ModelCardData(**metadata).to_dict() == metadata
    found = list(problems(metadata))
    assert not found, found
    return metadata


def problems(metadata: dict[str, Any]) -> Iterator[str]:
    """What the Hub would not take."""
    yield from (f"unknown key {key}" for key in metadata.keys() - KEYS)
    json.dumps(metadata, allow_nan=False)  # as it travels to the Hub
    tag = metadata.get("pipeline_tag")
    if tag is not None and not hasattr(InferenceClient, tag.replace("-", "_")):
        yield f"no task of the Hub: {tag}"
    if metadata.get("license", "other") not in LICENSES:
        yield f"license {metadata['license']}"
    for language in _list(metadata.get("language")):
        if not re.fullmatch(r"[a-z]{2,3}", language):
            yield f"language {language}"
    for base in _list(metadata.get("base_model")):
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base):
            yield f"base_model {base}"
    if not all(isinstance(tag, str) and tag for tag in metadata.get("tags", [])):
        yield "tags must be texts"
    for entry in metadata.get("model-index", []):
        for result in entry["results"]:
            named = [result["task"]["type"], result["dataset"]["type"], result["dataset"]["name"]]
            if not all(isinstance(name, str) and name for name in [entry["name"], *named]):
                yield f"a result without a task or a data set: {result}"
            for metric in result["metrics"]:
                if not isinstance(metric["type"], str) or not math.isfinite(metric["value"]):
                    yield f"metric {metric}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
