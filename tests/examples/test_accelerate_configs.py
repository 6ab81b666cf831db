"""The files that ``accelerate launch`` takes: each is understood, and trains what one plain process group trains."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType
from forked_runs import free_port
from script_runs import EXAMPLES, RECIPES, ROOT, accelerate_launch, finish, weights

from clipbert_hf import ClipBertConfig, ClipBertForVideoQuestionAnswering
from clipbert_hf.training.recipe import LoopSettings
from clipbert_hf.training.sharding import deepspeed_plugin, fsdp_plugin

CONFIGS = EXAMPLES / "accelerate_configs"
# Rounding errors stay what they are: with an epsilon this large a step follows the gradient.
SETTINGS = ["--threads", "1", "--batch_size", "4", "--max_steps", "4", "--num_workers", "0", "--tracker", "none"]
SETTINGS += ["--adam_eps", "1e-2", "--learning_rate", "1e-2", "--cnn_learning_rate", "1e-3", "--max_grad_norm", "0.1"]
SETTINGS += ["--evaluate_every", "2", "--keep_checkpoints", "2", "--best_metric", "null", "--mixed_precision", "bf16"]
SETTINGS += ["--gradient_accumulation_steps", "2", "--dataset_options", "{}"]
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install deepspeed"
)


def load(name: str) -> ClusterConfig:
    return load_config_from_file(str(CONFIGS / name))


def test_accelerate_knows_every_key() -> None:
    options = vars(launch_command_parser().parse_args(["script.py"]))
    expected = {
        "ddp.yaml": DistributedType.MULTI_GPU,
        "deepspeed_zero2.yaml": DistributedType.DEEPSPEED,
        "fsdp2.yaml": DistributedType.FSDP,
        "multi_node.yaml": DistributedType.MULTI_GPU,
    }
    assert sorted(path.name for path in CONFIGS.iterdir()) == list(expected)
    for name, kind in expected.items():
        config = load(name)  # which refuses unknown keys, except in the mappings below it
        assert config.distributed_type == kind
        assert {*config.fsdp_config, *config.deepspeed_config} <= options.keys()


def test_fsdp_finds_its_layers() -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 50}
    cnn: dict[str, Any] = {"backbone": "resnet18", "backbone_stride_in_1x1": False}
    model = ClipBertForVideoQuestionAnswering(ClipBertConfig(num_attention_heads=2, **sizes, **cnn))
    wanted = load("fsdp2.yaml").fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    assert set(wanted) <= {type(module).__name__ for module in model.modules()}


def test_plugins_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = LoopSettings(output_dir="x")
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.delenv(name, raising=False)
    assert fsdp_plugin() is None
    assert deepspeed_plugin(recipe) is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    plugin = fsdp_plugin()
    assert plugin is not None
    plugin.set_mixed_precision("bf16")  # what accelerate does next
    assert plugin.mixed_precision_policy.param_dtype is None


@needs_deepspeed
@pytest.mark.parametrize(("length", "clipping"), [(None, 0.0), (5.0, 5.0)])
def test_deepspeed_goes_by_the_recipe(length: float | None, clipping: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    recipe = LoopSettings(
        output_dir="x", batch_size=3, gradient_accumulation_steps=7, max_grad_norm=length, mixed_precision="fp16"
    )
    plugin = deepspeed_plugin(recipe)
    assert plugin is not None
    plugin.set_mixed_precision("fp16")  # what accelerate does next
    config = plugin.deepspeed_config
    assert config["train_micro_batch_size_per_gpu"] == 3
    assert config["gradient_accumulation_steps"] == 7
    assert config.get("gradient_clipping", 0.0) == clipping
    assert (config["fp16"]["enabled"], config["bf16"]["enabled"]) == (False, False)
    assert config["torch_autocast"] == {"enabled": True, "dtype": "float16"}


# --- Runs of two CPU processes ---


def start(
    config: str, data: Path, begin: Path, output: Path, *options: str | Path, task: str = "video_qa"
) -> subprocess.Popen[str]:
    """Start training with a file, all else being equal; options of the launcher come before ``--``."""
    split = options.index("--") if "--" in options else 0
    place = ["--config_file", CONFIGS / config, "--num_processes", "2", *options[:split]]
    script = [ROOT / "tests" / "sharded_on_cpu.py", EXAMPLES / f"run_{task}.py", RECIPES / f"{task}_moving_shapes.yaml"]
    given = ["--data_dir", data, "--start_from", begin, "--output_dir", output, *options[split:][1:]]
    return accelerate_launch(*place, *script, *SETTINGS, *given)


@pytest.fixture(scope="module")
def trained(small_data: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights after training with ddp.yaml."""
    output = tmp_path_factory.mktemp("ddp")
    finish(start("ddp.yaml", small_data, pretrained, output, "--main_process_port", "0", "--"))
    return weights(output)


