import os

# Before anything imports TensorFlow or Keras, which read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

from skerry_converter.job import convert  # noqa: E402
from skerry_converter.protocol import serve  # noqa: E402

serve(convert)
