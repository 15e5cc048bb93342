"""The ablation: its configuration, the tables and plots of planted scores, and a whole run at toy size."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import preloaded
import pytest
import yaml
from PIL import Image

from eval import ablation
from eval.ablation_choices import best_fixed, check_comparable, oracle
from eval.ablation_plots import plot_all
from eval.ablation_table import Scores, spread, tables
from motion_core import InputError, MotionInterpPipeline
from train.config_file import load_config


def planted(label, akd, name=None, ts=(None,) * 8, interpolation=None):
    """Scores of eight pairs, two of each quartile, whose AKD is given; L1 is a tenth of it."""
    rows = [
        {
            "quartile": k // 2 + 1,
            "displacement_percent": float(k),
            "akd_percent": value,
            "l1": value and value / 10,
            "t": t,
            "hopped": None if t is None else float(t > 0),
        }
        for k, (value, t) in enumerate(zip(akd, ts, strict=True))
    ]
    content = {"rows": rows, "interpolation": interpolation or {}, "about": {}, "training": {}}
    return Scores(label, label.partition(",")[0], name or f"{label}-0", content)


def cells(text, start, column=None):
    """The cells of the table row that begins so."""
    found = [line for line in text.splitlines() if line.startswith(f"| `{start}` |") and (column or "") in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def test_tables_give_means_spread_quartiles_and_paired_differences():
    plain = [2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 8.0, 8.0]
    better = [2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 5.0, 7.0]  # 2 better in q4, with a standard error of 1
    scores = [
        planted("tpsmm", plain),
        planted("tpsmm", [value + 1 for value in plain], "tpsmm-1"),
        planted("full", [value + 0.5 for value in better]),
    ]
    text = tables(scores)
    overall = text[: text.index("By quartile")]
    assert cells(overall, "tpsmm")[0][1:3] == ["0.5500 ± 0.0500", "5.50 ± 0.50"]
    assert cells(overall, "full")[0][2] == "5.00"
    quartiles = text[text.index("By quartile") : text.index("Pair by pair")]
    assert cells(quartiles, "full", "AKD")[0][2:] == ["2.50", "4.50", "6.50", "6.50"]
    against = text[text.index("Pair by pair") :]
    row = cells(against, "full` - `tpsmm", "AKD")[0]
    assert row[3] == "+0.000 ± 0.000", "q1"
    assert row[6] == "-2.000 ± 1.000", "q4"
    text = tables([planted("tpsmm", [1.0] * 8), planted("int", [3.0] * 7 + [None])])
    row = cells(text[text.index("Pair by pair") :], "int` - `tpsmm", "AKD")[0]
    assert row[5:] == ["+2.000 ± 0.000", "-"], "a pair without a figure in one model is not compared, one is left of q4"
    assert (spread(pd.Series([None, None], dtype=float), 2), spread(pd.Series([1.0, None]), 2)) == ("-", "1.00")


def test_what_hops_and_their_choice_give_is_told_against_no_hop_and_the_oracle():
    """Hops take 4 off the AKD (and a tenth of it off L1) of two pairs in q4, and would take 2 off another's in q3."""
    none, best = [4.0, 4, 4, 4, 6, 6, 8, 8], [4.0, 4, 4, 4, 6, 4, 4, 4]
    rows = {
        "full": ([4.0, 4, 4, 4, 6, 6, 4, 4], (0,) * 6 + (0.5, 0.75)),
        "full, no hop": (none, (0,) * 8),
        "full, oracle": (best, (0,) * 5 + (0.5,) * 3),
        "int_bt": ([5.0, 4, 4, 4, 6, 6, 4, 4], (None,) * 8),
    }
    scores = [planted(label, akd, ts=ts) for label, (akd, ts) in rows.items()]
    text = tables(scores)
    pairwise, chosen = text[text.index("Pair by pair") : text.index("Hops")], text[text.index("Hops") :]
    assert cells(pairwise, "full` - `full, no hop", "AKD")[0][2:] == [
        *("-1.000 ± 0.655", "+0.000 ± 0.000", "+0.000 ± 0.000", "+0.000 ± 0.000", "-4.000 ± 0.000")
    ]
    assert cells(pairwise, "full` - `int_bt", "AKD")[0][3] == "-0.500 ± 0.500", "the variant that it adds to"
    assert [row[1:] for row in cells(chosen, "full")] == [
        ["hops", "0.25", "0.00", "0.00", "0.00", "1.00"],
        ["mean t of hops", "0.62", "-", "-", "-", "0.62"],
        ["gained", "0.80", "-", "-", "0.00", "1.00"],
    ]
    assert "int_bt" not in chosen, "nothing is known of what it could have chosen"


