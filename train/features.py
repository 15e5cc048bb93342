"""Features that pictures are compared by: VGG-19's or EfficientNet-Lite0's for the perceptual loss, a vision transformer's for
appearance and structure.

Both are frozen: they have no gradient of their own, stay in eval mode, and are not part of the model that is trained.
They take images ``(B, 3, H, W)`` in [0, 1] and normalise them as they were in the networks' own training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.backends.convolutions import folded
from motion_core.errors import InputError
from motion_core.networks.tpsmm.blocks import Shrink

from .feature_weights import StateDict, check_weights, file_of, random_weights, read_weights

IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))  # mean and standard deviation of R, G and B
VGG_WIDTH = 64  # features of the first layer
VGG_CONVOLUTIONS = (
    (1, 1),
    (2, 2),
    (4,) * 4,
    (8,) * 4,
    (8,),
)  # up to relu5_1, times VGG_WIDTH; a 2x2 maximum between groups
VGG_TAPS = (1, 6, 11, 20, 29)  # relu1_1 ... relu5_1 in torchvision's numbering of the layers
VGG_REDUCTION = 16  # of relu5_1
VGG_NAMES = ("vgg19.tv_in1k",)
EFFICIENTNET = "tf_efficientnet_lite0"  # timm's name
EFFICIENTNET_STEM = "conv_stem.weight"  # a parameter that VGG-19 has not
EFFICIENTNET_STATISTICS = ((0.5, 0.5),) * 3
EFFICIENTNET_LEVELS = (0, 1, 2, 3)  # of timm's features: at 1/2, 1/4, 1/8 and 1/16
EFFICIENTNET_BLOCKS = 5  # up to the last of these; later ones hold most of the weights
EFFICIENTNET_SCALE = 1 / 16  # brings differences between two poses to the size that VGG's have
VITS: dict[
    tuple[int, ...], str
] = {  # timm's name by the shape of the patch embedding; their heads have 64 features each
    (192, 3, 16, 16): "vit_tiny_patch16_224",
    (384, 3, 8, 8): "vit_small_patch8_224",
    (384, 3, 16, 16): "vit_small_patch16_224",
    (768, 3, 8, 8): "vit_base_patch8_224",
    (768, 3, 16, 16): "vit_base_patch16_224",
}
RANDOM_VIT = "vit_tiny_patch16_224"  # the fastest of them
VIT_NAMES = tuple(f"{name}.dino" for name in VITS.values() if name != RANDOM_VIT)  # there is no tiny DINO


class FrozenFeatures(nn.Module):
    """A network that does not learn. It computes in the dtype of its weights, or in autocast's."""

    statistics = IMAGENET

    def freeze(self) -> Self:
        """Without gradients for its parameters, in eval mode."""
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Eval mode in any case."""
        return super().train(False)

    def _normalise(self, image: Tensor) -> Tensor:
        """The image as the layers take it, ``(B, 3, H, W)`` channels_last. The statistics stay exact in any dtype."""
        channels = [(c - mean) / std for c, (mean, std) in zip(image.float().unbind(1), self.statistics, strict=True)]
        normalised = torch.stack(channels, dim=-1).movedim(-1, 1)
        if torch.is_autocast_enabled(image.device.type):
            return normalised
        return normalised.to(next(self.parameters()).dtype)


class PerceptualFeatures(FrozenFeatures):
    """relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of VGG-19 at several scales.

    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.

    Args:
        layers: as `vgg_layers` makes them, with weights.
        scales: whole factors that the image is reduced by.
    """

    def __init__(self, layers: nn.Module, scales: Sequence[int] = (1, 2, 4, 8)) -> None:
        super().__init__()
        self.layers: Any = layers.to(memory_format=torch.channels_last)
        self.shrinks = nn.ModuleList(Shrink(3, scale) for scale in scales)
        self.smallest_side = (VGG_REDUCTION - 1) * max(scales) + 1
        self.freeze()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The feature maps ``(B, C, h, w)`` of each scale, scale by scale.

        Raises:
            InputError: the image reduced by the largest scale has no pixel left in the last of them.
        """
        if min(image.shape[-2:]) < self.smallest_side:
            raise InputError(
                f"losses.scales: the largest needs images with sides of {self.smallest_side} or more, "
                f"got {image.shape[-2]} x {image.shape[-1]}"
            )
        return tuple(feature for shrink in self.shrinks for feature in self._taps(shrink(image)))

    def _taps(self, image: Tensor) -> list[Tensor]:
        x, taps = self._normalise(image), []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in VGG_TAPS:
                taps.append(x)  # a convolution follows each of them, so no layer in place changes it
        return taps


