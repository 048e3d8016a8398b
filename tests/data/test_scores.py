"""Score files of other tools: valid, and broken in every way their formats allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.data.scores import ScoreTable, read_scores
from facebench.errors import InputError

from .writers.scores import BFW_HEADER, bee, bfw_row, lines

INF = float("inf")


def rows_of(table: ScoreTable) -> set[tuple[str, str, bool, float]]:
    assert table.names is not None
    return {
        (table.names[a], table.names[b], bool(g), float(s))
        for a, b, g, s in zip(table.a, table.b, table.genuine, table.scores, strict=True)
    }


# ---- bob


def test_bob_4_columns(tmp_path: Path) -> None:
    path = lines(tmp_path / "s", ["ann ann a/1 0.9", "ann bob b/1 -0.2", "", "bob bob b/1 1e-1", "bob ann a/1 -inf"])
    table = read_scores(path, {})
    assert rows_of(table) == {
        ("reference ann", "a/1", True, 0.9),
        ("reference ann", "b/1", False, -0.2),
        ("reference bob", "b/1", True, 0.1),
        ("reference bob", "a/1", False, -INF),
    }
    assert table.identities == ("ann", "ann", "bob", "bob")
    assert table.n_failed == 1
    assert "4 comparisons (2 genuine) of 4 samples of 2 identities; 1 comparisons failed" in table.summary()


def test_bob_5_columns_name_the_model(tmp_path: Path) -> None:
    path = lines(tmp_path / "s", ["ann m1 ann a/1 0.9", "ann m2 ann a/1 0.8", "ann m1 bob b/1 0.1"])
    table = read_scores(path, {})
    assert table.names == ("reference m1", "a/1", "reference m2", "b/1")
    assert table.identities == ("ann", "ann", "ann", "bob")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ann ann a 0.9", "ann bob 0.9"], "s, line 2: 3 columns, above 4"),
        (["ann ann a 0.9", "", "ann m ann b 0.9"], "s, line 3: 5 columns, above 4"),
        (["ann ann a high", "ann bob b 0"], "s, line 1: 'high' is no score"),
        (["ann ann a 0.9", "ann bob b nan"], "s, line 2: the score is 'nan'; write -inf if the comparison failed"),
        (["ann ann a 0.9", "ann bob b inf"], "s, line 2: the score is 'inf'"),
        (["ann ann a 0.9", "ann bob b 0", "bob ann b 1"], "s, line 3: sample 'b' has 'ann' here and 'bob' on an earl"),
        (
            ["ann ann a 0.9", "ann bob b 0", "ann ann a 1"],
            "s, line 3: 'reference ann' and 'a' were compared before, in",
        ),
        (["ann ann a 0.9", "bob bob b 0.1"], "every comparison is genuine"),
    ],
)
def test_broken_bob(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "s", rows), {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: 0 columns tell no format"),
        (b"ann ann a 0.5\nann \xff b 0.1\n", "s, line 2: not UTF-8 text"),
        (b"ann ann a 0.5\nann\0bob b 0.1\n", "s, line 2: not text"),
        (b"0.5\n0.6\n", "line 1: 1 columns tell no format. bob has 4 or 5 columns"),
    ],
)
def test_files_that_are_no_scores(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_scores(tmp_path / "s", {})
    assert message in str(caught.value)


# ---- pyeer


def test_genuine_and_impostor_scores_without_names(tmp_path: Path) -> None:
    genuine = lines(tmp_path / "g.txt", ["0.9", "0.8"])
    lines(tmp_path / "i.txt", ["0.1", "0.2", "-0.3"])
    table = read_scores(genuine, {"impostor": "i.txt"})
    assert table.names is None
    assert table.identities is None
    assert table.genuine.tolist() == [True, True, False, False, False]
    assert table.scores.tolist() == [0.9, 0.8, 0.1, 0.2, -0.3]
    assert sorted([*table.a.tolist(), *table.b.tolist()]) == list(range(10))


def test_genuine_comparisons_tell_who_is_one_person(tmp_path: Path) -> None:
    genuine = lines(tmp_path / "g.txt", ["a1 a2 0.9", "a2 a3 0.8", "b1 b2 0.7"])
    lines(tmp_path / "i.txt", ["a1 b1 0.1", "a3 c1 0.2"])
    table = read_scores(genuine, {"impostor": "i.txt"})
    assert table.names is not None
    assert table.identities is not None
    who = dict(zip(table.names, table.identities, strict=True))
    assert who["a1"] == who["a2"] == who["a3"]
    assert who["b1"] == who["b2"]
    assert len(set(who.values())) == 3
    assert table.notes == ("identities follow from the genuine comparisons",)


def test_a_list_of_samples_brings_identities_and_groups(tmp_path: Path) -> None:
    genuine = lines(tmp_path / "g.txt", ["a1 a2 0.9"])
    lines(tmp_path / "i.txt", ["a1 b1 0.1", "b1 a2 0.2"])
    samples = ["image_id,identity,race,age", "b1,bob,black,40", "a1,ann,asian,30", "a2,ann,asian,", "x,xi,,"]
    lines(tmp_path / "who.csv", samples)
    table = read_scores(genuine, {"impostor": "i.txt", "samples": "who.csv"})
    assert table.names == ("a1", "a2", "b1")
    assert table.identities == ("ann", "ann", "bob")
    assert table.attributes == {"race": ("asian", "asian", "black"), "age": (30.0, None, 40.0)}


@pytest.mark.parametrize(
    ("genuine", "impostor", "message"),
    [
        (["a b 0.9"], ["a b 0.1"], "i.txt, line 1: 'a' and 'b' were compared before, in"),
        (["a b 0.9", "b c 0.8"], ["a c 0.1"], "'a' and 'c' are compared as impostors, but genuine comparisons join"),
        (["a b 0.9"], ["0.1"], "i.txt, line 1: 1 columns, above 3"),
        (["a b 0.9"], ["a c x"], "i.txt, line 1: 'x' is no score"),
        (["a a 0.9"], ["a c 0.1"], "g.txt, line 1: sample 'a' is compared with itself"),
        (["a b 0.9"], [], "every comparison is genuine"),
    ],
)
def test_broken_genuine_and_impostor_files(
    tmp_path: Path, genuine: list[str], impostor: list[str], message: str
) -> None:
    lines(tmp_path / "i.txt", impostor)
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "g.txt", genuine), {"impostor": "i.txt"})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (["image_id,identity", "a,ann", "b,ann"], "1 image_ids of the score file are not in the list, such as 'c'"),
        (["image_id,identity", "a,ann", "b,bob", "c,cid"], "'a' of 'ann' and 'b' of 'bob' are called genuine"),
        (["image_id,identity", "a,ann", "b,ann", "c,"], "identity is empty for 1 samples"),
        (["name,identity", "a,ann"], "image_ids"),
        (["name,x", "a,ann"], "a list of samples needs the column image_id or identity"),
        (["image_id,identity", "a,ann", "a,ann"], "who.csv, lines 2, 3: image_id 'a' is given 2 times"),
    ],
)
def test_broken_lists_of_samples(tmp_path: Path, samples: list[str], message: str) -> None:
    lines(tmp_path / "i.txt", ["a c 0.1"])
    lines(tmp_path / "who.csv", samples)
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "g.txt", ["a b 0.9"]), {"impostor": "i.txt", "samples": "who.csv"})
    assert message in str(caught.value).replace("identitys", "image_ids")


def test_query_template_scores_with_their_matches(tmp_path: Path) -> None:
    scores = lines(tmp_path / "cmc.txt", ["q1 t1 0.9", "q1 t2 0.3", "q2 t1 0.2", "q2 t2 0.6"])
    lines(tmp_path / "match.txt", ["q1 t1", "q2 t2"])
    table = read_scores(scores, {"match": "match.txt"})
    assert rows_of(table) == {
        ("t1", "q1", True, 0.9),
        ("t2", "q1", False, 0.3),
        ("t1", "q2", False, 0.2),
        ("t2", "q2", True, 0.6),
    }


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (["q1 t1", "q1 t1"], "match.txt, lines 1 and 2: the same pair is listed twice"),
        (["q1 t1 1"], "match.txt, line 1: 3 columns; expected 'query template'"),
        (["q1 t1", "q9 t1"], "match.txt, line 2: q9 t1 has no score in"),
    ],
)
def test_broken_matches(tmp_path: Path, match: list[str], message: str) -> None:
    lines(tmp_path / "match.txt", match)
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "cmc.txt", ["q1 t1 0.9", "q1 t2 0.3"]), {"match": "match.txt"})
    assert message in str(caught.value)


# ---- NIST

LOG = ["enrollTempl verifTempl simScore returnCode", "a1 a2 120.5 0", "a1 b1 3.25 0", "b1 b2 -1 0", "b2 a2 7.5 2"]


def test_nist_log_with_samples(tmp_path: Path) -> None:
    lines(tmp_path / "who.csv", ["image_id,identity", "a1,A", "a2,A", "b1,B", "b2,B"])
    table = read_scores(lines(tmp_path / "log", LOG), {"samples": "who.csv"})
    assert rows_of(table) == {
        ("a1", "a2", True, 120.5),
        ("a1", "b1", False, 3.25),
        ("b1", "b2", True, -INF),  # the score of a comparison that failed
        ("b2", "a2", False, -INF),  # its return code
    }


def test_nist_logs_of_mated_and_non_mated_comparisons(tmp_path: Path) -> None:
    lines(tmp_path / "imp", ["enrollTempl verifTempl simScore returnCode", "a1 b1 3 0"])
    table = read_scores(lines(tmp_path / "log", [LOG[0], "a1 a2 120 0"]), {"impostor": "imp"})
    assert table.genuine.tolist() == [True, False]
    assert table.identities is not None
    assert len(set(table.identities)) == 2


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (LOG, {}, "a NIST log does not say which comparisons are genuine"),
        ([LOG[0], "a1 a2 1"], {"samples": "who.csv"}, "log, line 2: 3 columns; expected 'enrollTempl"),
        ([LOG[0], "a1 a2 1 ok"], {"samples": "who.csv"}, "log, line 2: return code 'ok' is no whole number"),
        ([LOG[0], "a1 a2 nan 0"], {"samples": "who.csv"}, "log, line 2: the score is 'nan'"),
        ([LOG[0]], {"samples": "who.csv"}, "log holds no scores"),
    ],
)
def test_broken_nist_logs(tmp_path: Path, rows: list[str], options: dict[str, str], message: str) -> None:
    lines(tmp_path / "who.csv", ["image_id,identity", "a1,A", "a2,A", "b1,B", "b2,B"])
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "log", rows), options)
    assert message in str(caught.value)


# ---- CSV


def test_bob_csv(tmp_path: Path) -> None:
    rows = ["bio_ref_subject_id,probe_subject_id,probe_key,score,x", "ann,ann,a/1,0.9,", "ann,bob,b/1,,"]
    table = read_scores(lines(tmp_path / "s.csv", rows), {})
    assert rows_of(table) == {("reference ann", "a/1", True, 0.9), ("reference ann", "b/1", False, -INF)}


def test_bfw_datatable(tmp_path: Path) -> None:
    other = {"p2": "white_males/n9/0001.jpg", "id2": "n9", "label": 0, "vgg16": 0.1, "a2": "WM", "g2": "M", "e2": "W"}
    rows = [BFW_HEADER, bfw_row(), bfw_row(**other, fold=2)]
    table = read_scores(lines(tmp_path / "bfw.csv", rows), {"column": "vgg16"})
    assert [round(score, 3) for score in table.scores] == [0.8, 0.1]
    assert table.identities == ("n1", "n1", "n9")
    assert table.attributes == {
        "subgroup": ("AF", "AF", "WM"),
        "gender": ("F", "F", "M"),
        "ethnicity": ("A", "A", "W"),
    }
    assert table.fold is not None
    assert table.fold.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([bfw_row()], {}, "several columns of scores; choose one, such as #column=vgg16"),
        ([bfw_row()], {"column": "vgg61"}, "unknown score column 'vgg61'"),
        ([bfw_row(label=0)], {"column": "vgg16"}, "bfw.csv, line 2: label is 0, but the samples belong to 'n1'"),
        ([bfw_row(label="yes")], {"column": "vgg16"}, "bfw.csv, line 2: label is 'yes'; it must be 1 or 0"),
        ([bfw_row(id1="")], {"column": "vgg16"}, "bfw.csv, line 2: id1 is empty"),
        (
            [bfw_row(), bfw_row(p2="x", g1="M")],
            {"column": "vgg16"},
            "line 3: sample 'asian_females/n1/0001.jpg' has 'M'",
        ),
        ([bfw_row(vgg16="?")], {"column": "vgg16"}, "bfw.csv, line 2: '?' is no score"),
        ([bfw_row() + ",1"], {"column": "vgg16"}, "bfw.csv, line 2: 19 cells, but the header has 18"),
        ([bfw_row(fold="a")], {"column": "vgg16"}, "bfw.csv, line 2: fold is 'a'"),
    ],
)
def test_broken_bfw(tmp_path: Path, rows: list[str], options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "bfw.csv", [BFW_HEADER, *rows]), options)
    assert message in str(caught.value)


def test_plain_csv_with_identities_and_groups(tmp_path: Path) -> None:
    rows = [
        "a,b,genuine,score,identity_a,identity_b,race_a,race_b",
        "a1,a2,1,0.9,ann,ann,asian,asian",
        "a1,b1,0,0.1,ann,bob,asian,",
    ]
    table = read_scores(lines(tmp_path / "s.csv", rows), {})
    assert table.identities == ("ann", "ann", "bob")
    assert table.attributes == {"race": ("asian", "asian", None)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b,genuine", "x,y,1"], "s.csv, line 1: lacks the column score"),
        (["a,b,genuine,score,race_a", "x,y,1,1,z"], "s.csv, line 1: column 'race_a' is unknown"),
        (["a,b,genuine,score,score", "x,y,1,1,1"], "s.csv, line 1: column 'score' is given twice"),
        (["a,b,genuine,score,identity_a", "x,y,1,1,z"], "s.csv, line 1: lacks the column identity_b"),
        (["a,b,genuine,score", "x,y,1"], "s.csv, line 2: 3 cells, but the header has 4"),
        (["a,b,genuine,score", 'x,"y,1,1'], "not valid CSV"),
        (["a,b,genuine,score"], "s.csv holds no scores"),
        ([], "s.csv is empty"),
    ],
)
def test_broken_plain_csv(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scores(lines(tmp_path / "s.csv", rows), {})
    assert message in str(caught.value)


def test_distances_change_sign(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.csv", ["a,b,genuine,score", "x,y,1,0.2", "x,z,0,1.5", "y,z,0,"])
    assert read_scores(path, {"scale": "distance"}).scores.tolist() == [-0.2, -1.5, -INF]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colum": "x"}, "unknown option 'colum'"),
        ({"mask": "m"}, "the option 'mask' has no meaning for csv files"),
        ({"format": "xml"}, "unknown score format 'xml'"),
        ({"scale": "log"}, "unknown scale 'log'"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, str], message: str) -> None:
    path = lines(tmp_path / "s.csv", ["a,b,genuine,score", "x,y,1,0.2", "x,z,0,1.5"])
    with pytest.raises(InputError) as caught:
        read_scores(path, options)
    assert message in str(caught.value)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "bfw.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(InputError, match="never read"):
        read_scores(tmp_path / "bfw.pkl", {})


# ---- BEE

SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, -5.0]], np.float32)
MASK = np.array([[0xFF, 0x7F, 0x7F], [0x7F, 0xFF, 0]], np.uint8)


@pytest.mark.parametrize("order", "<>")
def test_bee_matrix_rows_are_probes(tmp_path: Path, order: str) -> None:
    bee(tmp_path / "s.mask", MASK, form="M2")
    table = read_scores(bee(tmp_path / "s.mtx", SCORES, form="S2", order=order), {})
    assert {(a, b, g, round(s, 3)) for a, b, g, s in rows_of(table)} == {
        ("target 0", "query 0", True, 0.9),
        ("target 1", "query 0", False, 0.1),
        ("target 2", "query 0", False, 0.2),
        ("target 0", "query 1", False, 0.3),
        ("target 1", "query 1", True, 0.8),
    }


def test_bee_distances_change_sign_and_failures_stay_lowest(tmp_path: Path) -> None:
    values = SCORES.copy()
    values[0, 1] = np.inf
    bee(tmp_path / "m", MASK, form="M2")
    table = read_scores(bee(tmp_path / "s.mtx", values, form="D2"), {"mask": "m"})
    assert sorted(np.round(table.scores, 3)) == [-INF, -0.9, -0.8, -0.3, -0.2]


def test_bee_symmetric_matrix_counts_every_two_samples_once(tmp_path: Path) -> None:
    values = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]], np.float32)
    mask = np.array([[0, 0xFF, 0x7F], [0xFF, 0, 0x7F], [0x7F, 0x7F, 0]], np.uint8)
    bee(tmp_path / "s.mask", mask, form="M2", target="A", query="A")
    path = bee(tmp_path / "s.mtx", values, form="S2", target="A", query="A")
    assert len(read_scores(path, {}).scores) == 3
    values[0, 1] = 0.8
    path = bee(tmp_path / "s.mtx", values, form="S2", target="A", query="A")
    found = read_scores(path, {})
    assert len(found.scores) == 3
    assert [(item.what, item.count) for item in found.left_out] == [("comparisons listed in both orders", 3)]


def test_broken_bee(tmp_path: Path) -> None:
    def refused(scores: bytes | None, mask: bytes | None, *messages: str) -> None:
        bee(tmp_path / "s.mtx", SCORES, form="S2")
        bee(tmp_path / "s.mask", MASK, form="M2")
        if scores is not None:
            (tmp_path / "s.mtx").write_bytes(scores)
        if mask is not None:
            (tmp_path / "s.mask").write_bytes(mask)
        with pytest.raises(InputError) as caught:
            read_scores(tmp_path / "s.mtx", {})
        assert all(message in str(caught.value) for message in messages), str(caught.value)

    good = bee(tmp_path / "g", SCORES, form="S2").read_bytes()
    mask = bee(tmp_path / "g", MASK, form="M2").read_bytes()
    refused(good.replace(b"S2", b"X9"), None, "s.mtx, line 1: 'X9'")
    refused(good[:-1], None, "s.mtx, line 4: promises 2 x 3 values, 24 bytes; the file has 23")
    refused(good + b"x", None, "the file has 25")
    refused(good.replace(b"\x78\x56\x34\x12", b"abcd"), None, "line 4: b'abcd' tells no byte order")
    refused(good.replace(b"MF 2 3", b"MF 2"), None, "line 4: expected 'MF rows columns'")
    refused(mask, None, "s.mtx, line 4: holds MB, but here belong scores")
    refused(None, good, "s.mask, line 4: holds MF, but here belong a mask")
    refused(None, mask.replace(b"MB 2 3", b"MB 3 2"), "the mask has (3, 2) values")
    refused(None, mask[:-1] + b"\x01", "s.mask, row 1, column 2: the mask holds 0x01")
    refused(None, mask[:-6] + b"\0" * 6, "the mask leaves out every comparison")
    nan = SCORES.copy()
    nan[1, 0] = np.nan
    refused(bee(tmp_path / "g", nan, form="S2").read_bytes(), None, "s.mtx, row 1, column 0: the score is nan")
    (tmp_path / "s.mask").unlink()
    with pytest.raises(InputError, match="not found"):
        read_scores(tmp_path / "s.mtx", {})


# ---- any bytes at all


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("ab01 .-,\n\t\"", max_size=200).map(str.encode)), st.sampled_from(
    ["s.txt", "s.csv", "s.mtx"]))  # fmt: skip
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    refused = None
    try:
        table = read_scores(path, {})
        assert not np.isnan(table.scores).any()
    except InputError as error:
        refused = str(error)
    assert refused is None or str(path.with_suffix("")) in refused


NAMES = st.text("abcxyz", min_size=1, max_size=2)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(NAMES, NAMES), st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_bob_files_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, scores: dict) -> None:
    path = tmp_path_factory.mktemp("bob") / "s"
    lines(path, [f"{claimed} {real} {real}/1 {score!r}" for (claimed, real), score in scores.items()])
    if all(claimed == real for claimed, real in scores):
        with pytest.raises(InputError, match="every comparison is genuine"):
            read_scores(path, {})
        return
    expected = {(f"reference {c}", f"{r}/1", c == r, s) for (c, r), s in scores.items()}
    assert rows_of(read_scores(path, {})) == expected
