"""Makes blazepose.npz anew from two rendered people of the examples.

    python tests/golden/make_blazepose.py pose_landmark_full.tflite pose_detection.tflite

It runs the files as their makers do, with LiteRT (pip install ai-edge-litert==2.3.0); train/convert_blazepose.py says where the
files are from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).with_name("blazepose.npz")
EXAMPLES = Path(__file__).resolve().parents[2] / "space" / "examples"
PICTURES = ("arms-up.png", "bent.png")
SIDE = 256
EVERY = 4  # of the silhouette's pixels, either way: a file with all of them is ten times as large


def guesses(file: Path, picture: np.ndarray) -> dict[str, np.ndarray]:
    """LiteRT's guesses where people are in a picture ``(224, 224, 3)`` uint8: logits and, about the cells, two places of each."""
    interpreter = _interpreter(file)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None].astype(np.float32) / 127.5 - 1)
    interpreter.invoke()
    values, logits = (interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details())
    return {"found_logits": logits[:, 0], "found_places": values[:, 4:8]}


def _interpreter(file: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run(file: Path, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """LiteRT's outputs for pictures ``(B, 256, 256, 3)`` uint8, by the names of `blazepose.npz`."""
    interpreter = _interpreter(file)
    given = interpreter.get_input_details()[0]["index"]
    outputs = {output["name"]: output["index"] for output in interpreter.get_output_details()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("landmarks", "metres", "mask", "score")}
    for picture in pictures:
        interpreter.set_tensor(given, picture[None].astype(np.float32) / 255)
        interpreter.invoke()
        found["landmarks"].append(interpreter.get_tensor(outputs["Identity"]).reshape(39, 5))
        found["score"].append(interpreter.get_tensor(outputs["Identity_1"]).reshape(()))
        found["mask"].append(interpreter.get_tensor(outputs["Identity_2"])[0, ::EVERY, ::EVERY, 0])
        found["metres"].append(interpreter.get_tensor(outputs["Identity_4"]).reshape(39, 3))
    return {name: np.stack(values).astype(np.float32) for name, values in found.items()}


def main() -> None:
    from PIL import Image

    pictures = [Image.open(EXAMPLES / name).convert("RGB").resize((SIDE, SIDE)) for name in PICTURES]
    coarse = np.stack([np.asarray(picture) for picture in pictures]) & 0xF0  # fewer colours make the file small
    found = guesses(Path(sys.argv[2]), coarse[0, :224, :224])
    np.savez_compressed(GOLDEN, pictures=coarse, **run(Path(sys.argv[1]), coarse), **found)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
