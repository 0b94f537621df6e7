"""The conversion process: TensorFlow models in, .tflite variants out. `python -m skerry_converter` (protocol.py)."""
