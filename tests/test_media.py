"""Pictures and videos in and out, against real files and independent readers."""

from __future__ import annotations

import gc
import os
import struct
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import media_files as files
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from subcases import each_case

from motion_core import media
from motion_core.errors import InputError
from motion_core.media.frames import Clock

NTSC = Fraction(30000, 1001)


def numbers(source) -> list[int]:
    return [files.number_of(frame) for frame in source]


def refused(message: str):
    """Expect an InputError of one line that matches."""
    return pytest.raises(InputError, match=rf"(?s)\A[^\n]*{message}[^\n]*\Z")


# Pictures


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (height + width - 2)], -1
    ).astype(np.uint8)


@each_case("ending", ["png", "bmp", "tiff", "webp", "ppm", "tga", "jp2", "avif", "jpg", "gif"])
def test_every_picture_format_gives_the_same_picture(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}, "avif": {"quality": 100}}
    if (ending == "jp2" and "jpeg2k" not in _pillow_features()) or (
        ending == "avif" and "avif" not in _pillow_features()
    ):
        pytest.skip(f"this Pillow has no {ending}")
    Image.fromarray(gradient()).save(path, **options.get(ending, {}))
    found = media.load_image(path)
    assert found.shape == (40, 60, 3)
    assert found.dtype == np.uint8
    tolerance = {"jpg": 8, "avif": 12, "gif": 40}.get(ending, 0)
    assert np.abs(found.astype(int) - gradient()).max() <= tolerance


def _pillow_features() -> set[str]:
    from PIL import features

    return {name for name in ("avif", "jpg_2000") if features.check(name)} | (
        {"jpeg2k"} if features.check("jpg_2000") else set()
    )


def grey(height: int = 20, width: int = 30) -> np.ndarray:
    return np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)


