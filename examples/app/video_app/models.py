"""The models that the settings name, loaded once and shared by all visitors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from safetensors import SafetensorError

from clipbert_hf import ClipBertError, InvalidInputError
from clipbert_hf.explanation import Explainer

from .answering import Answerer
from .searching import Searcher
from .settings import Settings


@dataclass(frozen=True)
class Models:
    """What there is; each has a tab of its own.

    Args:
        ask: Answers questions.
        choose: Chooses among answers.
        search: Finds videos.
    """

    ask: Answerer | None = None
    choose: Answerer | None = None
    search: Searcher | None = None


def load_models(settings: Settings) -> Models:
    """Load all.

    Raises:
        InvalidInputError: If one cannot be loaded, two do the same, or one neither answers nor chooses.
    """
    found: dict[str, Answerer] = {}
    for name in settings.models:
        with _naming(f"--model {name}"):
            model = Answerer(Explainer.from_pretrained(name), max_seconds=60 * settings.max_minutes)
        kind = "ask" if model.answers else "choose" if model.chooses else None
        if kind is None:
            raise InvalidInputError(
                f"--model {name}: expected a model that answers or chooses; one for retrieval goes to --search_model, "
                "with the --index that it searches"
            )
        if kind in found:
            raise InvalidInputError(f"--model {name}: there is another model to {kind}; give one of each kind")
        found[kind] = model
    searcher = None
    if settings.index is not None:
        with _naming(f"--index {settings.index}"):
            from clipbert_hf.retrieval import VideoIndex  # which needs an extra

            searcher = Searcher(VideoIndex.open(settings.index, model=settings.search_model))
    elif settings.search_model is not None:
        raise InvalidInputError(
            f"--search_model {settings.search_model}: expected the --index that it searches as well; clipbert index "
            "makes one"
        )
    return Models(found.get("ask"), found.get("choose"), searcher)


# OSError of a repository that cannot be had too; KeyError and TypeError of files with other content.
_OF_LOADING = (*(ImportError, OSError, ValueError, RuntimeError, KeyError, TypeError), SafetensorError, ClipBertError)


@contextmanager
def _naming(setting: str) -> Iterator[None]:
    """Turn what loading raises into an error that names the setting."""
    try:
        yield
    except _OF_LOADING as error:
        raise InvalidInputError(f"{setting}: cannot be loaded: {' '.join(str(error).split())}") from error
