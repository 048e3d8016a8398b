"""Datasets: readers of the field's formats, strict decoding, checks and conversion."""

from facebench.data.check import DatasetReport, GroupCounts, check_dataset
from facebench.data.convert import convert_dataset, manifest_csv
from facebench.data.dataset import Counterfactual, Dataset, PairList, dataset_sha256
from facebench.data.decode import decode
from facebench.data.left_out import repeated_images
from facebench.data.load import load_dataset
from facebench.data.make_pairs import make_pairs, write_pairs
from facebench.data.pairs import OWN_PAIRS, OWN_TEMPLATE_PAIRS
from facebench.data.parallel import LoadedImage, decode_batches, hash_images, hash_present_images, iter_images
from facebench.data.sources import BytesSource, FileSource, ImageError, ImageSource, PixelSource

__all__ = [
    "OWN_PAIRS",
    "OWN_TEMPLATE_PAIRS",
    "BytesSource",
    "Counterfactual",
    "Dataset",
    "DatasetReport",
    "FileSource",
    "GroupCounts",
    "ImageError",
    "ImageSource",
    "LoadedImage",
    "PairList",
    "PixelSource",
    "check_dataset",
    "convert_dataset",
    "dataset_sha256",
    "decode",
    "decode_batches",
    "hash_images",
    "hash_present_images",
    "iter_images",
    "load_dataset",
    "make_pairs",
    "manifest_csv",
    "repeated_images",
    "write_pairs",
]
