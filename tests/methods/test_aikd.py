"""AI-KD: eq. 8 term by term against NumPy, and who learns from which term."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from aikd.methods import Step

DEFAULTS = {"alpha_p": 0.3, "alpha_g": 0.1, "omega": 0.1, "tau_p": 1.0, "tau_g": 3.0}
CRITIC_TERMS = {"critic_loss", "distance", "gradient_norm", "adversarial_cosine", "adversarial_share"}
STUDENT, SUPERIOR = ({f"{who}logit_{what}" for what in ("mean", "norm")} for who in ("", "superior_"))
SHOWN = CRITIC_TERMS | STUDENT | SUPERIOR


def values(step: Step) -> dict[str, float]:
    """The terms that the loss is made of."""
    return {name: term.item() for name, term in step.terms.items() if name not in SHOWN}


def critic_by_hand(critic: nn.Module, z: np.ndarray) -> np.ndarray:
    """d(z) of the default critic in eval mode: FC, BatchNorm by running statistics, LeakyReLU .01, FC, mean."""
    s = {name: tensor.double().numpy() for name, tensor in critic.state_dict().items()}
    x = z @ s["fc1.weight"].T + s["fc1.bias"]
    x = (x - s["norm.running_mean"]) / np.sqrt(s["norm.running_var"] + 1e-5)
    x = x * s["norm.weight"] + s["norm.bias"]
    x = np.where(x > 0, x, 0.01 * x) @ s["fc2.weight"].T + s["fc2.bias"]
    d: np.ndarray = x.mean(1)
    return d


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("lam", [1.0, 0.3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tau_p": 2.5, "tau_g": 1.5, "omega": 0.75, "alpha_p": 0.1, "alpha_g": 0.3},
        {"omega": 0},
        {"alpha_g": 0, "omega": 0},
        {"alpha_p": 0, "omega": 0},
        {"alpha_g": 0, "alpha_p": 0},
    ],
    ids=["AI-KD", "other weights", "No Adv", "Only Progressive", "Only Guide", "critic alone"],
)
def test_every_term_and_their_sum(
    tiny: SimpleNamespace, by_hand: SimpleNamespace, settings: dict[str, float], lam: float, epoch: int
) -> None:
    superior, student, last = tiny.Normalised(2), tiny.Linear(1), tiny.Normalised(3)
    method, batch = tiny.make_method("aikd", settings, superior), tiny.make_batch(lam=lam)
    method.end_epoch(last)
    method.begin_epoch(epoch)
    step = method.step(student, batch)

    w = DEFAULTS | settings
    z, sup, past = (
        by_hand.logits_of(student, batch.images),
        by_hand.eval_logits_of(superior, batch.images),
        by_hand.eval_logits_of(last, batch.images),
    )
    labels = ((lam, batch.targets.first), (1 - lam, batch.targets.second))
    terms = {"ce": sum(share * by_hand.cross_entropy(z, label) for share, label in labels)}
    total = (1 - w["alpha_p"] - w["alpha_g"]) * terms["ce"]
    if w["alpha_p"]:
        terms["previous"] = by_hand.distillation(past, z, w["tau_p"]) if epoch else terms["ce"]
        total += w["alpha_p"] * terms["previous"]
    if w["alpha_g"]:
        terms["guide"] = by_hand.distillation(sup, z, w["tau_g"])
        total += w["alpha_g"] * terms["guide"]
    if w["omega"]:
        # The critic has made its step by the time that the student meets it.
        terms["adversarial"] = -critic_by_hand(method.critic, z).mean()
        total += w["omega"] * terms["adversarial"]
    assert values(step) == pytest.approx(terms, rel=1e-4, abs=1e-6)
    assert step.loss.item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("reads", ["logits", "probabilities"])
def test_critic_scores_what_it_reads_of_student_and_superior(
    tiny: SimpleNamespace, by_hand: SimpleNamespace, reads: str
) -> None:
    """Its own terms are those of the critic before its step, the student's that of the critic after it."""
    superior, student, batch = tiny.Normalised(2), tiny.Linear(1), tiny.make_batch()
    critic = {"input": reads, "norm": "none", "learning_rate": 0.1, "penalty": 0}
    method = tiny.make_method("aikd", {"critic": critic}, superior)

    def d(logits: np.ndarray) -> float:
        s = {name: tensor.double().numpy() for name, tensor in method.critic.state_dict().items()}
        x = softmax(logits, axis=1) if reads == "probabilities" else logits
        x = x @ s["fc1.weight"].T + s["fc1.bias"]
        return float((np.where(x > 0, x, 0.01 * x) @ s["fc2.weight"].T + s["fc2.bias"]).mean())

    z, sup = by_hand.logits_of(student, batch.images), by_hand.eval_logits_of(superior, batch.images)
    distance = d(sup) - d(z)
    method.begin_epoch(0)
    terms = method.step(student, batch).terms
    assert terms["distance"].item() == pytest.approx(distance, rel=1e-4)
    assert terms["critic_loss"].item() == pytest.approx(-distance, rel=1e-4)
    assert terms["adversarial"].item() == pytest.approx(-d(z), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, {"ce", "previous", "guide", "adversarial"} | SHOWN),
        ({"omega": 0}, {"ce", "previous", "guide"} | STUDENT | SUPERIOR),
        ({"alpha_g": 0, "omega": 0}, {"ce", "previous"} | STUDENT | SUPERIOR),
        ({"alpha_p": 0, "omega": 0}, {"ce", "guide"} | STUDENT | SUPERIOR),
        ({"alpha_p": 0, "alpha_g": 0}, {"ce", "adversarial"} | SHOWN),
    ],
)
def test_a_term_of_weight_zero_is_neither_computed_nor_logged(
    tiny: SimpleNamespace, settings: dict[str, float], terms: set[str]
) -> None:
    method = tiny.make_method("aikd", settings, tiny.Linear(2))
    method.begin_epoch(0)
    assert method.step(tiny.Linear(1), tiny.make_batch()).terms.keys() == terms
    assert (method.critic is None) == ("adversarial" not in terms)


