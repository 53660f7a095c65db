"""Objectives of models that are written for a framework; one file for each, none of which loads it."""
