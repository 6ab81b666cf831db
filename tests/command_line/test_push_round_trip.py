"""``push`` over real HTTP, and the model back by its name, without this package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Repository, serve

ASK = """
import json
import sys
sys.modules["clipbert_hf"] = None
from transformers import pipeline
ask = pipeline("video-question-answering", model="team/qa", trust_remote_code=True)
print(json.dumps([answer["answer"] for answer in ask({video!r}, "what color is the circle ?", top_k=2)]))
"""


@pytest.mark.slow
@pytest.mark.long  # what is sent, and that a folder loads without the package, quicker tests tell
def test_a_pushed_model_answers_by_its_name(clipbert, saved: Path, tmp_path: Path) -> None:
    with serve(Repository("team/qa", kind="models")) as hub:
        run = {"env": hub.environment(tmp_path / "home"), "cwd": tmp_path, "capture_output": True, "text": True}
        push = [sys.executable, "-m", "clipbert_command_line", "push", "team/qa", "--model", str(saved / "qa")]
        sent = subprocess.run(push, check=False, **run)
        assert sent.returncode == 0, sent.stderr
        assert hub.files["model.safetensors"] == (saved / "qa" / "model.safetensors").read_bytes()
        video = str(saved / "bikes.mp4")
        asked = subprocess.run([sys.executable, "-c", ASK.format(video=video)], check=False, **run)
        assert asked.returncode == 0, asked.stderr
    here = clipbert("ask", video, "what color is the circle ?", "--model", saved / "qa", "--top_k", "2", "--json")
    assert json.loads(asked.stdout.splitlines()[-1]) == [answer["answer"] for answer in json.loads(here.out)]
