"""The methods by name: their settings, with the defaults of the paper and of the methods' own published code.

Only settings live here, so that a study can be checked without importing torch. What a method does with
them is in `aikd/methods/`, one file each.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, Strict, model_validator

from aikd.study.explain import allowed
from aikd.study.fields import Count, Fraction, NonNegative, Positive, Section, Typed
from aikd.study.registry import Registry


class MethodSettings(Section):
    """What every method's settings share."""

    derived: ClassVar[dict[str, frozenset[str]]] = {}
    """Settings that follow from others, and from which: they name no run."""

    @property
    def needs_superior(self) -> bool:
        """Whether training needs the pre-trained superior model (the Baseline run of the same data, model, seed)."""
        return False

    @property
    def frozen_passes(self) -> tuple[int, int]:
        """Passes without gradient that a step makes beside the student's own, in the first epoch and in each later one.

        Of the superior model, unless a method says otherwise.
        """
        return int(self.needs_superior), int(self.needs_superior)

    @property
    def remembers(self) -> bool:
        """Whether the method keeps a table of the logits of each training image."""
        return False


class BaselineSettings(MethodSettings):
    """Mean cross-entropy; nothing to set."""


class CSKDSettings(MethodSettings):
    """CS-KD: consistency between two images of one class (Yun et al., CVPR 2020)."""

    temperature: Positive = 4.0
    """Temperature T of both distributions."""
    weight: NonNegative = 1.0
    """Weight λ of the class-wise term: 1 on coarse sets, 3 on fine-grained ones in the published code."""

    @property
    def frozen_passes(self) -> tuple[int, int]:
        return 1, 1  # the partners through the student


class TFKDSettings(MethodSettings):
    """TF-KD (self-training): the superior model as the teacher (Yuan et al., CVPR 2020)."""

    alpha: Fraction = 0.95
    """Weight α of the teacher's term; cross-entropy has 1 - α. DenseNet-121: .9."""
    temperature: Positive = 6.0
    """Temperature T of both distributions. DenseNet-121: 20."""
    kl_weight: NonNegative = 0.5
    """Factor on the batch-mean KL: the published code's multiplier 50 over 100 classes."""

    @property
    def needs_superior(self) -> bool:
        return True


class PSKDSettings(MethodSettings):
    """PS-KD: targets softened by the last epoch's own predictions (Kim et al., ICCV 2021)."""

    alpha: Fraction = 0.8
    """Weight of the past predictions in the last epoch; it grows linearly from the first."""

    @property
    def remembers(self) -> bool:
        return True


class CriticSettings(Section):
    """The discriminator that tells student from superior (section 3.1 and eq. 6)."""

    fc1: Count = 64
    """Outputs of the first fully connected layer."""
    fc2: Count = 32
    """Outputs of the second fully connected layer."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation between the two layers; the paper has BatchNorm."""
    head: Literal["mean", "linear"] = "mean"
    """How fc2 outputs become the scalar d(x): their mean, or one more linear layer."""
    input: Literal["logits", "probabilities"] = "logits"
    """What the critic reads: raw logits (section 4.2) or softmax probabilities (section 3.1). docs/critic.md
    has both side by side."""
    passes: Literal["joint", "separate"] = "joint"
    """Student, superior and interpolates in one train-mode pass, or each in its own (the naive reading,
    in which BatchNorm hides the very shift that the critic is to see)."""
    middle_term: Literal["kept", "dropped"] = "kept"
    """Eq. 6's term of the superior model: kept, or dropped as the text literally says."""
    steps: Count = 1
    """Critic updates per student step."""
    learning_rate: Positive = 1e-4
    """Adam's learning rate."""
    beta1: Fraction = 0.5
    """Adam's first moment decay."""
    beta2: Fraction = 0.9
    """Adam's second moment decay."""
    penalty: NonNegative = 10.0
    """Weight of the gradient penalty (λ in eq. 6)."""
    slope: Annotated[float, Strict(), Field(ge=0, lt=1, allow_inf_nan=False), Typed] = 0.01
    """Negative slope of the LeakyReLU."""


