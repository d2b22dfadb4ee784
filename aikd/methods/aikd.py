"""AI-KD: adversarial learning and implicit regularization for self-knowledge distillation (section 3)."""

from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from aikd.methods.base import Batch, Method, Network, Setup, Step
from aikd.methods.critic import Critic, critic_loss, frozen
from aikd.methods.losses import cross_entropy, distillation
from aikd.methods.mechanics import adversarial_terms, logit_terms
from aikd.methods.memory import Memory
from aikd.optimisers import Adam
from aikd.streams import Stream, generator, torch_seed

LOOK_EVERY = 10
"""Steps between looks at where L_A pushes, which take two more passes back to the logits."""


class AIKD(Method):
    """L_AI = (1 - α_P - α_G) H(q, p_t) + α_P L_P + α_G L_G + ω L_A        (eq. 8)

    L_G = τ_G² D_KL(p^Sup(x; τ_G) ‖ p_t(x; τ_G))                       (eq. 4)
    L_P = τ_P² D_KL(p_{t-1}(x; τ_P) ‖ p_t(x; τ_P))                     (eq. 5)
    L_A = -E[D(S_t(x))]                                                (eq. 7)

    L_G guides towards the superior model (eq. 4), L_P holds on to the previous epoch (eq. 5), and L_A aligns the
    distribution of the student's outputs with the superior's by fooling the critic (eq. 7), which is trained
    with L_D (eq. 6) just before. A term whose weight is 0 is not computed.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.epoch = 0
        self.previous: Network | None = None
        self.memory: Memory | None = None
        if self.settings.alpha_p > 0 and self.settings.previous == "memory":
            self.memory = Memory(setup.images, setup.classes, setup.device)
        self.critic: Critic | None = None
        if self.settings.omega > 0:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch_seed(setup.seed, Stream.CRITIC_INIT))
                self.critic = Critic(setup.classes, self.settings.critic).to(setup.device)
            c = self.settings.critic
            self.optimiser = Adam(
                self.critic.parameters(), lr=c.learning_rate, betas=(c.beta1, c.beta2), foreach=True
            )

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if self.critic is not None:
            # ε of every interpolate of the epoch, drawn at once: randomness is a function of (seed, epoch).
            shape = (self.setup.steps * self.settings.critic.steps, self.setup.batch_size + 1, 1)
            epsilon = generator(self.setup.seed, Stream.CRITIC, epoch).random(shape, dtype="float32")
            self.epsilon = iter(torch.from_numpy(epsilon).to(self.setup.device))
            self.steps = count()

    def step(self, student: Network, batch: Batch) -> Step:
        s = self.settings
        z = student(batch.images)
        ce = cross_entropy(z, batch.targets)
        loss = (1 - s.alpha_p - s.alpha_g) * ce
        terms = {"ce": ce}
        z_superior = self.setup.superior(batch.images) if self.setup.superior else None

        if s.alpha_p > 0:
            # There is no S_{t-1} in the first epoch: the label stands in for it, and D_KL(q ‖ p) is H(q, p).
            terms["previous"] = self._previous(batch, z) if self.epoch > 0 else ce
            loss = loss + s.alpha_p * terms["previous"]
        if s.alpha_g > 0:
            assert z_superior is not None
            terms["guide"] = distillation(z_superior, z, s.tau_g)  # eq. 4
            loss = loss + s.alpha_g * terms["guide"]
        if self.critic is not None:
            assert z_superior is not None
            terms |= self._train_critic(z.detach(), z_superior)  # eq. 6
            with frozen(self.critic) as critic:
                adversarial = -critic(critic.read(z)).mean()  # eq. 7
            terms["adversarial"] = adversarial
            if next(self.steps) % LOOK_EVERY == 0:  # what was seen stands until the next look
                self.seen = adversarial_terms(z, z_superior, adversarial, loss, s.omega)
            terms |= self.seen
            loss = loss + s.omega * adversarial

        if self.memory is not None:
            self.memory.store(batch, z)
        return Step(loss, z, terms | logit_terms(z, z_superior))

    def _previous(self, batch: Batch, z: Tensor) -> Tensor:
        """L_P (eq. 5) against the frozen S_{t-1}, or against what it said of these images an epoch ago."""
        tau = self.settings.tau_p
        if self.memory is None:
            assert self.previous is not None
            return distillation(self.previous(batch.images), z, tau)
        return batch.targets.blend(*(distillation(past, z, tau) for past in self.memory.recall(batch)))

    def _train_critic(self, z: Tensor, z_superior: Tensor) -> dict[str, Tensor]:
        """The critic's own steps on detached outputs; returns the terms of the last."""
        assert self.critic is not None
        student, superior = self.critic.read(z), self.critic.read(z_superior)
        terms: dict[str, Tensor] = {}
        for _ in range(self.settings.critic.steps):
            loss, terms = critic_loss(
                self.critic, student, superior, next(self.epsilon)[: len(z)], self.settings.critic
            )
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return terms

    def end_epoch(self, student: nn.Module) -> None:
        if self.settings.alpha_p > 0 and self.memory is None:
            self.previous = self.setup.freeze(student)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if self.memory is not None:
            state["memory"] = self.memory.logits
        if self.critic is not None:
            state["critic"] = self.critic.state_dict()
            state["critic_optimiser"] = self.optimiser.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any], student: nn.Module) -> None:
        if self.memory is not None:
            self.memory.logits.copy_(state["memory"])
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])
            self.optimiser.load_state_dict(state["critic_optimiser"])
        # At the end of an epoch S_{t-1} is the student itself.
        self.end_epoch(student)
