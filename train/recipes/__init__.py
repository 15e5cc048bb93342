"""Recipes of what ships: how its data are made, and in which order its networks are trained."""
