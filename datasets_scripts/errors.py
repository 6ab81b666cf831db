"""The exception of the data set builders."""

from __future__ import annotations


class DatasetError(ValueError):
    """An annotation file, a data folder or an option of a data set is not what the loader expects.

    It does not derive from ``ClipBertError``: importing anything of ``clipbert_hf`` loads torch, without which this
    package does.
    """
