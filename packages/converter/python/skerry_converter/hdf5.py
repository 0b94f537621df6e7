"""What an HDF5 file may hold. One can refer to other files, whose bytes would then be read as weights."""

from skerry_converter.protocol import ConversionFailure, last_words, limit_of

MAXIMUM_BYTES = 8 << 30
# Of unpacked content to the file's size, beyond the floor.
MAXIMUM_RATIO = 100
RATIO_FLOOR_BYTES = 64 << 20
MAXIMUM_OBJECTS = 200_000
# Filters that HDF5 itself has; for others it loads a library from a folder of plugins.
_FILTERS = {1, 2, 3, 4, 5, 6, 32_000}


def check_hdf5(file, file_bytes):
    """Walks an open h5py.File. @raises ConversionFailure `unsafe-model`, `not-a-model`"""
    import h5py

    limit = min(MAXIMUM_BYTES, max(RATIO_FLOOR_BYTES, MAXIMUM_RATIO * file_bytes))
    waiting, seen, total = [file], set(), 0
    try:
        while waiting:
            group = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                place = f"{group.name.rstrip('/')}/{name}"
                if isinstance(link, h5py.ExternalLink):
                    raise _unsafe(place, f"is a link to another file, {link.filename!r}")
                if isinstance(link, h5py.SoftLink):
                    raise _unsafe(place, "is a link")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:
                    raise _unsafe(place, "has two names")
                seen.add(address)
                if len(seen) > MAXIMUM_OBJECTS:
                    raise _unsafe(place, f"is one of more than {MAXIMUM_OBJECTS} objects")
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    total += _check_dataset(item, place)
                    if total > limit:
                        raise _unsafe(place, f"makes the content larger than the {limit} bytes that are allowed")
    except ConversionFailure:
        raise
    except Exception as error:
        if limit_of(error):
            raise
        raise ConversionFailure("not-a-model", f"The HDF5 file is damaged: {last_words(error)}") from error


def _check_dataset(dataset, place):
    if dataset.external:
        raise _unsafe(place, f"has its data in another file, {dataset.external[0][0]!r}")
    if dataset.is_virtual:
        raise _unsafe(place, "is put together from other files")
    creation = dataset.id.get_create_plist()
    for index in range(creation.get_nfilters()):
        number = creation.get_filter(index)[0]
        if number not in _FILTERS:
            raise _unsafe(place, f"needs filter {number}, which is no part of HDF5")
    return dataset.id.get_type().get_size() * dataset.size if dataset.shape is not None else 0


def _unsafe(place, why):
    return ConversionFailure("unsafe-model", f"{place!r} in the HDF5 file {why}.")
