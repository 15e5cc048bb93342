"""The published backbone (Zhao & Zhang, "Thin-plate spline motion model for image animation", CVPR 2022), one stage, one file."""