def test_the_best_fixed_time_is_of_other_clips_and_the_oracle_of_each_pair():
    """Four clips of two pairs; at t = 0.5 the even clips are better, and at 0 the odd ones, by more."""
    clips = [0, 0, 1, 1, 2, 2, 3, 3]

    def scored(t, error):
        rows = [{"video": clip, "l1": error(clip), "akd_percent": 10 * error(clip)} for clip in clips]
        return Scores(f"full, t = {t}", "full", "full-0", {"rows": rows, "about": {}})

    at = {0.0: scored(0.0, lambda clip: 2.0 - clip % 2), 0.5: scored(0.5, lambda clip: 1.5 + clip % 2)}
    fixed, best = best_fixed(at, "fixed", "full-0"), oracle(at, "best", "full-0")
    assert [row["l1"] for row in fixed.content["rows"]] == [2, 2, 2.5, 2.5, 2, 2, 2.5, 2.5], "each half has the other's"
    assert [row["l1"] for row in best.content["rows"]] == [1.5, 1.5, 1, 1, 1.5, 1.5, 1, 1]


def test_rows_that_cannot_be_compared_are_refused():
    def scored(name, **changes):
        training = {"init_from": "base", "progress": {"samples": 8}, "features": {"vgg": "random"}}
        about = {"pairs_digest": "a", "detector": "d"}
        content = {"about": about | changes.pop("about", {}), "training": training | changes}
        return Scores(name, name, name, content)

    check_comparable([scored("tpsmm"), scored("full")])
    for changes, message in (
        ({"about": {"pairs_digest": "b"}}, "pairs_digest is 'a' for tpsmm and 'b' for full"),
        ({"about": {"detector": "e"}}, "detector is 'd' for tpsmm and 'e' for full"),
        ({"init_from": "other"}, "base is 'base' for tpsmm and 'other' for full"),
        ({"progress": {"samples": 9}}, "number of pairs seen is 8 for tpsmm and 9 for full"),
    ):
        with pytest.raises(InputError, match=message):
            check_comparable([scored("tpsmm"), scored("full", **changes)])


def test_plots_show_what_there_is(tmp_path):
    interpolation = {
        t: {group: {"identity": {"mean": float(t)}} for group in ("all", "q4")} for t in ("0.25", "0.5", "0.75")
    }
    scores = [
        planted("tpsmm", [1.0, 2, 3, 4, 5, 6, 7, 8]),
        planted("full", [1.0, 2, 3, 4, 4, 4, 4, 4], ts=(0, 0, 0, 0, 0.5, 0.5, 0.5, 0.875), interpolation=interpolation),
    ]
    plot_all(scores, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"akd.png", "identity.png", "times.png"}
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20, "something is drawn"

    (tmp_path / "plain").mkdir()
    plot_all(scores[:1], tmp_path / "plain")
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["akd.png"]


def test_bad_settings_are_named_and_a_report_needs_scores(tmp_path, capsys):
    file, settings = tmp_path / "a.yaml", {"output": str(tmp_path), "training": "t.yaml", "data": "root"}
    for change, name in [
        ({"rows": {"tpsmmm": [0]}}, "rows"),
        ({"rows": {}}, "rows"),
        ({"batch": 0}, "batch"),
        ({"times": [0.5]}, "0, which is no hop"),
        ({"epochs": 3}, "epochs"),
    ]:
        file.write_text(yaml.safe_dump(settings | {"rows": {"tpsmm": [0]}} | change))
        with pytest.raises(InputError, match=name):
            ablation.load_ablation(file)
    file.write_text(yaml.safe_dump(settings | {"rows": {"tpsmm": [0]}}))
    assert ablation.main(["--config", str(file), "--report"]) == 2
    assert "has no scores yet" in capsys.readouterr().err


def test_first_seeds_come_first_and_results_of_other_settings_are_not_mixed(tmp_path):
    rows = {"tpsmm": [0, 1], "int": [0], "full": [4, 5]}
    settings = ablation.Ablation(output=tmp_path, training="t.yaml", data="root", rows=rows)
    assert [name for name, _, _ in settings.names()] == ["tpsmm-0", "int-0", "full-4", "tpsmm-1", "full-5"]
    ablation.write_config(settings)
    ablation.write_config(settings.model_copy(update={"rows": {"tpsmm": [0, 1]}}))
    with pytest.raises(InputError, match="other settings"):
        ablation.write_config(settings.model_copy(update={"overrides": ["schedule.steps=9"]}))


