"""Small data sets in the published layouts, in memory."""

import io
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from scipy.io import savemat

from aikd.engine.sources.layouts import LAYOUTS, Extras
from aikd.engine.sources.listing import Listing

Files = dict[str, bytes]


class Fake:
    """A container in memory."""

    def __init__(self, files: Files) -> None:
        self.contents = files

    def names(self) -> list[str]:
        return list(self.contents)

    def read(self, names: Collection[str]) -> Files:
        return {name: self.contents[name] for name in names}

    def files(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        return ((name, data) for name, data in self.contents.items() if name in wanted)


def mat(files: list[str], labels: list[Any], **more: Any) -> bytes:
    cells = np.empty((len(files), 1), dtype=object)
    cells[:, 0] = files
    file = io.BytesIO()
    savemat(file, {"file_list": cells, "labels": np.array(labels)[:, None], **more}, do_compression=True)
    return file.getvalue()


# Small data sets in the published layouts

CUB = {
    "CUB_200_2011/images.txt": b"1 001.A/x.jpg\n2 001.A/y.jpg\n3 002.B/z z.jpg\n4 002.B/x.jpg\n",
    "CUB_200_2011/image_class_labels.txt": b"1 1\n2 1\n3 2\n4 2\n",
    "CUB_200_2011/train_test_split.txt": b"1 0\n2 1\n3 1\n4 0\n",
    "CUB_200_2011/classes.txt": b"1 001.A\n2 002.B\n",
}
T = "tiny-imagenet-200/"
TINY = {
    f"{T}val/images/v1.JPEG": b"",
    f"{T}wnids.txt": b"n2\nn1\n",
    f"{T}words.txt": b"n0\tentity\nn1\tgoldfish, Carassius auratus\nn2\tbee\n",
    f"{T}train/n2/images/n2_0.JPEG": b"",
    f"{T}train/n2/n2_boxes.txt": b"",
    f"{T}train/n1/images/n1_9.JPEG": b"",
    f"{T}train/n1/images/n1_10.JPEG": b"",
    f"{T}val/images/v0.JPEG": b"",
    f"{T}val/val_annotations.txt": b"v0.JPEG\tn2\t0\t0\t63\t63\nv1.JPEG\tn1\t0\t0\t1\t1\n",
    f"{T}test/images/t0.JPEG": b"",
}
A = "fgvc-aircraft-2013b/data/"
AIRCRAFT = {
    f"{A}variants.txt": b"707-320\nBoeing 717\nF/A-18\n",
    f"{A}images_variant_trainval.txt": b"0000003 Boeing 717\n0000001 707-320\n0000005 F/A-18\n",
    f"{A}images_variant_test.txt": b"0000002 F/A-18\n0000004 707-320\n0000006 Boeing 717\n",
}
MIT = {
    "Images/bar/a.jpg": b"",
    "Images/attic/b c.jpg": b"",
    "Images/bar/d.jpg": b"",
    "Images/attic/e.jpg": b"",
}
MIT_LISTS = {
    "TrainImages.txt": b"bar/a.jpg\r\nattic/b c.jpg",
    "TestImages.txt": b"attic/e.jpg\nbar/d.jpg\n",
}
DOGS = {
    "train_list.mat": mat(["n2-Pug/n2_7.jpg", "n1-Toy_dog/n1_1.jpg"], [1, 2]),
    "test_list.mat": mat(["n1-Toy_dog/n1_2.jpg", "n2-Pug/n2_1.jpg"], [2, 1]),
}


def read(name: str, files: Files, lists: Files | None = None) -> Listing:
    extras: Extras = {}
    if name == "stanford_dogs":
        extras = {"lists.tar": Fake(lists or {})}
    elif name == "mit67":
        extras = dict(lists or {})
    return LAYOUTS[name].read(Fake(files), extras)
