"""Packet tables, from packets written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from clipbert_hf.video.packet_table import (
    Keyframe,
    PacketRow,
    build_packet_table,
    frame_rate,
    group_by_keyframe,
    is_trusted_format,
    seconds_since_first,
)


def rows(text: str) -> list[PacketRow]:
    """Packets in decoding order as "pts", with K for a keyframe and x for one that is not shown."""
    return [
        PacketRow(int(word.strip("Kx")), place, "K" in word, "x" in word) for place, word in enumerate(text.split())
    ]


def test_frames_are_sorted_as_shown_and_start_at_their_keyframe() -> None:
    # shown:   0 1 2 3 | 4 5 6     decoded: I P B B | I P B
    table = build_packet_table(rows("0K 3 1 2 4K 6 5"), seeks_by_dts=True)
    assert table is not None
    assert table.pts.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert table.position.tolist() == [0, 2, 3, 1, 4, 6, 5]
    assert table.keyframe.tolist() == [0, 0, 0, 0, 4, 4, 4]
    assert table.keyframes == {0: Keyframe(0, True, 0), 4: Keyframe(4, True, 4)}
    assert table.closed
    assert not table.trimmed


def test_seeking_by_presentation_time() -> None:
    table = build_packet_table(rows("0K 20 10 30K"), seeks_by_dts=False)
    assert table is not None
    assert table.keyframes == {0: Keyframe(0, True, 0), 3: Keyframe(30, True, 30)}


def test_seeking_by_decoding_time_goes_as_far_as_the_next_keyframe_allows() -> None:
    # Each packet is shown two units after its turn. FFmpeg takes these two off what it is asked for, or does not.
    packets = [PacketRow(turn + 2, turn, turn in (0, 5, 6, 9), False) for turn in range(12)]
    table = build_packet_table(packets, seeks_by_dts=True)
    assert table is not None
    seek_times = {place: keyframe.seek_time for place, keyframe in table.keyframes.items()}
    assert seek_times == {0: 2, 5: 5, 6: 8, 9: 11}


def test_leading_frames_of_an_open_group_start_at_the_keyframe_before() -> None:
    # frames 4 and 5 are stored after the keyframe 6 but shown before it, and refer to both sides
    table = build_packet_table(rows("0K 3 1 2 6K 4 5 7"), seeks_by_dts=True)
    assert table is not None
    assert table.pts.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert table.keyframe.tolist() == [0, 0, 0, 0, 0, 0, 4, 4]
    assert not table.closed


def test_hidden_packets_are_no_frames_but_decoding_starts_at_them() -> None:
    table = build_packet_table(rows("-2Kx -1x 0 1 2K"), seeks_by_dts=True)
    assert table is not None
    assert table.pts.tolist() == [0, 1, 2]
    assert table.position.tolist() == [2, 3, 4]
    assert table.keyframe.tolist() == [0, 0, 4]
    assert table.position_by_pts == {-2: 0, -1: 1, 0: 2, 1: 3, 2: 4}
    assert table.trimmed
    assert not table.keyframes[0].is_shown


@pytest.mark.parametrize(
    "packets",
    [
        [],
        [PacketRow(0, 0, True, False), PacketRow(None, 1, False, False)],  # a missing time
        rows("0K 1 1"),  # a time twice
        rows("0 1 2K"),  # nothing to start from
        rows("2K 0 1"),  # frames before the first keyframe
    ],
)
def test_contradictory_packets_give_no_table(packets: list[PacketRow]) -> None:
    assert build_packet_table(packets, seeks_by_dts=True) is None


def test_runs_of_frames_with_one_keyframe() -> None:
    table = build_packet_table(rows("0K 1 2 3K 4 5 6K 7 8"), seeks_by_dts=True)
    assert table is not None
    runs = list(group_by_keyframe(table, np.array([0, 2, 7, 8])))
    assert [(keyframe, run.tolist()) for keyframe, run in runs] == [(0, [0, 1]), (6, [2, 3])]


@pytest.mark.parametrize(
    ("container", "codec", "trusted"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "h264", True),
        ("matroska,webm", "vp9", True),
        ("matroska,webm", "vp8", False),
        ("mov,mp4,m4a,3gp,3g2,mj2", "mpeg4", False),
        ("avi", "h264", False),
        ("mpegts", "h264", False),
    ],
)
def test_trusted_formats(container: str, codec: str, trusted: bool) -> None:
    assert is_trusted_format(container, codec) == trusted


def test_seconds() -> None:
    seconds = seconds_since_first([512, 1024, 2048], 1 / 512)
    assert seconds is not None
    assert seconds.tolist() == [0, 1, 3]
    assert seconds_since_first([0, 0], 1.0) is None
    assert seconds_since_first([0, None], 1.0) is None
    assert seconds_since_first([], 1.0) is None


@pytest.mark.parametrize(
    ("seconds", "frames", "declared", "expected"),
    [
        ([0.0, 0.033, 0.067, 0.1], 4, 30000 / 1001, 30000 / 1001),  # rounded times, an exact declaration
        ([0.0, 0.1, 0.2], 3, 25.0, 10.0),  # contradicted
        ([0.0, 0.1, 0.2], 3, None, 10.0),
        (None, 3, 12.0, 12.0),
        (None, 3, None, 25.0),
        ([0.0], 1, None, 1.0),
        ([0.0], 1, 30.0, 30.0),
    ],
)
def test_frame_rate(seconds: list[float] | None, frames: int, declared: float | None, expected: float) -> None:
    times = None if seconds is None else np.array(seconds)
    assert frame_rate(times, frames, declared) == pytest.approx(expected)
