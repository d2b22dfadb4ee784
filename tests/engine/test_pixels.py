"""Batches cut on the host out of images of many sizes, against torchvision; and the threads that cut them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torchvision.transforms.v2 import functional as tv

from aikd.augment import Crops, draw_crops, draw_epoch
from aikd.engine import data as engine_data
from aikd.engine.data import TrainingData
from aikd.engine.pixels import DevicePixels, HostPixels, ahead
from aikd.engine.precision import Precision
from aikd.engine.store import Packed, Prepared
from aikd.errors import UserError
from aikd.methods import Batch
from aikd.streams import Stream, generator

CPU = Precision("fp32", torch.device("cpu"))
PREPARED = Prepared(Path("nowhere"), {"name": "birds", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]})
RESIZED = {"size": 24, "crop": "resized", "resize": 30, "mean": [0, 0, 0], "std": [1, 1, 1]}
"""Inputs are pixels / 255."""
N = 41
LABELS = np.random.default_rng(1).permutation(np.arange(N) % 5)


Images = list[NDArray[np.uint8]]


def photograph(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (3, height // 4, width // 4), dtype=np.uint8)
    smooth: NDArray[np.uint8] = tv.resize(torch.from_numpy(coarse), [height, width]).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(smooth)


@pytest.fixture(scope="module")
def images() -> Images:
    """Heights and widths from 25 to 69 pixels, some shorter than the evaluation's 30."""
    sides = np.random.default_rng(0).integers(25, 70, (N, 2)).tolist()
    sides[3], sides[20] = [30, 55], [48, 30]
    return [photograph(height, width, i) for i, (height, width) in enumerate(sides)]


@pytest.fixture(scope="module")
def packed(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """The images in a file, which holds them in another order."""
    file, index, offset = tmp_path_factory.mktemp("packed") / "images.bin", np.zeros((N, 3), np.int64), 0
    order = np.random.default_rng(2).permutation(N)
    file.write_bytes(b"".join(images[i].tobytes() for i in order))
    for i in order:
        index[i] = offset, *images[i].shape[:2]
        offset += images[i].size
    return Packed(np.memmap(file, np.uint8, "r"), index)


def training(
    packed: Packed, positions: Any = None, labels: Any = LABELS, precision: Precision = CPU, **transform: Any
) -> TrainingData:
    settings = {"transform": RESIZED | transform}
    return TrainingData(PREPARED, settings, packed, labels, precision, positions)


def epoch(
    data: TrainingData, number: int = 3, partners: bool = False, batch_size: int = 20
) -> Iterator[Batch]:
    """Batches of 20 and 21 images."""
    return data.epoch(7, number, batch_size, {"name": "standard"}, partners)


def same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    return all(
        torch.equal(mine.images, theirs.images)
        and torch.equal(mine.index, theirs.index)
        and torch.equal(mine.targets.first, theirs.targets.first)
        and (mine.partners is None or torch.equal(mine.partners, theirs.partners))  # type: ignore[arg-type]
        for mine, theirs in zip(first, second, strict=True)
    )


def at_work() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("aikd-images")]


def cropped(images: Images, order: NDArray[np.int64], crops: Crops, size: int) -> Tensor:
    """By torchvision, one image after the other."""
    cut = []
    for i, *box, flip in zip(
        order, crops.top, crops.left, crops.height, crops.width, crops.flip, strict=True
    ):
        image = torch.tensor(images[i]).permute(2, 0, 1)
        square = tv.resized_crop(image, *(int(edge) for edge in box), [size, size], antialias=True)
        cut.append(tv.horizontal_flip(square) if flip else square)
    return torch.stack(cut)


def assert_alike(inputs: Tensor, pixels: Tensor) -> None:
    """Network inputs are the pixels, but for one grey level."""
    assert inputs.shape == pixels.shape
    assert (inputs * 255 - pixels).abs().max() < 1.001


@pytest.mark.parametrize("partners", [False, True])
def test_batches_are_torchvisions_crops_at_the_drawn_places(
    packed: Packed, images: Images, partners: bool
) -> None:
    data = training(packed)
    draws = draw_epoch(
        7,
        3,
        N,
        20,
        packed.sizes,
        transform=data.transform,
        augmentation_name="standard",
        augmentation_settings={},
    )
    seen = list(epoch(data, partners=partners))
    assert [len(batch.index) for batch in seen] == [20, 21]
    assert torch.cat([batch.index for batch in seen]).tolist() == draws.order.tolist()
    assert torch.cat([batch.targets.first for batch in seen]).tolist() == LABELS[draws.order].tolist()
    inputs = torch.cat([batch.images for batch in seen])
    assert_alike(inputs, cropped(images, draws.order, draws.crops, 24))
    for batch in seen:
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.partners is not None) == partners
    if partners:
        chosen = data.partners(generator(7, Stream.PARTNER, 3))[draws.order]
        rng = generator(7, Stream.PARTNER_CROP, 3)
        crops = draw_crops(rng, N, packed.sizes[chosen], data.transform)
        assert (LABELS[chosen] == LABELS[draws.order]).all()
        others = torch.cat([batch.partners for batch in seen if batch.partners is not None])
        assert_alike(others, cropped(images, chosen, crops, 24))


