"""Two residual networks for normalised images of at least 16x16: ResNet-9, and ResNet-18 with a CIFAR stem."""

from torch import Tensor, nn

from cifar_models.architectures.fuse import NormPair
from cifar_models.validation import check_int

# Three halvings leave a 2x2 map, the smallest that batch normalisation can train on with one image.
_MIN_SIZE = 16


class ResNet9(nn.Module):
    """Nine-layer residual network: 6,573,130 parameters with the default arguments.

    A 3x3 convolution to 64 channels; three layers that halve the image and double the channels, the first and the
    last with a residual block; global max pooling (`MaxPool2d(4)` on 32x32 images); a linear layer.

    Source: D. Page, "How to train your ResNet", and his DAWNBench entry for CIFAR-10, 2018.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        check_int("num_classes", num_classes, minimum=1)
        self.in_channels = check_int("in_channels", in_channels, minimum=1)
        self.prep = nn.Sequential(_conv3x3(in_channels, 64), nn.BatchNorm2d(64), nn.ReLU())
        self.layer1 = nn.Sequential(*_halving_layers(64, 128), _Residual(128))
        self.layer2 = nn.Sequential(*_halving_layers(128, 256))
        self.layer3 = nn.Sequential(*_halving_layers(256, 512), _Residual(512))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(512, num_classes)

    @property
    def cam_layers(self) -> dict[str, nn.Module]:
        """Layers for class activation maps, deepest last; on 32x32 images 32, 16, 8 and 4 pixels wide."""
        return {"prep": self.prep, "layer1": self.layer1, "layer2": self.layer2, "layer3": self.layer3}

    @property
    def norm_pairs(self) -> tuple[NormPair, ...]:
        """Those outside of the residual blocks, which declare their own."""
        halving = (NormPair(f"layer{number}.0", f"layer{number}.2", pooled=True) for number in (1, 2, 3))
        return (NormPair("prep.0", "prep.1"), *halving)

    def features(self, x: Tensor) -> Tensor:
        """Returns the last feature maps, `(N, 512, H // 8, W // 8)`."""
        check_images(x, self.in_channels)
        return self.layer3(self.layer2(self.layer1(self.prep(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, `(N, num_classes)`."""
        return self.fc(self.pool(self.features(x)).flatten(1))


class ResNet18(nn.Module):
    """ResNet-18 with a CIFAR stem: 11,173,962 parameters with the default arguments.

    As published, except that the stem is one 3x3 convolution of stride 1 without max pooling, to keep the resolution
    of small images. Parameters are named as in torchvision.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016, table 1.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        check_int("num_classes", num_classes, minimum=1)
        self.in_channels = check_int("in_channels", in_channels, minimum=1)
        self.conv1 = _conv3x3(in_channels, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(_BasicBlock(64, 64), _BasicBlock(64, 64))
        self.layer2 = nn.Sequential(_BasicBlock(64, 128, stride=2), _BasicBlock(128, 128))
        self.layer3 = nn.Sequential(_BasicBlock(128, 256, stride=2), _BasicBlock(256, 256))
        self.layer4 = nn.Sequential(_BasicBlock(256, 512, stride=2), _BasicBlock(512, 512))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, num_classes)

    @property
    def cam_layers(self) -> dict[str, nn.Module]:
        """Layers for class activation maps, deepest last; on 32x32 images 32, 32, 16, 8 and 4 pixels wide."""
        layers = {"layer1": self.layer1, "layer2": self.layer2, "layer3": self.layer3, "layer4": self.layer4}
        return {"stem": self.relu, **layers}

    @property
    def norm_pairs(self) -> tuple[NormPair, ...]:
        """That of the stem; the blocks declare their own."""
        return (NormPair("conv1", "bn1"),)

    def features(self, x: Tensor) -> Tensor:
        """Returns the last feature maps, `(N, 512, ceil(H / 8), ceil(W / 8))`."""
        check_images(x, self.in_channels)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, `(N, num_classes)`."""
        return self.fc(self.avgpool(self.features(x)).flatten(1))


class _Residual(nn.Module):
    """`x + body(x)`; the body is convolution, batch normalisation and ReLU, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv3x3(channels, channels), nn.BatchNorm2d(channels), nn.ReLU(),
            _conv3x3(channels, channels), nn.BatchNorm2d(channels), nn.ReLU(),
        )  # fmt: skip

    @property
    def norm_pairs(self) -> tuple[NormPair, ...]:
        return (NormPair("body.0", "body.1"), NormPair("body.3", "body.4"))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _BasicBlock(nn.Module):
    """The block of ResNet-18; a 1x1 convolution fits the shortcut where the shape changes."""

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride=stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        # None where nothing changes, as in torchvision: hooks on every module then see each of them run.
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))

    @property
    def norm_pairs(self) -> tuple[NormPair, ...]:
        pairs = (NormPair("conv1", "bn1"), NormPair("conv2", "bn2"))
        return pairs if self.downsample is None else (*pairs, NormPair("downsample.0", "downsample.1"))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


def _conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    # No bias: the batch normalisation that follows has one.
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _halving_layers(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [_conv3x3(in_channels, out_channels), nn.MaxPool2d(2), nn.BatchNorm2d(out_channels), nn.ReLU()]


def check_images(x: Tensor, in_channels: int) -> None:
    """Raises a ValueError unless `x` is `(N, in_channels, H, W)` with H and W of at least 16."""
    if x.ndim != 4 or x.shape[1] != in_channels or min(x.shape[2:]) < _MIN_SIZE:
        allowed = f"(N, {in_channels}, H, W) with H and W of at least {_MIN_SIZE}"
        raise ValueError(f"images must have the shape {allowed}, got {tuple(x.shape)}")
