"""A server of answers about videos: FastAPI, with requests that wait at the same time answered together.

    python examples/serve.py --model runs/demo/model
    curl -F video=@bikes.mp4 -F "question=what are they riding ?" http://127.0.0.1:8000/ask

It serves the task of its model: ``/ask``, ``/choose`` or ``/match``. The parts lie in ``examples/serving``.
"""

import sys
from pathlib import Path

# So that it can be started from any folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.serving.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
