"""Rows in Arrow are those of lists of dictionaries, whatever is done with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data.loaders import VideoDataset
from clipbert_hf.training.data.row_tables import RowTable
from clipbert_hf.training.data.rows import Groups, Rows, as_groups, as_rows, group_by_video, group_rows, join_rows

LISTS = [
    {"id": str(number), "video": f"{video}.mp4", "caption": f"caption {number}", "hard_negatives": ["x"] * number}
    for number, video in enumerate("abacbdda")
]


def in_memory(rows: list[dict[str, Any]]) -> Rows:
    return as_rows(Dataset.from_list(rows))


@pytest.fixture
def on_disk(tmp_path: Path) -> Rows:
    """In a memory-mapped file, in several pieces."""
    folder = tmp_path / "rows"
    Dataset.from_list(LISTS * 500).save_to_disk(folder)
    return as_rows(Dataset.load_from_disk(folder))


def test_rows_are_dictionaries(on_disk: Rows) -> None:
    assert len(on_disk) == 4000
    assert [*on_disk] == LISTS * 500
    assert on_disk[1] == LISTS[1]
    assert on_disk[-1] == LISTS[-1]
    assert [*on_disk[3:9:2]] == [LISTS[3], LISTS[5], LISTS[7]]
    assert on_disk.value(2, "caption") == "caption 2"
    assert on_disk.value(2, "start") is None
    for place in (4000, -4001):
        with pytest.raises(IndexError, match=f"there is no row {place} of 4000"):
            on_disk[place]


def test_some_columns_in_turn(on_disk: Rows) -> None:
    assert [*on_disk.each("id", "caption", "start")][:2] == [{"id": str(n), "caption": f"caption {n}"} for n in (0, 1)]
    assert [*on_disk.values("id")] == [row["id"] for row in LISTS] * 500
    assert {*on_disk.values("start")} == {None}
    assert on_disk.has("caption") is True
    assert on_disk.has("start") is False


@given(st.lists(st.integers(0, len(LISTS) - 1)), st.booleans())
def test_a_choice_of_rows(places: list[int], arrow: bool) -> None:
    rows = (in_memory(LISTS) if arrow else as_rows(LISTS)).select(np.array(places, dtype=np.int64))
    chosen = [LISTS[place] for place in places]
    assert [*rows] == chosen
    assert [*rows.each("id")] == [{"id": row["id"]} for row in chosen]
    assert [*rows[1:]] == chosen[1:]
    assert [*rows.filter(lambda row: row["video"] == "a.mp4")] == [row for row in chosen if row["video"] == "a.mp4"]
    assert rows.unique("video") == list(dict.fromkeys(row["video"] for row in chosen))
    codes, videos = rows.codes("video")
    assert [videos[code] for code in codes] == [row["video"] for row in chosen]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.integers(1, 4), st.booleans())
def test_groups_are_those_of_a_loop(names: list[str], most: int, arrow: bool) -> None:
    rows = [{"video": name, "id": number} for number, name in enumerate(names)]
    naive: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        naive.setdefault(row["video"], []).append(row)
    given_rows = in_memory(rows) if arrow else rows
    assert [*group_by_video(given_rows)] == list(naive.values())
    pieces = [group[first : first + most] for group in naive.values() for first in range(0, len(group), most)]
    assert [*group_rows(given_rows, most)] == pieces
    assert group_rows(given_rows, most)[-1] == pieces[-1]


def test_rows_of_several_tables_keep_their_own_columns() -> None:
    first = in_memory(LISTS[:3]).named("one")
    second = in_memory([{"id": "9", "image": "a.mp4", "caption": "of an image"}])
    second = second.also_called("video", "image").named("two")
    joined = join_rows([first, second])
    assert [*joined.each("id", "source")] == [
        *({"id": f"one/{number}", "source": "one"} for number in range(3)),
        {"id": "two/9", "source": "two"},
    ]
    assert joined[0] == {**LISTS[0], "id": "one/0", "source": "one"}
    assert joined[3] == {
        "id": "two/9",
        "image": "a.mp4",
        "video": "a.mp4",
        "caption": "of an image",
        "source": "two",
    }
    assert joined.first_without("hard_negatives") == joined[3]
    assert joined.first_without("caption") is None
    assert [[row["id"] for row in group] for group in group_by_video(joined)] == [
        ["one/0", "one/2", "two/9"],
        ["one/1"],
    ]
    assert joined.codes("source")[0].tolist() == [0, 0, 0, 1]
    some = join_rows([first.select(np.array([2, 0])), second])
    assert [*some.values("id")] == ["one/2", "one/0", "two/9"]


@pytest.mark.parametrize("kind", [in_memory, as_rows])
def test_another_column(kind: Any) -> None:
    places = np.array([5, 1, 1, 3])
    for rows in (kind(LISTS), kind(LISTS).select(places[[0, 1, 3]])):
        texts = [f"new {row['id']}" for row in rows]
        assert [*rows.with_column("caption", texts)] == [
            {**row, "caption": text} for row, text in zip(rows, texts, strict=True)
        ]


def test_a_data_set_with_indices_of_its_own() -> None:
    shuffled = Dataset.from_list(LISTS).select([4, 0, 4])
    assert [*as_rows(shuffled)] == [LISTS[4], LISTS[0], LISTS[4]]


def test_what_a_worker_is_sent_is_small(on_disk: Rows) -> None:
    """A spawned worker maps the files that the rows lie in."""
    groups = group_by_video(on_disk.named("one"))
    assert groups[0][0]["caption"] == "caption 0"
    sent = pickle.dumps(groups)
    assert len(sent) < 4000 * 4 + 4 * 8 + 2500  # an index a row, and the names of files and columns
    again: Groups = pickle.loads(sent)  # noqa: S301 (made here)
    assert [*again] == [*groups]


def test_videos_that_repeat_are_kept_once(on_disk: Rows) -> None:
    """Rows, groups and what a worker is sent are the same; of a column in place of which there is an image's, both."""
    kept = on_disk.numbered("video")
    (table,) = kept.tables
    assert isinstance(table, RowTable)
    assert set(table.replaced) == {"video"}
    assert [*kept] == [*on_disk]
    for rows in (kept, kept.numbered("video"), pickle.loads(pickle.dumps(kept))):  # noqa: S301 (made here)
        codes, videos = rows.codes("video")
        assert codes.tolist() == on_disk.codes("video")[0].tolist()
        assert videos == on_disk.codes("video")[1]
    assert [*kept.select(np.array([3999, 0])).values("video")] == ["a.mp4", "a.mp4"]
    assert kept.with_column("video", ["new.mp4"] * 4000)[5]["video"] == "new.mp4"
    images = in_memory([{"id": "0", "image": "a.jpg"}, {"id": "1", "image": None}] * 3).also_called("video", "image")
    assert [*images.numbered("video")] == [*images]
    assert set(images.numbered("video").tables[0].replaced) == {"image", "video"}  # type: ignore[union-attr]


