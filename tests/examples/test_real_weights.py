"""Fine-tuning from MiniLM and EfficientNet-Lite0 learns faster than from random weights, other things being equal."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from installed_weights import efficientnet_file, minilm_folder
from script_runs import finish, launch

from datasets_scripts.moving_shapes.rendering import encode_mp4, render_frames
from datasets_scripts.moving_shapes.scenes import SplitName, plan_split

STEPS = 60
SPLITS: dict[SplitName, int] = {"train": 400, "validation": 30}
SETTINGS = ["--model.backbone", "tf_efficientnet_lite0", "--model.backbone_kwargs", "{out_indices: [3]}"]
SETTINGS += ["--model.freeze_backbone_stages", "0", "--processor.size", "{longest_edge: 64}"]
SETTINGS += ["--processor.num_frames", "1", "--training_clips", "1", "--validation_clips", "1"]
SETTINGS += ["--inference_clips", "1", "--batch_size", "16", "--max_steps", str(STEPS), "--evaluate_every", str(STEPS)]
SETTINGS += ["--learning_rate", "3e-4", "--cnn_learning_rate", "3e-4", "--warmup_ratio", "0.1", "--num_workers", "0"]
SETTINGS += ["--threads", "1", "--tracker", "none"]
# The sizes of both packages' models, and what their configurations say of pixels. Random batch norm has to learn its
# statistics, which that of ImageNet brings along.
RANDOM = ["--vision", "null", "--text", "null", "--model.freeze_batch_norm", "false"]
RANDOM += ["--model.hidden_size", "384", "--model.num_hidden_layers", "6", "--model.num_attention_heads", "12"]
RANDOM += ["--model.intermediate_size", "1536", "--model.backbone_stride_in_1x1", "false"]
RANDOM += ["--model.frame_color_order", "rgb", "--processor.image_mean", "[127.5, 127.5, 127.5]"]
RANDOM += ["--processor.image_std", "[127.5, 127.5, 127.5]"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each scene of 400 training and 30 validation videos as a video of its own, with a question for either word."""
    folder = tmp_path_factory.mktemp("scenes")
    for split, count in SPLITS.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("video", "question", "answer", "answer_type"))
            for plan in plan_split(split=split, count=count, seed=0, scenes=(2, 3)):
                frames = render_frames(plan, seed=0)
                for number, scene in enumerate(plan.scenes):
                    name = f"{plan.id}_{number}.mp4"
                    (folder / name).write_bytes(encode_mp4(frames[scene.start : scene.stop]))
                    writer.writerow((name, f"what color is the {scene.shape} ?", scene.color, "color"))
                    writer.writerow((name, f"what shape is {scene.color} ?", scene.shape, "shape"))
    return folder


def train(name: str, start: list[str], scenes: Path, output: Path, *, seed: int) -> tuple[float, float]:
    """The mean loss of the run and the validation accuracy after it."""
    data = ["--data_dir", str(scenes), "--dataset_options", f"{{video_dir: {scenes}}}", "--seed", str(seed)]
    finish(launch("run_video_qa.py", "video_qa_custom.yaml", *SETTINGS, *start, *data, "--output_dir", output / name))
    results = json.loads((output / name / "results.json").read_text())
    lines = [json.loads(line) for line in (output / name / "log.jsonl").read_text().splitlines()]
    assert results["steps"] == lines[-1]["step"] == STEPS
    return lines[-1]["loss"], results["validation"]["accuracy"]


@pytest.mark.slow
@pytest.mark.long
def test_real_weights_beat_random_ones(scenes: Path, tmp_path: Path) -> None:
    parts = ["--vision", str(efficientnet_file()), "--text", str(minilm_folder())]
    real_loss, real = train("real", parts, scenes, tmp_path, seed=42)
    random_loss, random = train("random", RANDOM, scenes, tmp_path, seed=42)
    figures = f"loss {real_loss:.3f} against {random_loss:.3f}, accuracy {real:.1%} against {random:.1%}"
    assert real_loss < random_loss, figures
    assert real > random, figures
