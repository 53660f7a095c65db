"""Results in, Axes out. No figure here shows or saves itself; ``save`` and ``draw_all`` write files."""

from landscape.plots.against_loss import loss_curve, loss_curves, plot_against_loss
from landscape.plots.along import plot_stability_path
from landscape.plots.arrays import by_label, drawable, last_lines, last_record, record_of
from landscape.plots.block_panels import block_panels
from landscape.plots.chains import plot_chains
from landscape.plots.comparison import (
    class_accuracy,
    plot_class_accuracy,
    plot_measure,
    summaries,
    summarize_seeds,
)
from landscape.plots.confusion import confusions, plot_confusion
from landscape.plots.connecting import plot_connection, plot_merged, plot_minima
from landscape.plots.distances import plot_distances
from landscape.plots.every_step import STEP_WORDS, plot_step_history, plot_steps
from landscape.plots.figures import draw_all, draw_differences, drawings
from landscape.plots.files import FigureFile, save
from landscape.plots.forest import forest_figure, plot_forest
from landscape.plots.histories import WINDOWS, history_panels
from landscape.plots.labels import legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.lines import (
    band_over_lines,
    barrier_point,
    plot_interpolation,
    plot_line_band,
    plot_lines,
    quadratic_rise,
    rise,
    steeper_to_the_right,
)
from landscape.plots.numbers import plot_estimate, plot_numbers, plot_sampling, plot_sharpness
from landscape.plots.pairs import plot_pairs
from landscape.plots.paper_styles import STYLES, PaperStyle, column_width, full_width, letters, paper_style
from landscape.plots.parts import plot_blocks, plot_diagonal, plot_gain, plot_moments
from landscape.plots.paths import mark_constraint, plot_path_losses, plot_paths
from landscape.plots.persistence import plot_persistence
from landscape.plots.planes import paths_figure, plane_figure, plot_models, plot_positions
from landscape.plots.points import plot_basins, plot_step
from landscape.plots.spectrum import default_bandwidth, density_on_grid, one_eigenvalue_height, plot_spectrum
from landscape.plots.steps import step_panels
from landscape.plots.stored import plot_checkpoint, plot_results, plot_run
from landscape.plots.study_figures import cost_panels, dose_panels, relation_panels
from landscape.plots.style import (
    DOUBLE,
    RC,
    SINGLE,
    columns_for,
    house_style,
    label_outer,
    name_panels,
    new_figure,
    optimizer_styles,
    panels,
    share_limits,
    short_names,
)
from landscape.plots.subspaces import plot_angles, plot_attribution
from landscape.plots.surface import add_colorbar, log_levels, plot_contour, plot_surface, surface_heights
from landscape.plots.tails import plot_sharpness_path, plot_tail, tail_band, tail_of_run
from landscape.plots.training_curves import band_of_curves, curve_of_run, plot_training, plot_training_of_group

__all__ = [
    "DOUBLE",
    "RC",
    "SINGLE",
    "STEP_WORDS",
    "STYLES",
    "WINDOWS",
    "FigureFile",
    "PaperStyle",
    "add_colorbar",
    "band_of_curves",
    "band_over_lines",
    "barrier_point",
    "block_panels",
    "by_label",
    "class_accuracy",
    "column_width",
    "columns_for",
    "confusions",
    "cost_panels",
    "curve_of_run",
    "default_bandwidth",
    "density_on_grid",
    "dose_panels",
    "draw_all",
    "draw_differences",
    "drawable",
    "drawings",
    "forest_figure",
    "full_width",
    "history_panels",
    "house_style",
    "label_outer",
    "last_lines",
    "last_record",
    "legend_outside",
    "legend_text",
    "letters",
    "log_levels",
    "loss_curve",
    "loss_curves",
    "mark_constraint",
    "name_panels",
    "new_figure",
    "one_eigenvalue_height",
    "optimizer_styles",
    "panels",
    "paper_style",
    "paths_figure",
    "plane_figure",
    "plot_against_loss",
    "plot_angles",
    "plot_attribution",
    "plot_basins",
    "plot_blocks",
    "plot_chains",
    "plot_checkpoint",
    "plot_class_accuracy",
    "plot_confusion",
    "plot_connection",
    "plot_contour",
    "plot_diagonal",
    "plot_distances",
    "plot_estimate",
    "plot_forest",
    "plot_gain",
    "plot_interpolation",
    "plot_line_band",
    "plot_lines",
    "plot_measure",
    "plot_merged",
    "plot_minima",
    "plot_models",
    "plot_moments",
    "plot_numbers",
    "plot_pairs",
    "plot_path_losses",
    "plot_paths",
    "plot_persistence",
    "plot_positions",
    "plot_results",
    "plot_run",
    "plot_sampling",
    "plot_sharpness",
    "plot_sharpness_path",
    "plot_spectrum",
    "plot_stability_path",
    "plot_step",
    "plot_step_history",
    "plot_steps",
    "plot_surface",
    "plot_tail",
    "plot_training",
    "plot_training_of_group",
    "quadratic_rise",
    "record_of",
    "relation_panels",
    "rise",
    "save",
    "share_limits",
    "short_names",
    "steeper_to_the_right",
    "step_panels",
    "summaries",
    "summarize_seeds",
    "surface_heights",
    "tail_band",
    "tail_of_run",
]
