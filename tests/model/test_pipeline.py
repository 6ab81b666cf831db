from __future__ import annotations

import io
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from reference_inputs import tiny_config
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from clipbert_hf import (
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
    VideoDecodeError,
    VideoQuestionAnsweringPipeline,
)

ANSWERS = ("red", "blue", "circle", "square")
SECONDS, FPS = 4, 10


def frames(seed: int) -> np.ndarray:
    """Half a video of one colour, half of another, (n, height, width, 3)."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 255, (2, 1, 1, 3), dtype=np.uint8)
    return np.repeat(np.broadcast_to(colors, (2, 64, 96, 3)), SECONDS * FPS // 2, axis=0)


def write_video(path: Path, seed: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for image in frames(seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        write_video(folder / f"{seed}.mp4", seed)
    return folder


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    vocab = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "color", "shape", "is", "it", "?"])
    )
    torch.manual_seed(0)
    config = tiny_config(
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: index for index, answer in enumerate(ANSWERS)},
        score_aggregation="lse",
        initializer_range=0.3,
    )
    processor = ClipBertProcessor.from_pretrained_parts(
        text=vocab, size={"longest_edge": 64}, num_clips=4, num_frames=2
    )
    model = ClipBertForVideoQuestionAnswering(config).eval()
    return pipeline("video-question-answering", model=model, processor=processor)


def same(one, other):
    assert [answer["answer"] for answer in one] == [answer["answer"] for answer in other]
    assert [answer["score"] for answer in one] == pytest.approx([answer["score"] for answer in other], abs=1e-4)


def test_answers_are_those_of_the_model(pipe, folder):
    assert isinstance(pipe, VideoQuestionAnsweringPipeline)
    answers = pipe(folder / "0.mp4", "what color is it ?")
    inputs = pipe.processor(text="what color is it ?", videos=folder / "0.mp4")
    with torch.no_grad():
        expected = pipe.model(**inputs).logits[0].softmax(-1).tolist()
    by_score = sorted(zip(expected, ANSWERS, strict=True), reverse=True)
    assert [answer["answer"] for answer in answers] == [name for _, name in by_score]
    assert [answer["score"] for answer in answers] == pytest.approx([score for score, _ in by_score], abs=1e-5)


def test_every_kind_of_video_gives_the_same_answer(pipe, folder):
    path, question = folder / "1.mp4", "what shape is it ?"
    expected = pipe(str(path), question)
    same(pipe(path, question), expected)
    same(pipe(path.read_bytes(), question), expected)
    same(pipe(io.BytesIO(path.read_bytes()), question), expected)
    with open(path, "rb") as file:
        same(pipe(file, question), expected)
    same(pipe({"bytes": path.read_bytes(), "path": None}, question), expected)
    same(pipe({"video": path, "question": question}), expected)
    same(pipe(video=path, question=question), expected)


def test_urls(pipe, folder):
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/2.mp4"
        same(pipe(url, "what is it ?"), pipe(folder / "2.mp4", "what is it ?"))
        server.shutdown()


def test_frames_in_memory(pipe):
    array, question = frames(4), "what color is it ?"
    expected = pipe(array, question)
    same(pipe(torch.from_numpy(array.copy()), question), expected)
    same(pipe(array.transpose(0, 3, 1, 2), question), expected)
    same(pipe([Image.fromarray(image) for image in array], question), expected)


def test_several_questions_and_several_videos(pipe, folder):
    paths, questions = [folder / f"{seed}.mp4" for seed in range(3)], ["what is it ?", "what color is it ?"]
    both = pipe(paths[0], questions)
    assert len(both) == 2
    for answers, question in zip(both, questions, strict=True):
        same(answers, pipe(paths[0], question))
    for answers, path in zip(pipe(paths, questions[0]), paths, strict=True):
        same(answers, pipe(path, questions[0]))
    for answers, path, question in zip(pipe(paths[:2], questions), paths, questions, strict=False):
        same(answers, pipe(path, question))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_and_generators_keep_order_and_length(pipe, folder, batch_size):
    questions = ["what ?", "what color is it ?", ["what is it ?", "is it ?"], "what shape ?"]
    rows = [{"video": folder / f"{index % 3}.mp4", "question": question} for index, question in enumerate(questions)]
    singly = [pipe(row["video"], row["question"]) for row in rows]
    for batched in (pipe(rows, batch_size=batch_size), list(pipe((row for row in rows), batch_size=batch_size))):
        assert len(batched) == 4
        for ours, expected in zip(batched, singly, strict=True):
            if isinstance(expected[0], list):
                for answers, expected_answers in zip(ours, expected, strict=True):
                    same(answers, expected_answers)
            else:
                same(ours, expected)


def test_every_form_of_several_videos(pipe, folder):
    """What transformers' own pipelines take, each with one result a video, in order."""
    paths, question = [str(folder / f"{seed}.mp4") for seed in range(3)], "what color is it ?"
    expected = [pipe(path, question) for path in paths]
    arrays = [frames(seed) for seed in range(3)]
    of_arrays = [pipe(array, question) for array in arrays]
    data = datasets.Dataset.from_dict({"video": paths, "question": [question] * 3, "answer": [0, 1, 2]})
    lists = {
        "paths": (paths, expected),
        "bytes": ([Path(path).read_bytes() for path in paths], expected),
        "file objects": ([io.BytesIO(Path(path).read_bytes()) for path in paths], expected),
        "mappings": ([{"path": path, "bytes": None} for path in paths], expected),
        "arrays": (arrays, of_arrays),
        "tensors": ([torch.from_numpy(array.copy()) for array in arrays], of_arrays),
        "an array": (np.stack(arrays), of_arrays),
        "lists of images": ([[Image.fromarray(image) for image in array] for array in arrays], of_arrays),
        "mixed": ((paths[0], arrays[1]), [expected[0], of_arrays[1]]),
    }
    for name, (videos, results) in lists.items():
        given = pipe(videos, question, batch_size=2)
        assert isinstance(given, list), name
        for ours, theirs in zip(given, results, strict=True):
            same(ours, theirs)
    streams = {
        "generator": (path for path in paths),
        "column": data["video"],
        "KeyDataset": KeyDataset(data, "video"),
    }
    for name, videos in streams.items():
        given = pipe(videos, question, batch_size=2)
        assert not isinstance(given, list), name
        for ours, theirs in zip(given, expected, strict=True):
            same(ours, theirs)
    for rows in (data, (row for row in data)):
        for ours, theirs in zip(pipe(rows), expected, strict=True):
            same(ours, theirs)