@each_case("mode", ["L", "1", "P", "CMYK", "LA", "I;16", "I", "F"])
def test_every_picture_mode_keeps_its_brightness(tmp_path, mode):
    values, path = grey(), tmp_path / "picture.tiff"
    expected, tolerance = values.astype(int), 0
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(values.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(values.astype(np.float32) / 255)
    elif mode == "1":
        image, expected = Image.fromarray(values > 127), np.where(values > 127, 255, 0)
    elif mode == "CMYK":
        image, tolerance = Image.fromarray(np.stack([values] * 3, -1)).convert("CMYK"), 1
    else:
        image, tolerance = Image.fromarray(values).convert(mode), 1
    image.save(path)
    with Image.open(path) as check:
        assert check.mode == mode
    found = media.load_image(path).astype(int)
    assert np.abs(found - expected[..., None]).max() <= tolerance


def test_sixteen_bit_png_is_scaled_and_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(values).save(tmp_path / "deep.png")
    found = media.load_image(tmp_path / "deep.png")
    assert np.abs(found[..., 0] - values / 257).max() <= 0.5


@each_case("mode", ["RGBA", "LA", "P"])
@each_case(("background", "rgb"), [((10, 200, 30), (10, 200, 30)), ("#0000ff", (0, 0, 255)), ("red", (255, 0, 0))])
def test_transparency_shows_the_background(tmp_path, mode, background, rgb):
    rgba = np.zeros((10, 30, 4), np.uint8)
    rgba[..., :3] = 100
    rgba[:, 10:20, 3], rgba[:, 20:, 3] = 128, 255
    path = tmp_path / "picture.png"
    if mode == "P":
        image = Image.new("P", (30, 10))
        image.paste(1, (15, 0, 30, 10))
        image.putpalette([1, 2, 3, 100, 100, 100])
        image.save(path, transparency=0)
        found = media.load_image(path, background=background)
        assert (found[:, :15] == rgb).all()
        assert (found[:, 15:] == 100).all()
        return
    Image.fromarray(rgba).convert(mode).save(path)
    found = media.load_image(path, background=background)
    assert (found[:, :10] == rgb).all()
    half = (100 * 128 + np.array(rgb) * 127) / 255
    assert np.abs(found[:, 10:20] - half).max() <= 0.51
    assert (found[:, 20:] == 100).all()
    if mode == "RGBA":
        assert np.array_equal(media.load_image(rgba, background=background), found)


@each_case("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = gradient(16, 24)
    stored = {  # how a camera that is held in each way stores the picture
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(media.load_image(tmp_path / "turned.png"), upright)
    source = media.open_video([tmp_path / "turned.png"])
    assert source.size == (16, 24)


def swapped_profile() -> bytes:
    """sRGB with red and green exchanged: a colour stored as (r, g, b) is the sRGB colour (g, r, b)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for entry in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12):
        name = bytes(data[entry : entry + 4])
        data[entry : entry + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(data)


@each_case("mode", ["RGB", "RGBA"])
def test_embedded_colour_profile_is_converted_to_srgb(tmp_path, mode):
    pixels = np.full((8, 8, 3), (200, 60, 20), np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "picture.png", icc_profile=swapped_profile())
    found = media.load_image(tmp_path / "picture.png")
    assert np.abs(found.astype(int) - (60, 200, 20)).max() <= 2
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(gradient()).save(tmp_path / "same.png", icc_profile=srgb)
    assert np.abs(media.load_image(tmp_path / "same.png").astype(int) - gradient()).max() <= 1


@each_case("profile", [b"no profile at all" * 20, "grey on colour"])
def test_broken_colour_profile_is_ignored_with_a_warning(tmp_path, caplog, profile):
    data = swapped_profile()
    if profile == "grey on colour":
        profile = data[:16] + b"GRAY" + data[20:]
    Image.fromarray(gradient()).save(tmp_path / "picture.png", icc_profile=profile)
    assert np.array_equal(media.load_image(tmp_path / "picture.png"), gradient())
    assert "its colour profile is broken" in caplog.text


def test_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.fromarray(files.numbered(k)) for k in (5, 6, 7)]
    for ending in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], duration=100)
        assert files.number_of(media.load_image(tmp_path / f"a.{ending}")) == 5


def test_arrays_tensors_and_pil_images(tmp_path):
    pixels = gradient()
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    for source in (
        pixels,
        pixels / 255,
        (pixels / 255).astype(np.float32),
        Image.fromarray(pixels),
        tensor,
        tensor[None],
    ):
        found = media.load_image(source)
        assert np.array_equal(found, pixels)
        found[:] = 0  # a copy: what was given is not changed
    assert np.array_equal(media.load_image(pixels), gradient())
    assert np.array_equal(media.load_image(grey()), np.stack([grey()] * 3, -1))
    assert media.image_tensor(pixels).shape == (1, 3, 40, 60)
    torch.testing.assert_close(media.image_tensor(pixels)[0], tensor)
    assert np.array_equal(media.to_uint8(media.to_float(pixels[None])), pixels[None])
    assert media.to_uint8(torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)).tolist() == [[[[0, 128, 255]]]]


NAN = np.full((4, 4, 3), np.nan)


@each_case(
    ("source", "message"),
    [
        (NAN, "array: float values must be in \\[0, 1\\], got nan"),
        (np.full((4, 4), 1.5), "array: float values must be in \\[0, 1\\], got 1.5 to 1.5"),
        (np.full((4, 4, 3), -0.1), "array: .* got -0.1"),
        (np.zeros((4, 4, 3), np.int64), "array: must be uint8 .* got int64"),
        (np.zeros((4, 4, 2), np.uint8), "array: must have the shape .* got \\(4, 4, 2\\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "array: must have the shape"),
        (np.zeros((0, 4, 3), np.uint8), "array: must have at least one pixel, got 4 x 0"),
        (torch.zeros(4, 4, 3), "tensor: must have the shape .* got \\(4, 4, 3\\)"),
        (torch.zeros(2, 3, 4, 4), "tensor: must have the shape .* got \\(2, 3, 4, 4\\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "tensor: must be float .* got torch.uint8"),
        (torch.full((3, 4, 4), 2.0), "tensor: float values must be in \\[0, 1\\], got 2"),
        (7, "picture: must be a path, .* got int"),
        (np.zeros((9000, 9000), np.uint8), "array: must have at most 64000000 pixels, got 9000 x 9000"),
    ],
)
def test_bad_arrays_and_tensors_are_refused(source, message):
    with refused(message):
        media.load_image(source)


@each_case("background", ["no colour", (1, 2), (1, 2, 300), (0.5, 0.5, 0.5), None])
def test_bad_background_is_refused(background):
    with refused("background: must be"):
        media.load_image(gradient(), background=background)


@each_case(
    ("name", "message"),
    [("cut.png", ""), ("cut.jpeg", ""), ("cut.webp", "cannot be opened as a picture|"), ("damaged.png", "")],
)
def test_damaged_pictures_are_refused(tmp_path, name, message):
    path = tmp_path / name
    Image.fromarray(files.textured(0)).save(path)
    files.cut(path, 0.6) if name.startswith("cut") else files.damage(path, 0.5)
    with refused(f"{path}: .*({message}is damaged or cut off)"):
        media.load_image(path)


def test_postscript_is_no_picture(tmp_path):
    """Pillow would run Ghostscript on it."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with refused("a.png: must be a picture"):
        media.load_image(tmp_path / "a.png")


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (9000, 8000)).save(path)
    with refused("large.png: must have at most 64000000 pixels, got 9000 x 8000"):
        media.load_image(path)
    with refused("at most 100 pixels"):
        media.load_image(gradient(), max_pixels=100)
    Image.new("L", (20, 10)).save(path)
    files.cut(path, 0.6)  # cannot be decoded, yet it is the size that is complained about
    with refused("at most 100 pixels, got 20 x 10"):
        media.load_image(path, max_pixels=100)


def test_save_image_is_exact_and_says_where_it_comes_from(tmp_path):
    media.save_image(tmp_path / "out.png", gradient(), media.provenance("toy"))
    assert np.array_equal(media.load_image(tmp_path / "out.png"), gradient())
    with Image.open(tmp_path / "out.png") as image:
        assert "model toy" in image.text["Comment"]
    assert os.listdir(tmp_path) == ["out.png"]
    with refused("must end in .png, got '.jpg'"):
        media.save_image(tmp_path / "out.jpg", gradient())


def test_a_saved_animation_is_read_again_and_loops(tmp_path):
    frames = [np.full((20, 30, 3), shade, np.uint8) for shade in (0, 120, 240)]
    media.save_animation(tmp_path / "a.webp", iter(frames), "30000/1001", media.provenance("toy"))
    source = media.open_video(tmp_path / "a.webp")
    assert [round(float(frame.mean()) / 120) for frame in source.frames()] == [0, 1, 2]
    assert float(source.duration) == pytest.approx(0.1)
    with Image.open(tmp_path / "a.webp") as image:
        assert image.info["loop"] == 0
        assert "model toy" in image.getexif()[ExifTags.Base.ImageDescription]
    assert os.listdir(tmp_path) == ["a.webp"]


@each_case(
    ("name", "frames", "quality", "message"),
    [
        ("a.gif", [gradient()], 80, "must end in .webp, got '.gif'"),
        ("a.webp", [], 80, "needs at least one frame, got none"),
        ("a.webp", [gradient(), gradient(20)], 80, "must have the .h, w. of the first one"),
        ("a.webp", [gradient()], 101, "quality: must be in 0 .smallest. to 100 .best., got 101"),
    ],
)
def test_what_is_no_animation_is_refused(tmp_path, name, frames, quality, message):
    with refused(message):
        media.save_animation(tmp_path / name, frames, 25, quality=quality)
    assert not os.listdir(tmp_path)


# Videos in

CONTAINERS = [
    ("a.mp4", "libx264", "yuv420p", {}),
    ("a.mov", "libx264", "yuv420p", {}),
    ("a.mkv", "libx264", "yuv420p", {}),
    ("a.ts", "libx264", "yuv420p", {}),
    ("a.webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("b.webm", "libvpx-vp9", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("a.avi", "mpeg4", "yuv420p", {}),
    ("b.avi", "mjpeg", "yuvj420p", {}),
    ("b.mp4", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
]


@each_case(("name", "codec", "pixels", "options"), CONTAINERS)
def test_every_container_gives_each_frame_once(tmp_path, name, codec, pixels, options):
    path = files.write_video(tmp_path / name, 40, codec=codec, pixels=pixels, options=options)
    source = media.open_video(path)
    assert (source.kind, source.path, source.size) == ("video", path, (64, 96))
    assert (source.frame_rate, source.frame_count, source.duration) == (25, 40, Fraction(8, 5))
    assert not source.has_audio
    assert not source.is_variable
    assert numbers(source) == list(range(40))
    assert numbers(source) == list(range(40))  # again
    assert numbers(source.frames(30)) == list(range(30, 40))
    assert numbers(media.open_video(path, start=1.0, end=1.2)) == list(range(25, 30))


@each_case("rate", [NTSC, Fraction(24000, 1001), Fraction(60), Fraction(25, 2), Fraction(15), Fraction(1000, 83)])
@each_case("name", ["a.mp4", "a.mkv"])  # Matroska has whole milliseconds
def test_frame_rate_is_the_exact_fraction(tmp_path, rate, name):
    source = media.open_video(files.write_video(tmp_path / name, 31, rate=rate))
    assert source.frame_rate == rate
    assert not source.is_variable
    assert source.frame_count == len(source) == 31
    assert source.duration == 31 / rate
    assert numbers(source) == list(range(31))


@each_case(
    ("start", "end", "expected"),
    [
        (None, None, range(50)),
        (0, 2, range(50)),
        (0.4, None, range(10, 50)),
        (0.401, 0.48, range(10, 12)),
        (1.5, 1.6, range(37, 40)),
        (None, 0.04, range(1)),
        (1.96, None, range(49, 50)),
        (1.0, 2.05, range(25, 50)),
    ],
)
def test_start_and_end_in_seconds(tmp_path, start, end, expected):
    path = files.write_video(tmp_path / "a.mp4", 50, options={"g": "12"})
    source = media.open_video(path, start=start, end=end)
    assert numbers(source) == list(expected)
    assert source.frame_count == len(expected)


@each_case(
    ("arguments", "message"),
    [
        ({"start": -1}, "start must be within the video's 0.800 s, got -1 s"),
        ({"start": 0.8}, "start must be within"),
        ({"end": 1.5}, "end must be within the video's 0.800 s, got 1.5 s"),
        ({"start": 0.5, "end": 0.5}, "start must be before end, got start 0.5 s and end 0.5 s"),
        ({"start": 0.5, "end": 0.2}, "start must be before end"),
        ({"start": float("nan")}, "start: must be a number of seconds, got nan"),
        ({"end": "1"}, "end: must be a number of seconds, got '1'"),
        ({"frame_rate": 0}, "frame_rate: must be above 0 .* got 0"),
        ({"frame_rate": -25}, "frame_rate: must be above 0"),
        ({"frame_rate": 2000}, "frame_rate: must be above 0 and at most 1000"),
        ({"frame_rate": "fast"}, "frame_rate: must be a number of frames a second, got 'fast'"),
        ({"frame_rate": float("inf")}, "frame_rate: must be a number"),
        ({"max_pixels": 100}, "must have at most 100 pixels, got 96 x 64"),
    ],
)
def test_bad_ranges_and_rates_are_refused(tmp_path, arguments, message):
    path = files.write_video(tmp_path / "a.mp4", 20)
    with refused(message):
        media.open_video(path, **arguments)


def test_frames_from_an_impossible_number_are_refused(tmp_path):
    source = media.open_video(np.zeros((3, 8, 8, 3), np.uint8))
    assert list(source.frames(3)) == []
    with refused("first: must be in 0..3"):
        source.frames(4)


@each_case("rate", [10, 25, 50, 60, "30000/1001", 12.5])
def test_resampling_shows_what_is_on_screen(tmp_path, rate):
    path = files.write_video(tmp_path / "a.mp4", 50)
    source = media.open_video(path, frame_rate=rate, start=0.2)
    exact = Fraction(rate) if not isinstance(rate, float) else Fraction(25, 2)
    assert source.frame_rate == exact
    assert numbers(source) == [5 + int(k / exact * 25 + Fraction(1, 100)) for k in range(len(source))]
    assert len(source) == -(-Fraction(9, 5) * exact // 1)


VARIABLE = [0, 40, 80, 120, 500, 540, 580, 1400, 1440, 1480, 1520]  # milliseconds: movement, and pauses


@each_case("name", ["a.mp4", "a.mkv"])
def test_variable_rate_is_resampled_to_what_is_on_screen(tmp_path, name):
    path = files.write_video(tmp_path / name, len(VARIABLE), ticks=VARIABLE, tick=Fraction(1, 1000))
    source = media.open_video(path)
    assert source.is_variable
    assert source.frame_rate == 25  # the rate of the movement, not the average
    shown = [max(i for i, time in enumerate(VARIABLE) if time <= k * 40) for k in range(39)]
    assert numbers(source) == shown
    late = media.open_video(path, start=0.52, end=1.0, frame_rate=50)
    assert numbers(late) == [max(i for i, time in enumerate(VARIABLE) if time <= 520 + k * 20) for k in range(24)]
    frames = list(source)
    frames[4][:] = 0  # repeated frames are copies: changing one leaves the next alone
    assert files.number_of(frames[5]) == shown[5]


def test_a_missing_frame_is_shown_as_a_longer_one(tmp_path):
    ticks = [k for k in range(40) if k not in (7, 20, 21)]
    source = media.open_video(files.write_video(tmp_path / "a.mkv", 37, ticks=ticks))
    assert source.is_variable
    assert source.frame_rate == 25
    assert numbers(source) == [max(i for i, tick in enumerate(ticks) if tick <= k) for k in range(40)]


def test_time_stamps_that_begin_late_begin_at_zero(tmp_path):
    path = files.write_video(tmp_path / "a.mkv", 30, ticks=[k + 100 for k in range(30)])
    source = media.open_video(path, start=0.4)
    assert numbers(source) == list(range(10, 30))
    assert not source.is_variable


def corners(frame: np.ndarray) -> str:
    """The colours of the four corners, as letters."""
    names = {(255, 0, 0): "R", (0, 255, 0): "G", (0, 0, 255): "B", (255, 255, 255): "W"}
    found = [frame[y, x].astype(int) for y, x in ((4, 4), (4, -5), (-5, 4), (-5, -5))]
    return "".join(names[min(names, key=lambda color: np.abs(pixel - color).sum())] for pixel in found)


def quarters(_: int = 0) -> np.ndarray:
    frame = np.zeros((48, 80, 3), np.uint8)
    frame[:24, :40], frame[:24, 40:], frame[24:, :40], frame[24:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return frame


@each_case("degrees", [0, 90, 180, 270])
@each_case("mirrored", [False, True])
def test_rotation_is_applied_as_players_do(tmp_path, degrees, mirrored):
    path = files.write_video(
        tmp_path / "a.mp4", 3, frame=quarters, setup=lambda stream: stream.set_display_rotation(degrees, mirrored)
    )
    source = media.open_video(path)
    frame = next(iter(source))
    assert source.size == frame.shape[:2] == ((80, 48) if degrees in (90, 270) else (48, 80))
    assert corners(frame) == corners(files.ffmpeg_frames(path, *source.size)[0])
    if not mirrored:
        assert corners(frame) == corners(np.rot90(quarters(), degrees // 90))
        assert source.rotation == degrees


@each_case(("aspect", "size"), [(Fraction(2), (48, 160)), (Fraction(1, 2), (48, 40)), (Fraction(12, 11), (48, 87))])
def test_pixels_become_square(tmp_path, aspect, size):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = aspect

    path = files.write_video(tmp_path / "a.mp4", 2, frame=quarters, setup=setup)
    source = media.open_video(path)
    frame = next(iter(source))
    assert source.size == frame.shape[:2] == size
    assert corners(frame) == "RGBW"


def test_odd_sizes_are_read(tmp_path):
    path = files.write_video(
        tmp_path / "a.mkv", 5, codec="ffv1", pixels="bgr0", frame=lambda k: files.numbered(k, 63, 95)
    )
    source = media.open_video(path)
    assert source.size == (63, 95)
    assert all(np.array_equal(frame, files.numbered(k, 63, 95)) for k, frame in enumerate(source))


def test_interlaced_video_is_deinterlaced(tmp_path):
    def bar(k: float) -> np.ndarray:
        frame = np.full((64, 96, 3), 40, np.uint8)
        frame[:, int(4 * k) : int(4 * k) + 12] = 230
        return frame

    def fields(
        k: int,
    ) -> np.ndarray:  # x264 marks the odd lines as the first field; the even ones are half a frame later
        frame = bar(k)
        frame[::2] = bar(k + 0.5)[::2]
        return frame

    def combing(frame: np.ndarray) -> float:
        return float(np.abs(2 * frame[1:-1].astype(int) - frame[:-2] - frame[2:]).mean())

    path = files.write_video(tmp_path / "a.mp4", 20, frame=fields, options={"x264-params": "interlaced=1"})
    with av.open(str(path)) as container:
        raw = next(container.decode(video=0))
        assert raw.interlaced_frame
        assert combing(raw.to_ndarray(format="rgb24")) > 5
    frames = list(media.open_video(path))
    assert len(frames) == 20
    assert max(combing(frame) for frame in frames) < 0.5
    assert all(np.abs(frame[1::2].astype(int) - bar(k)[1::2]).mean() < 2 for k, frame in enumerate(frames))
    data = files.ffmpeg("-i", path, "-vf", "bwdif=mode=send_frame", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    expected = np.frombuffer(data, np.uint8).reshape(-1, 64, 96, 3)
    assert np.abs(np.stack(frames)[1:].astype(int) - expected[1:]).max() <= 2
    assert np.array_equal(next(media.open_video(path, start=0.72).frames()), frames[18])


@each_case("space", ["bt601", "bt709", "bt2020"])
@each_case("full", [False, True])
@each_case("bits", [8, 10])
def test_colours_are_right_in_every_tagged_format(tmp_path, space, full, bits):
    def setup(stream):
        context = stream.codec_context
        context.colorspace, context.color_range = files.MATRIX[space], 2 if full else 1

    frame = files.yuv_frame(files.color_bars() / 255, space, full, bits)
    path = files.write_video(
        tmp_path / "a.mkv",
        frames=[frame],
        pixels=frame.format.name,
        options={"qp": "0", "preset": "ultrafast"},
        setup=setup,
    )
    assert files.bar_error(next(iter(media.open_video(path)))) <= 1


@each_case(("height", "space"), [(64, "bt601"), (720, "bt709")])
def test_untagged_colours_are_read_as_players_do(tmp_path, height, space):
    frame = files.yuv_frame(files.color_bars(height) / 255, space, full=False)
    frame.colorspace, frame.color_range = 2, 0
    path = files.write_video(tmp_path / "a.mkv", frames=[frame], options={"qp": "0", "preset": "ultrafast"})
    assert files.bar_error(next(iter(media.open_video(path)))) <= 1


def test_hdr_is_brought_to_srgb(tmp_path):
    """PQ in BT.2020, with white at 203 cd/m2: what phones and ITU-R BT.2408 mean by paper white."""
    colors = np.array([(255, 255, 255), (128, 128, 128), (60, 60, 60), (200, 120, 60)], float) / 255
    light = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    wide = light @ np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]).T
    power = (wide * 203 / 10000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    frame = files.yuv_frame(np.repeat(np.repeat(signal[None], 64, 1), 64, 0), "bt2020", full=False, bits=10)
    frame.color_trc, frame.color_primaries = 16, 9

    def setup(stream):
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_trc, context.color_primaries = 9, 1, 16, 9

    path = files.write_video(tmp_path / "a.mkv", frames=[frame], pixels="yuv420p10le", options={"qp": "0"}, setup=setup)
    found = next(iter(media.open_video(path)))
    expected = [(255, 255, 255), (128, 128, 128), (60, 60, 60), (200, 120, 60)]
    assert files.bar_error(found, expected) <= 6


@each_case("ending", ["gif", "webp", "png"])
def test_animations_keep_their_times_and_transparency(tmp_path, ending):
    images = []
    for k in range(12):
        image = Image.fromarray(files.numbered(k)).convert("RGBA")
        image.putalpha(Image.fromarray(np.where(np.arange(64)[:, None] < 32, 255, 0).astype(np.uint8).repeat(96, 1)))
        images.append(image)
    path = tmp_path / f"a.{ending}"
    options = {"webp": {"lossless": True}, "gif": {"disposal": 2}}.get(ending, {})
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, loop=0, **options)
    source = media.open_video(path)
    assert (source.kind, source.size, source.frame_rate, source.frame_count) == ("animation", (64, 96), 25, 12)
    for k, frame in enumerate(source):
        assert files.number_of(frame) == k
        assert (frame[40:] == 255).all()
    assert numbers(media.open_video(path, start=0.2, end=0.3)) == [5, 6, 7]


def test_a_png_may_have_a_still_picture_for_old_viewers(tmp_path):
    images = [Image.fromarray(files.numbered(k)) for k in (99, 0, 1, 2)]
    path = tmp_path / "a.png"
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, default_image=True)
    assert numbers(media.open_video(path)) == [0, 1, 2]


def test_animation_with_uneven_times_is_resampled(tmp_path):
    images = [Image.fromarray(files.numbered(k)) for k in range(6)]
    delays = [50, 50, 50, 400, 50, 0]  # browsers show frames without a time for 100 ms
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=delays)
    source = media.open_video(tmp_path / "a.gif")
    assert source.is_variable
    assert source.frame_rate == 20
    assert numbers(source) == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 5]


def test_a_picture_is_a_video_of_one_frame(tmp_path):
    media.save_image(tmp_path / "a.png", gradient())
    source = media.open_video(tmp_path / "a.png")
    assert (source.kind, source.frame_count, source.frame_rate) == ("picture", 1, 25)
    assert np.array_equal(next(iter(source)), gradient())
    assert media.open_video(tmp_path / "a.png", frame_rate=10).duration == Fraction(1, 10)


def test_folder_of_frames_is_in_natural_order(tmp_path):
    for k in range(12):
        media.save_image(tmp_path / f"frame{k}.png", files.numbered(k))
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    source = media.open_video(tmp_path)
    assert (source.kind, source.frame_rate, source.frame_count) == ("folder of frames", 25, 12)
    assert numbers(source) == list(range(12))
    slow = media.open_video(tmp_path, frame_rate="24000/1001", start=0.24)
    assert slow.frame_rate == Fraction(24000, 1001)
    assert numbers(slow) == list(range(5, 12))
    Image.fromarray(files.numbered(0, 64, 98)).save(tmp_path / "frame5.png")
    with refused("frame5.png: must have the \\(h, w\\) of the first frame, \\(64, 96\\), got \\(64, 98\\)"):
        media.open_video(tmp_path)


@each_case("read", [media.open_video, media.open_frames])
def test_a_folder_that_may_not_be_looked_into_is_refused(tmp_path, monkeypatch, read):
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")  # which root does not meet

    monkeypatch.setattr(Path, "iterdir", denied)
    with refused(f"{tmp_path}: cannot be read \\(Permission denied\\)"):
        read(tmp_path)


def test_arrays_tensors_and_lists_are_videos(tmp_path):
    frames = np.stack([files.numbered(k) for k in range(6)])
    media.save_image(tmp_path / "a.png", frames[5])
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    pictures = [frames[0], Image.fromarray(frames[1]), tensor[2], tensor[3:4], frames[4] / 255, tmp_path / "a.png"]
    for given in (frames, tensor, pictures, iter(pictures)):
        source = media.open_video(given, frame_rate=10)
        assert (source.path, source.frame_rate, source.frame_count, source.size) == (None, 10, 6, (64, 96))
        assert numbers(source) == numbers(source) == list(range(6))


@each_case(
    ("given", "message"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), "must have at least one frame, got none"),
        ([], "must have at least one frame, got none"),
        (np.zeros((4, 4, 3), np.uint8), "must be \\(T, H, W, 3\\) uint8, got \\(4, 4, 3\\)"),
        (np.zeros((2, 4, 4, 3)), "must be \\(T, H, W, 3\\) uint8, got .* float64"),
        (torch.zeros(2, 4, 4, 3), "must have the shape \\(T, 3, H, W\\)"),
        (7, "must be a path, .* got int"),
    ],
)
def test_bad_arrays_are_no_videos(given, message):
    with refused(f"video: .*{message}"):
        media.open_video(given)


def test_a_bad_frame_in_a_list_is_named():
    source = media.open_video([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with refused("video: frame 1: must have the \\(h, w\\) of the first frame, \\(4, 4\\), got \\(4, 5\\)"):
        list(source)
    source = media.open_video(torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 7.0)]))
    with refused("video: frame 1: tensor: float values must be in \\[0, 1\\]"):
        list(source)


@each_case("text", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n"])
def test_lists_of_other_files_are_no_videos(tmp_path, text):
    """FFmpeg would open whatever is named in them."""
    files.write_video(tmp_path / "secret.mp4", 2)
    (tmp_path / "a.mp4").write_text(text)
    with refused("a.mp4: must be a video, but it is not one"):
        media.open_video(tmp_path / "a.mp4")


def test_damaged_animation_is_refused(tmp_path):
    images = [Image.fromarray(files.textured(k)) for k in range(6)]
    for ending in ("gif", "webp", "png"):
        path = tmp_path / f"a.{ending}"
        images[0].save(path, save_all=True, append_images=images[1:], duration=100)
        files.cut(path, 0.6)
        with refused(f"{path}: .*(cut off|could not create decoder)"):
            media.open_video(path)


@each_case("name", ["a.mp4", "a.gif", "a.webp", "a.png", "a.jpg", "a.tiff", "a.avif"])
@pytest.mark.filterwarnings("ignore")  # of Pillow, about the damage
def test_no_damage_whatever_ends_in_another_error(tmp_path, name):
    """Bytes are changed at random, most often in the head; what can still be read is read, the rest is an InputError."""
    clean, path, rng = tmp_path / f"clean.{name}", tmp_path / name, np.random.default_rng(0)
    if name == "a.mp4":  # other kinds of videos are tried in test_damage.py
        files.write_video(clean, 8, frame=files.textured)
    elif name == "a.avif" and "avif" not in _pillow_features():
        pytest.skip("this Pillow has no avif")
    else:
        images = [Image.fromarray(files.textured(k, 40, 60)) for k in range(3)]
        several = {"save_all": True, "append_images": images[1:]} if name in ("a.gif", "a.webp", "a.png") else {}
        images[0].save(clean, **several)
    outcomes = set()
    for _ in range(25):
        data = bytearray(clean.read_bytes())
        start = int(rng.integers(0, 300 if rng.random() < 0.6 else len(data)))
        length = int(rng.integers(1, 20))
        data[start : start + length] = rng.integers(0, 256, len(data[start : start + length]), np.uint8).tobytes()
        path.write_bytes(data)
        try:
            outcomes.add(len(list(media.open_video(path, max_pixels=10**6).frames())) > 0)
        except InputError as error:
            outcomes.add("refused" if "\n" not in str(error) else "two lines")
    assert "refused" in outcomes
    assert outcomes <= {True, "refused"}


def test_cover_art_is_not_the_video(tmp_path):
    def with_cover(path: Path, video: bool) -> Path:
        with av.open(str(path), "w") as output:
            stream = (
                output.add_stream("libx264", rate=25)
                if video
                else output.add_stream("aac", rate=48000, layout="stereo")
            )
            cover = output.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.full((320, 320, 3), 200, np.uint8), format="rgb24")
            if video:
                stream.width, stream.height = 96, 64
                for k in range(20):
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(files.numbered(k), format="rgb24")))
                output.mux(stream.encode())
            else:
                files._beep(output, stream, Fraction(1))
            output.mux(cover.encode(picture))
            output.mux(cover.encode())
        return path

    source = media.open_video(with_cover(tmp_path / "a.mp4", video=True))
    assert source.size == (64, 96)
    assert numbers(source) == list(range(20))
    with refused("must hold moving pictures, .* holds a cover picture"):
        media.open_video(with_cover(tmp_path / "b.mp4", video=False))


