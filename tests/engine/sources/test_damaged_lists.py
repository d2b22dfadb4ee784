"""Damaged lists of published data sets: each is refused with the list, the line and what was found."""

import io
import random

import numpy as np
import pytest
from scipy.io import savemat
from small_sets import AIRCRAFT, CUB, DOGS, MIT, MIT_LISTS, TINY, A, Files, T, mat, read

from aikd.errors import UserError


def refusal(name: str, files: Files, lists: Files | None = None) -> str:
    with pytest.raises(UserError) as error:
        read(name, files, lists)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        (
            "image_class_labels",
            b"1 1\n2 1\n3 2\n4 9\n",
            'line 4: found class "9", which CUB_200_2011/classes.txt lacks',
        ),
        (
            "train_test_split",
            CUB["CUB_200_2011/train_test_split.txt"] + b"5 1\n",
            'line 5: found image "5", of which',
        ),
        ("train_test_split", b"1 0\n2 2\n3 1\n4 0\n", 'line 2: found "2"; allowed: 1 (training), 0 (test)'),
        ("train_test_split", b"1 0\n2 1\n2 0\n4 0\n", 'line 3: found "2" again, after CUB_200_2011.tgz: '),
        (
            "images",
            b"1 a/x\n2 a/y\n3 b/z\n4 a/y\n",
            'line 4: found "CUB_200_2011/images/a/y", listed already at CUB',
        ),
        ("images", b"1 a/x\n2\n3 b/y\n4 b/z\n", 'line 2: found "2", but it should be "NUMBER PATH"'),
        ("images", b"1 a/x\n\n3 b/y\n4 b/z\n", 'line 2: found "", but it should be "NUMBER PATH"'),
        ("images", b"1 a/x\n2 \xff\n", "line 2: found byte 0xff, which is not UTF-8"),
    ],
)
def test_damaged_lists_of_cub_are_refused(file: str, data: bytes, message: str) -> None:
    name = f"CUB_200_2011/{file}.txt"
    assert f"CUB_200_2011.tgz: {name}, {message}" in refusal("cub200", CUB | {name: data})


def test_an_image_of_cub_without_a_label_is_refused() -> None:
    labels = "CUB_200_2011/image_class_labels.txt"
    message = f'CUB_200_2011/images.txt, line 4: found image "4", of which {labels} has no line'
    assert message in refusal("cub200", CUB | {labels: b"1 1\n2 1\n3 2\n"})


@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_list_is_refused(data: bytes) -> None:
    name = "CUB_200_2011/classes.txt"
    assert refusal("cub200", CUB | {name: data}).startswith(f"CUB_200_2011.tgz: {name}: empty")


BOX = b"\t0\t0\t63\t63\n"


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("wnids.txt", b"n1\nn2\nn1\n", ', line 3: found "n1", but it should be a class not listed yet'),
        ("words.txt", b"n1\tgoldfish\n", ': no line for class "n2", found in tiny-imagenet-200/wnids.txt'),
        (
            "val/val_annotations.txt",
            b"v0.JPEG\tn3" + BOX + b"v1.JPEG\tn1" + BOX,
            ', line 1: found class "n3", which',
        ),
        ("val/val_annotations.txt", b"v0.JPEG n2\n", ', line 1: found "v0.JPEG n2", but it should be "FILE'),
        (
            "val/val_annotations.txt",
            (b"v0.JPEG\tn2" + BOX) * 2 + b"v1.JPEG\tn1" + BOX,
            ', line 2: found "tiny-imagenet',
        ),
    ],
)
def test_damaged_lists_of_tiny_imagenet_are_refused(file: str, data: bytes, message: str) -> None:
    assert f"tiny-imagenet-200.zip: {T}{file}{message}" in refusal("tiny_imagenet", TINY | {T + file: data})