class EfficientNetFeatures(PerceptualFeatures):
    """The outputs of EfficientNet-Lite0's stages, at 1/2 to 1/16 of the image, at several scales.

    Tan & Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019. It computes in fp32: in bf16
    its depthwise convolutions take longer on a processor, and the gradient in the image is 28 % off.

    Args:
        layers: timm's tf_efficientnet_lite0 with `features_only`, with weights.
        scales: whole factors that the image is reduced by.
    """

    statistics = EFFICIENTNET_STATISTICS

    def _taps(self, image: Tensor) -> list[Tensor]:
        with torch.autocast(image.device.type, enabled=False):
            return [EFFICIENTNET_SCALE * level for level in self.layers(self._normalise(image))]


@dataclass(frozen=True)
class TransformerFeatures:
    """Features of images by the vision transformer.

    Attributes:
        class_token: ``(B, D)``, after the final layer norm, fp32.
        keys: of the last block, heads side by side, the class token's first: ``(B, T, D)``, fp32.
    """

    class_token: Tensor
    keys: Tensor


class VisionTransformerFeatures(FrozenFeatures):
    """Class token and last keys of a vision transformer such as DINO's.

    Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021; the keys as descriptors of
    structure: Tumanyan et al., "Splicing ViT features for semantic appearance transfer", CVPR 2022.

    Args:
        model: timm's VisionTransformer with a class token, made with ``dynamic_img_size=True``.
        size: what the short side of an image is resized to (bicubic, antialiased); then both sides are rounded to whole
            patches, and the position embedding is interpolated.
    """

    def __init__(self, model: Any, size: int = 224) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.patch: int = model.patch_embed.patch_size[0]
        _check_size(size, self.patch)
        self.freeze()

    def forward(self, image: Tensor) -> TransformerFeatures:
        """Features of images ``(B, 3, H, W)`` in [0, 1]."""
        seen: list[Tensor] = []
        hook = self.model.blocks[-1].attn.qkv.register_forward_hook(lambda _layer, _input, output: seen.append(output))
        try:
            tokens = self.model.forward_features(self._normalise(_resized(image, self.size, self.patch)))  # (B, T, D)
        finally:
            hook.remove()
        _query, keys, _value = seen[0].chunk(3, dim=-1)  # (B, T, D) each
        return TransformerFeatures(tokens[:, 0].float(), keys.float())


class ConvolutionalTokens(FrozenFeatures):
    """What is asked of a vision transformer, of EfficientNet-Lite0, for where no pretrained transformer is to be had. Ours.

    The class token is the mean of its deepest features, normalised to mean 0 and variance 1. The keys are the features at 1/8 of
    the image, and first, in the class token's place, their mean. fp32, as `EfficientNetFeatures`.

    Args:
        layers: timm's tf_efficientnet_lite0 with `features_only`, with weights.
        size: what the short side of an image is resized to, whole sixteenths.
    """

    statistics = EFFICIENTNET_STATISTICS

    def __init__(self, layers: nn.Module, size: int = 224) -> None:
        super().__init__()
        self.layers: Any = layers.to(memory_format=torch.channels_last)
        self.size = size
        _check_size(size, VGG_REDUCTION)
        self.freeze()

    def forward(self, image: Tensor) -> TransformerFeatures:
        """Features of images ``(B, 3, H, W)`` in [0, 1]."""
        with torch.autocast(image.device.type, enabled=False):
            *_, fine, deep = self.layers(self._normalise(_resized(image, self.size, VGG_REDUCTION)))
            token = deep.mean(dim=(2, 3))  # (B, D)
            places = fine.flatten(2).transpose(1, 2)  # (B, T - 1, D')
            keys = torch.cat((places.mean(dim=1, keepdim=True), places), dim=1)
            return TransformerFeatures(F.layer_norm(token, token.shape[1:]), keys)