def test_of_two_video_tracks_the_default_one_is_read(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((128, 160), (64, 96)), strict=True):
            stream.height, stream.width = size
        streams[0].disposition, streams[1].disposition = 0, av.stream.Disposition.default
        for k in range(5):
            for stream in streams:
                frame = files.numbered(k + 100 * (stream is streams[0]), stream.height, stream.width)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        for stream in streams:
            output.mux(stream.encode())
    source = media.open_video(path)
    assert source.size == (64, 96)
    assert numbers(source) == list(range(5))


def test_a_recording_that_begins_between_key_frames_begins_at_the_first_one(tmp_path):
    path = files.write_video(tmp_path / "a.ts", 48, frame=files.textured, options={"g": "12", "bf": "0"})
    whole = list(media.open_video(path))
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 8) :])
    source = media.open_video(path)
    assert source.frame_count == 36
    assert all(np.array_equal(frame, whole[12 + k]) for k, frame in enumerate(source))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@each_case("name", ["a.mp4", "a.gif", "a.webp"])
def test_files_are_closed_when_done_or_abandoned(tmp_path, name):
    path = tmp_path / name
    if name == "a.mp4":
        files.write_video(path, 30)
    else:
        images = [Image.fromarray(files.numbered(k)) for k in range(5)]
        images[0].save(path, save_all=True, append_images=images[1:])
    gc.collect()  # what other tests may have left
    before = open_files()
    source = media.open_video(path)
    assert open_files() == before
    frames = iter(source)
    next(frames)
    assert open_files() > before or name == "a.webp"  # which Pillow reads at once
    del frames
    assert open_files() == before
    list(source)
    assert open_files() == before


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """A video of 2000 frames, 74 MB of them, is read and written in the memory that 100 frames take."""
    program = textwrap.dedent("""
        import sys
        from motion_core import media
        for path in sys.argv[1:]:
            source = media.open_video(path)
            with media.VideoWriter(path + ".mp4", source.frame_rate, audio_from=source) as writer:
                for frame in source:
                    writer.write(frame)
            peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
            print(int(peak.split()[1]) // 1024, writer.frame_count)
    """)
    still = [av.VideoFrame.from_ndarray(files.textured(k, 96, 128), format="rgb24") for k in range(20)]
    paths = [
        files.write_video(
            tmp_path / f"{count}.mp4",
            frames=[still[k % 20] for k in range(count)],
            options={"preset": "ultrafast"},
            tone="aac",
        )
        for count in (100, 2000)
    ]
    run = subprocess.run([sys.executable, "-c", program, *paths], check=True, capture_output=True, text=True)
    (small, first), (large, second) = (map(int, line.split()) for line in run.stdout.splitlines())
    assert (first, second) == (100, 2000)
    assert large - small < 25  # MB


