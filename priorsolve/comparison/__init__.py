"""Recipes and classical baselines side by side on the same photos."""
