"""A person, a face and dots, drawn with numpy, and a detector and an embedder for the dots."""

from __future__ import annotations

import math

import numpy as np

from motion_core import media

SKIN, DARK = (224, 172, 140), (50, 35, 25)
DOTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
PLACES = ((20, 20), (30, 24), (40, 20), (22, 36))  # of dots


def capsule(image, start, end, radius, color):
    """Draw a line with round ends, darker towards its edge, into an image (H, W, 3) float; points are (x, y)."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    along = np.subtract(end, start)
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along + 1e-9)
    share = np.clip(share, 0, 1)
    distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    cover = np.clip(radius - distance + 0.5, 0, 1)[..., None]
    shade = (1 - 0.5 * np.clip(distance / radius, 0, 1) ** 2)[..., None]
    image[:] = image * (1 - cover) + cover * shade * np.array(color)


def draw_person(angle=0.6, shift=0):
    """A standing person (256, 256, 3) uint8 and where its joints are, (x, y) by name; `angle` of the arms, 0 is down."""
    image = np.full((256, 256, 3), (190, 200, 205), float)
    image[200:] = (140, 130, 120)
    x = 128 + shift
    joints = {"nose": (x, 51)}
    for side, sign in (("left", 1), ("right", -1)):
        hip, knee, ankle = (x + sign * 12, 135), (x + sign * 16, 180), (x + sign * 17, 222)
        capsule(image, hip, knee, 11, (50, 50, 60))
        capsule(image, knee, ankle, 8, (50, 50, 60))
        capsule(image, (x + sign * 17, 226), (x + sign * 24, 229), 6, (30, 30, 30))
        joints |= {f"{side} knee": knee, f"{side} ankle": ankle}
    for across in np.linspace(-14, 14, 9):
        capsule(image, (x + across, 76), (x + 0.8 * across, 132), 12, (60, 90, 170))
    capsule(image, (x, 60), (x, 72), 7, SKIN)
    for side, sign in (("left", 1), ("right", -1)):
        shoulder = (x + sign * 26, 78)
        elbow = (shoulder[0] + sign * 30 * math.sin(angle), 78 + 30 * math.cos(angle))
        wrist = (elbow[0] + sign * 26 * math.sin(angle + 0.4), elbow[1] + 26 * math.cos(angle + 0.4))
        capsule(image, shoulder, elbow, 8, (60, 90, 170))
        capsule(image, elbow, wrist, 6, SKIN)
        capsule(image, wrist, (wrist[0] + sign * 6, wrist[1] + 5), 6, SKIN)
        joints |= {f"{side} shoulder": shoulder, f"{side} elbow": elbow, f"{side} wrist": wrist}
    capsule(image, (x, 40), (x, 50), 15, DARK)
    capsule(image, (x, 45), (x, 53), 13, SKIN)
    for sign in (-1, 1):
        capsule(image, (x + sign * 5, 46), (x + sign * 5, 46), 2, (255, 255, 255))
        capsule(image, (x + sign * 5, 46), (x + sign * 5, 46), 1.2, (20, 20, 20))
    capsule(image, (x - 4, 58), (x + 4, 58), 1.3, (170, 60, 60))
    return image.clip(0, 255).round().astype(np.uint8), joints


def draw_face(shift=0, skin=SKIN):
    """A face that fills most of a picture (256, 256, 3) uint8; its mouth is at (128 + shift, 181)."""
    image = np.full((256, 256, 3), (150, 170, 190), float)
    x, skin = 128 + shift, np.array(skin)
    for across in np.linspace(-60, 60, 13):
        capsule(image, (x + across, 240), (x + across, 260), 20, (60, 90, 170))
    capsule(image, (x, 190), (x, 235), 26, 0.85 * skin)
    capsule(image, (x, 95), (x, 140), 68, DARK)
    _ellipse(image, (x, 138), (56, 74), skin)
    for sign in (-1, 1):
        eye = (x + sign * 23, 122)
        _ellipse(image, eye, (12, 6), (245, 245, 245))
        capsule(image, eye, eye, 5.5, (60, 40, 30))
        capsule(image, (eye[0] - 10, 117), (eye[0] + 10, 117), 1.4, (70, 45, 40))
        capsule(image, (eye[0] - 12, 107), (eye[0] + 11, 105), 3, DARK)
        capsule(image, (x + sign * 9, 158), (x + sign * 9, 158), 3, (120, 70, 60))
    capsule(image, (x, 128), (x, 154), 5, 1.08 * skin)
    for sign in (-1, 1):
        capsule(image, (x + sign * 20, 180), (x, 184), 3.5, (180, 80, 80))
    capsule(image, (x - 20, 180), (x + 20, 180), 1.2, (90, 30, 30))
    return image.clip(0, 255).round().astype(np.uint8)


def _ellipse(image, middle, radii, color):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    distance = np.hypot((x - middle[0]) / radii[0], (y - middle[1]) / radii[1])
    cover = np.clip((1 - distance) * min(radii), 0, 1)[..., None]
    shade = (1 - 0.35 * np.clip(distance, 0, 1) ** 2.5)[..., None]
    image[:] = image * (1 - cover) + cover * shade * np.array(color)


def draw_dots(points, height=48, width=64):
    """A grey picture with one dot of 3 x 3 pixels for each of up to four points (x, y); None leaves one out."""
    image = np.full((height, width, 3), 128, np.uint8)
    for point, color in zip(points, DOTS, strict=False):
        if point is not None:
            x, y = point
            image[y - 1 : y + 2, x - 1 : x + 2] = color
    return image


def dots(step, height=48, width=64, but=()):
    """The dots at `PLACES`, moved by a step (x, y), without those whose numbers are given."""
    places = [None if k in but else (x + step[0], y + step[1]) for k, (x, y) in enumerate(PLACES)]
    return draw_dots(places, height, width)


def write_clip(path, frames):
    """Write a clip as a folder of frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with media.VideoWriter(f"{path}/", 12) as writer:
        for frame in frames:
            writer.write(frame)


class Dots:
    """Finds the dots, in pixels of exactly their colour; as an embedder, what it sees in the corner of the picture."""

    name, version, joints = "dots", "1", 4

    def __init__(self, argument=None, device="cpu"):
        pass

    def landmarks(self, image):
        found = np.full((4, 2), np.nan)
        for joint, color in enumerate(DOTS):
            rows, columns = np.nonzero((image == color).all(axis=-1))
            if len(rows):
                found[joint] = columns.mean(), rows.mean()
        return found

    def embed(self, image):
        corner = image[0, 0].astype(float)
        return None if (corner == 128).all() else corner