# Videos out


def write(path: str | Path, count: int = 20, rate=25, frame=files.numbered, **options) -> Path:
    with media.VideoWriter(path, rate, **options) as writer:
        for k in range(count):
            writer.write(frame(k))
    return Path(path)


@each_case("rate", [NTSC, Fraction(24000, 1001), 25, 60, "12.5", 29.97, Fraction(1, 3), Fraction(1000, 83)])
def test_mp4_has_every_frame_at_the_exact_rate(tmp_path, rate):
    path = write(tmp_path / "a.mp4", 31, rate)
    exact = NTSC if rate == 29.97 else Fraction(rate)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == exact
        shown = sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.size)
        assert shown == [k / exact for k in range(31)]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.color_range) == ("h264", "yuv420p", 1)
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
    assert [files.number_of(frame) for frame in files.ffmpeg_frames(path, 64, 96)] == list(range(31))
    order = files.boxes(path)
    assert order.index("moov") < order.index("mdat")
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_mp4_colours_are_right_for_other_readers(tmp_path):
    path = write(tmp_path / "a.mp4", 3, frame=lambda k: files.color_bars(), quality=1)
    assert files.bar_error(files.ffmpeg_frames(path, 64, 256)[0]) <= 4
    assert files.bar_error(next(iter(media.open_video(path)))) <= 4


