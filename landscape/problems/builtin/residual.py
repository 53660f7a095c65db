"""A residual network for small images, with and without its skip connections and its normalisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, 4),
    "none": lambda channels: nn.Identity(),
}


class ResNet(nn.Module):
    """Three stages of residual blocks on one-channel images; 3 blocks a stage and 16 channels make ResNet-20.

    He, Zhang, Ren & Sun (2016), Deep residual learning, §4.2. ``skip=False`` is their plain network.
    """

    def __init__(
        self, *, blocks: int = 1, channels: int = 8, skip: bool = True, norm: str = "batch", num_classes: int = 10
    ) -> None:
        super().__init__()
        normed = NORMS[norm]
        self.stem, self.norm = nn.Conv2d(1, channels, 3, padding=1, bias=norm == "none"), normed(channels)
        widths = [channels * 2**stage for stage in range(3) for _ in range(blocks)]
        self.blocks = nn.Sequential(
            *(Block(a, b, skip=skip, norm=norm) for a, b in zip([channels, *widths[:-1]], widths, strict=True))
        )
        self.head = nn.Linear(4 * channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 1, H, W) → logits (N, C)."""
        x = self.blocks(functional.relu(self.norm(self.stem(images))))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two convolutions; where the channels double, stride 2 and a skip padded with zeros (option A of the paper)."""

    def __init__(self, channels_in: int, channels_out: int, *, skip: bool, norm: str) -> None:
        super().__init__()
        self._skip, self._stride, self._extra = skip, channels_out // channels_in, channels_out - channels_in
        bias = norm == "none"
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=self._stride, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=bias)
        self.norm1, self.norm2 = NORMS[norm](channels_out), NORMS[norm](channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) → (N, out, H / stride, W / stride)."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        if self._skip:
            y = y + functional.pad(x[:, :, :: self._stride, :: self._stride], (0, 0, 0, 0, 0, self._extra))
        return functional.relu(y)


def resnet(blocks: int, channels: int, norm: str, *, skip: bool) -> Callable[[], nn.Module]:
    """A builder of the network for ten classes; what it is asked for is checked now."""
    check_count("blocks", blocks)
    check_count("channels", channels)
    check_choice("norm", norm, NORMS)
    return partial(ResNet, blocks=blocks, channels=channels, skip=skip, norm=norm)
