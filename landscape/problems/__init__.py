"""Objectives that a checkpoint can name: model, loss, data and a recipe, each built from a name and a JSON config."""

from landscape.problems.base import Problem
from landscape.problems.recipe import Recipe
from landscape.problems.registry import PROBLEMS, get_problem, load_problem, resolve_config

__all__ = ["PROBLEMS", "Problem", "Recipe", "get_problem", "load_problem", "resolve_config"]
