"""The problems that come with the package, each found by its name."""
