"""The Hessian as G + R: what the loss's curvature makes of it, and the model's; sums over examples of either."""
