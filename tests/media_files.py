"""Pictures and videos for tests, made on the fly with PyAV and Pillow, without the code under test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, CELL = 10, 8  # of the frame number painted into a frame
HEIGHT, WIDTH = 64, 96
LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}  # weights of red and blue
MATRIX = {"bt601": 6, "bt709": 1, "bt2020": 9}  # FFmpeg's numbers
COLORS = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (128, 128, 128),
    (200, 120, 60),
    (20, 200, 220),
)


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame (height, width, 3) uint8 with its number in black and white cells, over a slope of green."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[..., 1] = np.linspace(0, 255, width).astype(np.uint8)
    for bit in range(BITS):
        frame[8:24, 8 + bit * CELL : 8 + (bit + 1) * CELL] = 255 if number >> bit & 1 else 0
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number painted into a frame."""
    cells = [frame[12:20, 8 + bit * CELL + 2 : 8 + (bit + 1) * CELL - 2].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(cells) if value > 128)


def textured(number: int, height: int = 128, width: int = 160) -> np.ndarray:
    """A frame of a smooth random texture that moves, so that the encoder has something to do."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (24, 24, 3)).astype(np.float32)
    rows = (np.arange(height)[:, None] + 2 * number) / 12
    columns = (np.arange(width)[None] + number) / 12
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[..., None], (columns - x)[..., None]
    at = lambda j, i: coarse[j % 24, i % 24]  # noqa: E731
    top, bottom = at(y, x) * (1 - fx) + at(y, x + 1) * fx, at(y + 1, x) * (1 - fx) + at(y + 1, x + 1) * fx
    return (top * (1 - fy) + bottom * fy).astype(np.uint8)


def write_video(
    path: Path,
    count: int = 20,
    *,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    frame: Callable[[int], np.ndarray] | None = None,
    frames: Sequence[av.VideoFrame] | None = None,
    ticks: Sequence[int] | None = None,
    tick: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    format: str | None = None,
    setup: Callable[[av.VideoStream], None] | None = None,
    tone: str | None = None,
) -> Path:
    """Write frames with PyAV alone: one number after another, or what `frame` paints, or ready-made `frames`.

    ticks: when each is shown, in units of `tick` seconds. tone: the codec of a sound track with a beep at each second.
    """
    rate = Fraction(rate)
    tick = tick or 1 / rate
    frames = frames or [av.VideoFrame.from_ndarray((frame or numbered)(k), format="rgb24") for k in range(count)]
    with av.open(str(path), "w", format=format, container_options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixels
        stream.codec_context.time_base = tick
        if setup:
            setup(stream)
        sound = output.add_stream(tone, rate=48000, layout="stereo") if tone else None
        for k, picture in enumerate(frames):
            picture.pts, picture.time_base = (k if ticks is None else ticks[k]), tick
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
        if sound:
            _beep(output, sound, Fraction(len(frames)) / rate)
    return path


def _beep(output: av.container.OutputContainer, stream: av.AudioStream, seconds: Fraction) -> None:
    rate = stream.rate
    time = np.arange(int(seconds * rate))
    beep = np.where(time % rate < rate // 20, 0.5 * np.sin(2 * np.pi * 1000 * time / rate), 0).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([beep, beep]), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, "stereo", rate, context.frame_size or 1024)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode())


def write_sound(path: Path, seconds: int = 1, codec: str = "aac") -> Path:
    """Write a file with sound only."""
    with av.open(str(path), "w", format="mp4") as output:
        _beep(output, output.add_stream(codec, rate=48000, layout="stereo"), Fraction(seconds))
    return path


def yuv_frame(rgb: np.ndarray, space: str, full: bool, bits: int = 8) -> av.VideoFrame:
    """A 4:2:0 frame with the textbook's conversion, tagged with what it is; rgb (h, w, 3) in [0, 1]."""
    red, blue = LUMA[space]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    top, step = 2**bits - 1, 2 ** (bits - 8)
    scaled = [planes[0] * top if full else (16 + 219 * planes[0]) * step]
    scaled += [128 * step + (plane * top if full else 224 * step * plane)[::2, ::2] for plane in planes[1:]]
    kind = np.uint8 if bits == 8 else np.uint16
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv420p" if bits == 8 else f"yuv420p{bits}le")
    for plane, values in zip(frame.planes, scaled, strict=True):
        data = np.clip(np.rint(values), 0, top).astype(kind).view(np.uint8)
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: len(data), : data.shape[1]] = data
    frame.colorspace, frame.color_range = MATRIX[space], 2 if full else 1
    return frame


def color_bars(height: int = 64, width: int = 256) -> np.ndarray:
    """(height, width, 3) uint8: the colours of `COLORS`, side by side."""
    return np.repeat(np.repeat(np.array(COLORS, np.uint8)[None], width // len(COLORS), 1), height, 0)


def bar_error(frame: np.ndarray, colors: Sequence[tuple[int, int, int]] = COLORS) -> int:
    """The largest difference of any channel in the middle of any bar."""
    step = frame.shape[1] // len(colors)
    found = frame[frame.shape[0] // 2, step // 2 :: step].astype(int)
    return int(np.abs(found - np.array(colors)).max())


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run the ffmpeg program that comes with moviepy: another FFmpeg than PyAV's, an independent reader."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *(str(argument) for argument in arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def ffmpeg_frames(path: Path, height: int, width: int) -> np.ndarray:
    """All frames as ffmpeg decodes them, (T, height, width, 3) uint8, none repeated or dropped."""
    data = ffmpeg("-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def ffmpeg_sound(path: Path) -> np.ndarray:
    """The sound as ffmpeg plays it, (N,) float32 at 48 kHz, mono."""
    return np.frombuffer(ffmpeg("-i", path, "-ac", "1", "-ar", "48000", "-f", "f32le", "-"), np.float32)


def first_beep(path: Path) -> float:
    """When the first beep begins, in seconds."""
    return float(np.flatnonzero(np.abs(ffmpeg_sound(path)) > 0.1)[0]) / 48000


def sound_packets(path: Path) -> list[bytes]:
    """What is stored of the first sound track."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def boxes(path: Path) -> list[str]:
    """The top-level boxes of an MP4 file, in order."""
    data, names, start = path.read_bytes(), [], 0
    while start < len(data):
        names.append(data[start + 4 : start + 8].decode())
        start += int.from_bytes(data[start : start + 4], "big")
    return names


def damage(path: Path, share: float, size: int = 200) -> Path:
    """Overwrite `size` bytes in the middle of a file with noise."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + size] = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first `share` of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
