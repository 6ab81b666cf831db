"""The steps of the demos: the scripts of ``examples/``, run with ``accelerate launch`` as anybody would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from clipbert_hf import ClipBertError

EXAMPLES = Path(__file__).resolve().parents[1]


class DemoError(ClipBertError):
    """A step of the demo failed."""


def launch(script: str, recipe: str, output: Path, *overrides: str) -> dict[str, Any]:
    """Run a script with ``accelerate launch``, its output shown as it comes.

    Returns:
        Its ``results.json``.

    Raises:
        DemoError: If it fails.
    """
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    arguments = [str(EXAMPLES / script), recipe, "--output_dir", str(output), *overrides]
    if "--threads" not in overrides:
        # accelerate gives a process one thread.
        arguments += ["--threads", str(os.cpu_count() or 1)]
    say(f"\n$ accelerate launch {' '.join(arguments)}")
    # Idle threads must not spin, since a worker decodes on the same cores.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    status = subprocess.run([*command, *arguments], env=environment, check=False).returncode
    if status:
        raise DemoError(f"{script} ended with status {status}; its messages are above")
    return json.loads((output / "results.json").read_text("utf-8"))


def say(text: str) -> None:
    """Print a line at once, in order with the output of the steps."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
