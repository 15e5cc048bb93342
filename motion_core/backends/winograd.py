"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering, F(4 x 4, 3 x 3), in fp32.

Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. Tiles of 6 x 6 pixels are taken to 36 sums, in which
the convolution is one product of matrices each, and these back to the 4 x 4 pixels that they give. oneDNN has it no more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TILE, OUTPUT = 6, 4  # sides of a tile and of what it gives
TILES_AT_ONCE = 128  # as many as are multiplied together; their sums of 256 channels have 5 MB

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_CONSTANT = 7  # the sum that gives all 16 pixels alike: that of the second row and column


def _both_ways(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """What a matrix does with the rows, then with the columns of a tile, as one matrix; fp64."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix)


class WinogradConvolution(nn.Module):
    """Takes the place of a 3x3 convolution with stride 1 that keeps the size, for inference in fp32.

    Args:
        weight: ``(C', C, 3, 3)``.
        bias: ``(C',)``, or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        kernels = weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
        self.kernels = (_both_ways(_KERNEL) @ kernels).float().view(TILE**2, inputs, outputs)
        self.bias = weight.new_zeros(outputs) if bias is None else bias.detach()
        self.to_sums, self.from_sums = _both_ways(_INPUT).float(), _both_ways(_OUTPUT).float()

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """The convolution of ``(B, C, H, W)``, sides multiples of 4, plus `added`, which has the shape of the result."""
        x = x.permute(0, 2, 3, 1).contiguous()  # (B, H, W, C)
        batch, height, width = x.shape[:3]
        outputs = self.kernels.shape[2]
        result = x.new_empty(batch, height, width, outputs)
        across = width // OUTPUT
        down = max(1, min(TILES_AT_ONCE // across, height // OUTPUT))  # rows of tiles at once
        more = None if added is None else added.permute(0, 2, 3, 1)
        for sample in range(batch):
            for top in range(0, height, OUTPUT * down):
                rows = min(down, (height - top) // OUTPUT)
                strip = slice(top, top + OUTPUT * rows)
                pixels = self._strip(x[sample], top, rows)  # (rows, 4, across, 4, C')
                target = result[sample, strip].view(rows, OUTPUT, across, OUTPUT, outputs)
                if more is None:
                    target.copy_(pixels)
                else:
                    torch.add(more[sample, strip].view_as(target), pixels, out=target)
        return result.permute(0, 3, 1, 2)

    def _strip(self, x: Tensor, top: int, rows: int) -> Tensor:
        """Rows of tiles of a picture ``(H, W, C)``, from pixel row `top`: ``(rows, 4, W / 4, 4, C')``."""
        height, width, channels = x.shape
        across, count, outputs = width // OUTPUT, TILE**2, self.kernels.shape[2]
        first, last = top - 1, top + OUTPUT * rows + 1  # one row of pixels more on each side
        around = x.new_zeros(last - first, width + 2, channels)
        inside = slice(max(first, 0), min(last, height))
        around[inside.start - first : inside.stop - first, 1:-1] = x[inside]
        row, column, channel = around.stride()
        tiles = around.as_strided(
            (TILE, TILE, rows, across, channels), (row, column, OUTPUT * row, OUTPUT * column, channel)
        ).reshape(count, -1)  # (36, rows across C)
        sums = torch.bmm((self.to_sums @ tiles).view(count, -1, channels), self.kernels)  # (36, rows across, C')
        sums[_CONSTANT] += self.bias
        pixels = self.from_sums @ sums.view(count, -1)  # (16, rows across C')
        return pixels.view(OUTPUT, OUTPUT, rows, across, outputs).permute(2, 0, 3, 1, 4)
