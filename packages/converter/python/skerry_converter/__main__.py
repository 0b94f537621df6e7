import os

# Before anything imports TensorFlow or Keras, which read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
# Its threads would be there before the first fork.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from skerry_converter.zygote import serve  # noqa: E402


def load():
    """Imports what conversions need; some of it is read only when it is asked for. None of it may start a thread."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants  # noqa: F401
    from tensorflow.python.saved_model import loader_impl  # noqa: F401

    from skerry_converter.job import HANDLERS

    _ = tf.lite.TFLiteConverter, tf.saved_model.load, tf.compat.v1.saved_model.load, keras.models.load_model
    try:
        import litert_quantizer  # noqa: F401
    except ImportError:
        # Asked for by some recipes only, which then say so.
        pass
    return HANDLERS


if __name__ == "__main__":
    serve(load)