@each_case("size", [(63, 95), (64, 95), (63, 96), (1, 1)])
def test_odd_sizes_are_padded_and_never_scaled(tmp_path, size):
    frame = files.numbered(3, 64, 96)[: size[0], : size[1]]
    path = write(tmp_path / "a.mp4", 2, frame=lambda k: frame, quality=4)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    found = files.ffmpeg_frames(path, *even)[0].astype(int)
    padded = np.pad(frame, [(0, even[0] - size[0]), (0, even[1] - size[1]), (0, 0)], mode="edge")
    # Grey only: 4:2:0 has colour at half the size.
    assert np.abs(found.mean(-1) - padded.mean(-1)).max() <= 24
    assert np.abs(found.mean(-1) - padded.mean(-1)).mean() <= 3


def test_provenance_is_in_every_kind_of_output(tmp_path):
    metadata = media.provenance("toy-model") | {"title": "T"}
    with av.open(str(write(tmp_path / "a.mp4", metadata=metadata))) as container:
        found = container.metadata
    assert "Synthetic" in found["comment"]
    assert "toy-model" in found["comment"]
    assert "digitalsourcetype" in found["comment"]
    assert found["encoder"].startswith("motion-core")
    assert found["title"] == "T"
    with Image.open(write(tmp_path / "a.gif", metadata=metadata)) as image:
        assert b"toy-model" in image.info["comment"]
        assert b"digitalsourcetype" in image.info["comment"]
    write(f"{tmp_path / 'frames'}/", 2, metadata=metadata)
    with Image.open(tmp_path / "frames" / "000002.png") as image:
        assert "toy-model" in image.text["Comment"]
        assert image.text["model"] == "toy-model"


