"""From the grids of a clip's frames to visual tokens (paper, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .errors_clipbert import InvalidInputError

if TYPE_CHECKING:
    from .configuration_clipbert import ClipBertConfig


class ClipBertTemporalFusion(nn.Module):
    """The grids of a clip's frames to one grid (paper, table 2).

    ``mean`` is the published model. The paper gives no sizes for its convolutions: here ``conv3d`` is one 3x3x3
    convolution, ``conv2plus1d`` a 1x3x3 and a 3x1x1, each followed by a ReLU and then by the mean over the frames.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        kernels = {
            "mean": [],
            "conv3d": [(3, 3, 3)],
            "conv2plus1d": [(1, 3, 3), (3, 1, 1)],
        }[config.temporal_fusion]
        self.convolutions = nn.Sequential()
        for kernel in kernels:
            padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
            self.convolutions.append(nn.Conv3d(size, size, kernel, padding=padding, bias=False))
            self.convolutions.append(nn.ReLU())

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Fuse (clips, frames, rows, columns, hidden) to (clips, rows, columns, hidden)."""
        if len(self.convolutions):
            grid = self.convolutions(grid.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return grid.mean(1)


class ClipBertVisualEmbeddings(nn.Module):
    """A grid to visual tokens: row and column positions, token type, LayerNorm.

    Dropout is applied by the caller, since a grid is embedded once and then repeated for the texts of its video.
    """

    def __init__(self, config: ClipBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.row_position_embeddings = nn.Embedding(config.max_grid_row_position_embeddings, size)
        self.col_position_embeddings = nn.Embedding(config.max_grid_col_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(1, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pixel_random_sampling_size = config.pixel_random_sampling_size

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Embed a grid.

        Args:
            grid: (clips, rows, columns, hidden).

        Returns:
            (clips, tokens, hidden). While training, a random subset of ``pixel_random_sampling_size`` tokens, the
            same for the whole batch, in order; otherwise all.

        Raises:
            InvalidInputError: If the grid has more rows or columns than position embeddings, or another hidden size.
        """
        rows, columns, size = grid.shape[1:]
        most_rows, most_columns = (
            self.row_position_embeddings.num_embeddings,
            self.col_position_embeddings.num_embeddings,
        )
        if rows > most_rows or columns > most_columns or size != self.LayerNorm.normalized_shape[0]:
            raise InvalidInputError(
                f"grid_features must have at most {most_rows} rows and {most_columns} columns and hidden size "
                f"{self.LayerNorm.normalized_shape[0]}; got {rows}x{columns} of size {size}"
            )
        grid = grid + self.row_position_embeddings.weight[:rows, None]
        grid = grid + self.col_position_embeddings.weight[:columns]
        tokens = grid.flatten(1, 2)
        if self.training and 0 < self.pixel_random_sampling_size < tokens.shape[1]:
            kept = torch.randperm(tokens.shape[1], device=tokens.device)[: self.pixel_random_sampling_size]
            tokens = tokens[:, kept.sort().values]
        return self.LayerNorm(tokens + self.token_type_embeddings.weight[0])
