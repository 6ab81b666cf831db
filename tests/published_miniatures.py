"""Every data set in miniature: its files in the published form, in the folders that the recipes name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from miniature_files import write_json, write_media, write_table

OPTIONS = ("run", "jump", "sit down", "turn around", "wave")


# --- Records of the image-text data sets ---


def coco(captions: list[tuple[int, int, str]], folder: str) -> dict[str, Any]:
    """An official file of COCO captions: (id, image, caption)."""
    numbers = dict.fromkeys(image for _, image, _ in captions)
    return {
        "info": {},
        "images": [{"id": n, "file_name": f"COCO_{folder}_{n:012d}.jpg", "height": 48} for n in numbers],
        "licenses": [],
        "annotations": [{"image_id": image, "id": key, "caption": caption} for key, image, caption in captions],
    }


def region(key: int, image: int, phrase: str) -> dict[str, Any]:
    """A region of Visual Genome."""
    return {"region_id": key, "image_id": image, "x": 0, "y": 1, "width": 5, "height": 6, "phrase": phrase}


def image_data(image: int, coco_id: int | None) -> dict[str, Any]:
    """An entry of Visual Genome's image_data.json."""
    url = f"https://host/VG_100K_2/{image}.jpg"
    return {"width": 64, "url": url, "height": 64, "image_id": image, "coco_id": coco_id, "flickr_id": None}


def question(key: int, image: int, text: str) -> dict[str, Any]:
    """A question of VQA v2."""
    return {"image_id": image, "question": text, "question_id": key}


def annotation(key: int, image: int, answers: dict[str, int], kind: str = "other") -> dict[str, Any]:
    """The answers to a question of VQA v2, and how many people gave them."""
    given = [answer for answer, count in answers.items() for _ in range(count)]
    return {
        "question_type": "what is",
        "multiple_choice_answer": given[0],
        "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(given, 1)],
        "image_id": image,
        "answer_type": kind,
        "question_id": key,
    }


# --- Whole data sets ---


def write_msrvtt(root: Path) -> None:
    """Two official training videos, one of validation, two of the 1k-A test; questions and choices about them."""
    folder = root / "msrvtt"
    splits = {"video0": "train", "video1": "train", "video6513": "validate", "video7010": "test", "video7011": "test"}
    captions = [(video, f"a {word} {video}") for video in splits for word in ("man in", "dog in")]
    official = [(video, caption) for video, caption in captions if splits[video] != "test"]
    content = {
        "info": {},
        "videos": [
            {"id": n, "video_id": video, "category": 0, "url": "u", "start time": 0.0, "end time": 1.0, "split": split}
            for n, (video, split) in enumerate(splits.items())
            if split != "test"
        ],
        "sentences": [{"sen_id": n, "video_id": v, "caption": c} for n, (v, c) in enumerate(official)],
    }
    write_json(folder / "train_val_videodatainfo.json", content)
    table = [
        ("key", "vid_key", "video_id", "sentence"),
        ("ret0", "msr7010", "video7010", "a cat in video7010"),
        ("ret1", "msr7011", "video7011", "a cat in video7011"),
    ]
    write_table(folder / "MSRVTT_JSFusion_test.csv", table, delimiter=",", end="\n")
    for name, numbers in {"train": (0, 1), "val": (6513,), "test": (7010, 7011)}.items():
        rows = [
            {"id": n, "video_id": video, "question": "who walks ?", "answer": ("man", "dog")[n % 2], "category_id": 1}
            for n, video in enumerate(numbers)
        ]
        write_json(folder / f"{name}_qa.json", rows)
    choices = [("vid_key", "a1", "a2", "a3", "a4", "a5", "answer")]
    choices += [(f"msr{number}", *OPTIONS, number % 5) for number in (7010, 7011)]  # type: ignore[list-item]
    write_table(folder / "multiple_choice.tsv", choices)
    write_media(folder / "videos", *(f"{video}.mp4" for video in splits))


def write_didemo(root: Path) -> None:
    """A video with two moments for each split, two for training."""
    folder = root / "didemo"
    for split, videos in {"train": ("a.mp4", "b.mov"), "val": ("c.avi",), "test": ("d.mp4",)}.items():
        rows = [
            {
                "annotation_id": 10 * n + part,
                "description": f"{word} in {video}",
                "video": video,
                "times": [[part, part]] * 4,
                "num_segments": 6,
                "dl_link": "u",
            }
            for n, video in enumerate(videos)
            for part, word in enumerate(("a man", "a dog"))
        ]
        write_json(folder / f"{split}_data.json", rows)
        write_media(folder / "videos", *videos)


def write_activitynet(root: Path) -> None:
    """Two training videos, and one that both validation files tell."""
    folder = root / "activitynet_captions"
    entry = {"duration": 1.0, "timestamps": [[0, 0.5], [0.5, 1]], "sentences": ["A man runs.", "He falls."]}
    for split, videos in {"train": ("v_a", "v_b"), "val_1": ("v_c",), "val_2": ("v_c",)}.items():
        write_json(folder / f"{split}.json", dict.fromkeys(videos, entry))
        write_media(folder / "videos", *(f"{video}.mp4" for video in videos))


