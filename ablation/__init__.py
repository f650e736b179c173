"""The machinery behind the root scripts: one module per concern, imported one way (see each module's docstring)."""

__version__ = "0.1.0"
