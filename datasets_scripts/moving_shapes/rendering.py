"""From the plan of a MovingShapes video to pixels and to an mp4 file.

Shapes are drawn from signed distances, so that edges are smooth at 64 × 64 without drawing larger first,
and all frames of a scene are drawn at once. Imports little, since worker processes import it.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datasets_scripts.moving_shapes.scenes import FPS, Scene, VideoPlan, video_generator

SIZE = 64  # pixels; some decoders refuse narrower frames

RGB = {
    "red": (215, 35, 35),
    "green": (35, 165, 55),
    "blue": (40, 70, 220),
    "yellow": (235, 225, 40),
    "purple": (140, 45, 175),
    "orange": (240, 135, 25),
    "white": (240, 240, 240),
    "black": (15, 15, 15),
}
COLOR_JITTER = 15

# With motion, pixels a frame. Fast enough that a second shows it on a coarse grid of features, and slow enough that
# copies, which are half a frame apart, are not taken for one another two frames later.
SPEED = (4.0, 6.0)
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # x to the right, y down

# Short groups of pictures make a jump to any frame cheap. Everything that could depend on the number of
# cores or on the clock is off, so that equal seeds give equal bytes.
_X264 = {"preset": "ultrafast", "crf": "18", "g": "8", "threads": "1"}

Array = np.ndarray
_Distance = Callable[[Array, Array], Array]


# --- Signed distances: negative inside. x to the right and y down, in units of the radius. ---


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1.0


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.76) - 0.24


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.9


def _triangle(x: Array, y: Array) -> Array:
    y = y - 0.2  # centres the bounding box
    sides = np.maximum(math.sqrt(3) * np.abs(x) - y, 2 * y) / 2
    return sides - 0.55


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1.0, np.minimum(x, y) - 0.33)


def _star(x: Array, y: Array) -> Array:
    # Fold the plane into the tenth of a turn between a tip (distance 1) and a notch (distance 0.45),
    # where the outline is one straight line.
    half = math.pi / 5
    angle = np.abs(np.remainder(np.arctan2(x, -y) + half, 2 * half) - half)
    radius = np.hypot(x, y)
    tip, notch = np.array([1.0, 0.0]), 0.45 * np.array([math.cos(half), math.sin(half)])
    normal = np.array([notch[1] - tip[1], tip[0] - notch[0]]) / np.linalg.norm(notch - tip)
    return (radius * np.cos(angle) - tip[0]) * normal[0] + radius * np.sin(angle) * normal[1]


_DISTANCES: dict[str, _Distance] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


# --- Frames ---


def render_frames(plan: VideoPlan, *, seed: int) -> Array:
    """Draw all frames of a video.

    Args:
        plan: What the video shows.
        seed: The seed of the data set; positions, drift and backgrounds follow from it and the plan.

    Returns:
        uint8 of shape (FRAMES, SIZE, SIZE, 3), RGB.
    """
    generator = video_generator(seed=seed, split=plan.split, number=plan.number, purpose="pixels")
    return np.concatenate([_render_scene(scene, generator)[0] for scene in plan.scenes])


def render_coverage(plan: VideoPlan, *, seed: int) -> Array:
    """Where the shapes are that :func:`render_frames` draws.

    Args:
        plan: What the video shows.
        seed: The seed of the data set.

    Returns:
        float32 (FRAMES, SIZE, SIZE): how much of each pixel the shapes of its scene cover, 0 to 1.
    """
    generator = video_generator(seed=seed, split=plan.split, number=plan.number, purpose="pixels")
    return np.concatenate([_render_scene(scene, generator)[1] for scene in plan.scenes])


def _render_scene(scene: Scene, generator: np.random.Generator) -> tuple[Array, Array]:
    """One scene: uint8 (frames, SIZE, SIZE, 3), and the coverage by its shapes (frames, SIZE, SIZE)."""
    frames = scene.stop - scene.start
    background = _background(generator)  # (SIZE, SIZE, 3)
    color = np.array(RGB[scene.color]) + generator.integers(-COLOR_JITTER, COLOR_JITTER, size=3, endpoint=True)
    color = np.clip(color, 0, 255).astype(np.float32)
    coverage = _coverage(scene, frames, generator)  # (frames, SIZE, SIZE)
    pixels = background + coverage[..., None] * (color - background)
    return np.rint(pixels).astype(np.uint8), coverage


def _background(generator: np.random.Generator) -> Array:
    """A tinted grey with smooth noise: float32 (SIZE, SIZE, 3)."""
    grey = generator.uniform(95, 160)
    tint = generator.uniform(-14, 14, size=3)
    coarse = generator.uniform(-22, 22, size=(5, 5))
    # Smoothstep between the coarse grid points, one matrix for both axes.
    position = np.linspace(0, 4, SIZE)
    cell = np.minimum(position.astype(int), 3)
    weight = position - cell
    weight = weight * weight * (3 - 2 * weight)
    spread = np.zeros((SIZE, 5))
    spread[np.arange(SIZE), cell] = 1 - weight
    spread[np.arange(SIZE), cell + 1] = weight
    noise = spread @ coarse @ spread.T  # (SIZE, SIZE)
    return (grey + tint + noise[..., None]).astype(np.float32)


def _coverage(scene: Scene, frames: int, generator: np.random.Generator) -> Array:
    """How much of each pixel the shapes cover, 0 to 1: float32 (frames, SIZE, SIZE)."""
    copies = scene.copies
    radius = generator.uniform(11, 16, size=copies) * (0.8 if copies > 1 else 1.0)
    growth = 1 + np.outer(np.linspace(-1, 1, frames), generator.uniform(-0.15, 0.15, size=copies))
    radii = (radius * growth).astype(np.float32)  # (frames, copies)
    quadrants = generator.permutation(4)[:copies]
    home = np.stack([quadrants % 2, quadrants // 2], axis=1) * (SIZE / 2) + SIZE / 4  # (copies, 2) as x, y
    home = home + generator.uniform(-2, 2, size=(copies, 2))
    # One drift for all copies keeps neighbours apart.
    drift = np.outer(np.linspace(-1, 1, frames), generator.uniform(-2.5, 2.5, size=2))  # (frames, 2)
    if scene.direction is not None:
        drift = np.outer(np.arange(frames), np.array(_STEPS[scene.direction]) * generator.uniform(*SPEED))
    centres = (home + drift[:, None]).astype(np.float32)  # (frames, copies, 2)
    if scene.direction is None:
        margin = np.minimum(radii + 1, SIZE / 2)[..., None]
        centres = np.clip(centres, margin, SIZE - margin)

    grid = np.arange(SIZE, dtype=np.float32) + 0.5
    x = grid[None, None, None, :] - centres[..., 0, None, None]
    y = grid[None, None, :, None] - centres[..., 1, None, None]
    if scene.direction is not None:  # what leaves on one side comes back on the other, so that no place tells the way
        x, y = ((each + SIZE / 2) % SIZE - SIZE / 2 for each in (x, y))
    x, y = np.broadcast_arrays(x / radii[..., None, None], y / radii[..., None, None])  # (frames, copies, SIZE, SIZE)
    distance = _DISTANCES[scene.shape](x, y) * radii[..., None, None]  # in pixels
    return np.clip(0.5 - distance, 0, 1).max(axis=1).astype(np.float32)


# --- Files ---


def encode_mp4(frames: Array) -> bytes:
    """Encode frames as H.264 in mp4.

    Args:
        frames: uint8 (frames, height, width, 3), RGB.

    Returns:
        The bytes of the file; equal frames give equal bytes on one machine.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def write_video(path: Path, plan: VideoPlan, *, seed: int) -> None:
    """Render, encode and write one video; a file of the final name is always complete."""
    write_atomically(path, encode_mp4(render_frames(plan, seed=seed)))


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename, so that nobody ever sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_complete_mp4(path: Path) -> bool:
    """Whether the file consists of whole mp4 boxes, the index among them; a truncated file does not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    position, boxes = 0, []
    while position + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        if length < 8:
            return False
        boxes.append(name)
        position += length
    return position == len(content) and b"moov" in boxes