class StopError(Exception):
    """Something that goes wrong in the caller's code."""


def write_and_fail(path, after: int, error: type[BaseException]) -> None:
    with media.VideoWriter(path, 25) as writer:
        for k in range(after):
            writer.write(files.numbered(k))
        raise error


@each_case(
    ("target", "error", "after"),
    [
        ("a.mp4", KeyboardInterrupt, 0),
        ("a.mp4", StopError, 60),
        ("a.gif", SystemExit, 60),
        ("frames/", KeyboardInterrupt, 60),
    ],
)
def test_an_interruption_leaves_nothing_behind(tmp_path, target, error, after):
    gc.collect()
    before = open_files()
    with pytest.raises(error):
        write_and_fail(f"{tmp_path}/{target}", after, error)
    assert os.listdir(tmp_path) == []
    assert open_files() == before


@each_case("target", ["a.mp4", "a.gif"])
def test_an_existing_file_is_replaced_only_at_the_end(tmp_path, target):
    path = tmp_path / target
    path.write_bytes(b"old")
    with media.VideoWriter(path, 25) as writer:
        for k in range(60):
            writer.write(files.numbered(k))
        assert path.read_bytes() == b"old"
    assert numbers(media.open_video(path)) == list(range(60))
    path.write_bytes(b"old")
    with pytest.raises(StopError):
        write_and_fail(path, 60, StopError)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [target]


