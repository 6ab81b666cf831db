"""A saved folder works in a fresh process in which clipbert_hf cannot be imported, with and without decord."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from reference_inputs import DATA, tiny_config, tiny_inputs
from transformers import AutoTokenizer, pipeline

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
)
from clipbert_hf.model.hub_code_clipbert import AUTO_MAP, model_code

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "shown", "?", "red", "blue", "circle", "a", "the"]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return path


@pytest.fixture(scope="module")
def processor(vocab) -> ClipBertProcessor:
    return ClipBertProcessor.from_pretrained_parts(text=vocab, size={"longest_edge": 64}, num_clips=3, num_frames=2)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "noise.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(40):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def qa_model():
    torch.manual_seed(0)
    labels = {0: "red", 1: "blue", 2: "circle"}
    return ClipBertForVideoQuestionAnswering(
        tiny_config(id2label=labels, label2id={name: index for index, name in labels.items()}, score_aggregation="lse")
    ).eval()


# A process that has imported what others publish and nothing of ours, and forks one for each order: a line of JSON. The
# forked process runs the code, its modules cannot include the hidden ones, and the answer is a line with its status.
SERVER = """
import json, os, sys
# As the import system marks what must not be imported; a finder that raises would break who only asks.
sys.modules.update(dict.fromkeys(("clipbert_hf", "datasets_scripts")))
try:
    import clipbert_hf
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("clipbert_hf can be imported")
import av, numpy, timm, torch, torchvision, transformers, transformers.pipelines
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        status = 1
        try:
            for number in (1, 2):
                os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
            os.chdir(order["folder"])
            sys.modules.update(dict.fromkeys(order["hidden"]))
            exec(order["code"], {"json": json, "torch": torch})
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[subprocess.Popen[str]]:
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(home / "modules"), "HF_HOME": str(home)}
    environment.pop("PYTHONPATH", None)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SERVER], text=True, cwd=home, env=environment, **pipes) as process:
        yield process
        process.stdin.close()
    assert process.returncode == 0


@pytest.fixture
def run_without_the_package(server, tmp_path) -> Callable[..., Any]:
    """Runs code in a new process that has never imported clipbert_hf, and cannot; it prints JSON last."""

    def run(code: str, *, hidden: tuple[str, ...] = ()) -> Any:
        log = tmp_path / "log.txt"
        order = {"code": code, "hidden": hidden, "folder": str(tmp_path), "log": str(log)}
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        status = server.stdout.readline().strip()
        assert status == "0", log.read_text()
        return json.loads(log.read_text().strip().splitlines()[-1])

    return run


# Defines eight(pipe, **about): what it says of eight different videos, one by one, and as a batch.
EIGHT = """
import numpy as np
def eight(pipe, **about):
    draw = np.random.default_rng(0)
    sizes = [(10 + 5 * place, 48 + 8 * (place % 3), 64, 3) for place in range(8)]
    shades = draw.integers(0, 200, (8, 3), dtype=np.uint8)
    videos = [draw.integers(0, 56, size, dtype=np.uint8) + shade for size, shade in zip(sizes, shades)]
    rows = [{"video": video, **about} for video in videos]
    return [pipe(row) for row in rows], pipe(rows, batch_size=8)
"""


def assert_same_answers(one_by_one: list, batch: list, name: str) -> None:
    """The same answers in the same order, with scores that differ by rounding."""
    assert len(one_by_one) == len(batch) == 8
    assert len({json.dumps(answers) for answers in one_by_one}) == 8  # the videos matter
    for alone, together in zip(one_by_one, batch, strict=True):
        assert [answer[name] for answer in alone] == [answer[name] for answer in together]
        assert [answer["score"] for answer in alone] == pytest.approx(
            [answer["score"] for answer in together], abs=1e-5
        )


