"""Activation checkpointing of a CNN, block by block: the activations inside of a block are computed again backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

# As transformers hands it to the modules: torch.utils.checkpoint.checkpoint with the options of the user.
CheckpointFunction = Callable[..., Any]


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Find the blocks of a CNN: the composed modules that stand in a row, innermost rows first.

    For a ResNet these are its bottlenecks, for a ConvNeXt the blocks of its stages; a stage that is no row of blocks
    is one block. Single layers are none: there is nothing inside of them to compute again.

    Args:
        network: Any CNN of timm.
    """
    blocks: list[nn.Module] = []
    for child in network.children():
        if _is_layer(child):
            continue
        inner = blocks_of(child)
        if _is_row(child) or any(_is_row(part) and blocks_of(part) for part in child.modules()):
            blocks += inner
        else:
            blocks.append(child)
    return blocks


def _is_row(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward or isinstance(module, nn.ModuleList)


def _is_layer(module: nn.Module) -> bool:
    # A batch norm of timm holds its activation.
    return not any(True for _ in module.children()) or isinstance(module, nn.modules.batchnorm._BatchNorm)


@contextmanager
def checkpointed(blocks: Sequence[nn.Module], function: CheckpointFunction) -> Iterator[None]:
    """Within this context each block runs through a checkpoint function.

    Gradients are those without checkpointing, with reentrant checkpoints too, and batch norm counts a batch once.

    Args:
        blocks: Modules that take tensors.
        function: Takes a function and its inputs.
    """
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(_replaced_forward(block, checkpointing(block, block.forward, function)))
        yield


@contextmanager
def _replaced_forward(block: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    own = vars(block).get("forward")  # such as a hook of accelerate; most blocks have only that of their class
    block.forward = forward
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own


def checkpointing(block: nn.Module, forward: Callable[..., Any], function: CheckpointFunction) -> Callable[..., Any]:
    """Make a method of a block run through a checkpoint function, of which nothing but its inputs is kept.

    Args:
        block: The module, whose parameters and batch norms count.
        forward: Its method; takes tensors.
        function: Takes a function and its inputs.
    """
    # An unknown function is taken to be reentrant, which costs a gradient that nobody needs.
    reentrant = getattr(function, "keywords", {}).get("use_reentrant", True)

    def run(*inputs: Any) -> Any:
        flows = any(torch.is_tensor(each) and each.requires_grad for each in inputs)
        if not torch.is_grad_enabled() or not (flows or any(each.requires_grad for each in block.parameters())):
            return forward(*inputs)  # a frozen block keeps nothing
        if reentrant and not all(torch.is_tensor(each) for each in inputs):
            return forward(*inputs)  # a reentrant checkpoint does not look into lists
        if reentrant and not flows:
            # It would see nothing to differentiate, and the parameters of the block would get no gradient.
            inputs = (inputs[0].detach().requires_grad_(), *inputs[1:])
        return function(_counting_once(block, forward), *inputs)

    return run


def _counting_once(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward that is run again backward and leaves the running statistics alone the second time."""
    runs = 0

    def run(*inputs: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            return forward(*inputs)
        with _statistics_left_alone(block):
            return forward(*inputs)

    return run


@contextmanager
def _statistics_left_alone(block: nn.Module) -> Iterator[None]:
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms if norm.training]
    counts = [None if count is None else count.clone() for *_, count in kept]
    for norm, *_ in kept:
        # Not track_running_stats: what autograd saves must be the same both times.
        norm.momentum = 0.0
    try:
        yield
    finally:
        for (norm, momentum, tracked), count in zip(kept, counts, strict=True):
            norm.momentum = momentum
            if tracked is not None and count is not None:
                tracked.copy_(count)
