"""The layered backbone for people: known limbs, one layer each, composed by colours."""
