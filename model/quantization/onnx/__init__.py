"""A model as an ONNX graph, which onnxruntime computes."""
