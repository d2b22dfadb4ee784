"""All that an extension needs: `from aikd.extend import …`. Importing it loads no torch. See docs/extend.md.

In `Method.step` the student is a function of images; the module itself comes in `end_epoch`.
"""

from aikd.methods import Batch, Method, Network, Setup, Step, Targets
from aikd.methods.own import method
from aikd.study.catalogue import DataSet, Transform
from aikd.study.extensions import augmentation, data_set, model
from aikd.study.fields import Count, Flag, Fraction, NonNegative, Positive, Section, Whole
from aikd.study.methods import AIKDSettings, MethodSettings

__all__ = [
    "AIKDSettings",
    "Batch",
    "Count",
    "DataSet",
    "Flag",
    "Fraction",
    "Method",
    "MethodSettings",
    "Network",
    "NonNegative",
    "Positive",
    "Section",
    "Setup",
    "Step",
    "Targets",
    "Transform",
    "Whole",
    "augmentation",
    "data_set",
    "method",
    "model",
]
