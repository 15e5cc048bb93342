"""People that the project renders itself, with everything about each picture known: joints, parts, and exact flow.

    python -m eval.rendered_people.render --out ROOT --split test --identities 20 --clips 4 --seed 0

    motion       skeleton, rotations, motion, choreography                  what moves, and how far it may
    people       shapes, figure, outfit, patterns, painting, head; simple_body, loose; body_file, body_places, body_clothes,
                 body_loose                                                 who moves, in what
    pictures     camera, rasterizer, scene, places, picture                 what is seen
    data         clip, annotations, tracks, flow, pairs; render, stills     what is written, and read again
    instruments  instruments, instrument_data, train_instruments            the benchmark's own detector and embedder
    importers    import_bvh, import_makehuman                               motion and body files from public sources

Lengths are metres, y is up, a person at rest faces +z with the arms stretched out to the sides (the left one to +x).
Camera space has x to the right, y down, z away from the camera. Pixels: ``(x, y)``, (0, 0) is the centre of the top left one.
"""
