"""Where the pixels of a split are, and how batches are cut out of them."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aikd.augment import (
    Crops,
    CropTensors,
    crops_to,
    cut_and_resize,
    mirrored,
    normalise,
    normalise_image,
    padded_crop,
    resize_and_centre_crop,
    resize_and_cut_centre,
    resized_crop,
)
from aikd.engine.store import Packed
from aikd.study.catalogue import Transform

T = TypeVar("T")
Cut = Callable[[], NDArray[np.uint8]]

LARGE = 128
"""Pixels of a side up to which images of one size are cut on the device that holds them."""
BLOCK = 100
"""Images copied from a file to the device at a time."""
CHUNK = 16
"""Images that one thread cuts before it takes up others: a batch keeps several threads busy."""


class View(NamedTuple):
    """The images an epoch shows, [n] in visiting order, and how each is cropped."""

    order: NDArray[np.int64]
    crops: Crops


class Normalisation:
    """What makes network inputs of pixels 0..255: means and deviations of channels, fractions of 1, and a layout."""

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device, layout: torch.memory_format
    ) -> None:
        self.device, self.layout = device, layout
        self.host_mean, self.host_std = np.array(mean, np.float32), np.array(std, np.float32)
        self.mean, self.std = (torch.tensor(m, dtype=torch.float32, device=device) for m in (mean, std))

    def __call__(self, images: Tensor) -> Tensor:
        """Inputs of pixels [B, 3, H, W] on the device."""
        # The layout changes while pixels are still single bytes, a quarter of the work.
        return normalise(images.contiguous(memory_format=self.layout), self.mean, self.std)

    def on_host(self, image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Inputs of one image [H, W, 3]: the same numbers."""
        normalise_image(image, self.host_mean, self.host_std, out)


class Pixels(Protocol):
    """The images of one split. Batches come on the device as network inputs, float32 [B, 3, size, size]."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each image, [N, 2]."""

    def crops(self, views: Sequence[View], batches: Sequence[int]) -> Iterator[list[Tensor]]:
        """Training crops in consecutive batches of the given sizes: one of each view."""

    def centres(self, batch: int) -> Iterator[Tensor]:
        """All images in order through the test transform, `batch` at a time.

        Raises:
            UserError: the centre crop does not fit into an image.
        """


def pixels_of(
    images: NDArray[np.uint8] | Packed,
    positions: NDArray[np.int64],
    transform: Transform,
    normalisation: Normalisation,
) -> Pixels:
    """The chosen images of a split, where they are best cut.

    Args:
        images: of one size, uint8 [N, 3, H, W]; or a `Packed`.
        positions: which of them to take, in stored order.
    """
    if isinstance(images, Packed):
        return HostPixels(images, positions, transform, normalisation)
    if on_host(images, transform):
        return HostPixels(_OneSize(images), positions, transform, normalisation)
    return DevicePixels(images, positions, transform, normalisation)


def on_host(images: NDArray[np.uint8] | Packed, transform: Transform) -> bool:
    """Whether images are cut on the host, which rounds resized pixels, and not on the device.

    Small images of one size are copied to the device, and larger ones for padded crops, which therefore have to fit.
    Photographs stay in their file, and so do those that happen to have one size and are to be resized: they would fill
    a device, and a CPU cuts them ten times faster one by one.
    """
    return isinstance(images, Packed) or (transform.crop == "resized" and max(images.shape[2:]) > LARGE)


class _OneSize:
    """Images uint8 [N, 3, H, W] as `Packed` gives them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = images
        self.sizes: NDArray[np.int64] = np.broadcast_to(np.array(images.shape[2:]), (len(images), 2))

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._images[i]
        return image.transpose(1, 2, 0)


class DevicePixels:
    """Images of one size, all of them on the device: uint8 [N, 3, H, W]. Resized crops are not rounded."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        positions: NDArray[np.int64],
        transform: Transform,
        normalisation: Normalisation,
    ) -> None:
        self.transform, self.normalised, self.device = transform, normalisation, normalisation.device
        self.sizes = np.broadcast_to(images.shape[2:], (len(positions), 2))
        # Read once and in the file's order, as an epoch's random order is slow on a network disk; and block by
        # block, so that the host holds no second copy.
        self.images = torch.empty((len(positions), *images.shape[1:]), dtype=torch.uint8, device=self.device)
        for start in range(0, len(positions), BLOCK):
            block = images[positions[start : start + BLOCK]]
            self.images[start : start + BLOCK] = torch.from_numpy(block)

    def crops(self, views: Sequence[View], batches: Sequence[int]) -> Iterator[list[Tensor]]:
        """See `Pixels`."""
        yield from map(list, zip(*(self._crops(view, batches) for view in views), strict=True))

    def _crops(self, view: View, batches: Sequence[int]) -> Iterator[Tensor]:
        columns = (torch.from_numpy(view.order).to(self.device), *crops_to(view.crops, self.device))
        for index, *crops in zip(*(column.split(batches) for column in columns), strict=True):
            yield self.normalised(self._crop(index, CropTensors(*crops)))

    def _crop(self, index: Tensor, crops: CropTensors) -> Tensor:
        t, (*box, flip) = self.transform, crops
        if t.crop == "padded":
            return padded_crop(
                self.images, index, crops.top, crops.left, size=t.size, padding=t.padding, flip=flip
            )
        return resized_crop(self.images.index_select(0, index), *box, size=t.size, flip=flip)

    def centres(self, batch: int) -> Iterator[Tensor]:
        """See `Pixels`."""
        for images in self.images.split(batch):
            yield self.normalised(resize_and_centre_crop(images, self.transform.resize, self.transform.size))


