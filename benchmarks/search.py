"""What a search of an index costs: all stages over many videos, and the first stage alone over very many vectors.

The model has the published size, a contrastive head and random weights; rows hold random vectors and visual tokens, so
that times are those of real ones and ranks mean nothing. ``gemm_bf16`` are GFLOP/s of a plain product in the same run,
which ``search_seconds`` goes with. Recall is beside comparing all vectors.

Run ``python -m benchmarks.search --output search.json``; it writes 3 GB for 10,000 videos.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional as F

from benchmarks.scoring import GEMM_SIDE, gemm_seconds
from clipbert_hf import ClipBertConfig, ClipBertForVideoTextRetrieval, ClipBertProcessor
from clipbert_hf.model.encoded_videos_clipbert import EncodedVideos
from clipbert_hf.retrieval import PairScorer, VideoIndex
from clipbert_hf.retrieval.collection import Item
from clipbert_hf.retrieval.fingerprint import fingerprint
from clipbert_hf.retrieval.index_rows import Encoding, make_row
from clipbert_hf.retrieval.index_table import IndexTable

TEXT = "a man in a red shirt rides a bike down a hill"
CLIPS, VISUAL_TOKENS, SIZE = 4, 49, 256
_ROWS_AT_ONCE = 500


def make_scorer(folder: Path) -> PairScorer:
    """The model, computing in bfloat16."""
    torch.manual_seed(0)
    words = folder / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(TEXT.split()))]), "utf-8")
    config = ClipBertConfig(contrastive_size=SIZE, cls_token_id=2, sep_token_id=3)
    processor = ClipBertProcessor.from_pretrained_parts(text=words, num_clips=CLIPS)
    return PairScorer(ClipBertForVideoTextRetrieval(config), processor, dtype=torch.bfloat16)


def unit_vectors(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Vectors of length 1 around a thousand centres, as those of videos lie in groups."""
    centres = torch.randn(1000, shape[-1], generator=torch.Generator().manual_seed(1))
    chosen = centres[torch.randint(1000, shape[:-1], generator=generator)]
    return F.normalize(chosen + torch.randn(*shape, generator=generator), dim=-1)


def fill(uri: Path, scorer: PairScorer, videos: int) -> VideoIndex:
    """An index of random videos."""
    generator = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {"model": "", "clip_every": None, "video_options": {}, "folder": None}
    made_with = fingerprint(scorer.model, scorer.processor, {})
    table = IndexTable.create(uri, SIZE, pa.schema([]), made_with, settings)
    seconds = np.stack([np.arange(CLIPS), np.arange(CLIPS) + 1.0], axis=1)
    for first in range(0, videos, _ROWS_AT_ONCE):
        rows = []
        for place in range(first, min(first + _ROWS_AT_ONCE, videos)):
            tokens = torch.randn(CLIPS, VISUAL_TOKENS, scorer.model.config.hidden_size, generator=generator)
            vectors = unit_vectors(generator, CLIPS, SIZE)
            encoded = EncodedVideos(tokens, torch.arange(CLIPS)[None])
            pooled = F.normalize(vectors.mean(0), dim=0)
            encoding = Encoding(encoded, seconds, vectors.numpy(), pooled.numpy())
            rows.append(make_row(Item(f"{place:08d}.mp4", None, 0, 1), "", 0, encoding))
        table.add(rows)
    table.finish()
    return VideoIndex(table, scorer)


def search_seconds(index: VideoIndex, rerank: int, repeats: int) -> float:
    """Of a search with all stages, the least of several after one."""
    return min(timed(lambda: index.search(TEXT, rerank=rerank)) for _ in range(repeats + 1))


def first_stage(uri: Path, number: int, queries: int) -> dict[str, float]:
    """Milliseconds, recall of the best 50 and megabytes of the vectors of so many videos."""
    generator = torch.Generator().manual_seed(0)
    table = IndexTable.create(uri, SIZE, pa.schema([]), {}, {})
    vectors = unit_vectors(generator, number, SIZE).numpy()
    for first in range(0, number, 100_000):
        some = vectors[first : first + 100_000]
        columns: dict[str, Any] = {
            name: pa.nulls(len(some), table.schema.field(name).type) for name in table.schema.names
        }
        columns["path"] = pa.array([f"{first + place:08d}" for place in range(len(some))])
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), SIZE)
        table.add(pa.table(columns, schema=table.schema))
    start = time.perf_counter()
    table.finish()
    indexing = time.perf_counter() - start
    found, spent = [], []
    for query in unit_vectors(generator, queries, SIZE).numpy():
        start = time.perf_counter()
        paths = table.nearest(query, ["path"], 50, None)["path"].to_pylist()
        spent.append(time.perf_counter() - start)
        exact = np.argpartition(-(vectors @ query), 50)[:50]
        found.append(len({int(path) for path in paths} & set(exact.tolist())) / 50)
    size = sum(path.stat().st_size for path in uri.rglob("*") if path.is_file())
    return {
        "milliseconds": float(np.median(spent)) * 1000,
        "recall_at_50": float(np.mean(found)),
        "megabytes": size / 1e6,
        "indexing_seconds": indexing,
    }


def timed(call: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--entries", type=int, nargs="*", default=[100_000, 1_000_000], help="of the first stage alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads(), "videos": options.videos}
    with tempfile.TemporaryDirectory() as folder:
        index = fill(Path(folder, "index"), make_scorer(Path(folder)), options.videos)
        results["search_seconds"] = search_seconds(index, 50, options.repeats)
        results["search_seconds_k10"] = search_seconds(index, 10, options.repeats)
        results["gemm_bf16"] = 2 * GEMM_SIDE**3 / gemm_seconds(torch.bfloat16) / 1e9
        results["stages"] = [vars(stage) for stage in index.search(TEXT, rerank=50).stages]
    for name in ("search_seconds", "search_seconds_k10"):
        results[f"{name}_x_gemm_bf16"] = results[name] * results["gemm_bf16"]
    for number in options.entries:
        with tempfile.TemporaryDirectory() as folder:
            results[f"first_stage_{number}"] = first_stage(Path(folder), number, options.queries)
    text = json.dumps(results, indent=1)
    options.output.write_text(text + "\n", "utf-8")
    sys.stdout.write(text + "\n")
    return results


if __name__ == "__main__":
    main()
