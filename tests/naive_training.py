"""ClipBERT and its training as published, written to be read: clip by clip, text by text, and nothing batched.

It shares no code with the package, only the names of the weights in a saved model. Texts are never padded, so that
there are no masks; each frame passes the CNN alone, as frozen batch norm allows; dropout is left out. Schedule and
optimizer are those of the released code (jayleicn/ClipBERT at 7f67e7e, src/optimization), written anew.

Shapes: T frames of a clip, R x C cells of a frame's grid, V = R * C visual tokens, M tokens of a text, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import av
import numpy as np
import torch
from torch import nn

# --- Vision: a ResNet in its Caffe form, and the grid encoder ---


class FrozenBatchNorm(nn.Module):
    """Statistics and affine parameters are constants."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(channels))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        mean, var, weight, bias = (
            values[:, None, None] for values in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        return (maps - mean) / torch.sqrt(var + 1e-5) * weight + bias


class Bottleneck(nn.Module):
    """The stride sits in the first 1x1 convolution."""

    def __init__(self, channels: int, middle: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, middle, 1, stride, bias=False), FrozenBatchNorm(middle)
        self.conv2, self.bn2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False), FrozenBatchNorm(middle)
        self.conv3, self.bn3 = nn.Conv2d(middle, 4 * middle, 1, bias=False), FrozenBatchNorm(4 * middle)
        self.downsample = nn.Sequential(
            nn.Conv2d(channels, 4 * middle, 1, stride, bias=False), FrozenBatchNorm(4 * middle)
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.bn1(self.conv1(maps)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        return torch.relu(self.bn3(self.conv3(inner)) + self.downsample(maps))


class ResNet(nn.Module):
    """One block a stage. The stem and the first stage do not train."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), FrozenBatchNorm(64)
        self.layer1 = Bottleneck(64, widths[0], stride=1)
        self.layer2 = Bottleneck(4 * widths[0], widths[1], stride=2)
        self.layer3 = Bottleneck(4 * widths[1], widths[2], stride=2)
        self.layer4 = Bottleneck(4 * widths[2], widths[3], stride=2)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        bgr = frame[[2, 1, 0]][None]  # (1, 3, H, W)
        with torch.no_grad():
            stem = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(bgr))), 3, stride=2, padding=1)
            maps = self.layer1(stem)
        return self.layer4(self.layer3(self.layer2(maps)))


# --- Language and both together: BERT ---


class BertLayer(nn.Module):
    def __init__(self, size: int, intermediate_size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, size // heads
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.attention_output, self.attention_norm = nn.Linear(size, size), nn.LayerNorm(size, eps=1e-12)
        self.intermediate = nn.Linear(size, intermediate_size)
        self.output, self.output_norm = nn.Linear(intermediate_size, size), nn.LayerNorm(size, eps=1e-12)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        query, key, value = self.query(states), self.key(states), self.value(states)  # (M + V, D)
        seen = []
        for head in range(self.heads):
            part = slice(head * self.head_size, (head + 1) * self.head_size)
            weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(self.head_size), dim=-1)
            seen.append(weights @ value[:, part])
        states = self.attention_norm(states + self.attention_output(torch.cat(seen, dim=1)))
        return self.output_norm(states + self.output(gelu(self.intermediate(states))))


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class NaiveClipBert(nn.Module):
    """One clip and one text at a time.

    Args:
        config: The saved ``config.json``.
        outputs: Outputs of the classifier; None: the heads of pre-training.
    """

    def __init__(self, config: dict[str, Any], outputs: int | None) -> None:
        super().__init__()
        size, cells = config["hidden_size"], config["max_grid_row_position_embeddings"]
        widths = config["backbone_kwargs"]["channels"]
        self.cnn = ResNet(widths)
        self.grid_convolution = nn.Conv2d(4 * widths[-1], size, 3, padding=1, bias=False)
        self.row_positions, self.column_positions = nn.Embedding(cells, size), nn.Embedding(cells, size)
        self.visual_type, self.visual_norm = nn.Embedding(1, size), nn.LayerNorm(size, eps=1e-12)
        self.words = nn.Embedding(config["vocab_size"], size)
        self.positions = nn.Embedding(config["max_position_embeddings"], size)
        self.text_type, self.text_norm = nn.Embedding(2, size), nn.LayerNorm(size, eps=1e-12)
        heads, intermediate_size = config["num_attention_heads"], config["intermediate_size"]
        self.layers = nn.ModuleList(
            BertLayer(size, intermediate_size, heads) for _ in range(config["num_hidden_layers"])
        )
        self.pooler = nn.Linear(size, size)
        if outputs is not None:
            self.classifier = nn.Sequential(nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, outputs))
        else:
            self.masked_dense, self.masked_norm = nn.Linear(size, size), nn.LayerNorm(size, eps=1e-12)
            self.masked_bias = nn.Parameter(torch.empty(config["vocab_size"]))
            self.matching = nn.Linear(size, 2)

    def look(self, clip: torch.Tensor) -> torch.Tensor:
        """The frames of a clip, (T, 3, H, W), to visual tokens, (V, D)."""
        grids = []
        for frame in clip:
            maps = self.grid_convolution(self.cnn(frame))
            grids.append(torch.relu(nn.functional.max_pool2d(maps, 2))[0])  # (D, R, C)
        grid = sum(grids) / len(grids)
        tokens = []
        for row in range(grid.shape[1]):
            for column in range(grid.shape[2]):
                place = self.row_positions.weight[row] + self.column_positions.weight[column]
                tokens.append(self.visual_norm(grid[:, row, column] + place + self.visual_type.weight[0]))
        return torch.stack(tokens)

    def read(self, tokens: list[int], visual: torch.Tensor) -> torch.Tensor:
        """A text and the visual tokens of a clip to joint states, (M + V, D)."""
        text = self.words.weight[tokens] + self.positions.weight[: len(tokens)] + self.text_type.weight[0]
        states = torch.cat([self.text_norm(text), visual])
        for layer in self.layers:
            states = layer(states)
        return states

    def score(self, tokens: list[int], visual: torch.Tensor) -> torch.Tensor:
        """What a clip says about a text: the outputs of the classifier."""
        return self.classifier(torch.tanh(self.pooler(self.read(tokens, visual)[0])))

    def guess(self, tokens: list[int], visual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pre-training: a guess for each token, (M, words), and whether text and frame match, (2,)."""
        states = self.read(tokens, visual)
        hidden = self.masked_norm(gelu(self.masked_dense(states[: len(tokens)])))
        words = hidden @ self.words.weight.T + self.masked_bias  # the embeddings serve both ways
        return words, self.matching(torch.tanh(self.pooler(states[0])))


# How the names of a saved model become those above.
_NAMES = {
    "clipbert.grid_backbone.backbone.": "cnn.",
    "clipbert.grid_backbone.grid_encoder.0.": "grid_convolution.",
    ".0.conv": ".conv",
    ".0.bn": ".bn",
    ".0.downsample": ".downsample",
    "clipbert.visual_embeddings.row_position_embeddings": "row_positions",
    "clipbert.visual_embeddings.col_position_embeddings": "column_positions",
    "clipbert.visual_embeddings.token_type_embeddings": "visual_type",
    "clipbert.visual_embeddings.LayerNorm": "visual_norm",
    "clipbert.embeddings.word_embeddings": "words",
    "clipbert.embeddings.position_embeddings": "positions",
    "clipbert.embeddings.token_type_embeddings": "text_type",
    "clipbert.embeddings.LayerNorm": "text_norm",
    "clipbert.encoder.layer.": "layers.",
    "attention.self.": "",
    "attention.output.dense": "attention_output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "intermediate",
    "output.dense": "output",
    "output.LayerNorm": "output_norm",
    "clipbert.pooler.dense": "pooler",
    "cls.predictions.transform.dense": "masked_dense",
    "cls.predictions.transform.LayerNorm": "masked_norm",
    "cls.predictions.bias": "masked_bias",
    "cls.seq_relationship": "matching",
}


def load_weights(model: NaiveClipBert, saved: dict[str, torch.Tensor]) -> None:
    """Take over the weights of a saved model, all of them."""
    renamed = {}
    for name, tensor in saved.items():
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        if not name.endswith("num_batches_tracked"):
            renamed[name] = tensor.clone()
    model.load_state_dict(renamed, strict=True)


# --- Videos: from the file to the pixels of its clips ---


@cache
def decode(video: str) -> tuple[list[np.ndarray], float]:
    """All frames in order, uint8 (H, W, 3), and how many there are a second."""
    with av.open(video) as container:
        frames = [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)]
        return frames, float(container.streams.video[0].average_rate)


def clip_frames(
    frames: int, fps: float, *, num_frames: int, target_fps: float, generator: np.random.Generator
) -> list[int]:
    """Frames of one clip that starts anywhere: equally spaced from its first to its last, both included."""
    length = num_frames * fps / target_fps
    start = generator.uniform(0.0, max(frames - length, 0.0))
    positions = np.linspace(start, start + length - 1, num_frames)
    return [int(min(position, frames - 1)) for position in positions]


def resize(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Bilinear along an axis: pixels have their values at their centres."""
    old = image.shape[axis]
    places = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    lower = np.floor(places).astype(int)
    shape = [-1 if dimension == axis else 1 for dimension in range(image.ndim)]
    weight = (places - lower).reshape(shape)
    upper = np.minimum(lower + 1, old - 1)
    return np.take(image, lower, axis) * (1 - weight) + np.take(image, upper, axis) * weight


def prepare(frame: np.ndarray, side: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """Resize to the longer side, pad right and bottom with zeros, normalise: (3, side, side)."""
    longer = max(frame.shape[:2])
    height, width = (length * side // longer for length in frame.shape[:2])
    square = np.zeros((side, side, 3))
    square[:height, :width] = resize(resize(frame.astype(float), height, axis=0), width, axis=1)
    return torch.tensor((square - mean) / std, dtype=torch.float32).permute(2, 0, 1)


def read_clips(video: str, clips: int, options: dict[str, Any], generator: np.random.Generator) -> list[torch.Tensor]:
    """Random clips of a video, each (T, 3, L, L); ``options`` are the saved ones of the video processor."""
    frames, fps = decode(video)
    side, mean, std = options["size"]["longest_edge"], options["image_mean"], options["image_std"]
    sampling = {name: options[name] for name in ("num_frames", "target_fps")}
    chosen = [clip_frames(len(frames), fps, **sampling, generator=generator) for _ in range(clips)]
    return [torch.stack([prepare(frames[index], side, mean, std) for index in indices]) for indices in chosen]


# --- Losses ---

# A question is put as one text or more, and one of its outputs is right: an answer; "match" or "no match"; a choice.
Question = tuple[list[list[int]], int]


def cross_entropy(logits: torch.Tensor, label: int) -> torch.Tensor:
    return torch.logsumexp(logits, dim=0) - logits[label]


def aggregate(clip_logits: list[torch.Tensor], how: str) -> torch.Tensor:
    """The logits of a video from those of its clips."""
    if how == "mean":
        return sum(clip_logits) / len(clip_logits)
    largest = torch.stack(clip_logits).amax(0)
    if how == "max":
        return largest
    return torch.log(sum(torch.exp(logits - largest) for logits in clip_logits)) + largest


def question_losses(
    model: NaiveClipBert, clips: list[torch.Tensor], questions: list[Question], how: str
) -> list[torch.Tensor]:
    """The loss of each question about a video."""
    visual = [model.look(clip) for clip in clips]
    losses = []
    for texts, label in questions:
        clip_logits = [torch.cat([model.score(text, tokens) for text in texts]) for tokens in visual]
        losses.append(cross_entropy(aggregate(clip_logits, how), label))
    return losses


# --- Training ---


@dataclass
class Curve:
    """What is known about each step.

    Args:
        losses: Before the step.
        norms: Of the gradient, before clipping.
        rates: The learning rate of the step, without that of the CNN.
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def batches(groups: int, recipe: dict[str, Any]) -> Iterator[list[tuple[int, int]]]:
    """Batches of (epoch, index), each epoch in an order of its own; its last batch may be smaller."""
    for epoch in count():
        order = np.random.default_rng([recipe["seed"], epoch]).permutation(groups)
        for first in range(0, groups, recipe["batch_size"]):
            yield [(epoch, int(index)) for index in order[first : first + recipe["batch_size"]]]


def learning_rate(step: int, rate: float, recipe: dict[str, Any]) -> float:
    """Linear warm-up and linear decay; steps count from 1. Where that ends at 0, as in the last step, 1e-8."""
    steps = recipe["max_steps"]
    warmup = int(recipe["warmup_ratio"] * steps)
    return rate * (step / warmup if step < warmup else (steps - step) / (steps - warmup)) or 1e-8


class AdamW:
    """Adam with decoupled weight decay for one parameter: epsilon before the bias correction, decay after the step."""

    def __init__(self, name: str, parameter: nn.Parameter, recipe: dict[str, Any]) -> None:
        self.parameter, self.recipe = parameter, recipe
        vision = name.startswith(("cnn.", "grid_convolution."))
        self.rate = recipe["cnn_learning_rate" if vision else "learning_rate"]
        decays = not name.endswith("bias") and "_norm." not in name
        self.decay = recipe["weight_decay"] if decays else 0.0
        self.first, self.second, self.updates = torch.zeros_like(parameter), torch.zeros_like(parameter), 0

    @torch.no_grad()
    def step(self, step: int, scale: float) -> None:
        beta1, beta2 = self.recipe["adam_betas"]
        gradient, rate = self.parameter.grad * scale, learning_rate(step, self.rate, self.recipe)
        self.updates += 1
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * gradient**2
        correction = math.sqrt(1 - beta2**self.updates) / (1 - beta1**self.updates)
        self.parameter -= rate * correction * self.first / (torch.sqrt(self.second) + self.recipe["adam_eps"])
        self.parameter -= rate * self.decay * self.parameter


def train(
    model: NaiveClipBert,
    batches_of_samples: Iterable[Any],
    batch_loss: Callable[[Any], torch.Tensor],
    recipe: dict[str, Any],
) -> Curve:
    """Train a model; the keys of ``recipe`` are those of a run's ``recipe.yaml``."""
    trained = {
        name: parameter
        for name, parameter in model.named_parameters()
        if not name.startswith(("cnn.conv1.", "cnn.layer1."))
    }
    optimizers = [AdamW(name, parameter, recipe) for name, parameter in trained.items()]
    curve = Curve()
    for step, batch in enumerate(batches_of_samples, 1):
        model.zero_grad()
        loss = batch_loss(batch)
        loss.backward()
        norm = math.sqrt(sum(float((parameter.grad**2).sum()) for parameter in trained.values()))
        for optimizer in optimizers:
            optimizer.step(step, scale=min(1.0, recipe["max_grad_norm"] / norm))
        curve.losses.append(float(loss.detach()))
        curve.norms.append(norm)
        curve.rates.append(learning_rate(step, recipe["learning_rate"], recipe))
    return curve
