"""Every layer of torch.nn, and what is used as one, in a model of about a hundred parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.losses_by_name import EXAMPLES, Case, Then, classes, compared, inputs, network


class Around(nn.Module):
    """A layer between two linear ones, bent, so that its second derivative and its place in a chain both count."""

    def __init__(self, layer: Any, shape: tuple[int, ...], *, positive: bool = False) -> None:
        super().__init__()
        self.before = nn.Linear(3, torch.Size(shape).numel())
        self.layer, self.shape, self.positive = layer, shape, positive
        with torch.no_grad():
            size = self._through(inputs(2, 3).to(self.before.weight)).shape[1]
        self.after = nn.Linear(size, 3)

    def _through(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x).reshape(-1, *self.shape)
        x = self.layer(x.exp() if self.positive else x)
        return x.reshape(len(x), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(torch.tanh(self._through(x)))


def layer(build: Callable[[], Any], *shape: int, positive: bool = False) -> Callable[[], Case]:
    def make() -> Case:
        model = Around(build(), shape, positive=positive)
        return model, F.cross_entropy, (inputs(EXAMPLES, 3), classes(3, EXAMPLES))

    return make


def function(f: Any, *shape: int, positive: bool = False) -> Callable[[], Case]:
    return layer(lambda: Then(f), *shape, positive=positive)


def tokens(build: Callable[[], nn.Module], *shape: int) -> Callable[[], Case]:
    """A layer that reads whole numbers."""

    def make() -> Case:
        body = build()
        with torch.no_grad():
            size = body(classes(5, 2, *shape)).reshape(2, -1).shape[1]
        model = nn.Sequential(body, nn.Flatten(), nn.Tanh(), nn.Linear(size, 3))
        return model, F.cross_entropy, (classes(5, EXAMPLES, *shape), classes(3, EXAMPLES))

    return make


def fractional(pool: Any, x: torch.Tensor, dimensions: int) -> torch.Tensor:
    """Where the windows lie is random, and given here."""
    samples = torch.full((len(x), x.shape[1], dimensions), 0.3, dtype=x.dtype)
    return pool(x, 2, output_size=2, _random_samples=samples)


class Recurrent(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.cell(x)
        return out[0] if isinstance(out, tuple) else out


class Seq2Seq(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, torch.tanh(x))


class Attention(Seq2Seq):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, torch.tanh(x), x)[0]


class Pooled(nn.Module):
    """Up again to where the largest numbers were."""

    def __init__(self, pool: nn.Module, unpool: nn.Module) -> None:
        super().__init__()
        self.pool, self.unpool = pool, unpool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unpool(*self.pool(x))


class Normed(nn.Module):
    """A normalisation whose running statistics are not those of a new one."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        with torch.no_grad():
            norm.running_mean.copy_(inputs(*norm.running_mean.shape))
            norm.running_var.copy_(inputs(*norm.running_var.shape).exp())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class Adaptive(nn.Module):
    """A loss that is a layer with weights: its parameters are in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network(4)
        self.head = nn.AdaptiveLogSoftmaxWithLoss(4, 5, cutoffs=[2, 4], div_value=2.0)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x), y).output


def adaptive() -> Case:
    model = Adaptive()
    data = ((inputs(EXAMPLES, 3), classes(5, EXAMPLES)), classes(2, EXAMPLES))
    return model, lambda output, _: -output.mean(), data


def bias_alone() -> Case:
    class BiasAlone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.layer_norm(x, (4,), None, self.bias)

    return layer(BiasAlone, 4)()


def grid(x: torch.Tensor) -> torch.Tensor:
    """Images read at places that depend on them."""
    return F.grid_sample(x, torch.tanh(x.permute(0, 2, 3, 1)[..., :2]), align_corners=False)


_IMAGE, _LINE, _BLOCK = (2, 4, 4), (2, 6), (2, 4, 4, 4)
_SPACES = {"1d": _LINE, "2d": _IMAGE, "3d": _BLOCK}


def _by_dimension() -> dict[str, Callable[[], Case]]:
    found: dict[str, Callable[[], Case]] = {}
    for d, shape in _SPACES.items():
        for kind, arguments in {
            "AdaptiveAvgPool": (2,), "AdaptiveMaxPool": (2,), "AvgPool": (2,), "MaxPool": (2,), "LPPool": (2, 2),
            "Conv": (2, 2, 2), "ConvTranspose": (2, 1, 2), "InstanceNorm": (2,), "Dropout": (),
            "CircularPad": (1,), "ConstantPad": (1, 0.5), "ReflectionPad": (1,), "ReplicationPad": (1,),
            "ZeroPad": (1,),
        }.items():  # fmt: skip
            module = getattr(nn, kind + d)
            positive = kind == "LPPool"
            found[kind + d] = layer(lambda m=module, a=arguments: m(*a), *shape, positive=positive)
        norm, pool, unpool, conv = (getattr(nn, kind + d) for kind in ("BatchNorm", "MaxPool", "MaxUnpool", "Conv"))
        found[f"BatchNorm{d}"] = layer(lambda m=norm: Normed(m(2)), *shape)
        found[f"MaxUnpool{d}"] = layer(lambda p=pool, u=unpool: Pooled(p(2, return_indices=True), u(2)), *shape)
        found[f"Conv{d} strided"] = layer(lambda m=conv: m(2, 2, 3, stride=2, padding=1, dilation=1, groups=2), *shape)
    return found


_ELEMENTWISE = (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
    "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Dropout", "AlphaDropout", "FeatureAlphaDropout",
)  # fmt: skip

LAYERS: dict[str, Callable[[], Case]] = {
    **_by_dimension(),
    **{name: layer(getattr(nn, name), 5) for name in _ELEMENTWISE},
    "GELU tanh": layer(lambda: nn.GELU("tanh"), 5),
    "GLU": layer(nn.GLU, 6),
    "Threshold": layer(lambda: nn.Threshold(0.1, 0.2), 5),
    "Softmax": layer(lambda: nn.Softmax(1), 5),
    "Softmin": layer(lambda: nn.Softmin(1), 5),
    "LogSoftmax": layer(lambda: nn.LogSoftmax(1), 5),
    "Softmax2d": layer(nn.Softmax2d, *_IMAGE),
    "Linear": layer(lambda: nn.Linear(5, 4), 5),
    "Bilinear": compared(lambda: nn.Bilinear(3, 3, 2)),
    "Flatten": layer(nn.Flatten, *_IMAGE),
    "Unflatten": layer(lambda: nn.Unflatten(1, (2, 3)), 6),
    "Sequential": layer(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh()), 5),
    "LayerNorm": layer(lambda: nn.LayerNorm(5), 5),
    "LayerNorm plain": layer(lambda: nn.LayerNorm(5, elementwise_affine=False), 5),
    "LayerNorm no bias": layer(lambda: nn.LayerNorm(5, bias=False), 5),
    "layer_norm bias alone": bias_alone,
    "RMSNorm": layer(lambda: nn.RMSNorm(5), 5),
    "GroupNorm": layer(lambda: nn.GroupNorm(2, 4), 4, 3),
    "InstanceNorm2d affine": layer(lambda: nn.InstanceNorm2d(2, affine=True), *_IMAGE),
    "LocalResponseNorm": layer(lambda: nn.LocalResponseNorm(2), *_IMAGE),
    "CrossMapLRN2d": layer(lambda: nn.CrossMapLRN2d(2), *_IMAGE),
    "ChannelShuffle": layer(lambda: nn.ChannelShuffle(2), 4, 2, 2),
    "PixelShuffle": layer(lambda: nn.PixelShuffle(2), 4, 2, 2),
    "PixelUnshuffle": layer(lambda: nn.PixelUnshuffle(2), *_IMAGE),
    "Upsample": layer(lambda: nn.Upsample(scale_factor=2), *_IMAGE),
    "Upsample bilinear": layer(lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"), *_IMAGE),
    "Upsample bicubic": layer(lambda: nn.Upsample(scale_factor=2, mode="bicubic"), *_IMAGE),
    "Upsample linear": layer(lambda: nn.Upsample(scale_factor=2, mode="linear"), *_LINE),
    "Upsample trilinear": layer(lambda: nn.Upsample(scale_factor=2, mode="trilinear"), 1, 2, 2, 2),
    "UpsamplingBilinear2d": layer(lambda: nn.UpsamplingBilinear2d(scale_factor=2), *_IMAGE),
    "UpsamplingNearest2d": layer(lambda: nn.UpsamplingNearest2d(scale_factor=2), *_IMAGE),
    "Fold": layer(lambda: nn.Fold((3, 3), 2), 4, 4),
    "Unfold": layer(lambda: nn.Unfold(2), *_IMAGE),
    "FractionalMaxPool2d": function(lambda x: fractional(F.fractional_max_pool2d, x, 2), *_IMAGE),
    "FractionalMaxPool3d": function(lambda x: fractional(F.fractional_max_pool3d, x, 3), *_BLOCK),
    "MaxPool2d overlapping": layer(lambda: nn.MaxPool2d(3, stride=1, padding=1), *_IMAGE),
    "AvgPool2d overlapping": layer(lambda: nn.AvgPool2d(3, stride=1, padding=1), *_IMAGE),
    "Embedding": tokens(lambda: nn.Embedding(5, 3), 2),
    "Embedding padded": tokens(lambda: nn.Embedding(5, 3, padding_idx=0), 2),
    "EmbeddingBag": tokens(lambda: nn.EmbeddingBag(5, 3), 2),
    "EmbeddingBag sum": tokens(lambda: nn.EmbeddingBag(5, 3, mode="sum"), 2),
    "EmbeddingBag max": tokens(lambda: nn.EmbeddingBag(5, 3, mode="max"), 2),
    "RNN": layer(lambda: Recurrent(nn.RNN(2, 3, batch_first=True)), 3, 2),
    "RNN relu": layer(lambda: Recurrent(nn.RNN(2, 3, batch_first=True, nonlinearity="relu")), 3, 2),
    "LSTM": layer(lambda: Recurrent(nn.LSTM(2, 2, batch_first=True, bidirectional=True)), 3, 2),
    "LSTM projected": layer(lambda: Recurrent(nn.LSTM(2, 3, batch_first=True, proj_size=2)), 3, 2),
    "GRU": layer(lambda: Recurrent(nn.GRU(2, 2, 2, batch_first=True)), 3, 2),
    "RNNCell": layer(lambda: Recurrent(nn.RNNCell(4, 3)), 4),
    "LSTMCell": layer(lambda: Recurrent(nn.LSTMCell(4, 3)), 4),
    "GRUCell": layer(lambda: Recurrent(nn.GRUCell(4, 3)), 4),
    "MultiheadAttention": layer(lambda: Attention(nn.MultiheadAttention(4, 2, batch_first=True)), 3, 4),
    "Transformer": layer(
        lambda: Seq2Seq(nn.Transformer(4, 2, 1, 1, 5, batch_first=True)), 2, 4
    ),
    "TransformerEncoderLayer": layer(lambda: nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), 3, 4),
    "TransformerEncoderLayer gelu": layer(
        lambda: nn.TransformerEncoderLayer(4, 2, 5, batch_first=True, activation="gelu", norm_first=True), 3, 4
    ),
    "TransformerEncoder": layer(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), 1), 3, 4
    ),
    "TransformerDecoderLayer": layer(lambda: Seq2Seq(nn.TransformerDecoderLayer(4, 2, 5, batch_first=True)), 2, 4),
    "TransformerDecoder": layer(
        lambda: Seq2Seq(nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 5, batch_first=True), 1)), 2, 4
    ),
    "CosineSimilarity": compared(nn.CosineSimilarity),
    "PairwiseDistance": compared(nn.PairwiseDistance),
    "AdaptiveLogSoftmaxWithLoss": adaptive,
    "weight_norm": layer(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), 5),
    "spectral_norm": layer(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)), 5),
    "weight_norm by hook": layer(lambda: nn.utils.weight_norm(nn.Linear(5, 4)), 5),
    "orthogonal": layer(lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)), 4),
    "scaled_dot_product_attention": function(lambda x: F.scaled_dot_product_attention(x, x.tanh(), x), 2, 3, 4),
    "cdist": function(lambda x: torch.cdist(x, x.tanh()), 3, 4),
    "pdist": function(lambda x: torch.stack([F.pdist(points) for points in x]), 3, 2),
    "normalize": function(lambda x: F.normalize(x, dim=1), 5),
    "grid_sample": function(grid, *_IMAGE),
    "logsumexp": function(lambda x: x.logsumexp(1, keepdim=True), 5),
    "cumprod": function(lambda x: x.cumprod(1), 5),
    "svdvals": function(lambda x: torch.linalg.svdvals(x), 3, 4),
    "logdet": function(lambda x: torch.linalg.slogdet(x).logabsdet[:, None], 3, 3),
    "sort": function(lambda x: x.sort(1).values, 5),
    "norm": function(lambda x: x.norm(dim=1, keepdim=True), 5),
    "var": function(lambda x: x.var(1, keepdim=True), 5),
    "fft": function(lambda x: torch.fft.rfft(x).abs(), 6),
    "einsum": function(lambda x: torch.einsum("bij,bkj->bik", x, x), 3, 4),
}  # fmt: skip
