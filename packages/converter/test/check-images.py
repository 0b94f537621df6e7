"""What images.test.ts asserts, measured in one process: TensorFlow takes seconds to load.

Arguments: an empty folder, and the presets of preprocessing.ts as JSON. Prints one JSON object.
"""

import io
import json
import os
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from skerry_converter import image_set, images
from skerry_converter.protocol import ConversionFailure
from skerry_converter.resample import resize
from skerry_converter.samples import generate_samples, read_samples
from skerry_converter.source import Tensor

out, presets = Path(sys.argv[1]), json.loads(sys.argv[2])
random = np.random.default_rng(5)
RAW = presets["raw-255"]


def noise(*shape):
    return random.integers(0, 256, shape, np.uint8)


def tensor(*shape, dtype="float32", name="image"):
    return Tensor(name, name, [-1, *shape], dtype)


def png(pixels, **options):
    return encoded(Image.fromarray(pixels), "PNG", **options)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def packed(entries):
    """A zip of {name: bytes} or [(name, bytes)], in its own file."""
    path = out / f"{len(list(out.iterdir()))}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, content)
    return path


def largest(a, b):
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))


def prepared(content, preprocessing, *shape, dtype="float32"):
    arrays, _, _ = read_samples(packed({"one.png": content}), [tensor(*shape, dtype=dtype)], "evaluation", preprocessing)
    return arrays["image"][0]


def outcome(run):
    try:
        return run()
    except ConversionFailure as failure:
        return {"code": failure.code, "message": failure.message}


SIZES = [
    (25, 25, 224, 224), (37, 53, 20, 91), (64, 64, 32, 32), (101, 67, 7, 9), (1, 1, 5, 4), (6, 4, 9, 6), (300, 200, 224, 96),
    (31, 31, 31, 62), (500, 3, 5, 3), (224, 320, 24, 299),
]  # fmt: skip


def kernels():
    differences = {}
    for rows, columns, height, width in SIZES:
        pixels = noise(rows, columns, 3)
        for kernel in ("nearest", "bilinear", "bicubic", "lanczos3", "area"):
            for antialias in (False, True):
                expected = tf.image.resize(pixels.astype(np.float32), (height, width), kernel, antialias=antialias)
                difference = largest(expected, resize(pixels, height, width, kernel, antialias))
                key = f"{kernel}{' antialias' if antialias else ''}"
                differences.setdefault(key, {})[f"{rows}x{columns} to {height}x{width}"] = difference
    return differences


def pillow():
    differences = {}
    for kernel in ("bilinear", "bicubic", "lanczos3"):
        resample = Image.Resampling[kernel.replace("lanczos3", "lanczos").upper()]
        worst = 0
        for rows, columns, height, width in SIZES:
            pixels = noise(rows, columns)
            expected = Image.fromarray(pixels.astype(np.float32)).resize((width, height), resample)
            worst = max(worst, largest(expected, resize(pixels[..., None], height, width, kernel, True)[..., 0]))
        differences[kernel] = worst
    return differences


def keras_modes():
    pixels = noise(20, 30, 3)
    modes = {"keras-mobilenet": "tf", "keras-caffe": "caffe", "keras-torch": "torch"}
    return {
        preset: largest(
            keras.applications.imagenet_utils.preprocess_input(pixels.astype(np.float32), mode=mode),
            prepared(png(pixels), presets[preset], 20, 30, 3),
        )
        for preset, mode in modes.items()
    } | {
        "zero-to-one": largest(pixels / 255, prepared(png(pixels), presets["zero-to-one"], 20, 30, 3)),
        "raw-255": largest(pixels, prepared(png(pixels), RAW, 20, 30, 3)),
    }


def fits():
    differences = {}
    for rows, columns, height, width in [(40, 100, 32, 32), (100, 40, 32, 48), (33, 32, 64, 64), (20, 200, 10, 10)]:
        pixels = noise(rows, columns, 3)
        expected = {
            "crop": keras.preprocessing.image.smart_resize(pixels.astype(np.float32), (height, width)),
            "pad": tf.image.resize_with_pad(pixels.astype(np.float32), height, width),
        }
        for fit, value in expected.items():
            actual = prepared(png(pixels), {**RAW, "fit": fit}, height, width, 3)
            differences[f"{fit} {rows}x{columns} to {height}x{width}"] = largest(value, actual)
    # A fill of 0 is black, whatever black becomes.
    mobile = prepared(png(noise(10, 20, 3)), {**presets["keras-mobilenet"], "fit": "pad"}, 8, 8, 3)
    differences["pad fills with black"] = largest(mobile[:2], -1) + largest(mobile[-2:], -1)
    return differences


