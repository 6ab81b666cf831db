"""Run a script with FSDP2 or DeepSpeed on CPU processes: accelerate sets these up, and shards on accelerators only.

Both can do so on CPUs. Here accelerate's state is told, as soon as the processes are connected, which of them it is.
"""

from __future__ import annotations

import functools
import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


def allow_sharding() -> None:
    """Let whatever makes the first ``Accelerator`` of this process shard."""
    connect = AcceleratorState.__init__

    @functools.wraps(connect)
    def connect_and_shard(state: AcceleratorState, *arguments: Any, **options: Any) -> None:
        connect(state, *arguments, **options)
        if state.distributed_type != DistributedType.MULTI_CPU:
            return
        if options.get("fsdp_plugin") is not None:
            state.distributed_type = DistributedType.FSDP
            state.fsdp_plugin = options["fsdp_plugin"]
            if state._mixed_precision != "no":
                state.fsdp_plugin.set_mixed_precision(state._mixed_precision)
        elif options.get("deepspeed_plugin") is not None:
            state.distributed_type = DistributedType.DEEPSPEED
            state.deepspeed_plugins = options["deepspeed_plugin"]
            state.deepspeed_plugins.set_mixed_precision(state._mixed_precision)
            state.deepspeed_plugins.select(_from_accelerator_state=True)
            state._mixed_precision = "no"  # as accelerate has it: DeepSpeed takes care of it
        PartialState._shared_state["distributed_type"] = state.distributed_type

    AcceleratorState.__init__ = connect_and_shard


if __name__ == "__main__":
    allow_sharding()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