class AIKDSettings(MethodSettings):
    """AI-KD (eq. 8): guide, previous epoch and critic."""

    derived = {"alpha_ce": frozenset({"alpha_p", "alpha_g"})}

    alpha_ce: Fraction | None = None
    """Weight of cross-entropy: always 1 - alpha_p - alpha_g, so it need not be given; if it is, the sum is checked."""
    alpha_p: Fraction = 0.3
    """Weight α_P of the previous epoch's term L_P (eq. 5)."""
    alpha_g: Fraction = 0.1
    """Weight α_G of the superior model's term L_G (eq. 4)."""
    omega: NonNegative = 0.1
    """Weight ω of the adversarial term L_A (eq. 7); 0 leaves the critic out."""
    tau_p: Positive = 1.0
    """Temperature τ_P of L_P."""
    tau_g: Positive = 3.0
    """Temperature τ_G of L_G."""
    previous: Literal["snapshot", "memory"] = "snapshot"
    """S_{t-1}: a frozen copy of the student, or a table of what it said of each image one epoch ago."""
    critic: CriticSettings = CriticSettings()

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        rest = 1 - self.alpha_p - self.alpha_g
        if self.alpha_ce is not None and abs(self.alpha_ce - rest) > 1e-9:
            total = self.alpha_ce + self.alpha_p + self.alpha_g
            raise ValueError(
                f"the weights must sum to 1: alpha_ce {self.alpha_ce:g} + alpha_p {self.alpha_p:g} "
                f"+ alpha_g {self.alpha_g:g} = {total:g}"
            )
        if rest < -1e-9:
            raise ValueError(
                f"the weights must sum to 1: alpha_p {self.alpha_p:g} + alpha_g {self.alpha_g:g} leave "
                f"{rest:g} for cross-entropy"
            )
        # Derived, so it must not make two equal runs look different.
        object.__setattr__(self, "alpha_ce", round(max(rest, 0.0), 12))
        return self

    @property
    def needs_superior(self) -> bool:
        return self.alpha_g > 0 or self.omega > 0

    @property
    def frozen_passes(self) -> tuple[int, int]:
        superior = int(self.needs_superior)
        # From the second epoch on the previous student, unless its outputs are remembered.
        return superior, superior + int(self.alpha_p > 0 and not self.remembers)

    @property
    def remembers(self) -> bool:
        return self.alpha_p > 0 and self.previous == "memory"


VARIED = frozenset({"alpha_p", "alpha_g", "omega", "tau_p", "tau_g", "critic.fc1", "critic.fc2"})
"""Settings that the paper varies: another value is another experiment. What else differs is another reading of the
same experiment, and is compared with the same number."""


@dataclass(frozen=True)
class MethodSpec:
    """A method as a study knows it: how tables call it, its settings, and where its code is."""

    label: str
    settings: type[MethodSettings]
    implementation: str = ""
    """`module:class`, imported only to train; empty for an extension's method, whose class is there already."""

    @cached_property
    def defaults(self) -> MethodSettings:
        return self.settings()

    def check(self, settings: dict[str, Any]) -> MethodSettings:
        """Settings (nested) completed with the defaults.

        Raises:
            pydantic.ValidationError: an unknown setting, a wrong type or a value out of range.
        """
        return self.settings.model_validate(settings)


METHODS: Registry[MethodSpec] = Registry("method", {
    "baseline": MethodSpec("Baseline", BaselineSettings, "aikd.methods.baseline:Baseline"),
    "cskd": MethodSpec("CS-KD", CSKDSettings, "aikd.methods.cskd:CSKD"),
    "tfkd": MethodSpec("TF-KD", TFKDSettings, "aikd.methods.tfkd:TFKD"),
    "pskd": MethodSpec("PS-KD", PSKDSettings, "aikd.methods.pskd:PSKD"),
    "aikd": MethodSpec("AI-KD", AIKDSettings, "aikd.methods.aikd:AIKD"),
})  # fmt: skip


def method_spec(name: str) -> MethodSpec:
    """The method called `name`.

    Raises:
        UserError: no method has this name.
    """
    return METHODS.get(name) or allowed("method", name, METHODS)