def test_the_configurations_that_come_along_can_be_used(monkeypatch):
    folder = Path(ablation.__file__).parent / "configs"
    monkeypatch.chdir(folder.parents[1])  # paths in them are relative to it
    for path in (folder / "rendered.yaml", folder / "tai_chi.yaml"):
        settings = ablation.load_ablation(path)
        assert {name for _, name, _ in settings.names()} == {"tpsmm", "int", "int_bt", "full", "v2"}
        load_config(settings.training, settings.overrides)


@pytest.mark.slow
def test_a_whole_ablation_at_toy_size(tmp_path, capsys, monkeypatch):
    from eval.rendered_people import render

    monkeypatch.setattr(ablation, "subprocess", SimpleNamespace(run=preloaded.run, STDOUT=subprocess.STDOUT))
    root = tmp_path / "root"
    for split in ("train", "test"):
        arguments = ["--out", str(root), "--split", split, "--identities", "2", "--clips", "1", "--seed", "1"]
        assert render.main([*arguments, "--frames", "6", "--size", "64", "--pairs", "3"]) == 0
    training = {
        "variant": "tpsmm",
        "data": {"root": str(root), "image_size": 32, "workers": 0},
        "model": {
            "num_splines": 3,
            "keypoints": {"architecture": "heatmaps"},
            "background_motion": {"architecture": "mobilenetv3_small_050"},
            "motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 3, "shrink": 2},
            "generator": {"block_expansion": 4, "max_features": 8},
        },
        "losses": {"scales": [1]},
        "features": {"vgg": "random:4", "vit": "random", "vit_size": 16},
        "schedule": {"steps": 2, "batch_size": 2, "milestones": [], "dropout": {"until": 0}},
        "output": {"folder": "unused", "validate_every": 0, "images_every": 0},
    }
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(training))
    settings = {
        "output": str(tmp_path / "out"),
        "training": str(tmp_path / "training.yaml"),
        "rows": {"tpsmm": [0], "v2": [0]},
        "base": ["schedule.steps=3"],
        "selector": ["schedule.steps=1"],
        "times": [0, 0.5],
        "second_detector": "blazepose",
        "data": str(root),
        "tai_chi": True,
    }
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump(settings))
    assert ablation.main(["--config", str(tmp_path / "ablation.yaml")]) == 0
    text = capsys.readouterr().out
    assert [row[0] for row in cells(text[: text.index("By quartile")], "tpsmm")] == ["`tpsmm`"]
    assert "EPE, %" in text
    assert "Published, Tai-Chi-HD" in text
    assert cells(text[text.rindex("How the rows") :], "v2")[0][2:4] == ["2", "4"], "steps, pairs seen"
    scores = json.loads((tmp_path / "out" / "scores" / "v2-0-learned.json").read_text())
    assert len(scores["rows"]) == 6
    assert scores["interpolation"]
    rows = pd.read_csv(tmp_path / "out" / "rows.csv")
    assert dict(rows["label"].value_counts()) == {
        "copy": 6,
        "tpsmm": 6,
        "v2": 6,
        "v2, no hop": 6,
        "v2, best fixed": 6,
        "v2, oracle": 6,
    }
    assert (tmp_path / "out" / "sheet.png").is_file()
    assert scores["training"]["init_from"] == str(tmp_path / "out" / "base" / "pipeline")
    selectors = [
        MotionInterpPipeline.from_pretrained(tmp_path / "out" / name / "pipeline").selector.state_dict()
        for name in ("v2-0", "v2-0-selector")
    ]
    assert any(not value.equal(selectors[1][name]) for name, value in selectors[0].items()), "it has learned"

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "scores").iterdir()}
    assert ablation.main(["--config", str(tmp_path / "ablation.yaml")]) == 0
    assert times == {path: path.stat().st_mtime_ns for path in times}, "nothing is done twice"

    for name in ("base", "tpsmm-0", "v2-0", "v2-0-selector"):
        shutil.rmtree(tmp_path / "out" / name)
    assert ablation.main(["--config", str(tmp_path / "ablation.yaml")]) == 0, (
        "of a row its scores are all that is needed"
    )
