"""R(2+1)D written as torchvision and ig65m-pytorch write it, from plain nn.Conv3d layers."""

from collections.abc import Callable

from torch import Tensor, nn

Mid = Callable[[int, int, int], int]
"""(in, out of the convolution, in of its block) -> channels in between."""


def mid_of_authors(planes_in: int, planes_out: int, block_in: int) -> int:
    return (planes_in * planes_out * 27) // (planes_in * 9 + 3 * planes_out)


def mid_of_torchvision(planes_in: int, planes_out: int, block_in: int) -> int:
    return (block_in * planes_out * 27) // (block_in * 9 + 3 * planes_out)


def norm(planes: int, eps: float) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(planes, eps=eps)


def split(planes: tuple[int, int], mid: int, stride: int, eps: float) -> nn.Sequential:
    space, time = (1, stride, stride), (stride, 1, 1)
    return nn.Sequential(
        nn.Conv3d(planes[0], mid, (1, 3, 3), space, (0, 1, 1), bias=False),
        norm(mid, eps),
        nn.ReLU(),
        nn.Conv3d(mid, planes[1], (3, 1, 1), time, (1, 0, 0), bias=False),
    )


class Block(nn.Module):
    def __init__(self, planes_in: int, planes: int, stride: int, mid: Mid, eps: float, deep: bool):
        super().__init__()
        wide = planes * 4 if deep else planes
        if deep:
            self.conv1 = nn.Sequential(
                nn.Conv3d(planes_in, planes, 1, bias=False), norm(planes, eps), nn.ReLU()
            )
            inner = split((planes, planes), mid(planes, planes, planes_in), stride, eps)
            self.conv2 = nn.Sequential(inner, norm(planes, eps), nn.ReLU())
            self.conv3 = nn.Sequential(nn.Conv3d(planes, wide, 1, bias=False), norm(wide, eps))
        else:
            first = split((planes_in, planes), mid(planes_in, planes, planes_in), stride, eps)
            second = split((planes, planes), mid(planes, planes, planes_in), 1, eps)
            self.conv1 = nn.Sequential(first, norm(planes, eps), nn.ReLU())
            self.conv2 = nn.Sequential(second, norm(planes, eps))
        self.downsample = None
        if stride > 1 or planes_in != wide:
            self.downsample = nn.Sequential(
                nn.Conv3d(planes_in, wide, 1, stride, bias=False), norm(wide, eps)
            )

    def forward(self, given: Tensor) -> Tensor:
        out = self.conv2(self.conv1(given))
        out = self.conv3(out) if hasattr(self, "conv3") else out
        return (out + (self.downsample(given) if self.downsample else given)).relu()


class Reference(nn.Module):
    def __init__(self, blocks: tuple[int, ...], classes: int, width: int, mid: Mid, eps: float):
        super().__init__()
        deep, stem = sum(blocks) > 16, 45 * width // 64
        self.stem = nn.Sequential(
            nn.Conv3d(3, stem, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            norm(stem, eps),
            nn.ReLU(),
            nn.Conv3d(stem, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            norm(width, eps),
            nn.ReLU(),
        )
        planes_in = width
        for number, count in enumerate(blocks):
            planes, layer = width * 2**number, []
            for i in range(count):
                stride = 2 if number and not i else 1
                layer.append(Block(planes_in, planes, stride, mid, eps, deep))
                planes_in = planes * 4 if deep else planes
            setattr(self, f"layer{number + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(planes_in, classes)

    def forward(self, frames: Tensor) -> Tensor:
        out = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(frames)))))
        return self.fc(out.mean((2, 3, 4)))
