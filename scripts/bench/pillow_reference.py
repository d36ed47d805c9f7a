"""A manifest's [preprocess] done with Pillow and numpy: the reference that Nightlight is held against.

`tensor(pixels, spec)` takes [height, width, 3] uint8 RGB and a spec as a dict with the manifest's keys, and gives the tensor [1, …].
"""
import numpy as np
from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def resized_size(resize, width, height):
    """(width, height) after the resize."""
    if resize["to"] == "exact":
        return resize["width"], resize["height"]
    if resize["to"] == "shortest_side":  # torchvision.transforms.functional._compute_resized_output_size
        short, long = min(width, height), max(width, height)
        grown = int(resize["side"] * long / short)
        return (resize["side"], grown) if width <= height else (grown, resize["side"])
    scale = min(resize["width"] / width, resize["height"] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def resample(pixels, size, spec):
    """[height, width, 3]: uint8 as Pillow resizes RGB, or float32 as it resizes each channel in mode F."""
    kernel = FILTERS[spec["filter"]]
    if spec["rounding"] == "pillow-u8":
        return np.asarray(Image.fromarray(pixels).resize(size, kernel))
    planes = [Image.fromarray(pixels[:, :, channel].astype(np.float32)) for channel in range(3)]
    return np.stack([np.asarray(plane.resize(size, kernel)) for plane in planes], 2)


def cropped(pixels, spec):
    crop = spec.get("crop")
    if crop is None:
        return pixels
    half_even = spec.get("crop_margin", "floor") == "half-even"  # torchvision.transforms.functional.center_crop
    before = lambda margin: int(round(margin / 2)) if half_even else margin // 2
    top, left = before(pixels.shape[0] - crop["height"]), before(pixels.shape[1] - crop["width"])
    return pixels[top:top + crop["height"], left:left + crop["width"]]


def placed(pixels, spec):
    resize = spec["resize"]
    if resize["to"] != "letterbox":
        return pixels
    canvas = np.empty((resize["height"], resize["width"], 3), pixels.dtype)
    canvas[:] = resize.get("fill", [0, 0, 0])
    top, left = (resize["height"] - pixels.shape[0]) // 2, (resize["width"] - pixels.shape[1]) // 2
    canvas[top:top + pixels.shape[0], left:left + pixels.shape[1]] = pixels
    return canvas


def tensor(pixels, spec):
    """[1, …] float32 or float16."""
    size = resized_size(spec["resize"], pixels.shape[1], pixels.shape[0])
    pixels = placed(cropped(resample(pixels, size, spec), spec), spec)
    if spec["channels"] == "bgr":
        pixels = pixels[:, :, ::-1]
    values = (pixels.astype(np.float32) * np.float32(spec["scale"]) - np.array(spec["mean"], np.float32)) / np.array(spec["std"], np.float32)
    if spec["layout"] == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None]).astype(np.float16 if spec.get("dtype") == "f16" else np.float32)
