"""Which versions of which packages made a file."""

from importlib import metadata

PACKAGES = ("tensorflow", "keras", "litert-quantizer", "ai-edge-litert", "numpy", "pillow", "h5py", "flatbuffers")


def package_versions():
    """{package: version} of those installed. TensorFlow goes by one name, whichever of its packages it came in."""
    found = {}
    for name in PACKAGES:
        for candidate in (name, f"{name}-cpu") if name == "tensorflow" else (name,):
            try:
                found[name] = metadata.version(candidate)
                break
            except metadata.PackageNotFoundError:
                continue
    return found