def _check_size(size: int, patch: int) -> None:
    if size < patch:
        raise InputError(f"the size for features.vit must be a patch ({patch}) or more, got {size}")


def _resized(image: Tensor, size: int, patch: int) -> Tensor:
    """The image with its short side brought to `size`, and both to whole patches."""
    height, width = image.shape[-2:]
    scale = size / min(height, width)
    target = tuple(max(1, round(side * scale / patch)) * patch for side in (height, width))
    if target == (height, width):
        return image
    return F.interpolate(image.float(), target, mode="bicubic", antialias=True, align_corners=False)


def load_vgg(choice: str, scales: Sequence[int] = (1, 2, 4, 8)) -> PerceptualFeatures:
    """VGG-19, or what is to serve in its place, by the setting `features.vgg`.

    Args:
        choice: "vgg19.tv_in1k", timm's name, fetched from the Hub; a .safetensors or .pth file with torchvision's or timm's
            names, or of a network that is VGG-19 with fewer features in every layer, or with timm's weights of EfficientNet-Lite0
            (`train.convert_efficientnet`); "random" for untrained features, the same everywhere; or "random:16" for untrained
            ones of a network with 16 instead of 64 in the first layer.
        scales: as for `PerceptualFeatures`.

    Raises:
        InputError: the weights cannot be had, or are of neither network.
    """
    untrained = re.fullmatch(r"random(?::([1-9]\d{0,2}))?", choice)
    state: StateDict = {}
    width = VGG_WIDTH
    if untrained:
        width = int(untrained[1] or VGG_WIDTH)
    else:
        state = read_weights(file_of(choice, "features.vgg", VGG_NAMES), "features.vgg")
        if EFFICIENTNET_STEM in state:
            return EfficientNetFeatures(_efficientnet(state, choice, "features.vgg"), scales)
        first = state.get("features.0.weight")
        width = VGG_WIDTH if first is None or not len(first) else len(first)
    with torch.device("meta"):  # no memory, no random numbers
        layers = vgg_layers(width)
    wanted = {f"features.{name}": value for name, value in layers.state_dict().items()}
    if untrained:
        state = random_weights(wanted, "features.vgg")
    else:
        check_weights(wanted, state, choice, "features.vgg")
    layers.load_state_dict(
        {name: state[f"features.{name}"].to(torch.float32, copy=True) for name in layers.state_dict()}, assign=True
    )
    return PerceptualFeatures(layers, scales)


def efficientnet_layers() -> Any:
    """EfficientNet-Lite0 without weights, up to the last of the levels that are compared."""
    import timm  # here, because importing it takes seconds

    with torch.random.fork_rng(devices=[]):  # its own initialisation draws numbers, which are not used
        layers: Any = timm.create_model(
            EFFICIENTNET, pretrained=False, features_only=True, out_indices=EFFICIENTNET_LEVELS
        )
    layers.blocks = layers.blocks[:EFFICIENTNET_BLOCKS]  # timm computes them all, whatever is asked for
    return layers


def _efficientnet(state: StateDict, choice: str, setting: str) -> Any:
    layers = efficientnet_layers()
    wanted = {name: value for name, value in layers.state_dict().items() if value.is_floating_point()}
    check_weights(wanted, state, choice, setting)
    layers.load_state_dict({name: state[name].float() for name in wanted}, strict=False)  # but for counts of batches
    return _halving_in_place(_without_norms(layers))


