"""From encoded images to a model's input, as a Preprocessing (types.ts) says; a device repeats these steps.

  1. Decode: the first frame; orientation as EXIF says; alpha is dropped, not blended, as tf.io.decode_image and
     Pillow's convert("RGB") do; colour profiles are ignored. Pixels are 0 to 255, those of a 16-bit gray image with
     fractions (value / 257); of 16-bit colours the decoder keeps the upper 8 bits.
  2. Fit. `crop`: the largest box of the target's aspect ratio, centred (keras smart_resize). `pad`: the largest size
     of the image's aspect ratio, centred (tf.image.resize_with_pad, but computed in whole numbers).
  3. Resize (resample.py), without clipping. Gray is 0.299 R + 0.587 G + 0.114 B; a gray image has three equal colours.
  4. What `pad` adds are pixels of 0. value = pixel * scale + offset in doubles, channels in the order of `colors`;
     rounded to the input's type once, integers half to even and clipped.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, WebPImagePlugin  # noqa: F401  Pillow would import all of its plugins to find this one.

from skerry_converter.protocol import ConversionFailure
from skerry_converter.resample import resize

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAXIMUM_PIXELS = 1 << 26
MAXIMUM_SIDE = 1 << 15
# Of one input's samples together: what a reader of an .npz takes as one array.
MAXIMUM_ARRAY_BYTES = (1 << 31) - (1 << 20)
# Images that may become golden inputs are kept as they came. Small ones, since every device loads its goldens.
SMALL_BYTES = 64 << 10
SMALL_KEPT = 256
SMALLEST_KEPT = 8

GRAY = (0.299, 0.587, 0.114)
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}
# From EXIF's orientation to what undoes it.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
# Above it Pillow only warns, and refuses above twice the number: decode() refuses before anything is decoded.
Image.MAX_IMAGE_PIXELS = MAXIMUM_PIXELS


@dataclass(frozen=True)
class ImageInput:
    """One input of a model that takes images, and how they become it."""

    name: str
    dtype: str
    shape: tuple  # of one sample
    height: int
    width: int
    kernel: str
    antialias: bool
    fit: str
    colors: str
    scale: np.ndarray
    offset: np.ndarray
    channels_first: bool

    def prepare(self, content, file):
        """One sample, of this input's shape and type. `file` is what errors call the image."""
        pixels, maximum = decode(content, file)
        rows, columns, _ = pixels.shape
        if self.fit == "crop":
            pixels = _crop(pixels, self.height, self.width)
        height, width, top, left = self.height, self.width, 0, 0
        if self.fit == "pad":
            height, width, top, left = _padded(rows, columns, self.height, self.width)
        resized = resize(pixels, height, width, self.kernel, self.antialias)
        if maximum != 255:
            resized /= maximum / 255
        colored = self._colored(resized)
        if (height, width) != (self.height, self.width):
            whole = np.zeros((self.height, self.width, colored.shape[-1]))
            whole[top : top + height, left : left + width] = colored
            colored = whole
        values = colored * self.scale + self.offset
        if self.channels_first:
            values = values.transpose(2, 0, 1)
        return self._typed(values.reshape(self.shape))

    def _colored(self, pixels):
        if pixels.shape[-1] == 1:
            return pixels if self.colors == "gray" else np.repeat(pixels, 3, axis=-1)
        if self.colors == "gray":
            # Not as a matrix product, whose order of additions is nobody's promise.
            red, green, blue = (pixels[..., at] * share for at, share in enumerate(GRAY))
            return ((red + green) + blue)[..., None]
        return pixels[..., ::-1] if self.colors == "bgr" else pixels

    def _typed(self, values):
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return values.astype(dtype)
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def image_input(preprocessing, inputs, what):
    """The input that images fill, or why there is none. `preprocessing` as checkPreprocessing (TypeScript) passes it."""
    names = [tensor.name for tensor in inputs]
    name = preprocessing.get("input")
    if name is not None and name not in names:
        raise _mismatch(what, f"the preprocessing is for input {name}; the model's inputs are {names}")
    if len(inputs) != 1:
        raise _mismatch(what, f"images fill one input, and the model has {names}: send an .npz with an array for each")
    [tensor] = inputs
    colors, channels_first = preprocessing["colors"], preprocessing["layout"] == "nchw"
    shape, channels = list(tensor.shape[1:]), CHANNELS[colors]
    if not tensor.dtype.startswith(("float", "int", "uint")):
        raise _mismatch(what, f"input {tensor.name} is {tensor.dtype}, which images do not become: send an .npz")
    sides = shape if len(shape) == 2 and channels == 1 else shape[1:] if channels_first else shape[:-1]
    depth = 1 if len(shape) == 2 else shape[0 if channels_first else -1] if len(shape) == 3 else 0
    layout = "[channels, height, width]" if channels_first else "[height, width, channels]"
    if depth not in (channels, -1) or len(sides) != 2:
        raise _mismatch(
            what,
            f"input {tensor.name} takes samples of {_words(shape)}; {layout} with {channels} {colors} "
            f"channel{'s' if channels > 1 else ''} is what the preprocessing makes",
        )
    if -1 in sides:
        raise _mismatch(
            what,
            f"input {tensor.name} takes images of any size ({_words(shape)}), so what to resize them to is not known: "
            "fix the height and width of the model's input, or send an .npz of images in the size that devices will use",
        )
    height, width = sides
    one = (height, width) if len(shape) == 2 else (channels, height, width) if channels_first else (*sides, channels)
    return ImageInput(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=one,
        height=height,
        width=width,
        kernel=preprocessing["kernel"],
        antialias=preprocessing.get("antialias", False),
        fit=preprocessing["fit"],
        colors=colors,
        scale=np.asarray(preprocessing["scale"], np.float64),
        offset=np.asarray(preprocessing["offset"], np.float64),
        channels_first=channels_first,
    )


