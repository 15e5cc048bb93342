"""The web UI: `python app.py`, or a Hugging Face Space.

    serving    starts the server, offline and within limits            choices    what can be chosen
    layout     what is on the page, and which button does what         service    what the buttons do, without Gradio
    parts      what several tabs have                                  reading    visitors' files, and refusals
    page.css   how it looks, light and dark                            models     pipelines by name, each loaded once
    handlers   between page and service: files in, sentences out       compute    the calls that use the networks
    drawing    timelines, keypoints and sliders as SVG and HTML        insight    what the networks see, before, at and after
    words      a run's diagnosis in words                              runs       stopping, time left, temporary folders
    showcase   the examples and the gallery                            limits     how much one visitor may ask for
    check.js   boxes and clicks on the inputs                          live, live.js   pictures that move with a camera
    push       uploads the repository to a Space                       zerogpu    GPUs that a Space borrows
    load_test  many clients at once                                workers    the threads that compute, for all visitors

`make_examples` and `make_gallery` are run by hand.
"""
