"""Ask videos, choose among answers, and search, on a web page; see README.md.

    python examples/app/app.py --model runs/demo/model --index holidays.index --examples videos/

As a Space the settings are the variables MODEL, INDEX, SEARCH_MODEL and EXAMPLES.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported

from starlette.middleware import Middleware
from video_app.headers import OwnContentOnly
from video_app.models import load_models
from video_app.page import CSS, THEME, build_page
from video_app.samples import find_samples
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
    page.queue(max_size=settings.waiting, api_open=False)
    page.launch(
        theme=THEME,
        css=CSS,
        server_name=settings.host,
        server_port=settings.port,
        allowed_paths=[] if models.search is None else list(models.search.served),
        max_file_size=f"{settings.max_megabytes}mb",
        app_kwargs={"middleware": [Middleware(OwnContentOnly)]},
        footer_links=["api"],
        ssr_mode=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
