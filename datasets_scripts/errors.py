"""The exception of the data set builders."""

from __future__ import annotations

from clipbert_hf.model.errors_clipbert import ClipBertError


class DatasetError(ClipBertError, ValueError):
    """An annotation file, a data folder or an option of a data set is not what the loader expects."""
