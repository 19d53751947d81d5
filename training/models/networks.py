"""R(2+1)D, R3D and R2D as the authors trained them (paper 3.3; Tran et al., CVPR 2018).

State dicts have the names that torchvision and the public IG-65M ports use, so weights can be
exchanged; where torchvision's definition differs, `midplanes="torchvision"` follows it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from training.models.convolutions import (
    CubicConv,
    FoldingConv,
    FoldingNorm,
    PointConv,
    SpatialConv,
    TemporalConv,
    batch_norm,
    channels_last,
    initialise,
    midplanes,
)

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Residual blocks per layer; above 34 they are bottlenecks."""
EPS = 1e-3
"""Of batch normalisation; the authors'."""
TORCHVISION_EPS = 1e-5
EXPANSION = 4
WIDTH = 64


@dataclass(frozen=True)
class _Design:
    """What tells the networks of this file apart."""

    kind: str
    """`r2plus1d`, `r3d` or `r2d`."""
    midplanes: str = "paper"
    eps: float = EPS

    def conv(self, planes: tuple[int, int], stride: int, block: tuple[int, int]) -> nn.Module:
        """A 3x3x3 convolution in this design's form; `block` is what torchvision counts."""
        if self.kind == "r3d":
            return CubicConv(*planes, stride=stride)
        if self.kind == "r2d":
            return SpatialConv(*planes, stride=stride)
        mid = midplanes(*(planes if self.midplanes == "paper" else block))
        return nn.Sequential(
            SpatialConv(planes[0], mid, stride=stride),
            batch_norm(mid, self.eps),
            nn.ReLU(inplace=True),
            TemporalConv(mid, planes[1], stride=stride),
        )

    def stem(self, width: int) -> nn.Sequential:
        """The first layer: halves height and width, keeps time."""
        if self.kind != "r2plus1d":
            conv = CubicConv if self.kind == "r3d" else SpatialConv
            first: list[nn.Module] = [conv(3, width, kernel=7, stride=2)]
        else:
            mid = 45 * width // WIDTH  # 45 is the authors' constant; the formula would give 83.
            first = [
                SpatialConv(3, mid, kernel=7, stride=2),
                batch_norm(mid, self.eps),
                nn.ReLU(inplace=True),
                TemporalConv(mid, width),
            ]
        return nn.Sequential(*first, batch_norm(width, self.eps), nn.ReLU(inplace=True))

    def shortcut(self, planes: tuple[int, int], stride: int) -> nn.Sequential | None:
        """The projection beside a block that changes the shape, else nothing."""
        if stride == 1 and planes[0] == planes[1]:
            return None
        strides = (1 if self.kind == "r2d" else stride, stride)
        return nn.Sequential(PointConv(*planes, stride=strides), batch_norm(planes[1], self.eps))


