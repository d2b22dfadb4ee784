"""Archives of a few small images in each published layout, and a server that has them."""

import io
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

Files = dict[str, bytes]

COUNTS = {"classes": 2, "train": 6, "test": 4}
"""Of every archive here: three training and two test images of each of two classes."""
CLASSES = ("ape", "bee")


def picture(
    label: int, i: int, *, size: tuple[int, int] = (48, 40), mode: str = "RGB", kind: str = "JPEG"
) -> bytes:
    """A noisy image, brighter in the second class."""
    pixels = np.random.default_rng([label, i]).integers(0, 128, (size[1], size[0], 3)) + 127 * label
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(file, kind)
    return file.getvalue()


def pictures(names: Mapping[str, str]) -> Files:
    """Five images of each class under names with `{c}` for the class and `{i}` for the number, by class."""
    return {names[c].format(c=c, i=i): picture(label, i) for label, c in enumerate(CLASSES) for i in range(5)}


def tar(files: Files, mode: str = "w") -> bytes:
    """A tar file, or a compressed one."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as out:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def cifar100() -> Files:
    """Pickles of numpy arrays, as they are published."""

    def split(n: int) -> bytes:
        images = np.random.default_rng(n).integers(0, 256, (2 * n, 3072), dtype=np.uint8)
        content = {b"data": images, b"fine_labels": [0, 1] * n, b"coarse_labels": [0, 0] * n}
        return pickle.dumps(content, protocol=2)

    meta = pickle.dumps({b"fine_label_names": [name.encode() for name in CLASSES]}, protocol=2)
    files = {"train": split(3), "test": split(2), "meta": meta}
    folder = {f"cifar-100-python/{name}": data for name, data in files.items()}
    return {"cifar-100-python.tar.gz": tar(folder, "w:gz")}


def tiny_imagenet() -> Files:
    """Folders for training, a list of boxes for validation."""
    root, annotations = "tiny-imagenet-200", []
    files = {f"{root}/wnids.txt": b"n01\nn02\n", f"{root}/words.txt": b"n01\tape\nn02\tbee, insect\n"}
    for label, wnid in enumerate(("n01", "n02")):
        for i in range(3):
            files[f"{root}/train/{wnid}/images/{wnid}_{i}.JPEG"] = picture(label, i, size=(64, 64), mode="L")
        for i in (3, 4):
            files[f"{root}/val/images/val_{label}{i}.JPEG"] = picture(label, i, size=(64, 64))
            annotations.append(f"val_{label}{i}.JPEG\t{wnid}\t0\t0\t62\t62\n")
    files[f"{root}/val/val_annotations.txt"] = "".join(annotations).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return {"tiny-imagenet-200.zip": archive.getvalue()}


def cub200() -> Files:
    """Lists that numbers link; they stand behind the images."""
    paths = [f"00{label + 1}.{c}/{c}_{i}.jpg" for label, c in enumerate(CLASSES) for i in range(5)]
    labels, inside = [n // 5 for n in range(10)], [int(n % 5 < 3) for n in range(10)]

    def numbered(rows: list[object]) -> bytes:
        return "".join(f"{n} {row}\n" for n, row in enumerate(rows, 1)).encode()

    files = {
        f"images/{path}": picture(label, n) for n, (path, label) in enumerate(zip(paths, labels, strict=True))
    }
    files |= {
        "images.txt": numbered([*paths]),
        "image_class_labels.txt": numbered([label + 1 for label in labels]),
        "train_test_split.txt": numbered([*inside]),
        "classes.txt": numbered(["001.ape", "002.bee"]),
    }
    return {"CUB_200_2011.tgz": tar({f"CUB_200_2011/{name}": data for name, data in files.items()}, "w:gz")}


def stanford_dogs() -> Files:
    """MATLAB's lists in an archive of their own."""
    images = pictures({"ape": "n1-{c}/x{i}.jpg", "bee": "n2-{c}/x{i}.jpg"})

    def mat(numbers: tuple[int, ...]) -> bytes:
        names = [f"n{label}-{c}/x{i}.jpg" for label, c in enumerate(CLASSES, 1) for i in numbers]
        cells = np.empty((len(names), 1), dtype=object)
        cells[:, 0] = names
        file = io.BytesIO()
        savemat(file, {"file_list": cells, "labels": np.array([[int(name[1])] for name in names])})
        return file.getvalue()

    lists = {"train_list.mat": mat((0, 1, 2)), "test_list.mat": mat((3, 4))}
    return {
        "images.tar": tar({f"Images/{name}": data for name, data in images.items()}),
        "lists.tar": tar(lists),
    }


def mit67() -> Files:
    """Two plain lists; a PNG and a GIF under the name of a JPEG."""
    images = pictures(dict.fromkeys(CLASSES, "{c}/r{i}.jpg"))
    images |= {
        "ape/r0.jpg": picture(0, 0, kind="PNG", mode="RGBA"),
        "ape/r1.jpg": picture(0, 1, kind="GIF", mode="P"),
    }
    lists = {
        name: "\n".join(f"{c}/r{i}.jpg" for c in CLASSES for i in numbers).encode()
        for name, numbers in (("TrainImages.txt", (0, 1, 2)), ("TestImages.txt", (3, 4)))
    }
    return {"indoorCVPR_09.tar": tar({f"Images/{name}": data for name, data in images.items()})} | lists


def fgvc_aircraft() -> Files:
    """Seven-digit numbers; variants with spaces."""
    numbers = {c: [f"{label}00000{i}" for i in range(5)] for label, c in enumerate(CLASSES)}
    names = {"ape": "Boeing 717", "bee": "F/A-18"}
    files = {
        f"images/{number}.jpg": picture(label, i, size=(60, 70))
        for label, c in enumerate(CLASSES)
        for i, number in enumerate(numbers[c])
    }

    def listed(part: slice) -> bytes:
        return "".join(f"{n} {names[c]}\n" for c in CLASSES for n in numbers[c][part]).encode()

    files |= {
        "variants.txt": "".join(f"{name}\n" for name in names.values()).encode(),
        "images_variant_trainval.txt": listed(slice(3)),
        "images_variant_test.txt": listed(slice(3, 5)),
    }
    folder = {f"fgvc-aircraft-2013b/data/{name}": data for name, data in files.items()}
    return {"fgvc-aircraft-2013b.tar.gz": tar(folder, "w:gz")}


LAYOUTS = (cifar100, tiny_imagenet, cub200, stanford_dogs, mit67, fgvc_aircraft)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """All archives, written to `folder`, on a local server; yields its address."""
    for layout in LAYOUTS:
        for name, data in layout().items():
            (folder / name).write_bytes(data)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
