"""What the app of ``examples/app`` shows in its tests: tiny models, videos whose frames are numbered."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference_inputs import save_tiny
from script_runs import EXAMPLES
from video_files import numbered_frame, write_video

from clipbert_hf import ClipBertForMultipleChoice, ClipBertForVideoQuestionAnswering, ClipBertForVideoTextRetrieval

ANSWERS = ("red", "blue", "circle", "square")
QUESTION = "what color is it ?"
FRAMES = 40  # four seconds
NAMES_OF_THE_PAGE = {
    **{"runs/demo/model": "qa", "my-multiple-choice-model": "choice", "my-retrieval-model": "retrieval"},
    **{"holidays": "videos", "bikes.mp4": "videos/one.mp4", "examples": EXAMPLES},
}


@pytest.fixture(scope="session")
def app_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models ``qa``, ``choice`` and ``retrieval``, and videos in ``videos``, one of which no browser plays.

    They have the names of ``docs/how_to/app.md``, too.
    """
    home = tmp_path_factory.mktemp("app")
    vocab = home / "vocab.txt"
    words = dict.fromkeys((*QUESTION.split(), *ANSWERS, "moves"))
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: place for place, name in enumerate(ANSWERS)}}
    search = {"contrastive_size": 16, "cls_token_id": 2, "sep_token_id": 3}
    calibrated = {"calibration_temperature": 2.0}
    save_tiny(ClipBertForVideoQuestionAnswering, home / "qa", vocab, labels | calibrated)
    save_tiny(ClipBertForMultipleChoice, home / "choice", vocab, {})
    save_tiny(ClipBertForVideoTextRetrieval, home / "retrieval", vocab, search)
    (home / "videos").mkdir()
    for place, name in enumerate(("one.mp4", "it's #2.mp4", "three.avi")):
        frames = [numbered_frame(number, 128, 96) // (place + 1) for number in range(FRAMES)]
        write_video(home / "videos" / name, frames, codec="mpeg4" if name.endswith("avi") else "libx264")
    for name, target in NAMES_OF_THE_PAGE.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).symlink_to(home / target)
    return home
