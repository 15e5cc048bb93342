"""Pictures in, by Pillow: (H, W, 3) uint8 sRGB, upright and opaque, whatever the file, array or tensor was.

Then the readers of sources that are made of pictures: folders, arrays, lists, animations, frames side by side.
"""

from __future__ import annotations

import io
import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError, features

from ..errors import InputError
from .frames import DEFAULT_RATE, Clock, FrameReader
from .paths import FileStamp, existing_file

logger = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
WHITE = (255, 255, 255)
MAX_FRAME = 8_000_000  # pixels of a frame that a browser sends
# Formats that Pillow decodes by itself. It would hand EPS to Ghostscript, a program that a stranger's file can steer.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
# What Pillow raises for damaged files.
_BAD_DATA = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, struct.error, zlib.error,
    RuntimeError, Image.DecompressionBombError,
)  # fmt: skip
_PILLOWS_LIMIT = threading.Lock()
_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".gif"}
_MAGIC = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")
_TOO_SHORT, _BROWSER_DELAY = 10, 100  # milliseconds; browsers show frames of 10 ms or less, or without a time, for 100

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
        found = re.search(r"\d+", str(error))
        raise InputError(f"{file}: {_too_large(max_pixels, found[0] if found else 'many more')}") from error
    except _BAD_DATA as error:
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
        return np.array(image) if image.mode == "RGB" else blend(np.asarray(image), background)
    except InputError:
        raise
    except _BAD_DATA as error:
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
    except _BAD_DATA as error:
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
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        try:
            converted = ImageCms.profileToProfile(
                image if alpha is None else image.convert("RGB"),
                io.BytesIO(profile),
                cast(ImageCms.ImageCmsProfile, ImageCms.createProfile("sRGB")),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            image = cast(Image.Image, converted)  # None only where it is done in place
            if alpha is not None:
                image.putalpha(alpha)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            logger.warning("%s: its colour profile is broken and is ignored: %s", name, error)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


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
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(f"{name}: must be uint8 in 0..255 or float in [0, 1], got {array.dtype}")
        if not ((array >= 0) & (array <= 1)).all():  # false for NaN too
            raise InputError(f"{name}: float values must be in [0, 1], got {np.min(array):g} to {np.max(array):g}")
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    return blend(array, background) if array.shape[2] == 4 else array.copy()


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
    except _BAD_DATA:
        raise InputError(f"frame: must be a JPEG or PNG, got {len(data)} bytes that are neither") from None


def encode_jpeg(frame: np.ndarray, quality: int) -> bytes:
    """A frame ``(H, W, 3)`` uint8 RGB as a JPEG of a quality from 1 to 95."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


class PictureReader(FrameReader):
    """Pictures one after another: a folder of frames, an array, a tensor or a list.

    Args:
        pictures: the frames.
        folder: whose files they are.
        rate: of the frames.
        max_pixels: larger ones are refused.
        check: look at the size of each file now; else they are opened when wanted.
    """

    independent = True

    def __init__(
        self,
        pictures: Sequence[ImageSource],
        folder: Path | None,
        rate: Fraction | None,
        max_pixels: int,
        *,
        check: bool = True,
    ) -> None:
        if not len(pictures):
            raise InputError("video: must have at least one frame, got none")
        self.path, self.kind = folder, "folder of frames" if folder else "frames"
        self._pictures, self._max_pixels = pictures, max_pixels
        self.clock = Clock.steady(len(pictures), rate or DEFAULT_RATE)
        if folder is None:
            self.size = self._frame(0).shape[:2]
            return
        sizes = (picture_size(cast(Path, file)) for file in pictures)  # nothing is decoded
        self.size = next(sizes)
        check_size(*self.size, max_pixels, str(pictures[0]))
        for number, size in enumerate(sizes if check else (), 1):
            self._check_size(number, size)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        for number in range(index, len(self._pictures)):
            try:
                pixels = self._frame(number)
            except InputError as error:
                if not self.path:
                    raise
                yield number, error
                continue
            self._check_size(number, (pixels.shape[0], pixels.shape[1]))
            yield number, pixels

    def _frame(self, number: int) -> np.ndarray:
        try:
            return load_image(self._pictures[number], max_pixels=self._max_pixels)
        except InputError as error:
            if self.path:
                raise  # names the file already
            raise InputError(f"{self.name}: frame {number}: {error}") from error

    def _check_size(self, number: int, size: tuple[int, int]) -> None:
        if size != self.size:
            frame = self._pictures[number] if self.path else f"{self.name}: frame {number}"
            raise InputError(f"{frame}: must have the (h, w) of the first frame, {self.size}, got {size}")


def frames_in(folder: Path) -> list[Path]:
    """The pictures in a folder in natural order. Raises InputError if there are none."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS and file.name[0] != "."]
    if not files:
        raise InputError(f"{folder}: must hold pictures ({', '.join(sorted(_ENDINGS))}), but holds none")
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


class StripReader(FrameReader):
    """A picture as a video: square frames side by side, the first one left, if its width is a multiple of its height."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        height, width = picture_size(path)
        frames = width // height if width % height == 0 else 1
        self.kind = "frames side by side" if frames > 1 else "picture"
        self.size, self.clock = (height, width // frames), Clock.steady(frames, DEFAULT_RATE)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        pixels, (height, width) = load_image(self.path), self.size
        if pixels.shape[:2] != (height, width * self.count):
            raise InputError(f"{self.name}: must not change while it is used, but it has another size now")
        for number in range(index, self.count):
            yield number, pixels[:, number * width : (number + 1) * width]


def is_picture(path: Path) -> bool:
    """Say whether a file begins like a picture that Pillow reads, animated or not."""
    with path.open("rb") as handle:
        head = handle.read(12)
    is_avif = head[4:] == b"ftypavif" and bool(features.check("avif"))  # an animated one is a video to FFmpeg
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP") or is_avif


class AnimationReader(FrameReader):
    """An animated GIF, WebP or PNG, or a still picture. Frames are laid on white where they are transparent.

    Args:
        path: the file, which exists.
        max_pixels: larger ones are refused.
        rate: of a still picture.
        measure: decode all of it now, to know when frames are shown and whether it is damaged; else they are only counted.
    """

    path: Path

    def __init__(self, path: Path, max_pixels: int, rate: Fraction | None = None, *, measure: bool = True) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._stamp = FileStamp(path)
        if not measure:
            with open_picture(path, max_pixels) as image:
                self.kind, self.size = "animation", (image.height, image.width)
                try:
                    self.clock = Clock.steady(int(getattr(image, "n_frames", 1)), DEFAULT_RATE)
                except _BAD_DATA as error:
                    raise InputError(f"{path}: is damaged or cut off: {error}") from error
            return
        milliseconds = []
        for _, delay, pixels in self._decoded(0):
            milliseconds.append(delay)
            self.size = (pixels.shape[0], pixels.shape[1])
        if len(milliseconds) == 1:
            self.kind, self.clock = "picture", Clock.steady(1, rate or DEFAULT_RATE)
        else:
            times = np.cumsum([0.0, *milliseconds]) / 1000
            self.kind, self.clock = "animation", Clock.measured(times[:-1], milliseconds[-1] / 1000)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        self._stamp.check()
        for number, _, pixels in self._decoded(index):
            yield number, pixels
        self._stamp.check()

    def _decoded(self, index: int) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (frame number, milliseconds on screen, (H, W, 3) uint8) from frame `index` on."""
        with open_picture(self.path, self._max_pixels) as image:
            # A PNG may carry a still picture for old viewers that is not part of the animation.
            still = 1 if getattr(image, "default_image", False) else 0
            for number in count(index):
                try:
                    image.seek(number + still)
                except EOFError:
                    return
                except _BAD_DATA as error:
                    self._stamp.check()
                    raise InputError(
                        f"{self.name}: is damaged or cut off at frame {number + still}: {error}"
                    ) from error
                pixels = flatten(image, WHITE, self._max_pixels, f"{self.name}: frame {number}")
                delay = float(image.info.get("duration") or 0)  # WebP knows it once the frame is decoded
                yield number, (delay if delay > _TOO_SHORT else _BROWSER_DELAY), pixels