def test_images_of_tiny_imagenet_without_a_class_are_refused() -> None:
    unknown = refusal("tiny_imagenet", TINY | {f"{T}wnids.txt": b"n1\n"})
    assert f'{T}train/n2/images/n2_0.JPEG: found class "n2", which is none of the 1 classes' in unknown
    unlisted = refusal("tiny_imagenet", TINY | {f"{T}val/val_annotations.txt": b"v0.JPEG\tn2" + BOX})
    assert f'found "{T}val/images/v1.JPEG", of which {T}val/val_annotations.txt has no line' in unlisted


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        (
            "images_variant_trainval",
            b"0000001 Boeing 727\n",
            'line 1: found class "Boeing 727", which is none of the 3',
        ),
        (
            "images_variant_trainval",
            b"0000001\n",
            'line 1: found "0000001", but it should be "NUMBER VARIANT"',
        ),
        (
            "images_variant_trainval",
            b"0000001 707-320\n" * 2,
            'line 2: found "0000001" again, after fgvc-aircraft',
        ),
        (
            "images_variant_test",
            b"0000001 707-320\n",
            f'line 1: found "{A}images/0000001.jpg", listed already at',
        ),
        ("variants", b"707-320\n\nF/A-18\n", 'line 2: found "", but it should be a class not listed yet'),
    ],
)
def test_damaged_lists_of_aircraft_are_refused(file: str, data: bytes, message: str) -> None:
    found = refusal("fgvc_aircraft", AIRCRAFT | {f"{A}{file}.txt": data})
    assert f"fgvc-aircraft-2013b.tar.gz: {A}{file}.txt, {message}" in found


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        (
            "TrainImages.txt",
            b"a.jpg",
            'TrainImages.txt, line 1: found "a.jpg", but it should be "CLASS/FILE"',
        ),
        ("TrainImages.txt", b"bar/a.jpg\r\n\r\nattic/e.jpg", 'TrainImages.txt, line 2: found ""'),
        ("TrainImages.txt", b"", "TrainImages.txt: empty"),
        (
            "TestImages.txt",
            b"cellar/a.jpg",
            'TestImages.txt, line 1: found class "cellar", which is none of the 2',
        ),
        (
            "TestImages.txt",
            b"bar/a.jpg",
            'line 1: found "Images/bar/a.jpg", listed already at TrainImages.txt, line 1',
        ),
    ],
)
def test_damaged_lists_of_mit67_are_refused(file: str, data: bytes, message: str) -> None:
    assert message in refusal("mit67", MIT, MIT_LISTS | {file: data})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (mat(["n2-Pug/a.jpg"], [2]), "lists.tar: test_list.mat, entry 1: found label 2 for"),
        (
            mat(["n2-Pug/a", "n3/b"], [1, 1]),
            'train_list.mat, entry 2: found label 1 for "Images/n3/b", but lists.tar: tr',
        ),
        (mat(["n9/a.jpg"], [9]), "lists.tar: labels should number the folders 1, 2, 3"),
        (mat(["n2-Pug/a.jpg"], [3]), "lists.tar: labels should number the folders 1, 2, 3"),
        (mat(["n2-Pug/a.jpg"], [1.5]), "train_list.mat, entry 1: found label 1.5"),
        (mat(["n2-Pug/a.jpg"], [float("nan")]), "train_list.mat, entry 1: found label nan"),
        (mat(["pug.jpg"], [1]), 'train_list.mat, entry 1: found "pug.jpg", but it should be "FOLDER/FILE"'),
        (mat(["n2-Pug/a", "n2-Pug/b"], [1]), "train_list.mat: found 2 files and 1 labels"),
        (
            mat(["n2-Pug/a"] * 2, [1, 1]),
            'train_list.mat, entry 2: found "Images/n2-Pug/a", listed already at lists.tar',
        ),
        (
            DOGS["test_list.mat"],
            'test_list.mat, entry 1: found "Images/n1-Toy_dog/n1_2.jpg", listed already at lists.tar',
        ),
        (b"", "train_list.mat: not a MATLAB list"),
        (b"MATLAB 5.0 MAT-file, " + b"\xff" * 300, "train_list.mat: not a MATLAB list"),
    ],
)
def test_damaged_lists_of_dogs_are_refused(data: bytes, message: str) -> None:
    assert message in refusal("stanford_dogs", {}, DOGS | {"train_list.mat": data})


def test_mit67_needs_its_folder_of_images() -> None:
    with pytest.raises(UserError, match=r"indoorCVPR_09\.tar: no folder Images in it"):
        read("mit67", {"MyImages/bar/a.jpg": b"", "bar/a.jpg": b""}, MIT_LISTS)


def test_a_mat_file_without_labels_is_refused() -> None:
    file = io.BytesIO()
    savemat(file, {"file_list": np.array([["a"]], dtype=object)})
    with pytest.raises(UserError, match="not a MATLAB list with file_list and labels \\(no 'labels'\\)"):
        read("stanford_dogs", {}, DOGS | {"train_list.mat": file.getvalue()})


@pytest.mark.parametrize("compressed", [True, False])
def test_a_mat_file_that_would_fill_the_memory_is_refused(
    compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("it was read"))
    file = io.BytesIO()
    savemat(file, {"labels": np.zeros((3_000_000, 1))}, do_compression=compressed)
    assert (file.tell() < 50_000) == compressed
    with pytest.raises(UserError, match=r"train_list\.mat: not a MATLAB list .*more than 16 MiB"):
        read("stanford_dogs", {}, DOGS | {"train_list.mat": file.getvalue()})


def test_many_small_variables_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    savemat(file, {f"x{i}": np.zeros((100_000, 1)) for i in range(30)}, do_compression=True)
    with pytest.raises(UserError, match="more than 16 MiB"):
        read("stanford_dogs", {}, DOGS | {"train_list.mat": file.getvalue()})


def test_a_mat_file_of_the_old_format_is_refused() -> None:
    file = io.BytesIO()
    savemat(file, {"labels": np.zeros((3, 1))}, format="4")
    with pytest.raises(UserError, match="no file of MATLAB 5"):
        read("stanford_dogs", {}, DOGS | {"train_list.mat": file.getvalue()})


def test_randomly_damaged_mat_files_are_read_or_refused_but_never_raise_anything_else() -> None:
    rng, whole = random.Random(0), DOGS["train_list.mat"]
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(116, len(data))] = rng.randrange(256)
        try:
            read("stanford_dogs", {}, DOGS | {"train_list.mat": bytes(data[: rng.choice([None, 200])])})
        except UserError:
            refused += 1
    assert refused > 100
