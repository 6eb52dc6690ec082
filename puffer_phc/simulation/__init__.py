"""Physics engines behind one protocol: tensors in, tensors out."""