@pytest.mark.parametrize(("side", "host"), [(128, False), (129, True)])
def test_photographs_of_one_size_are_cut_as_those_of_many(side: int, host: bool) -> None:
    """Large ones stay in their file and are cut on the host, to the same pixels as from a file of many sizes."""
    images = [photograph(64, side, i) for i in range(N)]
    array = np.stack(images).transpose(0, 3, 1, 2)
    data = TrainingData(PREPARED, {"transform": RESIZED}, array, LABELS, CPU)
    assert isinstance(data.pixels, HostPixels) == host
    assert data.pixels.sizes.tolist() == [[64, side]] * N
    index = np.array([[i * 64 * side * 3, 64, side] for i in range(N)])
    packed = training(Packed(np.concatenate([image.ravel() for image in images]), index))
    for mine, theirs in zip(epoch(data), epoch(packed), strict=True):
        assert (mine.images - theirs.images).abs().max() < 1.001 / 255
        assert not host or torch.equal(mine.images, theirs.images)
    for (mine, _), (theirs, _) in zip(data.evaluation(), packed.evaluation(), strict=True):
        assert (mine - theirs).abs().max() < 1.001 / 255


def test_large_images_for_padded_crops_are_on_the_device() -> None:
    array = np.zeros((N, 3, 200, 200), np.uint8)
    transform = {"size": 200, "mean": [0, 0, 0], "std": [1, 1, 1]}
    data = TrainingData(PREPARED, {"transform": transform}, array, LABELS, CPU)
    assert isinstance(data.pixels, DevicePixels)


def test_partners_do_not_change_the_batches(packed: Packed) -> None:
    data = training(packed)
    with_partners, without = (torch.cat([b.images for b in epoch(data, partners=p)]) for p in (True, False))
    assert torch.equal(with_partners, without)


def test_chosen_images_are_those_of_a_set_of_their_own(packed: Packed) -> None:
    chosen = np.array([2, 3, 5, 8, 13, 20, 21, 34, 40])
    part = training(packed, chosen)
    whole = training(Packed(packed._data, packed._index[chosen]), labels=LABELS[chosen])
    assert len(part) == len(whole) == 9
    assert same(list(epoch(part, partners=True)), list(epoch(whole, partners=True)))
    for mine, theirs in zip(part.evaluation(), whole.evaluation(), strict=True):
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])