class _BasicBlock(nn.Module):
    def __init__(self, design: _Design, planes_in: int, planes: int, stride: int):
        super().__init__()
        both = (planes_in, planes)
        self.conv1 = nn.Sequential(
            design.conv(both, stride, both), batch_norm(planes, design.eps), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(
            design.conv((planes, planes), 1, both), batch_norm(planes, design.eps)
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample = design.shortcut(both, stride)

    def forward(self, input: Tensor) -> Tensor:
        shortcut = input if self.downsample is None else self.downsample(input)
        return cast(Tensor, self.relu(self.conv2(self.conv1(input)) + shortcut))


class _Bottleneck(nn.Module):
    def __init__(self, design: _Design, planes_in: int, planes: int, stride: int):
        super().__init__()
        wide, eps = planes * EXPANSION, design.eps
        self.conv1 = nn.Sequential(
            PointConv(planes_in, planes), batch_norm(planes, eps), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(
            design.conv((planes, planes), stride, (planes_in, planes)),
            batch_norm(planes, eps),
            nn.ReLU(inplace=True),
        )
        self.conv3 = nn.Sequential(PointConv(planes, wide), batch_norm(wide, eps))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = design.shortcut((planes_in, wide), stride)

    def forward(self, input: Tensor) -> Tensor:
        shortcut = input if self.downsample is None else self.downsample(input)
        return cast(Tensor, self.relu(self.conv3(self.conv2(self.conv1(input))) + shortcut))


class VideoResNet(nn.Module):
    """A residual network over clips; `features` is everything but the last layer."""

    def __init__(self, design: _Design, depth: int, num_classes: int, width: int):
        super().__init__()
        self._folded = True
        block = _BasicBlock if depth <= 34 else _Bottleneck
        self.stem = design.stem(width)
        planes_in = width
        for number, blocks in enumerate(BLOCKS[depth]):
            layer = []
            for i in range(blocks):
                stride = 2 if i == 0 and number > 0 else 1
                layer.append(block(design, planes_in, width << number, stride))
                planes_in = (width << number) * (1 if depth <= 34 else EXPANSION)
            self.add_module(f"layer{number + 1}", nn.Sequential(*layer))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(planes_in, num_classes)
        initialise(self)

    def fold(self, folded: bool) -> None:
        """Run convolutions over space or time as 2D ones, or as the 3D ones that they are.

        Folded, the network works in channels-last memory order; else in the order it is given.
        """
        self._folded = folded
        for module in self.modules():
            if isinstance(module, FoldingConv | FoldingNorm):
                module.folded = folded

    def activations(self, frames_BCTHW: Tensor) -> Tensor:
        """What the last residual layer gives, [B, D, T', H', W']."""
        hidden = channels_last(frames_BCTHW) if self._folded else frames_BCTHW
        for layer in self._layers():
            hidden = layer(hidden)
        return hidden

    def features(self, frames_BCTHW: Tensor) -> Tensor:
        """Pooled activations of the last layer, [B, D]."""
        return cast(Tensor, self.avgpool(self.activations(frames_BCTHW)).flatten(1))

    def forward(self, frames_BCTHW: Tensor) -> Tensor:
        """Logits, [B, num_classes]."""
        return cast(Tensor, self.fc(self.features(frames_BCTHW)))

    def _layers(self) -> Iterator[nn.Module]:
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            yield self.get_submodule(name)


def r2plus1d(
    depth: int,
    num_classes: int,
    *,
    midplanes: str = "paper",
    width: int = WIDTH,
    eps: float | None = None,
) -> VideoResNet:
    """R(2+1)D of depth 18, 34, 101 or 152: 33M, 64M, 86M, 118M parameters at 359 classes (Table 2).

    `midplanes="torchvision"` counts the channels inside a (2+1)D convolution per block, not per
    convolution, as torchvision's 18-layer weights need; its `eps` is 1e-5 unless given, else 1e-3.
    A `width` other than 64 scales every layer.

    Raises:
        ValueError: an unknown depth or `midplanes`, or a width below 2.
    """
    if midplanes not in ("paper", "torchvision"):
        raise ValueError(f"midplanes must be paper or torchvision, got {midplanes!r}")
    if eps is None:
        eps = EPS if midplanes == "paper" else TORCHVISION_EPS
    return _build(_Design("r2plus1d", midplanes, eps), depth, num_classes, width)


def r3d(
    depth: int, num_classes: int, *, width: int = WIDTH, eps: float | None = None
) -> VideoResNet:
    """R3D: every convolution is 3x3x3 (paper 4.3.2 uses depth 18).

    Raises:
        ValueError: as for `r2plus1d`.
    """
    return _build(_Design("r3d", eps=EPS if eps is None else eps), depth, num_classes, width)


def r2d(
    depth: int, num_classes: int, *, width: int = WIDTH, eps: float | None = None
) -> VideoResNet:
    """R2D: every frame by itself, averaged at the end; what images pre-train (paper 4.3.2).

    Raises:
        ValueError: as for `r2plus1d`.
    """
    return _build(_Design("r2d", eps=EPS if eps is None else eps), depth, num_classes, width)


def inflate(state_2d: Mapping[str, Tensor], model_3d: nn.Module) -> None:
    """Load an R2D's weights into an R3D: kernels are repeated over time and divided by its length.

    Away from the zero padding at both ends, a clip of equal frames gives what its frame gives
    (paper 4.3.2, "inflation").

    Raises:
        RuntimeError: the two networks do not have the same layers.
    """
    shapes = {name: value.shape for name, value in model_3d.state_dict().items()}
    inflated = {}
    for name, value in state_2d.items():
        times = shapes[name][2] if value.ndim == 5 and name in shapes else 1
        inflated[name] = value.repeat(1, 1, times, 1, 1) / times if times > 1 else value
    model_3d.load_state_dict(inflated, strict=True)


def count_parameters(model: nn.Module) -> int:
    """All trainable numbers of a network."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _build(design: _Design, depth: int, num_classes: int, width: int) -> VideoResNet:
    if depth not in BLOCKS:
        known = ", ".join(str(known) for known in BLOCKS)
        raise ValueError(f"depth must be one of {known}, got {depth}")
    if num_classes < 1 or width < 2:
        raise ValueError(f"want num_classes >= 1 and width >= 2, got {num_classes} and {width}")
    with torch.no_grad():
        return VideoResNet(design, depth, num_classes, width)