def assert_close(folder: Path, expected: dict[str, torch.Tensor], *, atol: float = 1e-6, rtol: float = 0.0) -> None:
    found = weights(folder)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(
            found[name], expected[name], atol=atol, rtol=rtol, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.slow
@pytest.mark.long  # evaluations in two processes of FSDP2 are in make test
def test_fsdp2(small_data: Path, pretrained: Path, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    before = ClipBertForVideoQuestionAnswering.from_pretrained(pretrained).state_dict()
    assert any((trained[name] - before[name]).abs().max() > 1e-3 for name in trained if name in before)
    checkpoint = sharded(small_data, pretrained, tmp_path)
    assert (checkpoint / "pytorch_model_fsdp.bin").is_file()
    assert_close(tmp_path, trained)
    model = ClipBertForVideoQuestionAnswering.from_pretrained(tmp_path)
    assert torch.equal(model.state_dict()["classifier.0.weight"], weights(tmp_path)["classifier.0.weight"])


@pytest.mark.slow
@pytest.mark.long  # two launches; how checkpoints are read is the same for all, and each loop's resume is tested
def test_fsdp2_resumes(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    checkpoint = sharded(small_data, pretrained, tmp_path / "whole")
    sharded(small_data, pretrained, tmp_path / "resumed", "--resume_from_checkpoint", checkpoint)
    assert_close(tmp_path / "resumed", weights(tmp_path / "whole"), atol=0)


def sharded(data: Path, pretrained: Path, output: Path, *options: str | Path) -> Path:
    """Train with FSDP2; returns the checkpoint in the middle."""
    finish(start("fsdp2.yaml", data, pretrained, output, "--main_process_port", "0", "--", *options))
    return output / "checkpoints" / "step_00000002"


@pytest.mark.slow
def test_two_machines(small_data: Path, pretrained: Path, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    place = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()), "--machine_rank"]
    launches = [
        start("multi_node.yaml", small_data, pretrained, tmp_path, *place, str(rank), "--") for rank in range(2)
    ]
    for process in launches:
        finish(process)
    assert_close(tmp_path, trained)


@needs_deepspeed
@pytest.mark.slow
def test_deepspeed(small_data: Path, pretrained: Path, trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    launch = [small_data, pretrained]
    finish(start("deepspeed_zero2.yaml", *launch, tmp_path / "whole", "--main_process_port", "0", "--"))
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_00000002"
    assert (checkpoint / "pytorch_model" / "mp_rank_00_model_states.pt").is_file()
    assert_close(tmp_path / "whole", trained, atol=1e-3, rtol=1e-2)  # it adds up gradients of 16 bits in another order
    options = ["--main_process_port", "0", "--", "--resume_from_checkpoint", checkpoint]
    finish(start("deepspeed_zero2.yaml", *launch, tmp_path / "resumed", *options))
    assert_close(tmp_path / "resumed", weights(tmp_path / "whole"), atol=0)


@needs_deepspeed
@pytest.mark.slow
def test_deepspeed_does_what_ddp_does(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    for config in ("ddp.yaml", "deepspeed_zero2.yaml"):
        options = ["--main_process_port", "0", "--", "--mixed_precision", "fp32"]
        finish(start(config, small_data, pretrained, tmp_path / config, *options))
    # To the last bit of fp32, which is 1e-7 of small numbers and more of larger ones.
    assert_close(tmp_path / "deepspeed_zero2.yaml", weights(tmp_path / "ddp.yaml"), atol=1e-7, rtol=1.2e-7)


@needs_deepspeed
@pytest.mark.slow
def test_deepspeed_evaluates_retrieval(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    """In the middle of training, by a method of the model beside forward, in its precision."""
    options = ["--main_process_port", "0", "--", "--inference_clips", "1,2"]
    finish(start("deepspeed_zero2.yaml", small_data, pretrained, tmp_path, *options, task="retrieval"))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["steps"] == 4
    assert results["validation"]["text_to_video"]["r10"] == results["test"]["text_to_video"]["r10"] == 1.0
