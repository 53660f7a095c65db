"""Lines and planes from few evaluations: the outputs of the network are interpolated, and losses computed from them."""
