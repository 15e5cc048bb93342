"""A short check in words before a render: whether a picture and a video of people are what the model can do well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .framing import Size
from .networks.layered.limbs import LIMBS, TRUNK, strip_ends
from .structures import Keypoints

SIDEWAYS = 0.15  # heights of the trunk between the shoulders, below which somebody is seen from the side
NEAR, FAR = 0.35, 0.8  # heights of the trunk that poses are apart: little changes below, much is painted above
# Limbs in words: the two parts of an arm or a leg are one.
_WORDS = {limb: limb.replace("upper_", "").replace("fore", "").replace("_", " ") for limb in LIMBS} | {
    f"{side}_{part}": f"{side} leg" for side in ("right", "left") for part in ("thigh", "shin")
}


@dataclass(frozen=True)
class Check:
    """What is seen of a person in a picture, and of one in a video.

    Attributes:
        looked_at: frames of the video that were looked at.
        seen: how many of them showed a person with enough in sight; the picture does, or there is no check.
        out_of_picture: parts of the body that are not in the picture, in words.
        out_of_video: parts of the body that are not in most of those frames.
        turned_away: whether the person in the picture is seen from behind.
        driving_turned_away: of the frames that showed a person, those in which it is seen from behind.
        distance: how far limbs are from where they go, in heights of the trunk: the mean over limbs of the farthest pose.
    """

    looked_at: int
    seen: int
    out_of_picture: tuple[str, ...]
    out_of_video: tuple[str, ...]
    turned_away: bool
    driving_turned_away: int
    distance: float

    def sentences(self) -> tuple[str, ...]:
        """At most four, for people."""
        return (
            self._people(),
            *self._limbs(),
            *self._directions(),
            self._verdict(),
        )

    def _people(self) -> str:
        if self.seen == self.looked_at:
            return "There is a person in the picture and in the video."
        return f"There is a person in the picture, and in {self.seen} of {self.looked_at} video frames that were looked at."

    def _limbs(self) -> tuple[str, ...]:
        places = [("picture", self.out_of_picture), ("video", self.out_of_video)]
        parts = [f"{_listed(limbs)} in the {name}" for name, limbs in places if limbs]
        return (f"Not in sight: {', and '.join(parts)}.",) if parts else ()

    def _directions(self) -> tuple[str, ...]:
        if self.turned_away:
            return ("The person in the picture is seen from behind: a face cannot be shown.",)
        if self.driving_turned_away:
            return (
                f"In {self.driving_turned_away} of these frames the person is seen from behind: "
                "the picture's front is shown, in the same pose.",
            )
        return ()

    def _verdict(self) -> str:
        made_up = "Parts that the picture does not show are made up"
        if self.distance < NEAR:
            return "The video moves a little from the picture's pose."
        if self.distance < FAR:
            return f"The video moves moderately from the picture's pose. {made_up}; more photos of the person would show them."
        return f"The video moves far from the picture's pose. {made_up}, so expect faults; fewer with more photos of the person."


def check_people(
    source: Keypoints, wanted: Keypoints, driving: Keypoints, sizes: tuple[Size, Size], looked_at: int
) -> Check:
    """Compare a person with the poses that it is to take.

    Args:
        source: in the square around the picture, ``(1, K, N, 2)``.
        wanted: poses that the person is to take, in the same square, ``(S, K, N, 2)``.
        driving: those in the video, in the square around a frame, ``(S, K, N, 2)``.
        sizes: (height, width) of the picture and of a frame.
        looked_at: frames in which the video's poses were looked for.
    """
    ends, goals = (strip_ends(poses.points)[1] for poses in (source, wanted))  # (1 or S, K, 2)
    apart = (goals - ends).norm(dim=-1).mean(dim=1).max() / _trunk(source)[0]
    outside = _outside(driving, sizes[1]).float().mean(dim=0) > 0.5
    return Check(
        looked_at,
        len(driving.points),
        _in_words(_outside(source, sizes[0])[0]),
        _in_words(outside),
        bool(_from_behind(source)[0]),
        int(_from_behind(driving).sum()),
        float(apart),
    )


def _trunk(poses: Keypoints) -> Tensor:
    """Height of the trunk, ``(B,)``."""
    start, end, _, _ = strip_ends(poses.points)
    return (end - start)[:, TRUNK].norm(dim=-1).clamp(min=1e-6)


def _outside(poses: Keypoints, size: Size) -> Tensor:
    """Whether limbs end outside of the picture, ``(B, K)`` bool; points are in the square around it."""
    ends = strip_ends(poses.points)[1]
    limits = ends.new_tensor((size[1], size[0])) / max(size)
    return (ends.abs() > limits).any(dim=-1)


def _from_behind(poses: Keypoints) -> Tensor:
    """Whether people are seen from behind, ``(B,)`` bool: their right shoulder is on the right, if their head is up."""
    start, end, _, _ = strip_ends(poses.points)
    down = (end - start)[:, TRUNK]
    right, left = (start[:, LIMBS.index(f"{side}_upper_arm")] for side in ("right", "left"))
    across = left - right
    turn = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]  # positive where the left shoulder is on the right
    return turn < -SIDEWAYS * _trunk(poses).square()


def _in_words(limbs: Tensor) -> tuple[str, ...]:
    """The limbs of a mask ``(K,)`` bool."""
    return tuple(dict.fromkeys(_WORDS[name] for name, chosen in zip(LIMBS, limbs.tolist(), strict=True) if chosen))


def _listed(words: Sequence[str]) -> str:
    return " and ".join(each for each in (", ".join(words[:-1]), words[-1]) if each)
