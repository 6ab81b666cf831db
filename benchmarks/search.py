"""What a search of an index costs: all stages over many videos, and the first stage alone over very many vectors.

The model has the published size, a contrastive head and random weights; rows hold random visual tokens of its size, so
that times are those of real ones and ranks mean nothing. ``gemm_bf16`` are GFLOP/s of a plain product in the same run,
which ``search_seconds`` goes with; both are the least of rounds in which they take turns.

Recall is beside comparing all vectors, of two kinds of synthetic ones. *Clustered* ones have what vectors of real data
have: groups of unequal sizes (1,000, the n-th of them of weight 1 / √n), as many apart as they are wide, and few
directions that matter (the variance along the n-th is 1 / n). *Uniform* ones have no structure at all, all are about
equally far from each other, and no index knows where to look: the worst case, as no real data are.

Run ``python -m benchmarks.search --output search.json``; it writes up to 7 GB into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from functools import partial
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
CLIPS, VISUAL_TOKENS, SIZE, GROUPS = 4, 49, 256, 1000
_ROWS_AT_ONCE = 500


def make_scorer(folder: Path, **sizes: Any) -> PairScorer:
    """The model, computing in bfloat16."""
    torch.manual_seed(0)
    words = folder / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(TEXT.split()))]), "utf-8")
    config = ClipBertConfig(contrastive_size=SIZE, cls_token_id=2, sep_token_id=3, **sizes)
    processor = ClipBertProcessor.from_pretrained_parts(text=words, num_clips=CLIPS)
    return PairScorer(ClipBertForVideoTextRetrieval(config), processor, dtype=torch.bfloat16)


def uniform_vectors(generator: torch.Generator, number: int) -> np.ndarray:
    """Vectors of length 1 in all directions alike."""
    return F.normalize(torch.randn(number, SIZE, generator=generator), dim=-1).numpy()


def clustered_vectors(generator: torch.Generator, number: int) -> np.ndarray:
    """Vectors of length 1 in groups, as the module says; of one generator or of another, the groups are the same."""
    groups = torch.Generator().manual_seed(1)
    deviations = torch.arange(1, SIZE + 1).rsqrt()
    directions = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=groups))[0]
    centres = torch.randn(GROUPS, SIZE, generator=groups) * deviations
    chosen = torch.multinomial(torch.arange(1, GROUPS + 1).rsqrt(), number, replacement=True, generator=generator)
    around = torch.randn(number, SIZE, generator=generator).mul_(deviations)
    return F.normalize((centres[chosen] + around) @ directions, dim=-1).numpy()


KINDS = {"clustered": clustered_vectors, "uniform": uniform_vectors}


def fill(uri: Path, scorer: PairScorer, videos: int) -> VideoIndex:
    """An index of videos with clustered vectors and random visual tokens."""
    generator = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {"model": "", "clip_every": None, "video_options": {}, "folder": None}
    made_with = fingerprint(scorer.model, scorer.processor, {})
    table = IndexTable.create(uri, SIZE, pa.schema([]), made_with, settings)
    seconds = np.stack([np.arange(CLIPS), np.arange(CLIPS) + 1.0], axis=1)
    all_vectors = clustered_vectors(generator, videos * CLIPS).reshape(videos, CLIPS, SIZE)
    for first in range(0, videos, _ROWS_AT_ONCE):
        rows = []
        for place in range(first, min(first + _ROWS_AT_ONCE, videos)):
            tokens = torch.randn(CLIPS, VISUAL_TOKENS, scorer.model.config.hidden_size, generator=generator)
            encoded = EncodedVideos(tokens, torch.arange(CLIPS)[None])
            pooled = all_vectors[place].mean(0)
            row = Encoding(encoded, seconds, all_vectors[place], pooled / np.linalg.norm(pooled))
            rows.append(make_row(Item(f"{place:08d}.mp4", None, 0, 1), "", 0, row))
        table.write(rows)
    table.finish()
    return VideoIndex(table, scorer)


def search_in_turns(index: VideoIndex, repeats: int) -> dict[str, Any]:
    """Least seconds of searches with several numbers of candidates to match, and the product's GFLOP/s, in turns."""
    ranks = {"search_seconds": 50, "search_seconds_k10": 10, "search_seconds_k0": 0}
    spent: dict[str, list[float]] = {name: [] for name in [*ranks, "gemm"]}
    for number in range(repeats + 1):
        spent["gemm"].append(gemm_seconds(torch.bfloat16))
        for name, rerank in ranks.items():
            seconds = timed(partial(index.search, TEXT, rerank=rerank))
            if number:  # the first one lays out weights
                spent[name].append(seconds)
    results: dict[str, Any] = {name: min(spent[name]) for name in ranks}
    results["gemm_bf16"] = 2 * GEMM_SIDE**3 / min(spent["gemm"]) / 1e9
    for name in list(ranks)[:2]:
        results[f"{name}_x_gemm_bf16"] = results[name] * results["gemm_bf16"]
    results["stages"] = [vars(stage) for stage in index.search(TEXT, rerank=50).stages]
    return results


def first_stage(uri: Path, vectors: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """Milliseconds, recall of the best 50 and megabytes of the first stage over vectors."""
    table = IndexTable.create(uri, SIZE, pa.schema([]), {}, {})
    columns: dict[str, Any] = {
        name: pa.nulls(len(vectors), table.schema.field(name).type) for name in table.schema.names
    }
    columns["path"] = pa.array([f"{place:08d}" for place in range(len(vectors))])
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), SIZE)
    table.write(pa.table(columns, schema=table.schema))
    megabytes = _megabytes(uri)
    indexing = timed(table.finish)
    found, spent = [], []
    table.nearest(queries[0], ["path"], 50, None)  # reads what all searches use
    for query in queries:
        start = time.perf_counter()
        paths = table.nearest(query, ["path"], 50, None)["path"].to_pylist()
        spent.append(time.perf_counter() - start)
        exact = np.argpartition(-(vectors @ query), 50)[:50]
        found.append(len({int(path) for path in paths} & set(exact.tolist())) / 50)
    return {
        "milliseconds": float(np.median(spent)) * 1000,
        "recall_at_50": float(np.mean(found)),
        "megabytes": megabytes,
        "index_megabytes": sum(map(_megabytes, uri.rglob("_indices"))),
        "indexing_seconds": indexing,
    }


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def timed(call: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(arguments: list[str] | None = None, **sizes: Any) -> dict[str, Any]:
    """Measure, print and write.

    Args:
        arguments: Of the command line.
        **sizes: Of a model other than the published one.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--entries", type=int, nargs="*", default=[100_000, 1_000_000], help="of the first stage alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads(), "videos": options.videos}
    with tempfile.TemporaryDirectory() as folder:
        index = fill(Path(folder, "index"), make_scorer(Path(folder), **sizes), options.videos)
        results |= search_in_turns(index, options.repeats)
        del index
    for number in options.entries:
        for kind, draw in KINDS.items():
            generator = torch.Generator().manual_seed(0)
            vectors, queries = draw(generator, number), draw(generator, options.queries)
            with tempfile.TemporaryDirectory() as folder:
                results[f"first_stage_{number}_{kind}"] = first_stage(Path(folder), vectors, queries)
    text = json.dumps(results, indent=1)
    options.output.write_text(text + "\n", "utf-8")
    sys.stdout.write(text + "\n")
    return results


if __name__ == "__main__":
    main()
