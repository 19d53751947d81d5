"""Convolutions over space, over time, or both, that fold a clip into images where that is faster.

`nn.Conv3d` with a 1x3x3 or 3x1x1 kernel is several times slower than the 2D convolution it stands
for. The modules here keep Conv3d's weights and names, so state dicts are the same, and run as 2D
while `folded` is set. In channels-last memory the folds are views: nothing is copied.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def midplanes(planes_in: int, planes_out: int) -> int:
    """Channels between the spatial and the temporal half of a (2+1)D convolution.

    Chosen so that the pair has as many weights as the 3x3x3 convolution it replaces
    (Tran et al., CVPR 2018, section 3.5).

    >>> midplanes(64, 64), midplanes(256, 512)
    (144, 921)
    """
    return (27 * planes_in * planes_out) // (9 * planes_in + 3 * planes_out)


class FoldingConv(nn.Conv3d):
    """A convolution that may run as a 2D one."""

    folded = True
    """Off, it runs as the `nn.Conv3d` that it is; the values are the same but for rounding."""


class SpatialConv(FoldingConv):
    """A 1 x k x k convolution without bias: every frame by itself."""

    def __init__(self, planes_in: int, planes_out: int, *, kernel: int = 3, stride: int = 1):
        super().__init__(
            planes_in,
            planes_out,
            kernel_size=(1, kernel, kernel),
            stride=(1, stride, stride),
            padding=(0, kernel // 2, kernel // 2),
            bias=False,
        )
        self.reach = kernel // 2

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, H', W']."""
        if not self.folded:
            return super().forward(input)
        batch, _, frames, _, _ = input.shape
        images = input.transpose(1, 2).flatten(0, 1)
        images = functional.conv2d(
            images, self.weight.squeeze(2), None, self.stride[1:], (self.reach, self.reach)
        )
        return images.reshape(batch, frames, *images.shape[1:]).transpose(1, 2)


class TemporalConv(FoldingConv):
    """A k x 1 x 1 convolution without bias: every pixel by itself."""

    def __init__(self, planes_in: int, planes_out: int, *, kernel: int = 3, stride: int = 1):
        super().__init__(
            planes_in,
            planes_out,
            kernel_size=(kernel, 1, 1),
            stride=(stride, 1, 1),
            padding=(kernel // 2, 0, 0),
            bias=False,
        )
        self.reach = kernel // 2

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T', H, W]."""
        if not self.folded:
            return super().forward(input)
        if input.shape[2] == 1 and torch.compiler.is_compiling():
            # The memory order of such an input is ambiguous, and torch.compile (2.11) expects the
            # kernel's gradient in another one than it gets. Only the middle meets the one frame.
            return _mixed(input, self.weight[:, :, self.reach])
        lines = functional.conv2d(
            input.flatten(3), self.weight.flatten(3), None, (self.stride[0], 1), (self.reach, 0)
        )
        return lines.reshape(*lines.shape[:3], *input.shape[3:])


class PointConv(FoldingConv):
    """A 1 x 1 x 1 convolution without bias; its stride may differ in time and space."""

    def __init__(self, planes_in: int, planes_out: int, *, stride: tuple[int, int] = (1, 1)):
        time, space = stride
        super().__init__(
            planes_in, planes_out, kernel_size=1, stride=(time, space, space), bias=False
        )

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T', H', W']."""
        if not self.folded:
            return super().forward(input)
        time, space, _ = self.stride
        return _mixed(input[:, :, ::time, ::space, ::space], self.weight)


def _mixed(input: Tensor, weight: Tensor) -> Tensor:
    """The channels of every pixel [B, C, T, H, W] by weights [C', C, 1 ...]: a matrix product."""
    # So the gradient has the strides of a weight in channels-last order, or several processes copy
    # it and warn of that.
    kernel = weight.movedim(1, -1).flatten(0, -2)
    return functional.linear(input.movedim(1, -1), kernel).movedim(-1, 1)


class CubicConv(nn.Conv3d):
    """A 3 x k x k convolution without bias."""

    def __init__(self, planes_in: int, planes_out: int, *, kernel: int = 3, stride: int = 1):
        # The stem keeps the frame rate; the blocks halve time and space together.
        super().__init__(
            planes_in,
            planes_out,
            kernel_size=(3, kernel, kernel),
            stride=(1 if kernel == 7 else stride, stride, stride),
            padding=(1, kernel // 2, kernel // 2),
            bias=False,
        )


class FoldingNorm(nn.BatchNorm3d):
    """Batch normalisation that may run as that of images.

    On GPUs PyTorch knows no channels-last order of five dimensions, and takes a slower way.
    """

    folded = True

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape."""
        if not self.folded:
            return super().forward(input)
        return super().forward(input.flatten(3)).reshape(input.shape)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"want [B, C, T, H, W], got {tuple(input.shape)}")


def batch_norm(planes: int, eps: float) -> FoldingNorm:
    """Batch normalisation as the authors set it: Caffe2's momentum 0.9 is 0.1 to PyTorch."""
    return FoldingNorm(planes, eps=eps, momentum=0.1)


def initialise(model: nn.Module) -> None:
    """He initialisation of every convolution, small normal weights and no bias for the last layer.

    Caffe2's MSRAFill, of which `kaiming_normal_` by fan-out is the PyTorch form.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


def channels_last(frames: Tensor) -> Tensor:
    """The same [B, C, T, H, W] values in the memory order in which folding copies nothing."""
    return frames.contiguous(memory_format=torch.channels_last_3d)
