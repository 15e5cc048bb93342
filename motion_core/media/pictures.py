"""Pictures in, one form out: (H, W, 3) uint8 sRGB, upright and opaque, whatever the file, array or tensor was."""

from __future__ import annotations

import io
import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from ..errors import InputError
from .paths import existing_file

logger = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
WHITE = (255, 255, 255)
MAX_FRAME = 8_000_000  # pixels of a frame that a browser sends
# Formats that Pillow decodes by itself. It would hand EPS to Ghostscript, a program that a stranger's file can steer.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
# What Pillow raises for damaged files.
BAD_DATA = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, struct.error, zlib.error,
    RuntimeError, Image.DecompressionBombError,
)  # fmt: skip
_PILLOWS_LIMIT = threading.Lock()

Color = tuple[int, int, int] | str
ImageSource = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor


def load_image(source: ImageSource, *, background: Color = WHITE, max_pixels: int | None = None) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8 sRGB.

    Files and PIL images are turned upright (EXIF), brought to sRGB (embedded colour profile) and laid on `background`
    where they are transparent; of an animated one the first frame is taken.

    Args:
        source: a path, a PIL image, an array (H, W) or (H, W, 3 or 4), uint8 or float in [0, 1], or a float tensor
            (3, H, W) or (1, 3, H, W) in [0, 1].
        background: (r, g, b) in 0..255, or any colour that PIL's ImageColor reads ("white", "#00ff00").
        max_pixels: larger pictures are refused before they are decoded; None is `MAX_PIXELS`.

    Raises:
        InputError: the source is missing, empty, damaged, too large, not a picture, or has values out of range.
    """
    color = parse_color(background)
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    if isinstance(source, np.ndarray):
        return _from_array(source, color, max_pixels, "array")
    if isinstance(source, torch.Tensor):
        return _from_tensor(source, color, max_pixels)
    if isinstance(source, Image.Image):
        return flatten(source, color, max_pixels, "picture")
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"picture: must be a path, a PIL image, an array or a tensor, got {type(source).__name__}")
    with open_picture(source, max_pixels) as image:
        return flatten(image, color, max_pixels, str(Path(source)))


def parse_color(color: Color, name: str = "background") -> tuple[int, int, int]:
    """Return (r, g, b) in 0..255 from a tuple or a name that PIL's ImageColor knows; `name` is for messages."""
    try:
        red, green, blue = ImageColor.getrgb(color)[:3] if isinstance(color, str) else color
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: must be a colour name, #rrggbb or (r, g, b), got {color!r}") from error
    if not all(isinstance(value, int | np.integer) and 0 <= value <= 255 for value in (red, green, blue)):
        raise InputError(f"{name}: must be three whole numbers in 0..255, got {color!r}")
    return int(red), int(green), int(blue)


