"""The layered model for people, from nothing: ``python -m train.recipes.people STAGE`` (docs/people.md)."""
