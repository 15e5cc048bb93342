"""The parts of `eval.pair_scores`.

frames      the two frames of each pair, as the networks get them and as they are measured
moving      a model takes sources to driving poses, and to what lies between
model       the same with its time taken and its operations counted
exact_flow  a deformation against the exact flow, in pixels of the picture
records     the table of pairs, a row per pair
report      all pairs together, by quartile of displacement
"""
