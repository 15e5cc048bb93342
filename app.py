"""The web UI: ``python app.py`` here, and the start of a Hugging Face Space."""

from space.serving import main

if __name__ == "__main__":
    main()
