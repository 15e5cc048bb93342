"""Training of the motion networks: configuration, data, losses, and one script that is read from top to bottom."""
