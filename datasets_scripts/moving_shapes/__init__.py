"""MovingShapes: small videos that are made on the spot, for demos and tests without a download.

Each video is 8 seconds of 64 × 64 pixels, 32 frames at 4 frames per second, and consists of a few scenes cut
at random moments. A scene shows one to three copies of one coloured shape, drifting and changing size, on a
background of its own. No colour and no shape comes twice in a video, and a clip sees only one or
two of the scenes: what it takes to answer must be gathered over several clips.

Configurations (the rows of one video stand together):

==================  =====================================================================================
``qa``              ``id, video, question, answer, answer_type`` (``color``, ``shape``, ``existence``)
``retrieval``       ``id, video, caption``
``multiple_choice`` ``id, video, question, options, answer`` (an index)
``pretraining``     ``id, video, start, end, caption, hard_negatives, key_words`` (``start`` and ``end`` of the scene
                    in seconds)
``motion_qa``       as ``qa``, about the direction in which things move (``motion``, ``color``, ``shape``); its videos
                    are made with ``motion=True``, and have all other configurations too
==================  =====================================================================================

``video`` is the absolute path as text. Make a folder and look at it::

    python -m datasets_scripts.moving_shapes --output data/moving_shapes

Load it, after making it if it is missing::

    load_moving_shapes("qa", "data/moving_shapes", train=1000, validation=100, test=200)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets_scripts.moving_shapes.generation import GenerationSummary, generate, read_plans
    from datasets_scripts.moving_shapes.loading import (
        CONFIGS,
        ConfigName,
        MovingShapes,
        MovingShapesConfig,
        load_moving_shapes,
    )
    from datasets_scripts.moving_shapes.scenes import DIRECTIONS, Scene, VideoPlan
    from datasets_scripts.moving_shapes.text import ANSWERS, KEY_WORDS, vocabulary

# Imported when they are first used: neither the command nor a process that renders needs the library datasets.
_HOMES = {
    "ANSWERS": "text",
    "CONFIGS": "loading",
    "DIRECTIONS": "scenes",
    "KEY_WORDS": "text",
    "ConfigName": "loading",
    "GenerationSummary": "generation",
    "MovingShapes": "loading",
    "MovingShapesConfig": "loading",
    "Scene": "scenes",
    "VideoPlan": "scenes",
    "generate": "generation",
    "load_moving_shapes": "loading",
    "read_plans": "generation",
    "vocabulary": "text",
}

__all__ = [
    "ANSWERS",
    "CONFIGS",
    "DIRECTIONS",
    "KEY_WORDS",
    "ConfigName",
    "GenerationSummary",
    "MovingShapes",
    "MovingShapesConfig",
    "Scene",
    "VideoPlan",
    "generate",
    "load_moving_shapes",
    "read_plans",
    "vocabulary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