def decoding():
    """Differences from tf.io's decoders, or from what the encoded pixels are known to be."""
    rgb, rgba, gray = noise(9, 7, 3), noise(9, 7, 4), noise(9, 7)
    deep = random.integers(0, 65536, (9, 7, 1), np.uint16)
    deep_rgb = random.integers(0, 65536, (9, 7, 3), np.uint16)
    smooth = np.add.outer(np.arange(32), np.arange(24))[..., None] * [2, 3, 4] % 256
    smooth = smooth.astype(np.uint8)
    palette = Image.fromarray(rgb).quantize(16)
    transparent = encoded(palette, "PNG", transparency=3)
    several = bytes(range(16))
    photo = encoded(Image.fromarray(smooth), "JPEG", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(smooth), "JPEG", quality=90, exif=exif)
    frames = [palette, Image.fromarray(noise(9, 7, 3)).quantize(16)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    cmyk = Image.fromarray(smooth).convert("CMYK")

    def decoded(content):
        pixels, white = images.decode(content, "it")
        return pixels.astype(np.float64) / (white / 255)

    def tensorflow(content, **options):
        return tf.io.decode_png(content, **options).numpy()

    return {
        "rgb": largest(rgb, decoded(png(rgb))),
        "alpha": largest(rgba[..., :3], decoded(png(rgba))),
        "gray": largest(gray[..., None], decoded(png(gray))),
        "gray with alpha": largest(gray[..., None], decoded(encoded(Image.fromarray(rgba).convert("LA"), "PNG"))
                                   - decoded(encoded(Image.fromarray(rgba).convert("L"), "PNG")) + gray[..., None]),
        "one bit": largest((gray > 127)[..., None] * 255, decoded(png(gray > 127))),
        "palette": largest(tensorflow(transparent, channels=3), decoded(transparent)),
        "palette with alphas": largest(palette.convert("RGB"), decoded(encoded(palette, "PNG", transparency=several))),
        "16-bit gray": largest(deep / 257, decoded(tf.io.encode_png(deep).numpy())),
        "16-bit colours": largest(deep_rgb >> 8, decoded(tf.io.encode_png(deep_rgb).numpy())),
        "jpeg": largest(tf.io.decode_jpeg(photo, dct_method="INTEGER_ACCURATE"), decoded(photo)),
        "cmyk": largest(cmyk.convert("RGB"), decoded(encoded(cmyk, "JPEG", quality=100))),
        "upright": largest(np.rot90(decoded(photo), -1), decoded(turned)),
        "gif": largest(tf.io.decode_gif(gif)[0], decoded(gif)),
        "webp": largest(rgb, decoded(encoded(Image.fromarray(rgb), "WEBP", lossless=True))),
        "bmp": largest(rgb, decoded(encoded(Image.fromarray(rgb), "BMP"))),
    }


def whole():
    """From the file to the tensor, beside what a caller would write with TensorFlow."""
    content = png(noise(40, 60, 3))
    small = tf.image.resize(tf.io.decode_png(content), (24, 32))
    expected = keras.applications.mobilenet_v2.preprocess_input(small.numpy())
    mobile = presets["keras-mobilenet"]
    halves = {**RAW, "scale": [0.5, 1, 2], "offset": [0, 0.5, -100]}
    flat = np.broadcast_to(np.uint8([5, 7, 200]), (2, 2, 3))
    nhwc = prepared(png(flat), halves, 2, 2, 3, dtype="uint8")
    gray = {**RAW, "colors": "gray"}
    return {
        "like TensorFlow": largest(expected, prepared(content, mobile, 24, 32, 3)),
        "nchw": largest(expected.transpose(2, 0, 1), prepared(content, {**mobile, "layout": "nchw"}, 3, 24, 32)),
        "half": largest(expected, prepared(content, mobile, 24, 32, 3, dtype="float16")),
        "uint8": nhwc[0, 0].tolist(),
        "int8": prepared(png(flat), {**RAW, "offset": -128}, 2, 2, 3, dtype="int8")[1, 1].tolist(),
        "bgr": prepared(png(flat), {**RAW, "colors": "bgr"}, 2, 2, 3)[0, 0].tolist(),
        "gray": prepared(png(flat), gray, 2, 2, 1)[0, 0].tolist(),
        "gray of rank 2": list(prepared(png(flat), gray, 2, 2).shape),
        "colours of gray": prepared(png(flat[..., 1].copy()), RAW, 2, 2, 3)[0, 0].tolist(),
    }


def labels():
    one = png(noise(2, 2, 3))

    def read(entries, classes=None):
        path = packed(entries)
        values = outcome(lambda: read_samples(path, [tensor(2, 2, 3)], "evaluation", RAW, classes)[1])
        return values.tolist() if isinstance(values, np.ndarray) else values

    table = {"b.png": "cat", "a.png": "dog"}
    two = {"x/b.png": one, "x/a.png": one}
    return {
        "folders": read({"dog/b.png": one, "cat/z.png": one, "dog/a.png": one}),
        "folders in a folder": read({"all/dog/b.png": one, "all/cat/z.png": one, "__MACOSX/all/._b.png": b"?"}),
        "folders and classes": read({"dog/b.png": one, "cat/z.png": one}, ["bird", "dog", "cat"]),
        "unknown folder": read({"dog/b.png": one, "cow/z.png": one}, ["bird", "dog"]),
        "one folder": read({"pictures/b.png": one, "pictures/a.png": one}),
        "one folder, a class": read({"dog/b.png": one, "dog/a.png": one}, ["bird", "dog"]),
        "no folder": read({"b.png": one, "dog/a.png": one}),
        "digits in order": read({"0/b.png": one, "1/a.png": one}),
        "digits with a gap": read({"3/b.png": one, "7/a.png": one}),
        "json": read({**two, "x/labels.json": json.dumps(table)}),
        "json, whole paths": read({**two, "labels.json": json.dumps({"x/a.png": 4, "x/b.png": 2})}),
        "json and classes": read({**two, "x/labels.json": json.dumps(table)}, ["cat", "cow", "dog"]),
        "json without one": read({**two, "x/labels.json": json.dumps({"a.png": 1})}),
        "json beyond the classes": read({**two, "x/labels.json": json.dumps({"a.png": 1, "b.png": 2})}, ["cat", "dog"]),
        "json of both kinds": read({**two, "x/labels.json": json.dumps({"a.png": 1, "b.png": "cat"})}),
        "csv": read({**two, "x/labels.csv": "path,class\na.png,1\nb.png, 0\n"}),
        "csv without header": read({**two, "x/labels.csv": "a.png,dog\nb.png,cat\n"}),
        "broken csv": read({**two, "x/labels.csv": "a.png\n"}),
        "deep json": read({**two, "labels.json": "[" * 100_000}),
        "twice": read({**two, "labels.json": "{}", "labels.csv": ""}),
    }


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claimed_png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def hostile():
    good = png(noise(40, 40, 3))
    jpeg = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    folder = out / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(good)
    (folder / "b.png").symlink_to("/etc/passwd")
    cut = out / "cut.zip"
    cut.write_bytes(packed({"a.png": good, "b.png": good}).read_bytes()[:-60])
    flipped = bytearray(packed({"a.png": good}).read_bytes())
    flipped[200] ^= 255
    broken = out / "flipped.zip"
    broken.write_bytes(flipped)

    def read(entries, inputs=None, preprocessing=RAW):
        path = entries if isinstance(entries, Path) else packed(entries)
        inputs = [tensor(8, 8, 3)] if inputs is None else inputs
        return outcome(lambda: list(read_samples(path, inputs, "evaluation", preprocessing)[0]["image"].shape))

    def limited(name, value, entries):
        module = image_set if hasattr(image_set, name) else images
        kept = getattr(module, name)
        setattr(module, name, value)
        try:
            return read(entries)
        finally:
            setattr(module, name, kept)

    two = {"a.png": good, "b.png": good}
    return {
        "good": read(two),
        "pixel bomb": read({"ok.png": good, "bomb.png": claimed_png(30_000, 30_000)}),
        "long bomb": read({"bomb.png": claimed_png(100_000, 1)}),
        "truncated png": read({"ok.png": good, "short.png": good[:-300]}),
        "truncated jpeg": read({"short.jpg": jpeg[: len(jpeg) // 2]}),
        "text": read({"text.png": b"hello"}),
        "empty": read({"empty.png": b""}),
        "tiff": read({"tiff.png": encoded(Image.fromarray(noise(4, 4, 3)), "TIFF")}),
        "eps": read({"code.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}),
        "escape": read({"../a.png": good}),
        "absolute": read({"/a.png": good}),
        "link": read([(link, "/etc/passwd")]),
        "linked file": read(folder),
        "twice": read([("a.png", good), ("a.png", good)]),
        "other files": read({**two, "notes.txt": b"x"}),
        "cut archive": read(cut),
        "damaged entry": read(broken),
        "no images": read({"labels.json": "{}"}),
        "too many files": limited("MAXIMUM_FILES", 1, two),
        "too large a file": limited("MAXIMUM_FILE_BYTES", 1000, two),
        "too much": limited("MAXIMUM_BYTES", len(good) + 10, two),
        "too much memory": limited("MAXIMUM_ARRAY_BYTES", 8 * 8 * 3 * 4, two),
        "no preprocessing": read(two, preprocessing=None),
        "open size": read(two, [Tensor("image", "image", [-1, -1, -1, 3], "float32")]),
        "two inputs": read(two, [tensor(8, 8, 3), tensor(4, name="more")]),
        "other input": read(two, preprocessing={**RAW, "input": "picture"}),
        "gray model": read(two, [tensor(8, 8, 1)]),
        "other layout": read(two, [tensor(3, 8, 8)]),
        "text model": read(two, [tensor(8, 8, 3, dtype="string")]),
    }


def damage():
    """How decoding ends on files with flipped bytes or cut ends."""
    picture = Image.fromarray(noise(12, 9, 3))
    originals = [encoded(picture, kind) for kind in images.FORMATS] + [
        encoded(picture.quantize(7), "PNG", transparency=1), encoded(picture.convert("L"), "JPEG", progressive=True),
    ]  # fmt: skip
    ends = {"decoded": 0, "refused": 0}
    for original in originals:
        for _ in range(150):
            content = bytearray(original)
            for at in random.integers(0, min(len(content), 200), random.integers(1, 4)):
                content[at] = random.integers(0, 256)
            if random.random() < 0.3:
                del content[random.integers(0, len(content)) :]
            result = outcome(lambda content=content: images.decode(bytes(content), "it"))
            ends["refused" if isinstance(result, dict) else "decoded"] += 1
    return ends


def kept_images():
    small = [png(noise(4, 4, 3)) for _ in range(5)]
    entries = {f"{index}.png": content for index, content in enumerate(small)}
    entries["2.png"] = png(noise(200, 200, 3))
    arrays, _, encoded_images = read_samples(packed(entries), [tensor(4, 4, 3)], "evaluation", RAW)
    few = [index for index, content in enumerate(encoded_images) if content is not None]
    folder = images.write_images(encoded_images, out / "kept")
    many = images._golden_candidates([1000] * 10_000 + [100_000] * 10)
    return {
        "few": few,
        "same bytes": all((folder / str(index)).read_bytes() == entries[f"{index}.png"] for index in few),
        "same pixels": all(np.array_equal(Image.open(folder / str(at)), arrays["image"][at]) for at in (0, 4)),
        "many": len(many),
        "spread": [min(many) < 100, max(many) > 9900, max(many) < 10_000],
        "large": sorted(images._golden_candidates([100_000 - at for at in range(20)])),
        "folder": str(folder),
    }


def strings():
    [words] = generate_samples([Tensor("words", "words", [-1, 2], "string")]).values()
    return {"shape": list(words.shape), "first": words[0].tolist()[0].decode(), "dtype": words.dtype.kind}


sections = [kernels, pillow, keras_modes, fits, decoding, whole, labels, hostile, damage, kept_images, strings]
print(json.dumps({section.__name__: section() for section in sections}))
