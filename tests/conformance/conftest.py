"""``make conformance`` runs what lies here; ``make test`` runs only what needs none of transformers' own tests."""

from __future__ import annotations

import os

collect_ignore_glob = ["fetch.py", "run.py"]
if "CONFORMANCE_TESTS" not in os.environ:
    collect_ignore_glob += ["*_clipbert.py"]