def test_no_adversary_no_guide_needs_no_superior(tiny: SimpleNamespace) -> None:
    method = tiny.make_method("aikd", {"alpha_g": 0, "omega": 0})
    method.begin_epoch(0)
    assert method.step(tiny.Linear(1), tiny.make_batch()).loss.isfinite()


def test_first_epoch_gives_the_previous_share_to_cross_entropy(tiny: SimpleNamespace) -> None:
    """(1 - α_P - α_G) + α_P: the gradient is that of (1 - α_G) CE + α_G L_G."""
    student, batch, superior = tiny.Linear(1), tiny.make_batch(), tiny.Linear(2)
    methods = [tiny.make_method("aikd", {"alpha_p": p, "omega": 0}, superior) for p in (0.3, 0.0)]
    gradients = []
    for method in methods:
        method.begin_epoch(0)
        gradients.append(tiny.gradient(method.step(student, batch).loss, student))
    torch.testing.assert_close(*gradients)


def test_snapshot_is_the_student_of_the_last_epoch_end_and_stays(
    tiny: SimpleNamespace, by_hand: SimpleNamespace
) -> None:
    """It neither follows the student as that trains on, nor moves its own BatchNorm statistics."""
    student, batch = tiny.Normalised(1), tiny.make_batch()
    method = tiny.make_method("aikd", {"alpha_g": 0, "omega": 0})
    method.begin_epoch(0)
    method.step(student, batch)
    method.end_epoch(student)
    expected = by_hand.eval_logits_of(student, batch.images)
    assert student.training
    assert all(p.requires_grad for p in student.parameters())
    method.begin_epoch(1)
    optimiser = torch.optim.SGD(student.parameters(), lr=0.5)
    for _ in range(3):
        found = method.previous(batch.images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert not found.requires_grad
        step = method.step(student, batch)
        z = step.logits.detach().double().numpy()
        assert step.terms["previous"].item() == pytest.approx(by_hand.distillation(expected, z, 1), rel=1e-4)
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
    method.end_epoch(student)
    np.testing.assert_allclose(
        method.previous(batch.images), by_hand.eval_logits_of(student, batch.images), rtol=1e-4, atol=1e-5
    )


def test_superior_and_snapshot_use_their_running_statistics(
    tiny: SimpleNamespace, by_hand: SimpleNamespace
) -> None:
    """Were they in train mode, an image's logits would depend on the others of its batch."""
    network, images = tiny.Normalised(2), tiny.make_batch().images
    method = tiny.make_method("aikd", {}, network)
    method.end_epoch(network)
    for frozen in (method.previous, method.setup.superior):
        np.testing.assert_allclose(
            frozen(images[:1]), by_hand.eval_logits_of(network, images[:1]), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_memory_recalls_what_was_said_of_each_image(
    tiny: SimpleNamespace, by_hand: SimpleNamespace, lam: float
) -> None:
    """`previous: memory`: PS-KD's table; a mixed image takes both of its images' shares."""
    first, student, tau = tiny.Linear(3), tiny.Linear(1), 2.0
    plain, batch = tiny.make_batch(), tiny.make_batch(lam=lam)
    method = tiny.make_method("aikd", {"previous": "memory", "omega": 0, "tau_p": tau}, tiny.Linear(2))
    method.begin_epoch(0)
    method.step(first, plain)
    method.end_epoch(first)
    method.begin_epoch(1)
    step = method.step(student, batch)
    past, z = by_hand.logits_of(first, plain.images), by_hand.logits_of(student, batch.images)
    expected = lam * by_hand.distillation(past, z, tau) + (1 - lam) * by_hand.distillation(past[::-1], z, tau)
    assert step.terms["previous"].item() == pytest.approx(expected, rel=1e-4)
    # It has been overwritten with this visit's logits by now.
    np.testing.assert_allclose(method.memory.logits[:4], z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_progressive_alone_with_memory_is_pskd_of_constant_alpha(tiny: SimpleNamespace, lam: float) -> None:
    """PS-KD's α_t at epoch 1 of 5 is 0.8 · 2/5; AI-KD with α_P of that value has the same gradient."""
    first, student, plain, batch = tiny.Linear(3), tiny.Linear(1), tiny.make_batch(), tiny.make_batch(lam=lam)
    aikd = tiny.make_method("aikd", {"alpha_p": 0.32, "alpha_g": 0, "omega": 0, "previous": "memory"})
    pskd = tiny.make_method("pskd")
    gradients = []
    for method in (aikd, pskd):
        method.begin_epoch(0)
        method.step(first, plain)
        method.begin_epoch(1)
        gradients.append(tiny.gradient(method.step(student, batch).loss, student))
    torch.testing.assert_close(*gradients)


def test_the_student_learns_from_the_adversarial_term_but_the_critic_does_not(tiny: SimpleNamespace) -> None:
    student = tiny.Linear(1)
    method = tiny.make_method("aikd", {"alpha_p": 0, "alpha_g": 0}, tiny.Linear(2))
    method.begin_epoch(0)
    step = method.step(student, tiny.make_batch())
    method.optimiser.zero_grad()
    step.terms["adversarial"].backward()
    assert all(p.grad is None for p in method.critic.parameters())
    assert all(p.requires_grad for p in method.critic.parameters())
    assert student.fc.weight.grad.abs().sum() > 0


def test_the_student_takes_no_gradient_from_the_critics_steps(tiny: SimpleNamespace) -> None:
    student = tiny.Linear(1)
    method = tiny.make_method("aikd", {"critic": {"steps": 3}}, tiny.Linear(2))
    method.begin_epoch(0)
    step = method.step(student, tiny.make_batch())
    assert all(p.grad is None for p in student.parameters())
    assert all(not step.terms[name].requires_grad for name in CRITIC_TERMS)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_adversarial_gradient_is_that_of_the_fixed_critic(tiny: SimpleNamespace, norm: str) -> None:
    """ω ∂(-mean d(z))/∂z by finite differences of the critic in eval mode."""
    student, batch, superior = tiny.Linear(1), tiny.make_batch(), tiny.Linear(2)
    critic = {"norm": norm, "learning_rate": 0.1}
    method = tiny.make_method("aikd", {"alpha_p": 0, "alpha_g": 0, "omega": 0.5, "critic": critic}, superior)
    method.begin_epoch(0)
    step = method.step(student, batch)
    (found,) = torch.autograd.grad(step.loss - step.terms["ce"], step.logits)
    frozen = method.critic.eval().double()
    z, eps, expected = step.logits.detach().double(), 1e-6, torch.zeros(found.shape, dtype=torch.float64)
    for place in np.ndindex(*z.shape):
        ends = []
        for sign in (1, -1):
            moved = z.clone()
            moved[place] += sign * eps
            ends.append(-0.5 * frozen(moved).mean().item())
        expected[place] = (ends[0] - ends[1]) / (2 * eps)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)


def test_adversarial_term_leaves_the_critics_statistics_alone(tiny: SimpleNamespace) -> None:
    """One joint pass a critic step, and none for the student's loss."""
    method = tiny.make_method("aikd", {"critic": {"steps": 2}}, tiny.Linear(2))
    method.begin_epoch(0)
    method.step(tiny.Linear(1), tiny.make_batch())
    assert method.critic.norm.num_batches_tracked.item() == 2
    assert method.critic.training


def run_critic(tiny: SimpleNamespace, seed: int = 0, epoch: int = 0, **critic: Any) -> dict[str, float]:
    method = tiny.make_method("aikd", {"alpha_p": 0, "critic": critic}, tiny.Linear(2), seed=seed)
    method.begin_epoch(epoch)
    student = tiny.Linear(1)
    steps = [method.step(student, tiny.make_batch(start=start)) for start in (0, 4)]
    return {f"{name}{i}": step.terms[name].item() for i, step in enumerate(steps) for name in CRITIC_TERMS}


def test_critic_is_a_function_of_the_seed_and_its_interpolates_of_the_epoch(tiny: SimpleNamespace) -> None:
    torch.manual_seed(1)
    first = run_critic(tiny)
    torch.manual_seed(2)
    assert run_critic(tiny) == first
    other_seed, other_epoch = run_critic(tiny, seed=1), run_critic(tiny, epoch=1)
    assert other_seed["distance0"] != first["distance0"]
    # In the first step of another epoch the same critic meets the same logits, at other interpolates.
    assert other_epoch["gradient_norm0"] != first["gradient_norm0"]


def test_making_the_critic_leaves_torchs_own_generator_alone(tiny: SimpleNamespace) -> None:
    superior = tiny.Linear(2)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    tiny.make_method("aikd", {}, superior)
    assert torch.equal(torch.rand(1), expected)


def test_critic_is_trained_by_adam_before_the_student_meets_it(tiny: SimpleNamespace) -> None:
    """The adversarial term belongs to the critic after its step; Adam's first step is lr in every coordinate."""
    method = tiny.make_method("aikd", {"critic": {"learning_rate": 0.01}}, tiny.Linear(2))
    before = {name: p.detach().clone() for name, p in method.critic.named_parameters()}
    method.begin_epoch(0)
    method.step(tiny.Linear(1), tiny.make_batch())
    for name in ("fc1.weight", "norm.weight", "fc2.weight"):
        moved = (method.critic.get_parameter(name).detach() - before[name]).abs()
        assert moved.max().item() == pytest.approx(0.01, rel=1e-2), name
    group = method.optimiser.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.01, (0.5, 0.9), 0)


def test_more_critic_steps_move_the_critic_further(tiny: SimpleNamespace) -> None:
    """`critic.steps` on one batch: k Adam steps, each with interpolates of its own."""
    one, three = (tiny.make_method("aikd", {"critic": {"steps": k}}, tiny.Linear(2)) for k in (1, 3))
    for method in (one, three):
        method.begin_epoch(0)
        method.step(tiny.Linear(1), tiny.make_batch())
    assert [int(m.optimiser.state_dict()["state"][0]["step"]) for m in (one, three)] == [1, 3]
    # Each epoch has an ε for all critic steps of all its student steps.
    three.step(tiny.Linear(1), tiny.make_batch(start=4))
    with pytest.raises(StopIteration):
        next(three.epsilon)


def test_a_batch_of_one_more_finds_its_interpolates(tiny: SimpleNamespace) -> None:
    """A last batch of one joins the batch before it, which then has batch size + 1 images."""
    method, four, five = (
        tiny.make_method("aikd", {}, tiny.Linear(2)),
        tiny.make_batch(),
        tiny.make_batch(seed=1),
    )
    targets = type(four.targets)(*(torch.cat([labels, labels[:1]]) for labels in (four.targets.first,) * 2))
    images, index = torch.cat([four.images, five.images[:1]]), torch.arange(5)
    method.begin_epoch(0)
    step = method.step(tiny.Linear(1), type(four)(images, targets, index, index))
    assert step.loss.isfinite()
    assert step.logits.shape == (5, tiny.classes)
