"""One stage, one file. They import geometry and structures, never each other."""
