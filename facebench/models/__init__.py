"""Models under test: the FaceModel protocol, its adapters, reference models and preflight checks."""

from facebench.models.context import LoadContext
from facebench.models.load import load_model, models, register_model
from facebench.models.protocol import FaceModel, PrecomputedModel

__all__ = ["FaceModel", "LoadContext", "PrecomputedModel", "load_model", "models", "register_model"]
