"""The measuring of folders of checkpoints: what is planned, by which processes, and where it is stored.

Empty, so that a plan can be read without torch: :mod:`~landscape.analysis.plan`,
:mod:`~landscape.analysis.pipeline`.
"""