@each_case(
    ("target", "message"),
    [
        ("a.avi", "must end in one of .mp4, .gif, or a folder name ending in /.*got '.avi'"),
        ("file.mp4/", "must be a folder, but is a file"),
    ],
)
def test_bad_outputs_are_refused_before_any_work(tmp_path, target, message):
    (tmp_path / "file.mp4").touch()
    for call in (media.check_output, lambda path: media.VideoWriter(path, 25)):
        with refused(message):
            call(f"{tmp_path}/{target}")


def test_check_output_gives_the_kind_and_leaves_no_trace(tmp_path):
    kinds = [media.check_output(f"{tmp_path}/{name}") for name in ("a.mp4", "B.MP4", "a.gif", "frames/", "")]
    assert kinds == ["mp4", "mp4", "gif", "frames", "frames"]
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with refused("cannot be written"):
        media.check_output(tmp_path / "a.mp4")


@each_case(
    ("frame", "message"),
    [
        (np.zeros((64, 96, 3)), "frames must be \\(H, W, 3\\) uint8 arrays, got \\(64, 96, 3\\) float64"),
        (np.zeros((64, 96), np.uint8), "got \\(64, 96\\) uint8"),
        ("frame", "got str"),
        (np.zeros((64, 98, 3), np.uint8), "must have the \\(h, w\\) of the first one, \\(64, 96\\), got \\(64, 98\\)"),
        (np.zeros((0, 96, 3), np.uint8), "must have sides of"),
    ],
)
def test_bad_frames_are_refused(tmp_path, frame, message):
    with refused(f"a.mp4: frames .*{message}|a.mp4: {message}"), media.VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(files.numbered(0))
        writer.write(frame)
    assert os.listdir(tmp_path) == []


def test_other_bad_arguments_of_the_writer_are_refused(tmp_path):
    with refused("a.mp4: a video needs at least one frame, got none"), media.VideoWriter(tmp_path / "a.mp4", 25):
        pass
    with refused("quality: must be a whole number in 0 .* got 52"):
        media.VideoWriter(tmp_path / "a.mp4", 25, quality=52)
    with refused("frame_rate: must be above 0"):
        media.VideoWriter(tmp_path / "a.mp4", 0)
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
from motion_core import InputError, media
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
for path in sys.argv[1:]:
    try:
        with media.VideoWriter(path, 25) as writer:
            for k in range(300):
                writer.write(np.roll(noise, k, 0))
    except InputError as error:
        print(error)
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path):
    targets = [str(tmp_path / "a.gif")]
    found = subprocess.run([sys.executable, "-c", FULL_DISK, *targets], check=True, capture_output=True, text=True)
    expected = [f"{target}: cannot be written, the disk is full (File too large)" for target in targets]
    assert found.stdout.splitlines() == expected
    assert found.stderr == ""
    assert os.listdir(tmp_path) == []


@each_case(("rate", "seconds"), [(25, 2.0), (NTSC, 1.67), (Fraction(12), 4.17), (50, 1.0), (10, 5.0)])
def test_gif_has_every_frame_and_the_right_length(tmp_path, rate, seconds):
    path = write(tmp_path / "a.gif", 50, rate)
    with Image.open(path) as image:
        assert image.n_frames == 50
        assert image.info["loop"] == 0
        delays = []
        for k in range(50):
            image.seek(k)
            delays.append(image.info["duration"])
            assert files.number_of(np.asarray(image.convert("RGB"))) == k
            assert abs(sum(delays) - (k + 1) * 1000 / rate) <= 5.01  # errors do not add up
    assert sum(delays) == round(seconds * 1000)
    source = media.open_video(path)
    assert source.frame_rate == rate
    assert numbers(source) == list(range(50))
    assert [files.number_of(frame) for frame in files.ffmpeg_frames(path, 64, 96)] == list(range(50))


def test_gif_above_fifty_frames_a_second_leaves_frames_out(tmp_path):
    path = write(tmp_path / "a.gif", 60, 60)
    with Image.open(path) as image:
        found = []
        for k in range(image.n_frames):
            image.seek(k)
            found.append((files.number_of(np.asarray(image.convert("RGB"))), image.info["duration"]))
    assert all(duration >= 20 for _, duration in found)
    assert sum(duration for _, duration in found) == 1000
    shown = 0
    for number, duration in found:
        assert abs(number / 60 * 1000 - shown) <= 6
        shown += duration


def test_gif_colours_follow_the_picture(tmp_path):
    """New colours get a new palette, also small ones; what stays keeps it, because one palette a frame flickers."""
    path = write(tmp_path / "a.gif", 20, frame=lambda k: gradient() if k < 10 else np.roll(gradient(), k, 1) ^ 0xAA)
    for k, frame in enumerate(media.open_video(path)):
        expected = gradient() if k < 10 else np.roll(gradient(), k, 1) ^ 0xAA
        assert np.abs(frame.astype(int) - expected).mean() < 12


def test_gif_does_not_flicker_where_nothing_moves(tmp_path):
    def spot(k: int) -> np.ndarray:
        frame = gradient()
        frame[30:36, 3 * k : 3 * k + 6] = (255, 0, 0)
        return frame

    frames = list(media.open_video(write(tmp_path / "a.gif", 15, frame=spot)))
    assert all(np.array_equal(frame[:30], frames[0][:30]) for frame in frames)  # dithering spreads downwards only


