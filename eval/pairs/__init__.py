"""The parts of `eval.pair_scores`.

frames      the two frames of each pair, as the networks get them and as they are measured
model       a model takes sources to driving poses and to poses between; its time and its operations
exact_flow  a deformation against the exact flow, in pixels of the picture
records     the table of pairs, a row per pair
report      all pairs together, by quartile of displacement
"""