@pytest.mark.parametrize("hidden", [(), ("decord", "torchcodec")], ids=["all", "pyav only"])
def test_pipeline_and_auto_classes_in_a_fresh_process(tmp_path, processor, video, hidden, run_without_the_package):
    model = qa_model()
    folder = tmp_path / "model"
    pipe = pipeline("video-question-answering", model=model, processor=processor)
    pipe.save_pretrained(folder)
    expected = pipe(str(video), "what is shown ?", top_k=3)
    result = run_without_the_package(
        EIGHT
        + f"""
from transformers import AutoConfig, AutoModel, AutoModelForVisualQuestionAnswering
from transformers import AutoProcessor, AutoVideoProcessor, pipeline
folder, options = {str(folder)!r}, dict(trust_remote_code=True)
config = AutoConfig.from_pretrained(folder, **options)
base = AutoModel.from_pretrained(folder, **options)
model = AutoModelForVisualQuestionAnswering.from_pretrained(folder, **options)
processor = AutoProcessor.from_pretrained(folder, **options)
video_processor = AutoVideoProcessor.from_pretrained(folder, **options)
inputs = processor(text="what is shown ?", videos={str(video)!r})
with torch.no_grad():
    logits = model(**inputs).logits
pipe = pipeline("video-question-answering", model=folder, **options)
pipe.save_pretrained({str(tmp_path / "again")!r})
print(json.dumps(dict(
    classes=[type(x).__name__ for x in (config, base, model, processor, video_processor, pipe)],
    modules=[type(x).__module__.split(".")[0] for x in (config, base, model, processor, video_processor, pipe)],
    best=config.id2label[int(logits.argmax())],
    answers=pipe({str(video)!r}, "what is shown ?", top_k=3),
    eight=eight(pipe, question="what is shown ?"),
)))
""",
        hidden=hidden,
    )
    assert result["classes"] == [
        "ClipBertConfig",
        "ClipBertModel",
        "ClipBertForVideoQuestionAnswering",
        "ClipBertProcessor",
        "ClipBertVideoProcessor",
        "VideoQuestionAnsweringPipeline",
    ]
    assert set(result["modules"]) == {"transformers_modules"}
    assert result["best"] == expected[0]["answer"]
    assert [answer["answer"] for answer in result["answers"]] == [answer["answer"] for answer in expected]
    for ours, theirs in zip(expected, result["answers"], strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
    assert_same_answers(*result["eight"], name="answer")
    # What was loaded from a repository saves as a complete repository again.
    again = {path.name for path in (tmp_path / "again").iterdir()}
    assert {path.name for path in folder.iterdir()} == again
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["auto_map"] == AUTO_MAP
    assert list(config["custom_pipelines"]) == ["video-question-answering"]


HEADS = {
    "AutoModelForMultipleChoice": ClipBertForMultipleChoice,
    "AutoModelForPreTraining": ClipBertForPreTraining,
    "AutoModelForNextSentencePrediction": ClipBertForVideoTextRetrieval,
}


PIPELINES = {
    "AutoModelForMultipleChoice": ("video-multiple-choice", {"question": "what ?", "choices": ["red circle", "blue"]}),
    "AutoModelForNextSentencePrediction": ("video-text-matching", {"text": ["a red circle", "what is blue ?"]}),
}


def test_other_heads_in_a_fresh_process(tmp_path, processor, run_without_the_package):
    models, inputs = {}, {}
    for auto_class, model_class in HEADS.items():
        torch.manual_seed(0)
        models[auto_class] = model_class(tiny_config()).eval()
        if auto_class in PIPELINES:  # scores that tell videos apart
            with torch.no_grad():
                models[auto_class].classifier[-1].weight.mul_(30)
        models[auto_class].save_pretrained(tmp_path / auto_class)
        inputs[auto_class] = tiny_inputs()
    for name in ("input_ids", "attention_mask"):
        texts = inputs["AutoModelForMultipleChoice"]
        texts[name] = texts[name][:, None].repeat(1, 2, 1)
    torch.save(inputs, tmp_path / "inputs.pt")
    for auto_class in PIPELINES:
        processor.save_pretrained(tmp_path / auto_class)
    result = run_without_the_package(
        EIGHT
        + f"""
import transformers
found = {{}}
for auto_class, inputs in torch.load({str(tmp_path / "inputs.pt")!r}).items():
    folder = {str(tmp_path)!r} + "/" + auto_class
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        found[auto_class] = [type(model).__name__, model(**inputs).logits.tolist()]
for auto_class, (task, about) in {PIPELINES!r}.items():
    pipe = transformers.pipeline(task, model={str(tmp_path)!r} + "/" + auto_class, trust_remote_code=True)
    found[task] = eight(pipe, **about)
print(json.dumps(found))
""",
    )
    for auto_class, model in models.items():
        name, logits = result[auto_class]
        assert name == type(model).__name__
        with torch.no_grad():
            torch.testing.assert_close(torch.tensor(logits), model(**inputs[auto_class]).logits, atol=1e-5, rtol=1e-4)
    assert_same_answers(*result["video-multiple-choice"], name="answer")
    assert_same_answers(*result["video-text-matching"], name="text")


def test_each_saved_model_names_its_own_pipeline(tmp_path):
    expected = {
        ClipBertForVideoTextRetrieval: ["video-text-matching"],
        ClipBertForMultipleChoice: ["video-multiple-choice"],
        ClipBertForPreTraining: [],
    }
    for model, tasks in expected.items():
        model(tiny_config()).save_pretrained(tmp_path / model.__name__)
        config = json.loads((tmp_path / model.__name__ / "config.json").read_text())
        assert list(config.get("custom_pipelines", {})) == tasks


def test_processor_round_trip(tmp_path, processor, video):
    processor.save_pretrained(tmp_path)
    loaded = ClipBertProcessor.from_pretrained(tmp_path)
    ours, theirs = processor(text="red ?", videos=video), loaded(text="red ?", videos=video)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == processor.tokenizer.get_vocab()


def test_code_lies_only_in_repositories(tmp_path, processor):
    """Each ``save_pretrained`` makes one, complete; a JSON file alone does not."""
    for folder, saved in (("a", processor), ("b", processor.video_processor), ("c", qa_model())):
        saved.save_pretrained(tmp_path / folder)
        assert {path.name for path in (tmp_path / folder).glob("*.py")} == model_code().keys()
    alone = tmp_path / "alone"
    alone.mkdir()
    processor.to_json_file(alone / "processor_config.json")
    processor.video_processor.to_json_file(alone / "video.json")
    assert sorted(path.name for path in alone.iterdir()) == ["processor_config.json", "video.json"]


ASK = """
import numpy as np
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor
video = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
found = []
for folder in {folders}:
    model = AutoModelForVisualQuestionAnswering.from_pretrained(folder, trust_remote_code=True)
    inputs = AutoProcessor.from_pretrained(folder, trust_remote_code=True)(text="what is shown ?", videos=video)
    with torch.no_grad():
        found.append([model(**inputs).logits.tolist(), float(inputs["pixel_values_videos"].double().sum())])
print(json.dumps(found))
"""


def test_a_folder_saved_before_the_rooms_were_two(tmp_path, run_without_the_package):
    """data/saved_by_0.1.0.zip was written by commit d404f7e, with the code of that time and the logits of one question.

    It loads with its own code, with the package, and with the code that the package saves.
    """
    old, again = tmp_path / "old", tmp_path / "again"
    with zipfile.ZipFile(DATA / "saved_by_0.1.0.zip") as archive:
        archive.extractall(old)
    expected = json.loads((old / "expected.json").read_text())
    model = ClipBertForVideoQuestionAnswering.from_pretrained(old)
    processor = ClipBertProcessor.from_pretrained(old)
    video = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        logits = model(**processor(text="what is shown ?", videos=video)).logits
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), atol=1e-5, rtol=0)
    model.save_pretrained(again)
    processor.save_pretrained(again)
    assert not (again / "encoder_clipbert.py").exists()
    folders = [str(old), str(again)]
    for logits, pixel_sum in run_without_the_package(ASK.format(folders=folders)):
        torch.testing.assert_close(torch.tensor(logits), torch.tensor(expected["logits"]), atol=1e-5, rtol=0)
        assert pixel_sum == expected["pixel_sum"]
