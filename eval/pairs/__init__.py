"""What `eval.pair_scores` is made of.

frames      the two frames of each pair, as the networks get them and as they are measured
moving      a model takes sources to driving poses, and to what lies between
exact       a deformation against the exact flow, in pixels of the picture
remembered  detectors and embedders that look at each real frame once
rows        the figures of one pair
report      all pairs together, by quartile of displacement
"""