def decode(content, file):
    """([rows, columns, 1 or 3], the value of white): uint8 and 255, or uint16 and 65535."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            columns, rows = image.size
            if columns * rows > MAXIMUM_PIXELS or max(image.size) > MAXIMUM_SIDE:
                raise _too_large(file, f"{columns} x {rows} pixels")
            image.load()
            upright = UPRIGHT.get(image.getexif().get(ORIENTATION))
            return _pixels(image if upright is None else image.transpose(upright))
    except ConversionFailure:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(file, "too many pixels") from error
    # Pillow's decoders let through whatever a damaged file makes them stumble over.
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise ConversionFailure("invalid-data", f"{file} cannot be decoded: {reason}.") from error


def _too_large(file, size):
    text = f"{file} has {size}; at most {MAXIMUM_PIXELS} are decoded, {MAXIMUM_SIDE} to a side."
    return ConversionFailure("invalid-data", text)


def _pixels(image):
    if image.mode.startswith("I;16"):
        return np.asarray(image)[..., None], 65535
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[..., None], 255
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB")), 255


def _crop(pixels, height, width):
    rows, columns, _ = pixels.shape
    kept_rows = max(1, min(rows, columns * height // width))
    kept_columns = max(1, min(columns, rows * width // height))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    return pixels[top : top + kept_rows, left : left + kept_columns]


def _padded(rows, columns, height, width):
    """(height, width, top, left) of the resized image within the target."""
    if columns * height >= rows * width:
        inner = max(1, rows * width // columns)
        return inner, width, min(height - inner, (height * columns - rows * width) // (2 * columns)), 0
    inner = max(1, columns * height // rows)
    return height, inner, 0, min(width - inner, (width * rows - columns * height) // (2 * rows))


def read_images(files, target, what):
    """(samples [files, ...], one entry per file: its bytes where it may become a golden input, else None).

    `files` lists (name, size, read) in the order of the samples; `size` is believed for that choice only.
    """
    sample_bytes = int(np.prod(target.shape)) * np.dtype(target.dtype).itemsize
    if len(files) * sample_bytes > MAXIMUM_ARRAY_BYTES:
        raise ConversionFailure(
            "invalid-data",
            f"The {what} data has {len(files)} images of {sample_bytes} bytes as {target.dtype}; together at most "
            f"{MAXIMUM_ARRAY_BYTES} bytes are taken: send at most {MAXIMUM_ARRAY_BYTES // sample_bytes} images.",
        )
    kept = _golden_candidates([size for _, size, _ in files])
    samples = np.empty((len(files), *target.shape), target.dtype)
    images = []
    for index, (name, _, read) in enumerate(files):
        content = read()
        samples[index] = target.prepare(content, f"The {what} data's image {name!r}")
        images.append(content if index in kept else None)
    return samples, images


def _golden_candidates(sizes):
    small = [index for index, size in enumerate(sizes) if size <= SMALL_BYTES]
    if len(small) < SMALLEST_KEPT:
        return set(sorted(range(len(sizes)), key=lambda index: (sizes[index], index))[:SMALLEST_KEPT])
    step = max(1, len(small) / SMALL_KEPT)
    return {small[int(at * step)] for at in range(min(SMALL_KEPT, len(small)))}


def write_images(images, folder):
    """Writes what read_images kept into the new `folder`, each file named by its sample's number; returns the folder."""
    folder = Path(folder)
    folder.mkdir()
    for index, content in enumerate(images):
        if content is not None:
            (folder / str(index)).write_bytes(content)
    return folder


def _words(shape):
    return f"[{', '.join('any' if size == -1 else str(size) for size in shape)}]"


def _mismatch(what, why):
    return ConversionFailure("input-mismatch", f"The {what} data is images, but {why}.")
