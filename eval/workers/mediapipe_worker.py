"""Runs in mediapipe's own environment, as ``python -I mediapipe_worker.py body|face``.

It can import nothing of the project.

`eval.workers` says what goes over the pipes.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO


def main(task: str) -> None:
    # mediapipe's own messages on standard output must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import mediapipe
    import numpy as np

    if task == "body":
        find = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)
    else:
        find = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1)
    _send(answers, {"version": f"mediapipe {mediapipe.__version__}"})
    for line in sys.stdin.buffer:
        header = json.loads(line)
        height, width = header["height"], header["width"]
        pixels = sys.stdin.buffer.read(height * width * 3)
        try:
            result = find.process(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
            _send(answers, {"points": _points(result, task, height, width)})
        except Exception as error:  # the other side decides what becomes of it
            _send(answers, {"error": f"{type(error).__name__}: {error}"})


def _points(result: Any, task: str, height: int, width: int) -> list[list[float]]:
    """[x, y, visibility] in pixels; mediapipe's own are shares of the image, from its corner."""
    if task != "face":
        body = result.pose_landmarks
        return [] if body is None else [[p.x * width - 0.5, p.y * height - 0.5, p.visibility] for p in body.landmark]
    faces = result.multi_face_landmarks
    return [[p.x * width - 0.5, p.y * height - 0.5, 1.0] for p in faces[0].landmark] if faces else []


def _send(pipe: BinaryIO, answer: dict[str, Any]) -> None:
    pipe.write(json.dumps(answer).encode() + b"\n")
    pipe.flush()


if __name__ == "__main__":
    main(sys.argv[1])
