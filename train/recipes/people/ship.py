"""Stage "ship": the trained networks as a pipeline with its model card, in half precision."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from motion_core.atomic import atomic_path
from motion_core.components import fusion_widths
from motion_core.errors import InputError
from motion_core.networks.interpolation_selector import OptimalInterpolationSelector
from motion_core.networks.layered.camera_aligner import CameraAligner
from motion_core.networks.layered.layer_painter import LayerPainter
from motion_core.networks.layered.layout_network import LayoutNetwork
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR, PersonDetector
from motion_core.networks.layered.strip_correction import StripCorrection
from motion_core.networks.view_fusion import ViewFusion
from motion_core.pipeline import MotionInterpPipeline

from .pack import SIDE

ABOUT = Path(__file__).with_name("card.md")  # beginning of the model card
SEEN = 8.0  # logit by which a view that shows a place is preferred to one that does not


def people_pipeline(layout: LayoutNetwork, painter: LayerPainter, correction: StripCorrection) -> MotionInterpPipeline:
    """The pipeline of trained networks; several photos are fused by what each shows."""
    detector = PersonDetector(corrected=True)
    detector.network.load_state_dict(PersonDetector.from_pretrained(SHIPPED_DETECTOR).network.state_dict())
    detector.correction.load_state_dict(correction.state_dict())
    fusion = ViewFusion(**fusion_widths(painter))
    nn.init.zeros_(fusion.score[0].weight)
    with_mask = fusion.score[0].weight.data[:, -1]  # (1, 3, 3), of the visible share
    with_mask[..., 1, 1] = SEEN
    return MotionInterpPipeline(
        detector.eval(),
        layout.eval(),
        painter.eval(),
        image_size=SIDE,
        background_predictor=CameraAligner(),
        selector=OptimalInterpolationSelector(default_strategy="none"),  # it is not trained
        view_fusion=fusion,
        variant="v2",
    )


def ship(pipeline: MotionInterpPipeline, contents: Path, folder: Path) -> str:
    """Write a pipeline to `folder`, in place of the one that is there; returns what is to be told about it.

    Args:
        contents: table of what it was trained on, as stage "data" writes it.
        folder: whole at any time.

    Raises:
        InputError: the table is not there.
    """
    table = data_table(contents)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder, over=True) as made:
        pipeline.save_pretrained(made)
        files = list(made.rglob("*.safetensors"))
        for path in files:  # in the files alone: coordinates are computed in fp32 whatever the file has
            kept = {
                name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()
            }
            save_file(kept, path, metadata={"format": "pt"})
        size = f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB in half precision"
        text = f"{ABOUT.read_text(encoding='utf-8').rstrip()}\n\n## Weights\n\n{size}.\n\n{table}"
        (made / "README.md").write_text(text, encoding="utf-8")
        for path in files:  # they are private otherwise
            path.chmod(0o644)
    return size


def data_table(contents: Path) -> str:
    """Markdown: how many pictures of each origin and licence the packs hold.

    Raises:
        InputError: there is no such table.
    """
    try:
        with contents.open(encoding="utf-8", newline="") as file:
            counts = Counter({(row["origin"], row["licence"]): int(row["pictures"]) for row in csv.DictReader(file)})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{contents}: must be the table that stage 'data' writes ({error})") from None
    rows = [f"| {origin} | {licence} | {count} |" for (origin, licence), count in sorted(counts.items())]
    return "## Data\n\n| origin | licence | pictures |\n|---|---|---|\n" + "\n".join(rows) + "\n"
