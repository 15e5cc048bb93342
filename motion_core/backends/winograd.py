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
    """Takes the place of a 3x3 convolution with stride 1 that keeps the size, for inference. It computes in fp32.

    Args:
        weight: ``(C', C, 3, 3)``; input and result have its dtype.
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
                products = self._products(x[sample], top, rows)  # (36, rows, across, C')
                for row in range(rows):
                    # A row of tiles at a time is taken to its pixels, as to its sums, since it fits into the processor's cache.
                    pixels = self.from_sums @ products[:, row].reshape(TILE**2, -1)  # (16, across C')
                    pixels = pixels.view(OUTPUT, OUTPUT, across, outputs).transpose(1, 2)
                    strip = slice(top + OUTPUT * row, top + OUTPUT * (row + 1))
                    target = result[sample, strip].view(OUTPUT, across, OUTPUT, outputs)
                    if more is None:
                        target.copy_(pixels)
                    else:
                        torch.add(more[sample, strip].view_as(target), pixels, out=target)
        return result.permute(0, 3, 1, 2)

    def _products(self, x: Tensor, top: int, rows: int) -> Tensor:
        """The sums of rows of tiles of a picture ``(H, W, C)``, from pixel row `top`, convolved: ``(36, rows, W / 4, C')``."""
        height, width, channels = x.shape
        across, count = width // OUTPUT, TILE**2
        first, last = top - 1, top + OUTPUT * rows + 1  # one row of pixels more on each side
        around = torch.zeros(last - first, width + 2, channels)
        inside = slice(max(first, 0), min(last, height))
        around[inside.start - first : inside.stop - first, 1:-1] = x[inside]
        line, column, channel = around.stride()
        sums = torch.empty(count, rows, across, channels)
        for row in range(rows):
            tiles = around[OUTPUT * row :].as_strided(
                (TILE, TILE, across, channels), (line, column, OUTPUT * column, channel), OUTPUT * row * line
            )
            torch.mm(self.to_sums, tiles.reshape(count, -1), out=sums[:, row].view(count, -1))
        products = torch.bmm(sums.view(count, -1, channels), self.kernels)  # (36, rows across, C')
        products[_CONSTANT] += self.bias
        return products.view(count, rows, across, -1)
