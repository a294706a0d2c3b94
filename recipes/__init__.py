"""Recipes that come with the package: one restoration task each."""