class Halving(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding, one more at the bottom and right of even maps, without a copy.

    Its kernel has a row and a column of 0 more, at the top and left: they take the place of what the other sides lack.
    """

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight[:, :, input.shape[-2] % 2 :, input.shape[-1] % 2 :]
        return F.conv2d(input, weight, self.bias, self.stride, self.kernel_size[0] // 2, groups=self.groups)


def _halving_in_place(layers: nn.Module) -> nn.Module:
    """The layers, in which timm's convolutions that pad a copy first are `Halving`."""
    from timm.layers import Conv2dSame

    padding: list[Any] = [layer for layer in layers.modules() if isinstance(layer, Conv2dSame)]
    for layer in padding:
        layer.__class__ = Halving
        layer.weight = nn.Parameter(F.pad(layer.weight, (1, 0, 1, 0)))
    return layers


def _without_norms(layers: nn.Module) -> nn.Module:
    """The layers in which each BatchNorm is folded into the convolution before it; its activation stays in its place."""
    for parent in list(layers.modules()):
        before: nn.Conv2d | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                before = child
            elif isinstance(child, nn.BatchNorm2d) and before is not None:
                weight, bias = folded(before, child)
                before.weight, before.bias = nn.Parameter(weight), nn.Parameter(bias)
                setattr(parent, name, getattr(child, "act", nn.Identity()))
    return layers


def vgg_layers(features: int = VGG_WIDTH) -> nn.Sequential:
    """VGG-19 up to relu5_1, numbered as in torchvision's `features`, with so many features in the first layer."""
    layers: list[nn.Module] = []
    channels = 3
    for group in VGG_CONVOLUTIONS:
        layers += [nn.MaxPool2d(2)] if layers else []
        for times in group:
            width = features * times
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers)


def load_vit(choice: str, size: int = 224) -> FrozenFeatures:
    """The vision transformer by the setting `features.vit`.

    Args:
        choice: a name of DINO's in timm such as "vit_small_patch8_224.dino", fetched from the Hub; a .safetensors or .pth
            file of a tiny (patch 16), small or base ViT (8 or 16) trained on images normalised as ImageNet's, which of
            them is read off the shapes, or of timm's weights of EfficientNet-Lite0 (`train.convert_efficientnet`) for
            `ConvolutionalTokens`; or "random" for an untrained ViT-Ti/16, the same everywhere.
        size: as for `VisionTransformerFeatures`.

    Raises:
        InputError: the weights cannot be had, or are not those of such a network.
    """
    if choice == "random":
        model = _vision_transformer(RANDOM_VIT)
        state: StateDict = random_weights(model.state_dict(), "features.vit")
    else:
        content = read_weights(file_of(choice, "features.vit", VIT_NAMES), "features.vit")
        if EFFICIENTNET_STEM in content:
            return ConvolutionalTokens(_efficientnet(content, choice, "features.vit"), size)
        state = {name: value for name, value in content.items() if not name.startswith("head.")}
        embedding = state.get("patch_embed.proj.weight")
        name = None if embedding is None else VITS.get(tuple(embedding.shape))
        if name is None:
            raise InputError(f"features.vit: {choice} is not a tiny, small or base ViT with patches of 8 or 16")
        model = _vision_transformer(name)
        check_weights(model.state_dict(), state, choice, "features.vit")
        if unknown := sorted(state.keys() - model.state_dict().keys()):
            raise InputError(f"features.vit: {choice} is another kind of ViT, it has the parameter {unknown[0]}")
    model.load_state_dict(state)
    return VisionTransformerFeatures(model, size)


def _vision_transformer(name: str) -> Any:
    import timm  # here, because importing it takes seconds

    with torch.random.fork_rng(devices=[]):  # its own initialisation draws numbers, which are not used
        return timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
