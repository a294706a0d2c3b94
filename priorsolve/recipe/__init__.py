"""Recipes: YAML in, checked to the last key, and the things that its words build."""

from priorsolve.recipe.recipe import Recipe

__all__ = ["Recipe"]
