"""The parts of an offline Weights & Biases run on disk.

Offline, wandb writes every start of a run into a folder of its own, ``offline-run-<time>-<id>/run-<id>.wandb``, and
``wandb sync`` uploads those of one id as one run, in order of time. So that no step is drawn twice, a part must end
where the next begins.

A ``.wandb`` file is a short header and then records of protocol buffers in the framing of LevelDB's log: blocks of 32
KiB, in each of them pieces of records behind their checksum, length and kind.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from accelerate.logging import get_logger

logger = get_logger(__name__)
_MAGIC = b":W&B"
_HEADER_SIZE = 7
_BLOCK_SIZE = 32 * 1024
_PIECE = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def cut_offline_parts(folder: Path, run_id: str, step: int) -> None:
    """Take from the parts of a run what they drew after a step, as if it had been killed then.

    A part that was killed before wandb wrote anything into it is removed: ``wandb sync`` would stop at it.

    Args:
        folder: Where wandb makes the folders of the parts.
        run_id: The run.
        step: The last step that stays.
    """
    from wandb.proto.wandb_internal_pb2 import Record  # optional, and known to be there only now

    for path in sorted(folder.glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")):
        content = path.read_bytes()
        if not content.startswith(_MAGIC):
            # Curves are not worth a run that cannot be resumed.
            logger.warning("%s is no file of wandb that is known here: its curve may show steps twice", path)
            continue
        begun = False
        for start, data in read_records(content):
            record = Record.FromString(data)
            begun = begun or record.HasField("run")
            if record.HasField("history") and record.history.step.num > step:
                os.truncate(path, start)
                break
        if not begun:
            shutil.rmtree(path.parent)


def read_records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The records of a ``.wandb`` file, up to where a killed process stopped writing.

    Yields:
        Where the record starts in the file, in bytes, and the record.
    """
    place, start = _HEADER_SIZE, 0
    pieces: list[bytes] = []
    while place + _PIECE.size <= len(content):
        left = _BLOCK_SIZE - place % _BLOCK_SIZE
        if left < _PIECE.size:  # too little for another piece: the rest of the block is padding
            place += left
            continue
        _, length, kind = _PIECE.unpack_from(content, place)
        data = content[place + _PIECE.size : place + _PIECE.size + length]
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or len(data) < length:
            return
        if kind in (_WHOLE, _FIRST):
            start, pieces = place, []
        pieces.append(data)
        if kind in (_WHOLE, _LAST):
            yield start, b"".join(pieces)
        place += _PIECE.size + length