def write_tgif(root: Path) -> None:
    """Two training GIFs and one for the test; of gif0 and gif5 the hash holds out gif5."""
    folder = root / "tgif_qa"
    heads = {
        "action": ("gif_name", "question", "a1", "a2", "a3", "a4", "a5", "answer", "vid_id", "key"),
        "frameqa": ("gif_name", "question", "answer", "type", "vid_id", "key", "description"),
        "count": ("gif_name", "question", "answer", "vid_id", "key"),
    }
    heads["transition"] = heads["action"]
    for split, gifs in {"Train": ("gif0", "gif1", "gif5"), "Test": ("gif2",)}.items():
        for task, head in heads.items():
            cells: dict[str, tuple[Any, ...]] = {
                "action": (*OPTIONS, 3, 1, "KEY"),
                "transition": (*OPTIONS, 1, 1, "KEY"),
                "frameqa": ("dog", 0, 1, "KEY", "a dog"),
                "count": (4, 1, "KEY"),
            }
            rows = [(gif, f"what of {gif} ?", *cells[task]) for gif in gifs]
            write_table(folder / f"{split}_{task}_question.csv", [head, *rows])
        write_media(folder / "videos", *(f"{gif}.gif" for gif in gifs))


COCO_IMAGES = {"train2014": (9, 25, 30), "val2014": (42,), "test2015": (1,)}


def write_coco_images(root: Path) -> None:
    """Three images for training, one for validation, one for the test."""
    for folder, numbers in COCO_IMAGES.items():
        write_media(root / "coco_images" / folder, *(f"COCO_{folder}_{number:012d}.jpg" for number in numbers))


def write_coco_captions(root: Path) -> None:
    """Two or three captions an image."""
    train = [(37, 9, "A plate of food."), (49, 25, "A giraffe."), (52, 9, "Lunch."), (53, 30, "A red bus.")]
    validation = [(60, 42, "A shoe."), (61, 42, "One brown shoe.")]
    write_json(root / "coco_captions" / "captions_train2014.json", coco(train, "train2014"))
    write_json(root / "coco_captions" / "captions_val2014.json", coco(validation, "val2014"))
    write_coco_images(root)


def write_visual_genome(root: Path) -> None:
    """Five images: 1 is COCO's 9 (training), 2 its 42 (validation), 3 one that it does not caption, 4 and 5 none."""
    folder = root / "visual_genome"
    phrases = {1: ("the food", "a fork"), 2: ("a brown shoe",), 3: ("a hat",), 4: ("a car", "the sky"), 5: ("a tree",)}
    regions = [
        {"id": image, "regions": [region(100 * image + n, image, phrase) for n, phrase in enumerate(texts)]}
        for image, texts in phrases.items()
    ]
    write_json(folder / "region_descriptions.json", regions)
    coco_ids = {1: 9, 2: 42, 3: 77, 4: None, 5: None}
    write_json(folder / "image_data.json", [image_data(image, number) for image, number in coco_ids.items()])
    write_media(folder / "images", *(f"VG_100K/{image}.jpg" for image in phrases))


def write_vqa(root: Path) -> None:
    """Two questions for training, two for validation, one for the test, whose answer is not published."""
    folder = root / "vqa_v2"
    for split, image in {"train2014": 9, "val2014": 42}.items():
        keys = (1000 * image, 1000 * image + 1)
        questions = [question(key, image, text) for key, text in zip(keys, ("What is this?", "Red?"), strict=True)]
        answers = [annotation(keys[0], image, {"net": 10}), annotation(keys[1], image, {"yes": 8, "No": 2})]
        write_json(folder / f"v2_OpenEnded_mscoco_{split}_questions.json", {"info": {}, "questions": questions})
        write_json(folder / f"v2_mscoco_{split}_annotations.json", {"annotations": answers, "license": {}})
    test = {"questions": [question(1000, 1, "Who?")]}
    write_json(folder / "v2_OpenEnded_mscoco_test2015_questions.json", test)
    write_coco_images(root)


def write_custom(root: Path) -> None:
    """For each task a table for each split."""
    tables: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
        ".": (("question", "answer"), ("who ?", "man")),
        "captions": (("caption",), ("a man runs",)),
        "choices": (("question", "options", "answer"), ("who ?", '"[""man"", ""dog""]"', 1)),
    }
    for split, videos in {"train": ("a.mp4", "b.mp4"), "validation": ("c.mp4",), "test": ("d.webm",)}.items():
        for folder, (head, cells) in tables.items():
            rows = [("video", *head), *((video, *cells) for video in videos)]
            write_table(root / "mine" / folder / f"{split}.csv", rows, delimiter=",", end="\n")
        write_media(root / "mine" / "videos", *videos)


WRITERS: dict[str, Callable[[Path], None]] = {
    "activitynet_captions": write_activitynet,
    "coco_captions": write_coco_captions,
    "custom": write_custom,
    "didemo": write_didemo,
    "msrvtt": write_msrvtt,
    "tgif_qa": write_tgif,
    "visual_genome": write_visual_genome,
    "vqa_v2": write_vqa,
}