class HostPixels:
    """Images in a memory-mapped file, cut and resized on the host's cores ahead of their use.

    Resized pixels are rounded. The same threads normalise what the host itself is to compute with: in the main thread
    it would take turns with them. A device gets single bytes and does it on its own.
    """

    def __init__(
        self,
        images: Packed | _OneSize,
        positions: NDArray[np.int64],
        transform: Transform,
        normalisation: Normalisation,
    ) -> None:
        self.images, self.positions, self.transform = images, positions, transform
        self.normalised, self.device = normalisation, normalisation.device
        self.sizes = images.sizes[positions]
        self.here = self.device.type == "cpu"
        # From pinned memory the copy to the device runs beside the host's work.
        self.pinned = self.device.type == "cuda" and torch.cuda.is_available()

    def crops(self, views: Sequence[View], batches: Sequence[int]) -> Iterator[list[Tensor]]:
        """See `Pixels`."""
        spans = [range(end - n, end) for end, n in zip(np.cumsum(batches).tolist(), batches, strict=True)]
        cuts = (partial(self._crop, view, i) for span in spans for view in views for i in span)
        stacks = self._stacks(cuts, [len(span) for span in spans for _ in views])
        for _ in spans:
            yield [next(stacks) for _ in views]

    def _crop(self, view: View, i: int) -> NDArray[np.uint8]:
        crops = view.crops
        box = (int(edge[i]) for edge in (crops.top, crops.left, crops.height, crops.width))
        cut = cut_and_resize(self._image(view.order[i]), *box, size=self.transform.size)
        return mirrored(cut) if crops.flip[i] else cut

    def centres(self, batch: int) -> Iterator[Tensor]:
        """See `Pixels`."""
        n = len(self.positions)
        cuts = (partial(self._centre, i) for i in range(n))
        return self._stacks(cuts, _parts(n, batch))

    def _centre(self, i: int) -> NDArray[np.uint8]:
        return resize_and_cut_centre(self._image(i), self.transform.resize, self.transform.size)

    def _image(self, i: int) -> NDArray[np.uint8]:
        return self.images[int(self.positions[i])]

    def _stacks(self, cuts: Iterator[Cut], sizes: Sequence[int]) -> Iterator[Tensor]:
        """The images that `cuts` make as network inputs, in consecutive batches of the given sizes, on the device."""
        batches: deque[Tensor] = deque()

        def tasks() -> Iterator[Callable[[], None]]:
            for size in sizes:
                # Threads write into the batch itself: putting it together from parts would be one more copy.
                pixels, batch = self._empty(size)
                batches.append(batch)
                for start in range(0, size, CHUNK):
                    part = pixels[start : start + CHUNK]
                    yield partial(self._fill, part, list(islice(cuts, len(part))))

        threads = torch.get_num_threads()
        done = ahead(tasks(), threads, max(threads, 2 * math.ceil(max(sizes, default=0) / CHUNK)))
        for size in sizes:
            for _ in _parts(size, CHUNK):
                next(done)
            batch = batches.popleft().to(self.device, non_blocking=self.pinned).permute(0, 3, 1, 2)
            if self.here:
                yield batch.contiguous(memory_format=self.normalised.layout)
            else:
                yield self.normalised(batch)

    def _empty(self, images: int) -> tuple[NDArray[Any], Tensor]:
        """Room for images [n, size, size, 3], twice the same: floats for the host itself, single bytes for a device."""
        shape = images, self.transform.size, self.transform.size, 3
        if self.pinned:
            batch = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            return batch.numpy(), batch
        pixels = np.empty(shape, np.float32 if self.here else np.uint8)
        return pixels, torch.from_numpy(pixels)

    def _fill(self, part: NDArray[Any], cuts: Sequence[Cut]) -> None:
        for pixels, cut in zip(part, cuts, strict=True):
            if self.here:
                self.normalised.on_host(cut(), pixels)
            else:
                pixels[...] = cut()


def ahead(tasks: Iterable[Callable[[], T]], threads: int, limit: int) -> Iterator[T]:
    """Results of `tasks` in order, computed by threads before they are asked for.

    At most `limit` results wait. A task's exception is raised where its result would have come. The threads end
    with the iterator, be it exhausted, closed or forgotten.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="aikd-images")
    pending: deque[Future[T]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(task))
            if len(pending) > limit:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(n: int, size: int) -> list[int]:
    """`n` in parts of `size`, the last one possibly smaller."""
    return [min(size, n - start) for start in range(0, n, size)]
