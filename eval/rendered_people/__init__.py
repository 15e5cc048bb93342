"""People that the project renders itself, with everything about each picture known: joints, parts, and exact flow.

    python -m eval.rendered_people.render --out ROOT --split test --identities 20 --clips 4 --seed 0

    motion       skeleton, rotations, choreography, motion, motion_file     what moves, and how far it may
    people       shapes, simple_body, outfit, painting, body_file, figure   who moves
    pictures     camera, near_camera, rasterizer, shading, planes, places,
                 scene, picture                                             what is seen
    data         clip, annotations, flow, background, pairs, render         what is written, and read again
    scores       error of a deformation against the exact flow
    instruments  joint_detector, identity_embedder, train_instruments; instrument_* are their parts
    importers    import_bvh, import_makehuman                               motion and body files from public sources

Lengths are metres, y is up, a person at rest faces +z with the arms stretched out to the sides (the left one to +x).
Camera space has x to the right, y down, z away from the camera. Pixels: ``(x, y)``, (0, 0) is the centre of the top left one.
"""