def test_questions_of_a_stream_go_with_its_videos(pipe, folder):
    path, questions = str(folder / "0.mp4"), ["what is it ?", "what shape ?"]
    for ours, question in zip(pipe((path for _ in questions), questions), questions, strict=True):
        same(ours, pipe(path, question))
    with pytest.raises(InvalidInputError, match="question must be one for all or one for each video; got 1, and more"):
        list(pipe((path for _ in range(2)), questions[:1]))
    with pytest.raises(InvalidInputError, match="each of 1 videos; got more"):
        list(pipe((path for _ in range(1)), questions))


def test_workers_decode(pipe, folder):
    paths = [folder / f"{seed}.mp4" for seed in range(3)]
    for ours, path in zip(pipe(paths, "what ?", num_workers=2, batch_size=2), paths, strict=True):
        same(ours, pipe(path, "what ?"))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_next_batch_is_decoded_while_the_model_works(pipe, folder, batch_size, monkeypatch):
    """The model waits for the next batch to be decoded, which nobody has asked for yet; it never is two ahead."""
    paths = [folder / f"{seed % 3}.mp4" for seed in range(3 * batch_size)]
    expected = [pipe(path, "what ?") for path in paths]
    decoded, counts = threading.Condition(), []
    preprocess, forward = pipe.preprocess, pipe._forward
    threads, started, batches = set(), [], []

    def noted(row, **options):
        threads.add(threading.get_ident())
        with decoded:
            started.append(row)
            counts.append(len(batches))
        sample = preprocess(row, **options)
        with decoded:
            decoded.notify_all()
        return sample

    def waiting(inputs, **options):
        with decoded:
            batches.append(len(started))
            wanted = min((len(batches) + 1) * batch_size, len(paths))
            assert decoded.wait_for(lambda: len(started) >= wanted, timeout=30)
        return forward(inputs, **options)

    monkeypatch.setattr(pipe, "preprocess", noted)
    monkeypatch.setattr(pipe, "_forward", waiting)
    for ours, theirs in zip(pipe(paths, "what ?", batch_size=batch_size), expected, strict=True):
        same(ours, theirs)
    assert threading.get_ident() not in threads
    # What is decoded belongs to the batch after the one that the model has.
    assert all(place // batch_size <= done + 1 for place, done in enumerate(counts))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_bad_video_is_an_error_in_its_turn(pipe, folder, tmp_path, batch_size):
    (tmp_path / "bad.mp4").write_text("no video")
    good = folder / "0.mp4"
    rows = [{"video": path, "question": "what ?"} for path in (good, good, tmp_path / "bad.mp4", good)]
    results = iter(pipe((row for row in rows), batch_size=batch_size))
    for _ in range(2):
        same(next(results), pipe(good, "what ?"))
    with pytest.raises(VideoDecodeError, match=r"bad\.mp4"):
        next(results)


def test_results_can_be_counted_before_they_are_there(pipe, folder):
    data = KeyDataset([{"row": {"video": folder / "0.mp4", "question": "what ?"}}] * 3, "row")
    assert len(pipe(data)) == 3


def test_whole_videos_of_different_lengths_in_a_batch(pipe):
    videos = [frames(0)[:3], frames(1)[:5], frames(2)[:3]]
    for ours, video in zip(pipe(videos, "what ?", do_sample_frames=False, batch_size=3), videos, strict=True):
        same(ours, pipe(video, "what ?", do_sample_frames=False))


def test_top_k_and_number_of_clips(pipe, folder):
    path = folder / "0.mp4"
    assert len(pipe(path, "what ?", top_k=2)) == 2
    assert len(pipe(path, "what ?", top_k=99)) == len(ANSWERS)
    few, many = pipe(path, "what ?", num_clips=1), pipe(path, "what ?", num_clips=8)
    assert {answer["answer"]: answer["score"] for answer in few} != {
        answer["answer"]: answer["score"] for answer in many
    }


def test_clip_scores_show_the_moments(pipe, folder):
    answers = pipe(folder / "0.mp4", "what color is it ?", return_clip_scores=True, num_clips=4, num_frames=1)
    inputs = pipe.processor(text="what color is it ?", videos=folder / "0.mp4", num_clips=4, num_frames=1)
    with torch.no_grad():
        expected = pipe.model(**inputs).clip_logits[0].softmax(-1)
    for answer in answers:
        clips = answer["clips"]
        assert [clip["score"] for clip in clips] == pytest.approx(
            expected[:, ANSWERS.index(answer["answer"])].tolist(), abs=1e-5
        )
        # 40 frames at 10 fps, clips of 5 frames: starts at 35 * i / 4 = 0, 8.75, 17.5, 26.25 frames.
        assert [clip["start"] for clip in clips] == pytest.approx([0, 0.8, 1.7, 2.6], abs=0.101)
        assert all(clip["start"] < clip["end"] <= SECONDS for clip in clips)


def test_soft_label_models_score_answers_independently(pipe, folder):
    pipe.model.config.problem_type = "multi_label_classification"
    try:
        answers = pipe(folder / "0.mp4", "what ?")
    finally:
        pipe.model.config.problem_type = None
    inputs = pipe.processor(text="what ?", videos=folder / "0.mp4")
    with torch.no_grad():
        expected = pipe.model(**inputs).logits[0].sigmoid().sort(descending=True).values.tolist()
    assert [answer["score"] for answer in answers] == pytest.approx(expected, abs=1e-5)


def test_saved_pipeline_answers_the_same(pipe, folder, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = pipeline("video-question-answering", model=str(tmp_path), trust_remote_code=True)
    same(loaded(folder / "0.mp4", "what ?"), pipe(folder / "0.mp4", "what ?"))


def test_wrong_input_gives_one_clear_error(pipe, folder, tmp_path):
    path = folder / "0.mp4"
    with pytest.raises(VideoDecodeError, match=r"none\.mp4"):
        pipe(tmp_path / "none.mp4", "what ?")
    (tmp_path / "text.mp4").write_text("this is no video")
    with pytest.raises(VideoDecodeError, match=r"text\.mp4"):
        pipe(tmp_path / "text.mp4", "what ?")
    with pytest.raises(InvalidInputError, match="not empty"):
        pipe(path, "  ")
    with pytest.raises(InvalidInputError, match="question is missing"):
        pipe(path)
    with pytest.raises(InvalidInputError, match="question is missing"):
        pipe()
    with pytest.raises(InvalidInputError, match="one for each of 2 videos; got 3"):
        pipe([path, path], ["a", "b", "c"])
    with pytest.raises(InvalidInputError, match="top_k must be at least 1"):
        pipe(path, "what ?", top_k=0)
    with pytest.raises(TypeError, match="num_clops"):
        pipe(path, "what ?", num_clops=2)
    with pytest.raises(InvalidInputError, match="each input must be"):
        pipe([{"film": path}])
    with pytest.raises(InvalidInputError, match="needs processor"):
        VideoQuestionAnsweringPipeline(model=pipe.model)


# -- multiple choice and matching -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def choose(pipe):
    torch.manual_seed(0)
    model = ClipBertForMultipleChoice(tiny_config(initializer_range=0.3)).eval()
    return pipeline("video-multiple-choice", model=model, processor=pipe.processor)


@pytest.fixture(scope="module")
def match(pipe):
    torch.manual_seed(0)
    model = ClipBertForVideoTextRetrieval(tiny_config(initializer_range=0.3)).eval()
    return pipeline("video-text-matching", model=model, processor=pipe.processor)


def test_choices_are_those_of_the_model(choose, folder):
    path, question, choices = folder / "0.mp4", "what is it ?", ["color", "shape", "what"]
    ranked = choose(path, question, choices)
    inputs = choose.processor(text=question, videos=path, choices=choices)
    with torch.no_grad():
        expected = dict(zip(choices, choose.model(**inputs).logits[0].softmax(-1).tolist(), strict=True))
    assert [answer["answer"] for answer in ranked] == sorted(choices, key=lambda choice: -expected[choice])
    for answer in ranked:
        assert answer["score"] == pytest.approx(expected[answer["answer"]], abs=1e-5)
    assert choose(path, question, choices, top_k=1) == ranked[:1]
    clips = choose(path, question, choices, return_clip_scores=True)[0]["clips"]
    assert len(clips) == 4


def test_choices_of_several_questions_and_videos(choose, folder):
    paths = [folder / f"{seed}.mp4" for seed in range(3)]
    two, three = ["color", "shape"], ["it", "what", "shape"]
    single = [choose(path, "what ?", choices) for path, choices in zip(paths, (two, three, two), strict=True)]
    for ours, theirs in zip(choose(paths, "what ?", [two, three, two], batch_size=3), single, strict=True):
        same(ours, theirs)
    same(choose(paths, "what ?", two)[2], single[2])
    both = choose(paths[0], ["what ?", "is it ?"], [two, ["it", "what"]])
    same(both[0], single[0])
    same(both[1], choose(paths[0], "is it ?", ["it", "what"]))
    rows = [{"video": path, "question": "what ?", "choices": two} for path in paths]
    same(choose(rows)[0], single[0])
    with pytest.raises(InvalidInputError, match="choices is missing; got question alone"):
        choose(paths[0], "what ?")


def test_matches_are_those_of_the_model(match, folder):
    path, texts = folder / "0.mp4", ["red ?", "what shape is it ?", "is it"]
    ranked = match(path, texts)
    inputs = match.processor(text=[texts], videos=[path])
    with torch.no_grad():
        expected = dict(zip(texts, match.model(**inputs).scores.tolist(), strict=True))
    assert [one["text"] for one in ranked] == sorted(texts, key=lambda text: -expected[text])
    for one in ranked:
        assert one["score"] == pytest.approx(expected[one["text"]], abs=1e-5)
        alone = match(path, one["text"])
        assert alone["score"] == pytest.approx(one["score"], abs=1e-5)
    assert match(path, texts, top_k=2) == ranked[:2]
    of_all = match([path, folder / "1.mp4"], "red ?", return_clip_scores=True)
    assert [len(one["clips"]) for one in of_all] == [4, 4]
    assert of_all[0]["score"] == pytest.approx(expected["red ?"], abs=1e-5)


@pytest.mark.parametrize("task", ["video-multiple-choice", "video-text-matching"])
def test_the_other_pipelines_save_and_load(choose, match, folder, tmp_path, task):
    made, about = (
        (choose, ("what ?", ["it", "color"])) if task == "video-multiple-choice" else (match, (["what", "it"],))
    )
    made.save_pretrained(tmp_path)
    loaded = pipeline(task, model=str(tmp_path), trust_remote_code=True)
    path = folder / "0.mp4"
    assert [one["score"] for one in loaded(path, *about)] == pytest.approx(
        [one["score"] for one in made(path, *about)], abs=1e-5
    )


@pytest.fixture
def temperature(pipe, choose, match):
    """Makes all pipelines half as sure as their logits."""
    for each in (pipe, choose, match):
        each.model.config.calibration_temperature = 2.0
    yield 2.0
    for each in (pipe, choose, match):
        each.model.config.calibration_temperature = 1.0


def test_a_temperature_changes_scores_and_no_order(pipe, choose, match, folder, temperature):
    path = folder / "0.mp4"
    inputs = pipe.processor(text="what ?", videos=path)
    with torch.no_grad():
        output = pipe.model(**inputs)
    expected = (output.logits[0] / temperature).softmax(-1)
    answers = pipe(path, "what ?", return_clip_scores=True)
    assert [answer["answer"] for answer in answers] == [ANSWERS[place] for place in output.logits[0].argsort().flip(0)]
    best = expected.argmax()
    assert answers[0]["score"] == pytest.approx(expected[best].item(), abs=1e-5)
    of_clips = (output.clip_logits[0] / temperature).softmax(-1)[:, best].tolist()
    assert [clip["score"] for clip in answers[0]["clips"]] == pytest.approx(of_clips, abs=1e-5)
    chosen = choose(path, "what ?", ["it", "color"])
    with torch.no_grad():
        logits = choose.model(**choose.processor(text="what ?", videos=path, choices=["it", "color"])).logits[0]
    assert chosen[0]["score"] == pytest.approx((logits / temperature).softmax(-1).max().item(), abs=1e-5)
    with torch.no_grad():
        logits = match.model(**match.processor(text="red ?", videos=path)).logits[0]
    assert match(path, "red ?")["score"] == pytest.approx((logits / temperature).softmax(-1)[1].item(), abs=1e-5)


def test_unsure_answers_are_withheld(pipe, choose, folder):
    path = folder / "0.mp4"
    answers = pipe(path, "what ?", return_clip_scores=True)
    best = answers[0]
    assert pipe(path, "what ?", return_clip_scores=True, abstain_below=best["score"] - 1e-4) == answers
    withheld = pipe(path, "what ?", return_clip_scores=True, abstain_below=best["score"] + 1e-4)
    assert withheld == [{"answer": None, "score": best["score"], "clips": best["clips"]}]
    two = pipe(path, ["what ?", "is it ?"], abstain_below=1.0, top_k=2)
    assert [[answer["answer"] for answer in of_question] for of_question in two] == [[None], [None]]
    assert choose(path, "what ?", ["it", "color"], abstain_below=1.0)[0]["answer"] is None
    batch = pipe([path, path], "what ?", abstain_below=1.0, batch_size=2)
    assert [of_video[0]["answer"] for of_video in batch] == [None, None]


def test_wrong_thresholds_are_refused(pipe, match, folder):
    with pytest.raises(InvalidInputError, match="abstain_below must be a probability, from 0 to 1; got 30"):
        pipe(folder / "0.mp4", "what ?", abstain_below=30)
    with pytest.raises(InvalidInputError, match="gives the probability that a text matches"):
        match(folder / "0.mp4", "what ?", abstain_below=0.5)