@contextmanager
def open_picture(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture file without decoding it, and close it at the end. Much larger ones than `max_pixels` are refused."""
    file = existing_file(path, "a picture file")
    Image.init()
    try:
        with _pillow_takes(max_pixels):
            image = Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        kinds = "PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF and the like, of 1 to 4 channels"
        raise InputError(f"{file}: must be a picture ({kinds}), but it is not one, or it is damaged") from error
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        raise InputError(f"{file}: {_too_large(max_pixels, count[0] if count else 'many more')}") from error
    except BAD_DATA as error:
        raise InputError(f"{file}: cannot be opened as a picture: {error}") from error
    with image:
        yield image


@contextmanager
def _pillow_takes(pixels: int) -> Iterator[None]:
    """Raise Pillow's own limit, which is one for the whole process, to `pixels` while a file is opened."""
    with _PILLOWS_LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if limit is None else max(limit, pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_size(height: int, width: int, max_pixels: int, name: str) -> None:
    """Raise InputError for an empty frame or one of more than `max_pixels`."""
    if height < 1 or width < 1:
        raise InputError(f"{name}: must have at least one pixel, got {width} x {height}")
    if height * width > max_pixels:
        raise InputError(f"{name}: {_too_large(max_pixels, f'{width} x {height} = {height * width}')}")


def _too_large(max_pixels: int, found: str) -> str:
    return f"must have at most {max_pixels} pixels, got {found}: too large unless max_pixels is raised"


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (h, w) of a picture file as it is shown, without decoding it."""
    with open_picture(path) as image:
        turned = _exif_orientation(image, str(path)) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def flatten(image: Image.Image, background: tuple[int, int, int], max_pixels: int, name: str) -> np.ndarray:
    """Decode the current frame of a PIL image to (H, W, 3) uint8 sRGB, upright, on `background`."""
    check_size(image.height, image.width, max_pixels, name)
    try:
        image = _loaded(image, name)
        check_size(image.height, image.width, max_pixels, name)  # ICO and broken GIFs learn their size here
        if _exif_orientation(image, name) != 1:
            image = ImageOps.exif_transpose(image)
        profile = image.info.get("icc_profile")
        image = _in_srgb(_eight_bits(image, name), profile, name)
        return _on_background(image, background)
    except InputError:
        raise
    except BAD_DATA as error:
        raise InputError(f"{name}: is damaged or cut off: {error}") from error


def _loaded(image: Image.Image, name: str) -> Image.Image:
    """Decode an image. A JPEG that only lacks the mark of its end is taken, with a warning."""
    try:
        image.load()
        return image
    except OSError:
        file = getattr(image, "fp", None)
        if image.format not in ("JPEG", "MPO") or file is None:
            raise
        file.seek(0)
        data = file.read()
        # If pixels were missing, they would be made of what is put there.
        ended, other = (
            Image.open(io.BytesIO(data + more + b"\xff\xd9"), formats=["JPEG"]) for more in (b"", b"\x55" * 99)
        )
        if ended.tobytes() != other.tobytes():
            raise
        logger.warning("%s: lacks the mark of its end, but none of its pixels", name)
        return ended


def _exif_orientation(image: Image.Image, name: str) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except BAD_DATA as error:
        logger.warning("%s: its EXIF data is broken, so it is taken as upright: %s", name, error)
        return 1


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Return the image in an 8-bit mode with the same brightness (16-bit and float ones are scaled, not clipped)."""
    if image.mode.startswith("I"):  # 16-bit grey, or 32-bit integers that hold it
        values, top = np.asarray(image).astype(np.int64), 65535
    elif image.mode == "F":
        values, top = np.asarray(image).astype(np.float64), 1
    else:
        return image
    if not ((values >= 0) & (values <= top)).all():
        raise InputError(f"{name}: grey values must be in 0..{top}, got {values.min()} to {values.max()}")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """Return the image as RGB or RGBA in sRGB; a colour profile that cannot be used is ignored with a warning."""
    has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    if has_alpha or image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGBA" if has_alpha else "RGB")
    if profile:
        try:
            return _converted(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            logger.warning("%s: its colour profile is broken and is ignored: %s", name, error)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target: Any = ImageCms.createProfile("sRGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colors = image if alpha is None else image.convert("RGB")
    converted = ImageCms.profileToProfile(
        colors,
        source,
        target,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if converted is None:
        raise ValueError("no conversion")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _on_background(image: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    if image.mode == "RGB":
        return np.array(image)
    return blend(np.asarray(image.convert("RGBA")), background)


def blend(rgba: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Lay (H, W, 4) uint8 with straight alpha on a colour: (H, W, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)  # 255 * 255 + 127 still fits
    mixed = rgba[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _from_array(array: np.ndarray, background: tuple[int, int, int], max_pixels: int, name: str) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"{name}: must have the shape (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    check_size(array.shape[0], array.shape[1], max_pixels, name)
    if array.dtype != np.uint8:
        array = _bytes_from_unit(array, name)
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    return blend(array, background) if array.shape[2] == 4 else array.copy()


def _bytes_from_unit(array: np.ndarray, name: str) -> np.ndarray:
    """Return floats in [0, 1] as uint8."""
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: must be uint8 in 0..255 or float in [0, 1], got {array.dtype}")
    if not ((array >= 0) & (array <= 1)).all():  # false for NaN too
        raise InputError(f"{name}: float values must be in [0, 1], got {np.min(array):g} to {np.max(array):g}")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def _from_tensor(tensor: torch.Tensor, background: tuple[int, int, int], max_pixels: int) -> np.ndarray:
    shape = tuple(tensor.shape)
    if tensor.ndim == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise InputError(f"tensor: must have the shape (3, H, W) or (1, 3, H, W), got {shape}")
    if not tensor.is_floating_point():
        raise InputError(f"tensor: must be float in [0, 1], got {tensor.dtype}")
    array = tensor.detach().float().cpu().permute(1, 2, 0).numpy()  # (H, W, 3)
    return _from_array(array, background, max_pixels, "tensor")


def image_tensor(source: ImageSource, *, background: Color = WHITE, max_pixels: int | None = None) -> torch.Tensor:
    """Return a picture as ``(1, 3, H, W)`` float32 in [0, 1]; see `load_image`. A tensor keeps its exact values."""
    pixels = load_image(source, background=background, max_pixels=max_pixels)
    if isinstance(source, torch.Tensor):
        return source.detach().reshape(1, *source.shape[-3:]).float()
    return to_float(pixels[None])


def to_float(frames: np.ndarray) -> torch.Tensor:
    """Return ``(B, H, W, 3)`` uint8 as ``(B, 3, H, W)`` float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div_(255)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Return ``(B, 3, H, W)`` in [0, 1] as ``(B, H, W, 3)`` uint8, rounded; values outside are clamped."""
    pixels = images.detach().float().clamp(0, 1).mul(255).round().byte()
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def decode_frame(data: bytes) -> np.ndarray:
    """A frame ``(H, W, 3)`` uint8 RGB of a JPEG or PNG in memory, as a browser sends it; no other format is tried.

    Raises:
        InputError: it is neither, damaged, or larger than `MAX_FRAME`, which is found before it is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if image.width * image.height > MAX_FRAME:
                raise InputError(f"frame: must have at most {MAX_FRAME} pixels, got {image.width} x {image.height}")
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except BAD_DATA:
        raise InputError(f"frame: must be a JPEG or PNG, got {len(data)} bytes that are neither") from None


def encode_jpeg(frame: np.ndarray, quality: int) -> bytes:
    """A frame ``(H, W, 3)`` uint8 RGB as a JPEG of a quality from 1 to 95."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
