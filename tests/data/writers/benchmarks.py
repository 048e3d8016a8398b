"""Published benchmarks in small: the same layouts and grammars, two people where there are thousands."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from ..factory import encode, pixels

Files = dict[str, str | bytes]
PEOPLE = ("Ann_Lee", "Bob_Roe")


def jpg(seed: int, height: int = 12, width: int = 10) -> bytes:
    return encode(pixels(seed, height, width), "JPEG")


def cfp() -> Files:
    """Twenty people with two frontal and two profile images each; a fold takes two of them."""
    files: Files = {}
    for pose, folder in (("F", "frontal"), ("P", "profile")):
        paths = [f"Data/Images/{person:03d}/{folder}/{n:02d}.jpg" for person in range(1, 21) for n in (1, 2)]
        files |= {path: jpg(number) for number, path in enumerate(paths)}
        files[f"Protocol/Pair_list_{pose}.txt"] = "".join(f"{n} ../{path}\n" for n, path in enumerate(paths, start=1))
    for split in ("FF", "FP"):
        for fold in range(1, 11):
            n = 4 * fold - 3
            files[f"Protocol/Split/{split}/{fold:02d}/same.txt"] = f"{n},{n + 1}\n{n + 2},{n + 3}\n"
            files[f"Protocol/Split/{split}/{fold:02d}/diff.txt"] = f"{n},{n + 2}\n{n + 1},{n + 3}\n"
    return files


def calfw(pairs: int = 20) -> Files:
    people = [*PEOPLE, *(f"P{i}" for i in range(2, pairs))]
    lines = [f"{name}_000{n}.jpg {1 + i % 10}\n" for i, name in enumerate(people) for n in (1, 2)]
    lines += [f"{name}_0001.jpg 0\n" for i in range(pairs) for name in (people[i], people[i - 1])]
    files: Files = {f"aligned images/{name}_000{n}.jpg": jpg(n) for name in people for n in (1, 2)}
    return {**files, "pairs_CALFW.txt": "".join(lines)}


def agedb(form: str = "cells", label: Any = None) -> Files:
    """Ten splits of one genuine and one impostor pair, nested as a table of cells or as a record of columns."""
    names = ["0_MariaCallas_35_f.jpg", "1_MariaCallas_60_f.jpg", *(f"{n}_JeanGabin_40_m.jpg" for n in range(2, 22))]
    splits = np.empty((10, 1), object)
    for fold in range(10):
        genuine = [names[0], names[1]] if fold == 0 else [names[2 * fold], names[2 * fold + 1]]
        rows = [[*genuine, 1 if label is None else label], [names[0], names[2 * fold + 2], -1]]
        table = np.empty((2, 3), object)
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                table[i, j] = value
        record = {"first": table[:, :1], "second": table[:, 1:2], "labels": table[:, 2].astype(float)}
        splits[fold, 0] = table if form == "cells" else record
    return {"new_30_age.mat": mat(splits=splits), **{f"AgeDB/{name}": jpg(i) for i, name in enumerate(names)}}


def mat(**content: Any) -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, content)
    return stream.getvalue()


def rfw() -> Files:
    files: Files = {}
    for number, race in enumerate(("African", "Asian")):
        people = ["m.01", f"m.1{number}"]  # m.01 lies in both
        lines = [
            line
            for n in range(10)
            for line in (f"{people[0]}\t{n + 1}\t{n + 2}\n", f"{people[0]}\t{n + 1}\t{people[1]}\t{n % 2 + 1}\n")
        ]
        folder = f"test/data/{race}"
        files[f"test/txts/{race}/{race}_pairs.txt"] = "".join(lines)
        images = [f"{folder}/{who}/{who}_{n:04d}.jpg" for who in people for n in range(1, 12)]
        files |= {path: jpg(seed) for seed, path in enumerate(images)}
        files[f"test/txts/{race}/{race}_lmk.txt"] = "".join(
            f"/home/x/{path.removeprefix('test/')}\t0\t1 2 3 4 5 6 7 8 9 10\n" for path in images
        )
    return files


def ijb(stem: str = "meta/ijbz") -> Files:
    """Three templates of two people: gallery S1 and S2, and a probe of the first person."""
    media = ["1.jpg 10 5", "2.jpg 10 5", "3.jpg 11 6", "4.jpg 12 7", "5.jpg 12 8"]
    points = "30 40 70 40 50 60 35 80 65 80"
    files: Files = {
        f"{stem}_face_tid_mid.txt": "\n".join(media) + "\n",
        f"{stem}_name_5pts_score.txt": "".join(f"{n}.jpg {points} 0.9{n}\n" for n in range(1, 6)),
        f"{stem}_template_pair_label.txt": "10 12 1\n11 12 0\n",
        f"{stem}_1N_gallery_S1.csv": "TEMPLATE_ID,SUBJECT_ID\n10,100\n",
        f"{stem}_1N_gallery_S2.csv": "TEMPLATE_ID,SUBJECT_ID\n11,200\n",
        f"{stem}_1N_probe_mixed.csv": "TEMPLATE_ID,SUBJECT_ID\n12,100\n",
    }
    return {**files, **{f"loose_crop/{n}.jpg": jpg(n, 100, 100) for n in range(1, 6)}}


NIST_HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"


def nist() -> Files:
    return {
        "test1/enroll_templates.csv": f"{NIST_HEADER}\n1,7,img/a.jpg,1,2,3,6,5\n1,7,img/b.jpg,2,0,0,4,4\n"
        "2,8,img/c.jpg,3,0,0,9,9\n",
        "test1/verif_templates.csv": f"{NIST_HEADER}\n3,7,img/d.jpg,4,1,1,3,3\n",
        "test1/match.csv": "1,3\n2,3\n",
        **{f"img/{name}.jpg": jpg(seed) for seed, name in enumerate("abcd")},
    }


def utkface() -> Files:
    names = ["25_0_1_20170116174525125", "61_1_20170109142408075", "80_1_4_20170110131953974"]
    return {f"{name}.jpg.chip.jpg": jpg(seed) for seed, name in enumerate(names)}


def fairface() -> Files:
    labels = (
        "file,age,gender,race,service_test\nval/1.jpg,3-9,Male,East Asian,False\nval/2.jpg,50-59,Female,Black,True\n"
    )
    return {"fairface_label_val.csv": labels, "val/1.jpg": jpg(1), "val/2.jpg": jpg(2)}


def megaface() -> Files:
    listed = {"path": ["fs/a.jpg", "fs/b.jpg", "fs/c.jpg"], "id": ["Ann", "Ann", "Bob"]}
    return {"list.json": json.dumps(listed), **{path: jpg(n) for n, path in enumerate(listed["path"])}}