def test_what_hardly_repeats_stays_where_it_is() -> None:
    rows = in_memory([{"video": name} for name in "abca"])
    assert rows.numbered("video").tables[0].replaced == {}  # type: ignore[union-attr]
    assert rows.numbered("caption")[0] == {"video": "a"}
    assert len(in_memory([{"video": "a"}])[:0].numbered("video")) == 0
    assert [*as_rows(LISTS).numbered("video")] == LISTS


def test_a_fingerprint_knows_rows_and_groups(on_disk: Rows, tmp_path: Path) -> None:
    def fingerprint(rows: Any) -> str:
        return VideoDataset(group_by_video(rows), len, seed=0).fingerprint()  # type: ignore[arg-type]

    whole = fingerprint(on_disk)
    assert fingerprint(LISTS * 500) == whole  # wherever they are read from
    assert fingerprint([{**row, "video": f"moved/{row['video']}"} for row in LISTS * 500]) == whole
    assert fingerprint(on_disk.select(np.arange(4000))) == whole
    others = [{**row, "video": "the same"} for row in LISTS * 500]
    changed = [*(LISTS * 500)[:-1], {**LISTS[-1], "caption": "another"}]
    assert len({whole, *map(fingerprint, (others, changed, on_disk[:-1], on_disk[::-1]))}) == 5


def test_lists_of_lists_are_groups() -> None:
    groups = [LISTS[:2], [], LISTS[2:]]
    assert [*as_groups(groups)] == groups
    assert as_groups(groups)[:2] == groups[:2]
    assert len(as_groups([])) == 0