def test_folder_of_frames_is_exact(tmp_path):
    path = write(f"{tmp_path / 'frames'}/", 12, frame=files.textured)
    assert sorted(os.listdir(path)) == [f"{k:06d}.png" for k in range(1, 13)]
    assert all(np.array_equal(frame, files.textured(k)) for k, frame in enumerate(media.open_video(path)))
    (tmp_path / "there").mkdir()
    write(tmp_path / "there", 2)  # an empty folder that exists
    assert sorted(os.listdir(tmp_path / "there")) == ["000001.png", "000002.png"]
    assert sorted(os.listdir(tmp_path)) == ["frames", "there"]


# Descriptions and comparisons


def test_a_source_says_what_it_is(tmp_path):
    info = media.open_video(files.write_video(tmp_path / "a.mp4", 30, rate=NTSC, tone="aac"))
    assert (info.kind, info.size, info.frame_count, info.frame_rate) == ("video", (64, 96), 30, NTSC)
    assert (info.duration, info.has_audio, info.rotation, info.is_variable) == (30 / NTSC, True, 0, False)
    assert list(media.scene_cuts(info)) == []
    media.save_image(tmp_path / "a.png", gradient())
    assert media.open_video(tmp_path / "a.png").kind == "picture"
    if "avif" in _pillow_features():
        Image.fromarray(gradient()).save(tmp_path / "a.avif")
        assert media.open_video(tmp_path / "a.avif").kind == "picture"
    assert media.open_video(write(tmp_path / "a.gif", 3)).kind == "animation"
    assert media.open_video(write(f"{tmp_path}/frames/", 3)).kind == "folder of frames"
    ticks = files.write_video(tmp_path / "b.mp4", len(VARIABLE), ticks=VARIABLE, tick=Fraction(1, 1000))
    assert media.open_video(ticks).is_variable


def scene(seed: int, k: int, speed: int = 1) -> np.ndarray:
    """A scene of its own colours that moves by `speed` pixels a frame."""
    tint = np.random.default_rng(seed).uniform(0.2, 1.0, 3)
    return (files.textured(0, 400, 160)[(speed * k) % 250 :][:128] * tint).astype(np.uint8)


def test_scene_cuts_are_found_where_they_are(tmp_path):
    lengths, frames = [13, 30, 8, 25], []
    for seed, length in enumerate(lengths):
        frames += [scene(seed, k) for k in range(length)]
    path = write(tmp_path / "a.mp4", len(frames), frame=frames.__getitem__)
    assert list(media.scene_cuts(media.open_video(path))) == [13 / 25, 43 / 25, 51 / 25]
    assert list(media.cut_frames(frames)) == [13, 43, 51]
    assert list(media.cut_frames(frames[:14])) == [13]  # in the last frame


def test_fast_movement_and_flashes_are_no_cuts():
    assert list(media.cut_frames(scene(1, k, speed=37) for k in range(60))) == []
    rainbow = [np.full((64, 64, 3), (k * 70 % 256, k * 110 % 256, 200), np.uint8) for k in range(40)]
    assert list(media.cut_frames(rainbow)) == []  # everything changes all the time: nothing stands out
    flash = [scene(1, k) for k in range(30)]
    flash[15] = np.full_like(flash[15], 250)
    assert list(media.cut_frames(flash)) == []
    assert (
        list(media.cut_frames(np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in range(20)))
        == []
    )


def test_comparison_shows_the_right_frames_under_captions(tmp_path):
    driving = files.write_video(tmp_path / "driving.mp4", 40, tone="aac")
    result = files.write_video(
        tmp_path / "result.mp4", 20, rate=Fraction(25, 2), frame=lambda k: files.numbered(k + 100)
    )
    out = tmp_path / "out.mp4"
    media.compose_comparison(
        [files.numbered(777), driving, result],
        ["source", "driving", "result"],
        out,
        audio_from=media.open_video(driving),
    )
    source = media.open_video(out)
    assert (source.frame_rate, source.frame_count, source.has_audio) == (Fraction(25, 2), 20, True)
    frames = list(source)
    top = frames[0].shape[0] - 64
    assert frames[0].shape[1] == 3 * 96 + 2 * 4
    for k, frame in enumerate(frames):
        found = [files.number_of(frame[top:, left : left + 96]) for left in (0, 100, 200)]
        assert found == [777, 2 * k, 100 + k]
    for left in (0, 100, 200):  # there is type in each caption, and none of it is cut off at its edges
        caption = frames[0][: top - 2, left : left + 96].max(-1)
        assert caption.max() > 180
        assert caption[:2].max() < 60
        assert caption[-1:].max() < 60


def test_comparison_brings_all_to_one_height_and_waits_for_the_longest(tmp_path):
    small = np.stack([files.numbered(k) for k in range(10)])
    tall = media.open_video(np.stack([np.full((128, 64, 3), 10 * k, np.uint8) for k in range(20)]))
    media.compose_comparison([media.open_video(small), tall], ["a" * 200, ""], tmp_path / "out.mp4", height=64)
    frames = list(media.open_video(tmp_path / "out.mp4"))
    assert len(frames) == 20
    top = frames[0].shape[0] - 64
    assert frames[0].shape[1] == 96 + 4 + 32
    for k, frame in enumerate(frames):
        assert files.number_of(frame[top:, :96]) == min(k, 9)
        assert abs(int(frame[top + 32, 116].mean()) - 10 * k) <= 3


def test_bad_comparisons_are_refused(tmp_path):
    clip, out = media.open_video(np.zeros((3, 32, 32, 3), np.uint8)), tmp_path / "out.mp4"
    for arguments, message in (
        (([clip], ["a", "b"], out), "captions: must be one for each of the 1 sources, got 2"),
        (([], [], out), "captions: must be one for each"),
        (([gradient()], ["a"], out), "sources: must have at least one video"),
        (([clip], ["a"], tmp_path / "out.xyz"), "must end in one of"),
    ):
        with refused(message):
            media.compose_comparison(*arguments)
    with refused("height: must be"):
        media.compose_comparison([clip], ["a"], out, height=3)
    assert os.listdir(tmp_path) == []


def test_time_stamps_of_which_each_lasts_hours_mean_nothing():
    clock = Clock.measured(np.arange(3) * 1e7, 1e7, (None, None))
    assert (clock.rate, len(clock.times), clock.variable) == (25, 3, False)


@each_case("count", [1, 2, 7])
def test_a_clock_measures_what_it_was_made_from(count):
    clock = Clock.measured(np.arange(count) * 0.04, 0.04, (None, Fraction(25)))
    assert (clock.rate, clock.variable, clock.duration) == (25, False, Fraction(count, 25))
