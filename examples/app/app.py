"""Ask videos, choose among answers, and search, on a web page; see README.md.

    python examples/app/app.py --model runs/demo/model --index holidays.index --examples videos/

As a Space the settings are the variables MODEL, INDEX, SEARCH_MODEL and EXAMPLES.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported

from video_app.models import load_models
from video_app.page import build_page
from video_app.samples import find_samples
from video_app.serving import serve
from video_app.settings import read_settings

from clipbert_hf import ClipBertError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is stopped."""
    settings = read_settings(arguments)
    try:
        models = load_models(settings)
        page = build_page(models, find_samples(settings.examples), settings)
    except ClipBertError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    serve(page, models, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