def test_the_number_of_threads_changes_nothing(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen, evaluated = training(packed), [], []
    for threads in (1, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        batches = epoch(data, partners=True, batch_size=7)
        seen.append([next(batches)])
        assert 1 <= len(at_work()) <= threads
        seen[-1] += batches
        evaluated.append(torch.cat([images for images, _ in data.evaluation()]))
    assert same(*seen)
    assert torch.equal(*evaluated)


def test_an_epoch_does_not_depend_on_those_before(packed: Packed) -> None:
    data = training(packed)
    straight = [list(epoch(data, number)) for number in range(3)]
    assert same(list(epoch(training(packed), 2)), straight[2])
    assert not torch.equal(straight[1][0].index, straight[2][0].index)


def test_memory_layout_is_a_matter_of_speed(packed: Packed) -> None:
    plain = training(packed, precision=Precision("fp32", torch.device("cpu"), channels_last=False))
    (first, *_), (second, *_) = epoch(training(packed)), epoch(plain)
    assert torch.equal(first.images, second.images)
    assert second.images.is_contiguous()


def test_evaluation_is_torchvisions_in_order(
    packed: Packed, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly so where the short side need not be resized."""
    monkeypatch.setattr(engine_data, "EVALUATION_BATCH", 18)
    evaluated = list(training(packed).evaluation())
    assert [len(labels) for _, labels in evaluated] == [18, 18, 5]
    inputs, labels = (torch.cat(parts) for parts in zip(*evaluated, strict=True))
    assert labels.tolist() == LABELS.tolist()
    tensors = [torch.tensor(image).permute(2, 0, 1) for image in images]
    expected = torch.stack(
        [tv.center_crop(tv.resize(image, [30], antialias=True), [24, 24]) for image in tensors]
    )
    assert_alike(inputs, expected)
    assert torch.equal((inputs[[3, 20]] * 255).round().byte(), expected[[3, 20]])


def test_inputs_are_normalised_by_the_moments_of_the_training_images(packed: Packed) -> None:
    inputs = torch.cat([images for images, _ in training(packed, mean=None, std=None).evaluation()])
    pixels = torch.cat([images for images, _ in training(packed).evaluation()])
    torch.testing.assert_close(
        inputs, tv.normalize(pixels, PREPARED.manifest["mean"], PREPARED.manifest["std"])
    )


def test_inputs_are_to_the_bit_those_of_a_batch_normalised_at_once(packed: Packed) -> None:
    """As a device makes them of single bytes."""
    data = training(packed, mean=None, std=None)
    there = training(packed, mean=None, std=None)
    assert isinstance(there.pixels, HostPixels)
    there.pixels.here = False
    assert same(list(epoch(data, partners=True)), list(epoch(there, partners=True)))
    for (mine, _), (theirs, _) in zip(data.evaluation(), there.evaluation(), strict=True):
        assert torch.equal(mine, theirs)


def test_an_evaluation_crop_that_does_not_fit_is_a_user_error(packed: Packed) -> None:
    with pytest.raises(UserError, match="a centre crop of size 26 does not fit into a test image of"):
        list(training(packed, size=26, resize=None).evaluation())
    assert not at_work()


def test_padded_crops_are_refused_where_sizes_differ_but_not_their_evaluation(packed: Packed) -> None:
    data = training(packed, crop="padded", padding=4)
    with pytest.raises(
        UserError, match=r"data\.birds\.transform\.crop: found 'padded'.*of birds differ.*allowed.*'resized'"
    ):
        next(epoch(data))
    assert len(next(data.evaluation())[0]) == N


def test_batches_go_to_the_gpu(packed: Packed) -> None:
    """Cut on the host they are real tensors; what follows runs without values, hence waits for none."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        data = training(packed, precision=Precision("fp32", torch.device("cuda")))
        batch = next(epoch(data, partners=True))
        images, labels = next(data.evaluation())
    assert batch.partners is not None
    tensors = (batch.images, batch.partners, batch.targets.first, batch.index, batch.mixed, images, labels)
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert batch.images.shape == batch.partners.shape == (20, 3, 24, 24)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_an_abandoned_epoch_leaves_no_thread(packed: Packed) -> None:
    batches = epoch(training(packed), batch_size=2)
    next(batches)
    assert at_work()
    del batches
    assert not at_work()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_step_leaves_no_thread(packed: Packed, error: type[BaseException]) -> None:
    def train() -> None:
        for _ in epoch(training(packed), batch_size=2):
            raise error

    with pytest.raises(error):
        train()
    assert not at_work()


def test_an_image_that_cannot_be_read_is_reported_and_leaves_no_thread(packed: Packed) -> None:
    index = packed._index.copy()
    index[17, 0] = len(packed._data) - 10
    with pytest.raises(ValueError, match="cannot reshape array of size 10"):
        list(epoch(training(Packed(packed._data, index)), batch_size=2))
    assert not at_work()


def squares(numbers: range, log: list[int] | None = None) -> Iterator[Callable[[], int]]:
    """Tasks; `log` notes those handed out."""
    for i in numbers:
        if log is not None:
            log.append(i)
        yield lambda i=i: i * i  # type: ignore[misc]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("limit", [0, 1, 4, 50])
def test_results_come_in_order(threads: int, limit: int) -> None:
    assert list(ahead(squares(range(20)), threads, limit)) == [i * i for i in range(20)]
    assert list(ahead(squares(range(0)), threads, limit)) == []


def test_results_come_in_order_though_later_tasks_end_first() -> None:
    later_is_done = threading.Event()

    def slow() -> str:
        return "slow" if later_is_done.wait(30) else "never"

    def quick() -> str:
        later_is_done.set()
        return "quick"

    assert list(ahead([slow, quick], threads=2, limit=1)) == ["slow", "quick"]


def test_no_more_tasks_are_begun_than_the_limit_allows() -> None:
    begun: list[int] = []
    results = ahead(squares(range(100), begun), threads=2, limit=5)
    for taken in range(1, 10):
        next(results)
        assert len(begun) == taken + 5


def test_an_error_comes_where_its_result_would_have() -> None:
    def fail() -> int:
        raise UserError("the third")

    tasks = [*squares(range(2)), fail, *squares(range(5))]
    results = ahead(tasks, threads=2, limit=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match="the third"):
        next(results)
    assert not at_work()
